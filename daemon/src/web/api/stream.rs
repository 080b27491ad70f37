//! Streams of events to those who may see them: who may is looked at again as long as a stream lasts.
//!
//! A stream outlives the request that it began with. Whoever is signed out, removed or given another role meanwhile must not
//! go on reading what children ask for.

use std::time::{Duration, Instant};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::access::{Area, Principal};
use crate::web::Site;

/// How often it is looked whether who reads still may.
const LOOK: Duration = Duration::from_secs(5);

/// Who reads a stream.
pub(super) struct Reader {
    site: Site,
    principal: Principal,
    area: Area<'static>,
    looked: Instant,
}

impl Reader {
    /// One who may read `area` now.
    pub(super) fn new(site: Site, principal: Principal, area: Area<'static>) -> Self {
        Self {
            site,
            principal,
            area,
            looked: Instant::now(),
        }
    }

    /// As the account stands, but for some seconds.
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What comes next; `None` where the reader may not read any more, or nothing comes any more.
    pub(super) async fn next<T: Clone>(&mut self, from: &mut Receiver<T>) -> Option<Next<T>> {
        loop {
            if self.looked.elapsed() >= LOOK {
                self.principal = self.site.accounts.still(&self.principal)?;
                self.principal.may_read(self.area).ok()?;
                self.looked = Instant::now();
            }
            match tokio::time::timeout(LOOK, from.recv()).await {
                Ok(Ok(came)) => return Some(Next::Came(came)),
                Ok(Err(RecvError::Lagged(_))) => return Some(Next::Missed),
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => {} // nothing came
            }
        }
    }
}

/// What came.
pub(super) enum Next<T> {
    /// Something.
    Came(T),
    /// So much that some of it is lost.
    Missed,
}
