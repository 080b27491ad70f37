//! Accounts over the control socket: what is asked here comes from the console, which may do everything. The way back for
//! whoever lost a password, a second step or patience.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Response;
use crate::accounts::{AccountError, Accounts, NewUser};
use crate::store::audit::Author;

/// What may be asked about accounts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// All users; the claim code where there is none.
    List,
    /// Add a user.
    Add(NewUser),
    /// Set a password, remove the second step, and end sessions, tokens and waits of the user.
    Recover {
        /// The user's name.
        name: String,
        /// The new password.
        password: String,
    },
}

// A password must not get into a log by way of a debugging line.
impl std::fmt::Debug for Users {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::List => "List",
            Self::Add(_) => "Add",
            Self::Recover { .. } => "Recover",
        })
    }
}

pub(super) async fn answer(accounts: &Arc<Accounts>, asked: Users) -> Response {
    match done(accounts, asked).await {
        Ok(()) => Response::Users {
            users: accounts.users(),
            claim: accounts.claim_code(),
        },
        Err(error) => Response::Error {
            reason: error.to_string(),
        },
    }
}

async fn done(accounts: &Arc<Accounts>, asked: Users) -> Result<(), AccountError> {
    let author = Author::console();
    match asked {
        Users::List => Ok(()),
        Users::Add(new) => {
            let work = accounts.hash_work(move |accounts| accounts.add(&new, &author));
            work.await.map(|_| ())
        }
        Users::Recover { name, password } => {
            let work = accounts.hash_work(move |accounts| accounts.recover(&name, &password));
            work.await.map(|_| ())
        }
    }
}
