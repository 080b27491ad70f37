//! API tokens: what programs use instead of a session. Shown once, kept as a hash, bound to a user, bounded by scopes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AccountError, Accounts, Ledger, Principal, TOKENS, TokenScope, kept, new_id, secret};
use crate::store::Changes;
use crate::store::audit::Author;

/// Tells a token from other secrets, for people and for scanners of leaked secrets.
const PREFIX: &str = "isg_";
/// Most tokens of one user.
const MOST_TOKENS: usize = 50;
const DAY_S: i64 = 86_400;

/// What is kept of a token; its key is the hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    id: String,
    pub(super) user: String,
    name: String,
    scopes: Vec<TokenScope>,
    created: i64,
    expires: Option<i64>,
}

/// What is shown of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenView {
    /// Names the token; of no use as a token.
    pub id: String,
    /// Id of the user whose rights bound it.
    pub user: String,
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970; `null` = never.
    pub expires: Option<i64>,
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// Days until it expires; `None` = never.
    pub days: Option<u16>,
}

impl Token {
    fn alive(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn view(&self) -> TokenView {
        TokenView {
            id: self.id.clone(),
            user: self.user.clone(),
            name: self.name.clone(),
            scopes: self.scopes.clone(),
            created: self.created,
            expires: self.expires,
        }
    }
}

impl Ledger {
    pub(super) fn tidy_tokens(&mut self, now: i64, changes: &mut Changes) {
        self.tokens.retain(|key, token| {
            let alive = token.alive(now);
            if !alive {
                changes.remove(&TOKENS, key);
            }
            alive
        });
    }
}

impl Accounts {
    /// Who holds this token, if it is alive.
    pub fn by_token(&self, secret: &str, address: IpAddr) -> Option<Principal> {
        self.by_token_key(kept(secret), address)
    }

    /// The same by the token's key.
    pub(super) fn by_token_key(&self, key: String, address: IpAddr) -> Option<Principal> {
        let ledger = self.ledger();
        let token = ledger.tokens.get(&key)?;
        let user = ledger.users.get(&token.user)?;
        token.alive(self.clock.wall()).then(|| Principal::Token {
            member: user.member(&token.user),
            token: key,
            scopes: token.scopes.clone(),
            address,
        })
    }

    /// Living tokens of a user, by name.
    pub fn tokens(&self, user: &str) -> Vec<TokenView> {
        let now = self.clock.wall();
        let ledger = self.ledger();
        let own = ledger
            .tokens
            .values()
            .filter(|token| token.user == user && token.alive(now));
        let mut views: Vec<TokenView> = own.map(Token::view).collect();
        views.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        views
    }

    /// Makes a token; the first of the pair is the token itself, which nobody sees again.
    pub fn make_token(
        &self,
        user: &str,
        new: &NewToken,
        author: &Author,
    ) -> Result<(String, TokenView), AccountError> {
        let name = new.name.trim();
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(AccountError::invalid(
                "name",
                "1 to 64 characters without line breaks are expected",
            ));
        }
        let mut scopes = new.scopes.clone();
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(AccountError::invalid("scopes", "at least one is expected"));
        }
        if new.days == Some(0) {
            return Err(AccountError::invalid("days", "1 or more are expected"));
        }
        let now = self.clock.wall();
        let token = Token {
            id: new_id()?,
            user: user.to_owned(),
            name: name.to_owned(),
            scopes,
            created: now,
            expires: new.days.map(|days| now + i64::from(days) * DAY_S),
        };
        let secret = format!("{PREFIX}{}", secret()?);
        self.change(|ledger, changes| {
            ledger.user(user)?;
            if ledger.tokens.values().filter(|token| token.user == user).count() >= MOST_TOKENS {
                return Err(AccountError::Conflict(
                    "the user has 50 tokens; remove one first".to_owned(),
                ));
            }
            let key = kept(&secret);
            changes.put(&TOKENS, &key, &token);
            let view = token.view();
            let told = serde_json::json!({ "scopes": view.scopes, "expires": view.expires });
            changes.audit(author.entry("token.add", &view.name, None, Some(told)));
            ledger.tokens.insert(key, token);
            Ok((secret, view))
        })
    }

    /// The user whose token has this id.
    pub fn token_user(&self, id: &str) -> Option<String> {
        let ledger = self.ledger();
        let found = ledger.tokens.values().find(|token| token.id == id);
        found.map(|token| token.user.clone())
    }

    /// Takes the token of this id back.
    pub fn end_token(&self, id: &str, author: &Author) -> Result<(), AccountError> {
        self.change(|ledger, changes| {
            let found = ledger.tokens.iter().find(|(_, token)| token.id == id);
            let key = found
                .map(|(key, _)| key.clone())
                .ok_or(AccountError::Missing("token"))?;
            if let Some(token) = ledger.tokens.remove(&key) {
                changes.audit(author.entry("token.remove", &token.name, None, None));
            }
            changes.remove(&TOKENS, &key);
            Ok(())
        })
    }
}
