//! What reads octets from outside in this room, for the fuzz targets (`tests/readers`) alone: the daemon never comes through here.

use serde_json::Value;

use super::{mapping, verify};
use crate::accounts::Vouch;
use crate::config::Oidc;

/// What a user with these claims may do; `None` where nothing.
pub fn vouch(settings: &Oidc, claims: &Value) -> Option<Vouch> {
    let _ = mapping::lacks(settings, claims);
    mapping::vouch(settings, claims).ok()
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Option<Value> {
    verify::payload(token)
}
