//! Users that another service vouches for: made at their first sign-in, and what they may do said anew at each.
//!
//! Such a user is known by the service's issuer and subject, never by name or address, so that nobody gets an account of the
//! gateway's own by being called like it. It has no password here, and can make no passkey: whoever leaves the school must not
//! keep a way in.

use std::net::IpAddr;
use std::sync::Arc;

use super::user::{User, Vouched, told};
use super::{AccountError, Accounts, Language, Ledger, Role, SignedIn, USERS, new_id, user};
use crate::store::audit::Author;

/// What another service's word amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouch {
    /// The service.
    pub issuer: String,
    /// What it knows the user by.
    pub subject: String,
    /// What the user is to be called, where it is new.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Profiles of `staff`.
    pub profiles: Vec<String>,
}

impl Ledger {
    fn vouched(&self, vouch: &Vouch) -> Option<String> {
        let found = self.users.iter().find(|(_, user)| {
            user.vouched
                .as_ref()
                .is_some_and(|by| by.issuer == vouch.issuer && by.subject == vouch.subject)
        });
        found.map(|(id, _)| id.clone())
    }
}

impl Accounts {
    /// Signs in whom another service vouches for.
    pub async fn login_vouched(
        self: &Arc<Self>,
        vouch: Vouch,
        (browser, address, agent): (Option<String>, IpAddr, String),
    ) -> Result<SignedIn, AccountError> {
        self.work(move |accounts| {
            let author = Author {
                who: vouch.issuer.clone(),
                from: address.to_string(),
            };
            let id = accounts.admit(&vouch, &author)?;
            accounts.open_session(&id, browser.as_deref(), (address, &agent))
        })
        .await
    }

    /// The user, made or changed to what is vouched for now.
    fn admit(&self, vouch: &Vouch, author: &Author) -> Result<String, AccountError> {
        let name = user::name("name", &vouch.name)?;
        let now = self.clock.wall();
        self.change(|ledger, changes| {
            if ledger.users.is_empty() {
                return Err(AccountError::Conflict(
                    "nobody owns this gateway yet: claim it first".to_owned(),
                ));
            }
            if let Some(id) = ledger.vouched(vouch) {
                let user = ledger.user(&id)?;
                let before = user.view(&id);
                user.role = vouch.role;
                user.profiles.clone_from(&vouch.profiles);
                if (before.role, &before.profiles) != (vouch.role, &vouch.profiles) {
                    changes.put(&USERS, &id, user);
                    let after = told(&user.view(&id));
                    changes.audit(author.entry("account.change", &before.name, told(&before), after));
                    ledger.check_owner_left()?;
                }
                return Ok(id);
            }
            ledger.check_name_free(&name, None)?;
            ledger.check_room()?;
            let user = User {
                name,
                role: vouch.role,
                profiles: vouch.profiles.clone(),
                language: Language::default(),
                password: None,
                totp: None,
                created: now,
                last_login: None,
                vouched: Some(Vouched {
                    issuer: vouch.issuer.clone(),
                    subject: vouch.subject.clone(),
                }),
                recovered: None,
            };
            let id = new_id()?;
            changes.put(&USERS, &id, &user);
            let view = user.view(&id);
            changes.audit(author.entry("account.add", &view.name, None, told(&view)));
            ledger.users.insert(id.clone(), user);
            Ok(id)
        })
    }

    /// The service does not vouch for a user any more: where it is signed in, it is signed out, and its tokens end.
    pub fn end_vouched(&self, vouch: &Vouch) -> Result<(), AccountError> {
        self.change(|ledger, changes| {
            if let Some(id) = ledger.vouched(vouch) {
                ledger.end_sessions(&id, changes);
                ledger.end_tokens(&id, changes);
            }
            Ok(())
        })
    }
}
