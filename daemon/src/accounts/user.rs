//! Users: their records, and what may be changed about them. There is always an owner.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::password::{self, PasswordHash};
use super::totp::Totp;
use super::{AccountError, Accounts, Ledger, Member, Role, SESSIONS, TOKENS, USERS, new_id};
use crate::store::Changes;
use crate::store::audit::Author;

/// Longest name of a user or a profile, characters.
const LONGEST_NAME: usize = 64;
/// Most profiles of one user.
const MOST_PROFILES: usize = 256;
/// Most users.
const MOST_USERS: usize = 1000;

/// Language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Albanian.
    #[default]
    Sq,
    /// English.
    En,
}

/// What is kept of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) profiles: Vec<String>,
    pub(super) language: Language,
    /// `None` where only another service vouches for the user.
    pub(super) password: Option<PasswordHash>,
    pub(super) totp: Option<Totp>,
    pub(super) created: i64,
    pub(super) last_login: Option<i64>,
    /// Who vouches for the user, if not the gateway itself.
    #[serde(default)]
    pub(super) vouched: Option<Vouched>,
    /// When the account was taken back at the console last.
    #[serde(default)]
    pub(super) recovered: Option<i64>,
}

/// What another service knows a user by (OpenID Connect Core 1.0, section 2): both together, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vouched {
    pub(super) issuer: String,
    pub(super) subject: String,
}

/// What is shown of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Stays the same over changes of the name.
    pub id: String,
    /// What is typed to sign in; letter case does not matter.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Names of the profiles that a `staff` user is limited to.
    pub profiles: Vec<String>,
    /// Language of the pages.
    pub language: Language,
    /// Whether another service vouches for the user, and says the role at each sign-in.
    pub vouched: bool,
    /// Whether a code is asked for when the user signs in.
    pub second_step: bool,
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970.
    pub last_login: Option<i64>,
}

/// A user to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// Profiles of a `staff` user.
    pub profiles: Vec<String>,
    /// Language of the pages.
    pub language: Language,
    /// The password.
    pub password: String,
}

/// What is to be changed; `None` = stays.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The name.
    pub name: Option<String>,
    /// The role.
    pub role: Option<Role>,
    /// Profiles of a `staff` user.
    pub profiles: Option<Vec<String>>,
    /// Language of the pages.
    pub language: Option<Language>,
}

impl User {
    /// What is shown.
    pub(super) fn view(&self, id: &str) -> UserView {
        UserView {
            id: id.to_owned(),
            name: self.name.clone(),
            role: self.role,
            profiles: self.profiles.clone(),
            language: self.language,
            vouched: self.vouched.is_some(),
            second_step: self.second_step(),
            created: self.created,
            last_login: self.last_login,
        }
    }

    pub(super) fn member(&self, id: &str) -> Member {
        Member {
            id: id.to_owned(),
            name: self.name.clone(),
            role: self.role,
            profiles: self.profiles.clone(),
        }
    }

    pub(super) fn second_step(&self) -> bool {
        self.totp.as_ref().is_some_and(|totp| totp.confirmed)
    }
}

impl Ledger {
    pub(super) fn user(&mut self, id: &str) -> Result<&mut User, AccountError> {
        self.users.get_mut(id).ok_or(AccountError::Missing("user"))
    }

    /// The user of this name, whatever its letter case.
    pub(super) fn named(&self, name: &str) -> Option<(&String, &User)> {
        let name = name.trim().to_lowercase();
        self.users
            .iter()
            .find(|(_, user)| user.name.to_lowercase() == name)
    }

    pub(super) fn check_name_free(&self, name: &str, but: Option<&str>) -> Result<(), AccountError> {
        match self.named(name) {
            Some((id, _)) if Some(id.as_str()) != but => Err(AccountError::Conflict(format!(
                "there is a user \"{name}\" already; take another name"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn check_room(&self) -> Result<(), AccountError> {
        if self.users.len() < MOST_USERS {
            return Ok(());
        }
        Err(AccountError::Conflict(
            "there are 1000 users; remove one first".to_owned(),
        ))
    }

    pub(super) fn check_owner_left(&self) -> Result<(), AccountError> {
        if self.users.values().any(|user| user.role == Role::Owner) {
            return Ok(());
        }
        Err(AccountError::Conflict(
            "the last owner stays; make another user owner first".to_owned(),
        ))
    }

    /// Ends all sessions of a user.
    pub(super) fn end_sessions(&mut self, user: &str, changes: &mut Changes) {
        self.sessions.retain(|key, session| {
            let stays = session.user != user;
            if !stays {
                changes.remove(&SESSIONS, key);
            }
            stays
        });
    }

    /// Takes all tokens of a user back.
    pub(super) fn end_tokens(&mut self, user: &str, changes: &mut Changes) {
        self.tokens.retain(|key, token| {
            let stays = token.user != user;
            if !stays {
                changes.remove(&TOKENS, key);
            }
            stays
        });
    }
}

/// A name as it is kept, or what is expected of one.
pub(super) fn name(field: &'static str, text: &str) -> Result<String, AccountError> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > LONGEST_NAME || text.chars().any(char::is_control) {
        return Err(AccountError::invalid(
            field,
            "1 to 64 characters without line breaks are expected",
        ));
    }
    Ok(text.to_owned())
}

fn profiles(names: &[String]) -> Result<Vec<String>, AccountError> {
    if names.len() > MOST_PROFILES {
        return Err(AccountError::invalid("profiles", "at most 256 are expected"));
    }
    let mut names: Vec<String> = names
        .iter()
        .map(|text| name("profiles", text))
        .collect::<Result<_, _>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// For the audit trail.
pub(super) fn told(view: &UserView) -> Option<Value> {
    serde_json::to_value(view).ok()
}

impl Accounts {
    /// All users, by name.
    pub fn users(&self) -> Vec<UserView> {
        let ledger = self.ledger();
        let mut users: Vec<UserView> = ledger.users.iter().map(|(id, user)| user.view(id)).collect();
        users.sort_by_key(|user| user.name.to_lowercase());
        users
    }

    /// One user.
    pub fn user(&self, id: &str) -> Option<UserView> {
        self.ledger().users.get(id).map(|user| user.view(id))
    }

    /// A user as it stands now, to ask what it may.
    pub fn member(&self, id: &str) -> Option<Member> {
        self.ledger().users.get(id).map(|user| user.member(id))
    }

    /// Whether what a user let in at this time (seconds since 1970) still holds: not where the user is gone, or the account was taken
    /// back at the console since.
    pub fn still_holds(&self, id: &str, since: i64) -> bool {
        let ledger = self.ledger();
        let user = ledger.users.get(id);
        user.is_some_and(|user| user.recovered.is_none_or(|recovered| recovered <= since))
    }

    /// The id of the user with this name.
    pub fn id_of(&self, name: &str) -> Option<String> {
        self.ledger().named(name).map(|(id, _)| id.clone())
    }

    /// Adds a user. Hashes a password.
    pub fn add(&self, new: &NewUser, author: &Author) -> Result<UserView, AccountError> {
        self.add_if(new, author, |_| Ok(()))
    }

    /// Makes the first user, an owner, for whoever knows the claim code. Hashes a password.
    pub(super) fn claim(&self, code: &str, new: &NewUser, author: &Author) -> Result<UserView, AccountError> {
        if self.claimed() {
            return Err(AccountError::Claimed);
        }
        if !self.claim.is(code) {
            return Err(AccountError::WrongClaim);
        }
        let first = |ledger: &Ledger| {
            if ledger.users.is_empty() {
                return Ok(());
            }
            Err(AccountError::Claimed)
        };
        self.add_if(new, author, first)
    }

    fn add_if(
        &self,
        new: &NewUser,
        author: &Author,
        allowed: impl FnOnce(&Ledger) -> Result<(), AccountError>,
    ) -> Result<UserView, AccountError> {
        let user_name = name("name", &new.name)?;
        let profiles = profiles(&new.profiles)?;
        password::check(&new.password, &user_name)?;
        self.ledger().check_name_free(&user_name, None)?; // before the hash is made, and again below
        let user = User {
            name: user_name,
            role: new.role,
            profiles,
            language: new.language,
            password: Some(PasswordHash::new(&new.password)?),
            totp: None,
            created: self.clock.wall(),
            last_login: None,
            vouched: None,
            recovered: None,
        };
        let id = new_id()?;
        let view = self.change(|ledger, changes| {
            allowed(ledger)?;
            ledger.check_name_free(&user.name, None)?;
            ledger.check_room()?;
            changes.put(&USERS, &id, &user);
            let view = user.view(&id);
            changes.audit(author.entry("account.add", &view.name, None, told(&view)));
            ledger.users.insert(id, user);
            // The first one must be able to make others.
            ledger.check_owner_left()?;
            Ok(view)
        })?;
        self.claim.close();
        Ok(view)
    }

    /// Changes a user if `allowed` says so of what the user is now.
    pub fn alter(
        &self,
        id: &str,
        change: &UserChange,
        author: &Author,
        allowed: impl FnOnce(Role) -> bool,
    ) -> Result<Option<UserView>, AccountError> {
        let new_name = change
            .name
            .as_deref()
            .map(|text| name("name", text))
            .transpose()?;
        let new_profiles = change.profiles.as_deref().map(profiles).transpose()?;
        self.change(|ledger, changes| {
            if let Some(new_name) = &new_name {
                ledger.check_name_free(new_name, Some(id))?;
            }
            let user = ledger.user(id)?;
            if !allowed(user.role) {
                return Ok(None);
            }
            let before = user.view(id);
            if let Some(new_name) = new_name {
                user.name = new_name;
            }
            if let Some(role) = change.role {
                user.role = role;
            }
            if let Some(new_profiles) = new_profiles {
                user.profiles = new_profiles;
            }
            if let Some(language) = change.language {
                user.language = language;
            }
            changes.put(&USERS, id, user);
            let view = user.view(id);
            changes.audit(author.entry("account.change", &before.name, told(&before), told(&view)));
            ledger.check_owner_left()?;
            Ok(Some(view))
        })
    }

    /// Follows profiles that were renamed or (`None`) removed: who was limited to one still is, and nobody gets a later one of
    /// that name.
    pub fn follow_profiles(
        &self,
        gone: &[(String, Option<String>)],
        author: &Author,
    ) -> Result<(), AccountError> {
        if gone.is_empty() {
            return Ok(());
        }
        self.change(|ledger, changes| {
            for (id, user) in &mut ledger.users {
                let moved =
                    user.profiles
                        .iter()
                        .filter_map(|own| match gone.iter().find(|(old, _)| old == own) {
                            Some((_, new)) => new.clone(),
                            None => Some(own.clone()),
                        });
                let mut moved: Vec<String> = moved.collect();
                moved.sort_unstable();
                moved.dedup();
                if moved != user.profiles {
                    let before = user.view(id);
                    user.profiles = moved;
                    changes.put(&USERS, id, user);
                    let after = told(&user.view(id));
                    changes.audit(author.entry("account.change", &before.name, told(&before), after));
                }
            }
            Ok(())
        })
    }

    /// Removes a user with its sessions, tokens and passkeys, if `allowed` says so of what the user is now.
    pub fn remove(
        &self,
        id: &str,
        author: &Author,
        allowed: impl FnOnce(Role) -> bool,
    ) -> Result<bool, AccountError> {
        self.change(|ledger, changes| {
            let before = ledger.user(id)?.view(id);
            if !allowed(before.role) {
                return Ok(false);
            }
            changes.audit(author.entry("account.remove", &before.name, told(&before), None));
            ledger.users.remove(id);
            ledger.check_owner_left()?;
            changes.remove(&USERS, id);
            ledger.end_sessions(id, changes);
            ledger.end_tokens(id, changes);
            ledger.end_passkeys(id, changes);
            Ok(true)
        })
    }

    /// Sets a password and ends all sessions of the user, if `allowed` says so of what the user is now. Hashes it.
    pub fn set_password(
        &self,
        id: &str,
        password: &str,
        author: &Author,
        allowed: impl FnOnce(Role) -> bool,
    ) -> Result<bool, AccountError> {
        let user = self.user(id).ok_or(AccountError::Missing("user"))?;
        password::check(password, &user.name)?;
        let hash = PasswordHash::new(password)?;
        self.change(|ledger, changes| {
            let user = ledger.user(id)?;
            if !allowed(user.role) {
                return Ok(false);
            }
            user.password = Some(hash);
            changes.put(&USERS, id, user);
            changes.audit(author.entry("account.password", &user.name, None, None));
            ledger.end_sessions(id, changes);
            Ok(true)
        })
    }

    /// Recovery at the console: a new password, no second step, no session, no token, no passkey, no wait. Hashes the password.
    pub fn recover(&self, user_name: &str, password: &str) -> Result<UserView, AccountError> {
        let id = self.id_of(user_name).ok_or(AccountError::Missing("user"))?;
        password::check(password, user_name)?;
        let hash = PasswordHash::new(password)?;
        let now = self.clock.wall();
        let view = self.change(|ledger, changes| {
            let user = ledger.user(&id)?;
            user.password = Some(hash);
            user.totp = None;
            user.recovered = Some(now);
            changes.put(&USERS, &id, user);
            let view = user.view(&id);
            changes.audit(Author::console().entry("account.recover", &view.name, None, None));
            ledger.end_sessions(&id, changes);
            ledger.end_tokens(&id, changes);
            ledger.end_passkeys(&id, changes);
            Ok(view)
        })?;
        self.lockout.forget(&view.name);
        Ok(view)
    }
}
