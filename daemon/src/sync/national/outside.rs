//! What reads octets from outside in this room, for the fuzz targets (`tests/readers`) alone: the daemon never comes through here.

use isigurt_wire::release::{Publisher, Target};

use super::{state, trust};

/// Lists in the file that says what was verified, each with the name of its own file; `None` where it is none.
pub fn state(octets: &[u8]) -> Option<Vec<(Target, String)>> {
    let state = state::read(octets)?;
    let kept = state.lists.into_iter();
    Some(kept.map(|kept| (kept.target, kept.file)).collect())
}

/// That file, whole, with these octets for its JSON.
pub fn state_around(json: &[u8]) -> Vec<u8> {
    state::sealed(json.to_vec())
}

/// What a publisher's role of the repository releases: name of the target, and what is signed about it. `None` where the metadata are
/// no role's, an error where they say something else than they may.
pub fn role(publisher: Publisher, json: &[u8]) -> Option<Result<Vec<(String, Target)>, String>> {
    let role: tough::schema::Targets = serde_json::from_slice(json).ok()?;
    let released = trust::of_role(publisher, &role).map_err(|error| error.to_string());
    Some(released.map(|released| {
        let each = released.into_iter();
        each.map(|released| (released.signature.name, released.target))
            .collect()
    }))
}
