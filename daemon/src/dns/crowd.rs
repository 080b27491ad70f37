//! Connections counted: so many in all, and so many of one client, that nobody takes the descriptors that answers need.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of one door.
#[derive(Debug)]
pub struct Crowd {
    all: usize,
    of_one: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Crowd>, IpAddr);

impl Crowd {
    /// A door with room for so many connections, and so many of one client.
    pub fn new(all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            of_one,
            held: Mutex::default(),
        })
    }

    /// A place for a connection of this client, if there is room.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = client.to_canonical();
        let mut held = self.held();
        let of_one = held.by_client.get(&client).copied().unwrap_or(0);
        if held.all >= self.all || of_one >= self.of_one {
            return None;
        }
        held.all += 1;
        held.by_client.insert(client, of_one + 1);
        Some(Place(self.clone(), client))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.0.held();
        held.all = held.all.saturating_sub(1);
        if let Some(count) = held.by_client.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                held.by_client.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_and_all_together_are_bounded_and_places_come_back() {
        let crowd = Crowd::new(5, 3);
        let client = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut places: Vec<Place> = (0..9).filter_map(|_| crowd.enter(client(1))).collect();
        assert_eq!(places.len(), 3);
        assert!(
            crowd
                .enter(IpAddr::V6("::ffff:192.0.2.1".parse().unwrap()))
                .is_none(),
            "the same client"
        );
        places.extend((2..9).filter_map(|last| crowd.enter(client(last))));
        assert_eq!(places.len(), 5);
        places.clear();
        assert!(crowd.enter(client(1)).is_some());
        assert!(crowd.held().by_client.is_empty() && crowd.held().all == 0);
    }
}
