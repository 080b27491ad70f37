//! Accounts: who may sign in, what each may do, and what is done about those who guess.
//!
//! ```text
//!   claim ──▶ first owner            rights   one table: principal × action × scope
//!   login ──▶ lockout ▶ password ▶ totp ▶ session ──▶ principal
//!   passkey ▶ lockout ▶ challenge ▶ signature ▶ session ──▶ principal
//!   token ──────────────────────────────────────────▶ principal
//! ```
//!
//! Everything that lasts is in the state database; a copy in memory answers each request. A change is written first and
//! shown after, so that nobody acts on what a power cut takes back. No secret is kept: of passwords an Argon2id hash
//! (`password.rs`), of session ids, API tokens and recovery codes a BLAKE3 hash. The secret of the second step is the
//! exception, because its code is computed from it; it is never shown after it was confirmed.
//!
//! Whoever lost everything recovers at the console (`isigurtd user passwd`), which only the owner of the state folder can
//! use; there is no way by mail, question or reset button that a child could take.

pub mod clock;
pub mod rights;

mod claim;
mod lockout;
mod login;
mod passkey;
mod password;
pub mod session;
mod token;
mod totp;
mod user;
mod vouched;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use tokio::sync::Semaphore;

use crate::store::{Changes, Store, StoreError, Table};

pub use clock::{Clock, SystemClock};
pub use login::{Credentials, Enrolment, SignedIn};
pub use passkey::{PasskeySite, PasskeyView};
pub use rights::{Action, Member, Principal, Role, Scope, TokenScope};
pub use session::SessionView;
pub use token::{NewToken, TokenView};
pub use user::{Language, NewUser, UserChange, UserView};
pub use vouched::Vouch;

use claim::Claim;
use lockout::{Lockout, Place};
use session::Session;
use token::Token;
use user::User;

const USERS: Table<User> = Table::new("account-users", &[]);
const SESSIONS: Table<Session> = Table::new("account-sessions", &[]);
const TOKENS: Table<Token> = Table::new("account-tokens", &[]);
const PASSKEYS: Table<passkey::Kept> = Table::new("account-passkeys", &[]);
const KEYS: Table<String> = Table::new("account-keys", &[]);

/// Passwords hashed at the same time: each takes 19 MiB.
const HASHED_AT_ONCE: usize = 2;

/// Why something about accounts is not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The same whether the name, the password or the code is wrong.
    #[error("name, password or code is wrong; try again, or have the password set at the gateway's console")]
    Wrong,
    /// The password is right, and the account has a second step.
    #[error(
        "the account has a second step: send the code of the authenticator app, or a recovery code, as \"code\""
    )]
    CodeNeeded,
    /// Too many wrong guesses from here.
    #[error("too many wrong guesses from this device: wait {0} second(s), or use another device")]
    Wait(u64),
    /// There is an account already.
    #[error("the gateway has been claimed; sign in, or have an account made by its owner")]
    Claimed,
    /// The claim code is wrong.
    #[error(
        "the code is wrong; it stands in the gateway's log and on its console, and changes at each start"
    )]
    WrongClaim,
    /// There is no such thing.
    #[error("there is no such {0}; it may have been removed meanwhile")]
    Missing(&'static str),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// What was sent cannot be taken.
    #[error("{field}: {what}")]
    Invalid {
        /// What is wrong.
        field: &'static str,
        /// What is expected.
        what: String,
    },
    /// No randomness.
    #[error("the system gives no random numbers; try again")]
    Random,
    /// A password cannot be hashed.
    #[error("not enough memory to hash a password; try again")]
    Memory,
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A passkey is not taken.
    #[error("{0}")]
    Passkey(String),
    /// A thread ended without a result.
    #[error("the work was not finished; try again, and report it if it happens again")]
    Unfinished,
}

impl AccountError {
    fn invalid(field: &'static str, what: &str) -> Self {
        Self::Invalid {
            field,
            what: what.to_owned(),
        }
    }
}

/// How long a session lives.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Without a request.
    pub idle: Duration,
    /// At all.
    pub longest: Duration,
}

/// Everything that lasts, by key.
#[derive(Debug, Clone, Default)]
struct Ledger {
    users: BTreeMap<String, User>,
    sessions: BTreeMap<String, Session>,
    tokens: BTreeMap<String, Token>,
    passkeys: BTreeMap<String, passkey::Kept>,
}

/// The accounts of a gateway.
#[derive(Debug)]
pub struct Accounts {
    store: Store,
    clock: Arc<dyn Clock>,
    lifetimes: Lifetimes,
    ledger: RwLock<Ledger>,
    /// Held by whoever changes the ledger, from reading it to showing the change.
    writing: Mutex<()>,
    lockout: Lockout,
    claim: Claim,
    ceremonies: passkey::Ceremonies,
    /// Of the cookies that known browsers show.
    browser_key: [u8; 32],
    hashing: Arc<Semaphore>,
}

impl Accounts {
    /// Reads the accounts of a state. Without any, a claim code is made.
    pub fn open(store: Store, clock: Arc<dyn Clock>, lifetimes: Lifetimes) -> Result<Self, AccountError> {
        let ledger = Ledger {
            users: store.all(&USERS)?.into_iter().collect(),
            sessions: store.all(&SESSIONS)?.into_iter().collect(),
            tokens: store.all(&TOKENS)?.into_iter().collect(),
            passkeys: store.all(&PASSKEYS)?.into_iter().collect(),
        };
        let browser_key = browser_key(&store)?;
        let claim = if ledger.users.is_empty() {
            Claim::open()?
        } else {
            Claim::default()
        };
        Ok(Self {
            store,
            clock,
            lifetimes,
            ledger: RwLock::new(ledger),
            writing: Mutex::new(()),
            lockout: Lockout::default(),
            claim,
            ceremonies: passkey::Ceremonies::default(),
            browser_key,
            hashing: Arc::new(Semaphore::new(HASHED_AT_ONCE)),
        })
    }

    /// The code that claims the gateway, as long as there is no account.
    pub fn claim_code(&self) -> Option<String> {
        self.claim.code()
    }

    /// Whether there is an account.
    pub fn claimed(&self) -> bool {
        !self.ledger().users.is_empty()
    }

    /// Does something that writes to the state, off the threads that serve.
    pub async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let accounts = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&accounts)).await;
        done.unwrap_or(Err(AccountError::Unfinished))
    }

    /// The same for what hashes passwords: at most two at a time, because each takes 19 MiB.
    pub async fn hash_work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let Ok(permit) = self.hashing.clone().acquire_owned().await else {
            return Err(AccountError::Unfinished); // never closed
        };
        let work = move |accounts: &Self| {
            let _permit = permit; // given back when the work ends, not when somebody stops to wait for it
            work(accounts)
        };
        self.work(work).await
    }

    /// Forgets what has expired and writes down when sessions were used last; to be called every few minutes.
    pub fn tidy(&self) -> Result<(), AccountError> {
        let now = self.clock.wall();
        self.change(|ledger, changes| {
            ledger.tidy_sessions(now, self.lifetimes, changes);
            ledger.tidy_tokens(now, changes);
            Ok(())
        })
    }

    fn ledger(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a copy of the ledger, writes the changes, and shows the copy: all or nothing.
    fn change<T>(
        &self,
        work: impl FnOnce(&mut Ledger, &mut Changes) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let _only_one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = self.ledger().clone();
        let mut changes = Changes::default();
        let done = work(&mut next, &mut changes)?;
        self.store.commit(changes)?;
        *self.ledger.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(done)
    }
}

/// The key of known browsers' cookies, made at the first start.
fn browser_key(store: &Store) -> Result<[u8; 32], AccountError> {
    let kept = store.get(&KEYS, "browser")?;
    let kept = kept.and_then(|text| blake3::Hash::from_hex(text).ok());
    if let Some(kept) = kept {
        return Ok(*kept.as_bytes());
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|_| AccountError::Random)?;
    let text = blake3::Hash::from(key).to_hex().to_string();
    store.put(&KEYS, "browser", &text)?;
    Ok(key)
}

/// A new secret of 256 bits in letters that fit into a header.
fn secret() -> Result<String, AccountError> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(|_| AccountError::Random)?;
    Ok(BASE64URL_NOPAD.encode(&octets))
}

/// What is kept of such a secret.
fn kept(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

/// A new id of a record.
fn new_id() -> Result<String, AccountError> {
    let mut octets = [0; 8];
    getrandom::fill(&mut octets).map_err(|_| AccountError::Random)?;
    Ok(data_encoding::HEXLOWER.encode(&octets))
}

#[cfg(test)]
mod tests;
