//! Signing in: lock-out, password, second step, session, in this order.
//!
//! The attempt is counted before the password is hashed, so that guesses made at the same time count; the code is looked at
//! only after the password, so that it tells nothing to those who do not know it. A name that nobody has costs the same
//! time as one that somebody has.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::lockout::Attempt;
use super::totp::Totp;
use super::{AccountError, Accounts, Member, NewUser, Place, Role, USERS, password};
use crate::store::audit::Author;

/// What somebody shows to sign in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user's name.
    pub name: String,
    /// The password.
    pub password: String,
    /// A code of the second step.
    pub code: Option<String>,
    /// The cookie of a browser that signed in before.
    pub browser: Option<String>,
    /// Where the request comes from.
    pub address: IpAddr,
    /// What the browser calls itself.
    pub agent: String,
}

/// Somebody signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// The session's id, for its cookie.
    pub session: String,
    /// The known browser's cookie.
    pub browser: String,
    /// Who it is.
    pub member: Member,
}

/// What an authenticator app needs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Enrolment {
    /// The secret, base32, to be typed.
    pub secret: String,
    /// The same as an `otpauth:` URI, to be scanned.
    pub uri: String,
}

impl Accounts {
    /// Signs somebody in.
    pub async fn login(self: &Arc<Self>, shown: Credentials) -> Result<SignedIn, AccountError> {
        let place = self.place(&shown.name, shown.browser.as_deref(), shown.address);
        let attempt = self.begin(&shown.name, place)?;
        self.hash_work(move |accounts| accounts.finish_login(&shown, &attempt))
            .await
    }

    fn finish_login(&self, shown: &Credentials, attempt: &Attempt) -> Result<SignedIn, AccountError> {
        let id = self.check_password(&shown.name, &shown.password)?;
        let second_step = self.user(&id).is_some_and(|user| user.second_step);
        let code = shown.code.as_deref().filter(|code| !code.is_empty());
        match (second_step, code) {
            (true, None) => {
                self.lockout.undecided(attempt);
                return Err(AccountError::CodeNeeded);
            }
            (true, Some(code)) => {
                self.lockout
                    .begin_code(attempt, self.clock.steady())
                    .map_err(too_many)?;
                self.take_code(&id, code)?;
                self.lockout.code_succeeded(attempt);
            }
            (false, _) => {}
        }
        self.lockout.succeeded(attempt);
        let from = (shown.address, shown.agent.as_str());
        self.open_session(&id, shown.browser.as_deref(), from)
    }

    /// Opens a session for a user who has shown everything that is needed.
    pub(super) fn open_session(
        &self,
        id: &str,
        browser: Option<&str>,
        from: (IpAddr, &str),
    ) -> Result<SignedIn, AccountError> {
        let now = self.clock.wall();
        let browser = match browser {
            Some(cookie) if self.browser(cookie, id).is_some() => cookie.to_owned(),
            _ => self.browser_cookie(id)?,
        };
        self.change(|ledger, changes| {
            let user = ledger.user(id)?;
            user.last_login = Some(now);
            changes.put(&USERS, id, user);
            let member = user.member(id);
            let session = ledger.open_session(id, from, now, changes)?;
            Ok(SignedIn {
                session,
                browser,
                member,
            })
        })
    }

    /// Makes the first owner and signs it in.
    pub async fn claim_and_login(
        self: &Arc<Self>,
        code: String,
        new: NewUser,
        (address, agent): (IpAddr, String),
    ) -> Result<SignedIn, AccountError> {
        if self.claimed() {
            return Err(AccountError::Claimed);
        }
        let attempt = self.begin("", Place::Address(address))?;
        let author = Author {
            who: new.name.clone(),
            from: address.to_string(),
        };
        self.hash_work(move |accounts| {
            let made = accounts.claim(&code, &new, &author);
            if !matches!(made, Err(AccountError::WrongClaim)) {
                accounts.lockout.succeeded(&attempt);
            }
            accounts.open_session(&made?.id, None, (address, &agent))
        })
        .await
    }

    /// Whether a signed-in user knows the password; guesses count as at sign-in.
    pub async fn confirm_password(
        self: &Arc<Self>,
        name: String,
        password: String,
        address: IpAddr,
    ) -> Result<(), AccountError> {
        let attempt = self.begin(&name, Place::Address(address))?;
        self.hash_work(move |accounts| {
            accounts.check_password(&name, &password)?;
            accounts.lockout.succeeded(&attempt);
            Ok(())
        })
        .await
    }

    /// Opens a session for a user who changed the password and was signed out by that.
    pub fn sign_in_again(&self, id: &str, address: IpAddr, agent: &str) -> Result<SignedIn, AccountError> {
        self.open_session(id, None, (address, agent))
    }

    /// The id of the user whose name and password these are.
    pub(super) fn check_password(&self, name: &str, password: &str) -> Result<String, AccountError> {
        let found = self
            .ledger()
            .named(name)
            .map(|(id, user)| (id.clone(), user.password.clone()));
        match found {
            Some((id, Some(hash))) if hash.is(password) => Ok(id),
            Some((_, Some(_))) => Err(AccountError::Wrong),
            // Nobody is called so, or another service vouches for the user.
            Some((_, None)) | None => {
                password::waste(password);
                Err(AccountError::Wrong)
            }
        }
    }

    fn begin(&self, name: &str, place: Place) -> Result<Attempt, AccountError> {
        self.lockout
            .begin(name.trim(), place, self.clock.steady())
            .map_err(too_many)
    }

    pub(super) fn place(&self, name: &str, cookie: Option<&str>, address: IpAddr) -> Place {
        let known = cookie.and_then(|cookie| self.browser(cookie, &self.id_of(name)?));
        known.map_or(Place::Address(address), Place::Browser)
    }

    /// The number in a known browser's cookie, if it was made for this user.
    fn browser(&self, cookie: &str, user: &str) -> Option<[u8; 16]> {
        let octets = BASE64URL_NOPAD.decode(cookie.as_bytes()).ok()?;
        let (number, mac) = octets.split_first_chunk::<16>()?;
        let mac: [u8; 32] = mac.try_into().ok()?;
        (self.browser_mac(*number, user) == blake3::Hash::from(mac)).then_some(*number)
    }

    fn browser_cookie(&self, user: &str) -> Result<String, AccountError> {
        let mut number = [0; 16];
        getrandom::fill(&mut number).map_err(|_| AccountError::Random)?;
        let mac = self.browser_mac(number, user);
        Ok(BASE64URL_NOPAD.encode(&[&number[..], mac.as_bytes()].concat()))
    }

    fn browser_mac(&self, number: [u8; 16], user: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.browser_key, &[&number[..], user.as_bytes()].concat())
    }

    /// Takes a code of the second step; it is written down as used before anybody is let in.
    fn take_code(&self, id: &str, code: &str) -> Result<(), AccountError> {
        let now = self.clock.wall();
        self.change(|ledger, changes| {
            let user = ledger.user(id)?;
            let taken = user.totp.as_mut().is_some_and(|totp| totp.take(code, now));
            if !taken {
                return Err(AccountError::Wrong);
            }
            changes.put(&USERS, id, user);
            Ok(())
        })
    }

    /// Begins a second step: a new secret, which counts only once a code was shown.
    pub fn enrol(&self, id: &str) -> Result<Enrolment, AccountError> {
        self.change(|ledger, changes| {
            let user = ledger.user(id)?;
            if user.second_step() {
                return Err(AccountError::Conflict(
                    "the account has a second step; remove it first".to_owned(),
                ));
            }
            let totp = Totp::new()?;
            let enrolment = Enrolment {
                secret: totp.secret.clone(),
                uri: totp.uri(&user.name),
            };
            user.totp = Some(totp);
            changes.put(&USERS, id, user);
            Ok(enrolment)
        })
    }

    /// Puts the second step in force if the code is right, and gives recovery codes, which nobody sees again.
    pub fn confirm_totp(&self, id: &str, code: &str, author: &Author) -> Result<Vec<String>, AccountError> {
        let now = self.clock.wall();
        self.change(|ledger, changes| {
            let user = ledger.user(id)?;
            let Some(totp) = user.totp.as_mut().filter(|totp| !totp.confirmed) else {
                return Err(AccountError::Conflict(
                    "no second step waits to be confirmed; begin one first".to_owned(),
                ));
            };
            if !totp.take(code, now) {
                return Err(AccountError::invalid(
                    "code",
                    "the code that the app shows now is expected; are phone and gateway of one time?",
                ));
            }
            totp.confirmed = true;
            let codes = totp.renew_recovery()?;
            changes.put(&USERS, id, user);
            changes.audit(author.entry("account.second-step.add", &user.name, None, None));
            Ok(codes)
        })
    }

    /// Removes the second step, if `allowed` says so of what the user is now.
    pub fn remove_totp(
        &self,
        id: &str,
        author: &Author,
        allowed: impl FnOnce(Role) -> bool,
    ) -> Result<bool, AccountError> {
        self.change(|ledger, changes| {
            let user = ledger.user(id)?;
            if !allowed(user.role) {
                return Ok(false);
            }
            user.totp = None;
            changes.put(&USERS, id, user);
            changes.audit(author.entry("account.second-step.remove", &user.name, None, None));
            Ok(true)
        })
    }
}

pub(super) fn too_many(wait: std::time::Duration) -> AccountError {
    AccountError::Wait(wait.as_secs().saturating_add(1))
}
