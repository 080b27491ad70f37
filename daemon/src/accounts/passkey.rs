//! Passkeys (WebAuthn Level 3): made by a signed-in user, shown instead of password and second step.
//!
//! A passkey proves that its device is there and that its user unlocked it, so it stands for both steps; one that does not
//! prove the second is refused. It is bound to the name that the gateway was called by. Each ceremony begins with a challenge
//! that is good once, for five minutes, and for whom and where it was begun; what is kept of challenges is bounded in number.
//! A counter that went back tells of a copy: such a passkey opens nothing, and the audit trail says so.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use webauthn_rs::fake::{FakePasskeyDistribution, WebauthnFakeCredentialGenerator};
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, Webauthn, WebauthnBuilder, WebauthnError,
};

use super::lockout::Place;
use super::login::too_many;
use super::{AccountError, Accounts, Ledger, PASSKEYS, SignedIn, new_id, secret, user};
use crate::store::Changes;
use crate::store::audit::Author;

/// Most passkeys of one user.
const MOST_PASSKEYS: usize = 20;
/// Tries until a name without passkeys is given some that do not exist.
const FAKED: usize = 64;
/// How long a challenge is good.
const CHALLENGE_LIVES: Duration = Duration::from_secs(300);
/// Challenges that wait for their answer; the oldest makes room.
const MOST_CHALLENGES: usize = 512;
/// Of these, begun from one address.
const MOST_CHALLENGES_OF_ONE: usize = 16;
/// What wrong answers are counted under, beside the place that they come from. No name of a user can be this.
const COUNTED_AS: &str = "\u{0}passkey";

/// What is kept of a passkey.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) user: String,
    name: String,
    /// The name of the gateway that it is bound to.
    site: String,
    created: i64,
    used: Option<i64>,
    key: Passkey,
}

/// What is shown of a passkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PasskeyView {
    /// Names it; of no use to sign in.
    pub id: String,
    /// Id of the user who signs in with it.
    pub user: String,
    /// What its user calls it.
    pub name: String,
    /// The name of the gateway that it works at.
    pub site: String,
    /// Seconds since 1970.
    pub created: i64,
    /// When somebody signed in with it last, seconds since 1970.
    pub used: Option<i64>,
}

/// The gateway as a browser calls it, where it lets pages use passkeys: a name with a trusted certificate, or `localhost`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeySite {
    name: String,
    origin: String,
}

impl PasskeySite {
    /// The gateway under this name, which has been checked to be one of those.
    pub fn new(name: &str, encrypted: bool) -> Self {
        let scheme = if encrypted { "https" } else { "http" };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        Self {
            origin: format!("{scheme}://{name}"),
            name,
        }
    }

    fn webauthn(&self) -> Result<Webauthn, AccountError> {
        let unusable = |_| AccountError::Conflict("passkeys do not work under this name".to_owned());
        let origin = Url::parse(&self.origin).map_err(|_| unusable(WebauthnError::Configuration))?;
        let built = WebauthnBuilder::new(&self.name, &origin).and_then(|builder| {
            builder
                .allow_any_port(true)
                .rp_name("iSigurt Gateway")
                .timeout(CHALLENGE_LIVES)
                .build()
        });
        built.map_err(unusable)
    }
}

/// A ceremony that has begun.
#[derive(Debug)]
struct Begun {
    site: PasskeySite,
    address: IpAddr,
    at: Duration,
    what: Ceremony,
}

#[derive(Debug)]
enum Ceremony {
    Make {
        user: String,
        state: PasskeyRegistration,
    },
    SignIn {
        user: Option<String>,
        state: DiscoverableAuthentication,
    },
}

/// Ceremonies that have begun, by the hash of their id. They live in memory: a restart ends them.
#[derive(Debug, Default)]
pub(super) struct Ceremonies(Mutex<HashMap<String, Begun>>);

impl Ceremonies {
    fn begin(&self, begun: Begun) -> Result<String, AccountError> {
        let id = secret()?;
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = begun.at;
        waiting.retain(|_, other| now.saturating_sub(other.at) < CHALLENGE_LIVES);
        let of_one = |other: &Begun| other.address == begun.address;
        if waiting.values().filter(|other| of_one(other)).count() >= MOST_CHALLENGES_OF_ONE {
            let_oldest_go(&mut waiting, of_one);
        }
        if waiting.len() >= MOST_CHALLENGES {
            let_oldest_go(&mut waiting, |_| true);
        }
        waiting.insert(id.clone(), begun);
        Ok(id)
    }

    /// Takes a ceremony, which nobody can take again.
    fn take(&self, id: &str, site: &PasskeySite, now: Duration) -> Option<Ceremony> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = waiting.remove(id)?;
        let good = now.saturating_sub(begun.at) < CHALLENGE_LIVES && begun.site == *site;
        good.then_some(begun.what)
    }
}

fn let_oldest_go(waiting: &mut HashMap<String, Begun>, of: impl Fn(&Begun) -> bool) {
    let those = waiting.iter().filter(|(_, begun)| of(begun));
    let oldest = those.min_by_key(|(_, begun)| begun.at).map(|(id, _)| id.clone());
    if let Some(oldest) = oldest {
        waiting.remove(&oldest);
    }
}

impl Kept {
    fn view(&self, id: &str) -> PasskeyView {
        PasskeyView {
            id: id.to_owned(),
            user: self.user.clone(),
            name: self.name.clone(),
            site: self.site.clone(),
            created: self.created,
            used: self.used,
        }
    }
}

impl Ledger {
    fn passkey(&mut self, id: &str) -> Result<&mut Kept, AccountError> {
        self.passkeys.get_mut(id).ok_or(AccountError::Missing("passkey"))
    }

    /// Takes all passkeys of a user back.
    pub(super) fn end_passkeys(&mut self, user: &str, changes: &mut Changes) {
        self.passkeys.retain(|key, passkey| {
            let stays = passkey.user != user;
            if !stays {
                changes.remove(&PASSKEYS, key);
            }
            stays
        });
    }

    fn ids_at(&self, user: &str, site: &PasskeySite) -> Vec<CredentialID> {
        let own = self
            .passkeys
            .values()
            .filter(|kept| kept.user == user && kept.site == site.name);
        own.map(|kept| kept.key.cred_id().clone()).collect()
    }
}

/// What authenticators know a user by: neither its name nor its id, and always the same.
fn handle(user: &str) -> Uuid {
    let hash = blake3::derive_key("isigurt gateway 2026 user handle of a passkey", user.as_bytes());
    let mut octets = [0; 16];
    octets.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    Uuid::from_bytes(octets)
}

fn too_late() -> AccountError {
    AccountError::Passkey("the request is unknown or older than five minutes; begin again".to_owned())
}

impl Accounts {
    /// Begins to make a passkey for a signed-in user: the ceremony's id, and what the browser is to be asked.
    pub fn begin_passkey(
        &self,
        id: &str,
        site: &PasskeySite,
        address: IpAddr,
    ) -> Result<(String, Value), AccountError> {
        let (name, there) = {
            let ledger = self.ledger();
            let user = ledger.users.get(id).ok_or(AccountError::Missing("user"))?;
            if user.vouched.is_some() {
                return Err(AccountError::Conflict(
                    "another service signs this account in; make a passkey there".to_owned(),
                ));
            }
            (user.name.clone(), ledger.ids_at(id, site))
        };
        let begun = site
            .webauthn()?
            .start_passkey_registration(handle(id), &name, &name, Some(there));
        let (asked, state) = begun.map_err(|error| refused(&error))?;
        let mut asked = serde_json::to_value(asked).unwrap_or_default();
        // Where the device can, the passkey is found without a name being typed.
        if let Some(selection) = asked.pointer_mut("/publicKey/authenticatorSelection") {
            selection["residentKey"] = "preferred".into();
        }
        let what = Ceremony::Make {
            user: id.to_owned(),
            state,
        };
        Ok((self.begin_ceremony(site, address, what)?, asked))
    }

    /// Keeps the passkey that a browser made.
    pub fn finish_passkey(
        &self,
        (id, name): (&str, &str),
        site: &PasskeySite,
        ceremony: &str,
        made: &RegisterPublicKeyCredential,
        author: &Author,
    ) -> Result<PasskeyView, AccountError> {
        let name = user::name("name", name)?;
        let Some(Ceremony::Make { user, state }) = self.take_ceremony(ceremony, site) else {
            return Err(too_late());
        };
        if user != id {
            return Err(too_late());
        }
        let key = site.webauthn()?.finish_passkey_registration(made, &state);
        let key = key.map_err(|error| refused(&error))?;
        let now = self.clock.wall();
        self.change(|ledger, changes| {
            let whose = ledger.user(id)?.name.clone();
            if ledger
                .passkeys
                .values()
                .any(|kept| kept.key.cred_id() == key.cred_id())
            {
                return Err(AccountError::Conflict("this passkey is known already".to_owned()));
            }
            if ledger.passkeys.values().filter(|kept| kept.user == id).count() >= MOST_PASSKEYS {
                return Err(AccountError::Conflict(
                    "there are 20 passkeys; remove one first".to_owned(),
                ));
            }
            let kept = Kept {
                user,
                name,
                site: site.name.clone(),
                created: now,
                used: None,
                key,
            };
            let id = new_id()?;
            let view = kept.view(&id);
            changes.put(&PASSKEYS, &id, &kept);
            changes.audit(author.entry(
                "account.passkey.add",
                &whose,
                None,
                Some(view.name.clone().into()),
            ));
            ledger.passkeys.insert(id, kept);
            Ok(view)
        })
    }

    /// Passkeys of a user, by name.
    pub fn passkeys(&self, user: &str) -> Vec<PasskeyView> {
        let ledger = self.ledger();
        let own = ledger.passkeys.iter().filter(|(_, kept)| kept.user == user);
        let mut views: Vec<PasskeyView> = own.map(|(id, kept)| kept.view(id)).collect();
        views.sort_by(|one, other| (&one.name, one.created).cmp(&(&other.name, other.created)));
        views
    }

    /// The user whose passkey this is.
    pub fn passkey_user(&self, id: &str) -> Option<String> {
        self.ledger().passkeys.get(id).map(|kept| kept.user.clone())
    }

    /// Calls a passkey something else.
    pub fn rename_passkey(&self, id: &str, name: &str, author: &Author) -> Result<PasskeyView, AccountError> {
        let name = user::name("name", name)?;
        self.change(|ledger, changes| {
            let kept = ledger.passkey(id)?;
            let before = std::mem::replace(&mut kept.name, name);
            let (view, user) = (kept.view(id), kept.user.clone());
            changes.put(&PASSKEYS, id, kept);
            let whose = ledger.user(&user)?.name.clone();
            let (before, after) = (Some(before.into()), Some(view.name.clone().into()));
            changes.audit(author.entry("account.passkey.rename", &whose, before, after));
            Ok(view)
        })
    }

    /// Takes a passkey back.
    pub fn remove_passkey(&self, id: &str, author: &Author) -> Result<(), AccountError> {
        self.change(|ledger, changes| {
            let kept = ledger
                .passkeys
                .remove(id)
                .ok_or(AccountError::Missing("passkey"))?;
            let whose = ledger.user(&kept.user)?.name.clone();
            changes.remove(&PASSKEYS, id);
            changes.audit(author.entry("account.passkey.remove", &whose, Some(kept.name.into()), None));
            Ok(())
        })
    }

    /// Begins to sign in. With a name, the browser is told which passkeys are meant; for a name without any, or that nobody
    /// has, it is told of some that do not exist, so that nobody learns who has one.
    pub fn begin_passkey_login(
        &self,
        name: Option<&str>,
        site: &PasskeySite,
        address: IpAddr,
    ) -> Result<(String, Value), AccountError> {
        let begun = site.webauthn()?.start_discoverable_authentication();
        let (mut asked, state) = begun.map_err(|error| refused(&error))?;
        asked.mediation = None; // whether the browser offers them by itself is the page's to say
        let (mut user, mut hints) = (None, Vec::new());
        if let Some(name) = name {
            user = Some(self.id_of(name).unwrap_or_default());
            hints = self.hints(name, site)?;
        }
        let mut asked = serde_json::to_value(asked).unwrap_or_default();
        let hint = |id: &CredentialID| json!({ "type": "public-key", "id": BASE64URL_NOPAD.encode(id) });
        if let Some(allowed) = asked.pointer_mut("/publicKey/allowCredentials") {
            *allowed = hints.iter().map(hint).collect();
        }
        let what = Ceremony::SignIn { user, state };
        Ok((self.begin_ceremony(site, address, what)?, asked))
    }

    fn hints(&self, name: &str, site: &PasskeySite) -> Result<Vec<CredentialID>, AccountError> {
        let ledger = self.ledger();
        let mut ids = match ledger.named(name) {
            Some((id, _)) => ledger.ids_at(id, site),
            None => Vec::new(),
        };
        if ids.is_empty() {
            let fakes = WebauthnFakeCredentialGenerator::<FakePasskeyDistribution>::new(&self.browser_key)
                .map_err(|error| refused(&error))?;
            let mut name = name.trim().to_lowercase();
            // Some names would be given none, which whoever has a passkey never is: as many spaces more as it takes.
            for _ in 0..FAKED {
                ids = fakes.generate(name.as_bytes()).map_err(|error| refused(&error))?;
                if !ids.is_empty() {
                    break;
                }
                name.push(' ');
            }
        }
        Ok(ids)
    }

    /// Signs in whoever's passkey this is. Wrong ones count as wrong guesses of the place that they come from.
    pub async fn finish_passkey_login(
        self: &Arc<Self>,
        site: PasskeySite,
        ceremony: String,
        shown: PublicKeyCredential,
        (browser, address, agent): (Option<String>, IpAddr, String),
    ) -> Result<SignedIn, AccountError> {
        let attempt = self
            .lockout
            .begin(COUNTED_AS, Place::Address(address), self.clock.steady())
            .map_err(too_many)?;
        self.work(move |accounts| {
            let user = accounts.check_passkey(&site, &ceremony, &shown)?;
            accounts.lockout.succeeded(&attempt);
            accounts.open_session(&user, browser.as_deref(), (address, &agent))
        })
        .await
    }

    /// The user whose passkey this is; its counter is written down before anybody is let in.
    fn check_passkey(
        &self,
        site: &PasskeySite,
        ceremony: &str,
        shown: &PublicKeyCredential,
    ) -> Result<String, AccountError> {
        let Some(Ceremony::SignIn { user: meant, state }) = self.take_ceremony(ceremony, site) else {
            return Err(too_late());
        };
        let webauthn = site.webauthn()?;
        let now = self.clock.wall();
        let mut copied = None;
        let done = self.change(|ledger, changes| {
            let raw = shown.get_credential_id();
            let found = ledger
                .passkeys
                .iter_mut()
                .find(|(_, kept)| kept.site == site.name && kept.key.cred_id().as_slice() == raw);
            let Some((id, kept)) = found else {
                return Err(unknown());
            };
            let told = shown.get_user_unique_id();
            let same = told.is_none_or(|told| told == handle(&kept.user).as_bytes());
            // Without a name it is the authenticator that says whose it is.
            if !same || meant.as_ref().map_or(told.is_none(), |meant| *meant != kept.user) {
                return Err(unknown());
            }
            let result = webauthn
                .finish_discoverable_authentication_v2(shown, state, &kept.key)
                .map_err(|error| {
                    if matches!(error, WebauthnError::CredentialPossibleCompromise) {
                        copied = Some((kept.user.clone(), kept.name.clone()));
                    }
                    refused(&error)
                })?;
            if !result.user_verified() {
                return Err(refused(&WebauthnError::UserNotVerified));
            }
            kept.key.update_credential(&result);
            kept.used = Some(now);
            let user = kept.user.clone();
            changes.put(&PASSKEYS, id, kept);
            Ok(user)
        });
        if let Some((user, name)) = copied {
            self.note_copy(&user, &name)?;
        }
        done
    }

    fn note_copy(&self, user: &str, passkey: &str) -> Result<(), AccountError> {
        self.change(|ledger, changes| {
            let whose = ledger.user(user)?.name.clone();
            tracing::warn!(
                user = whose,
                passkey,
                "a passkey's counter went back: it may have been copied"
            );
            let entry = Author::console().entry("account.passkey.copied", &whose, None, Some(passkey.into()));
            changes.audit(entry);
            Ok(())
        })
    }

    fn begin_ceremony(
        &self,
        site: &PasskeySite,
        address: IpAddr,
        what: Ceremony,
    ) -> Result<String, AccountError> {
        self.ceremonies.begin(Begun {
            site: site.clone(),
            address: address.to_canonical(),
            at: self.clock.steady(),
            what,
        })
    }

    fn take_ceremony(&self, id: &str, site: &PasskeySite) -> Option<Ceremony> {
        self.ceremonies.take(id, site, self.clock.steady())
    }
}

fn unknown() -> AccountError {
    AccountError::Passkey(
        "this passkey is not known here; sign in with the password, or with another passkey".to_owned(),
    )
}

fn refused(error: &WebauthnError) -> AccountError {
    let what = match error {
        WebauthnError::CredentialPossibleCompromise => {
            "the passkey's counter went back, so it may have been copied; sign in otherwise, remove it and make a new one"
        }
        WebauthnError::UserNotVerified => {
            "the device did not check who holds it; set a screen lock or a PIN, then try again"
        }
        WebauthnError::InvalidRPOrigin | WebauthnError::InvalidRPIDHash => {
            "the passkey was asked for by another page than this gateway's"
        }
        WebauthnError::MismatchedChallenge => "the answer belongs to another request; begin again",
        other => return AccountError::Passkey(format!("the passkey is not taken: {other}; begin again")),
    };
    AccountError::Passkey(what.to_owned())
}
