//! Which site and which service a name belongs to.
//!
//! A site is what somebody registered: the name below the public suffix, so that `cdn3.img.example.co.uk` and
//! `www.example.co.uk` are one. Services are those of `blocklists/data/services.toml`.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use isigurt_blocklists::data;
use isigurt_blocklists::name::Name;

use super::day::Day;

/// Places of what is remembered of names: 128 KiB.
const REMEMBERED: usize = 8192;

/// The site of a name, without trailing dot; the name itself where nothing of it can be registered.
pub fn site(name: &str) -> &str {
    let name = name.trim_end_matches('.');
    psl::domain_str(name).unwrap_or(name)
}

/// The numbers of a site and of a service in a day's counts; 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Belongs {
    pub(super) site: u32,
    pub(super) service: u32,
}

/// Finds the sites and services of names.
#[derive(Debug)]
pub(super) struct Groups {
    /// Services by their domains.
    services: HashMap<Box<[u8]>, Box<str>, RandomState>,
    /// By its hash the name that was met last of those that share a place; 0 where none was.
    remembered: Vec<(u64, Belongs)>,
    keys: RandomState,
    text: Vec<u8>,
}

impl Groups {
    /// With the built-in services.
    pub(super) fn new() -> Self {
        let services = data::built_in().map(|data| data.services).unwrap_or_default();
        let domains = services.into_iter().flat_map(|service| {
            let id: Box<str> = service.id.into();
            let domains = service.domains.into_iter();
            domains.map(move |domain| (domain.to_string().into_bytes().into(), id.clone()))
        });
        Self {
            services: domains.collect(),
            remembered: vec![Default::default(); REMEMBERED],
            keys: RandomState::default(),
            text: Vec::new(),
        }
    }

    /// Another day begins, with other numbers.
    pub(super) fn forget(&mut self) {
        self.remembered.fill(Default::default());
    }

    /// Where a name in wire format belongs. Names are told apart by 64 bits of a hash with a key of this run.
    pub(super) fn of(&mut self, wire: &[u8], day: &mut Day) -> Belongs {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        if !plain(wire, &mut text) {
            text.clear();
            let name = Name::from_wire(wire)
                .map(|name| name.to_string())
                .unwrap_or_default();
            text.extend_from_slice(name.trim_end_matches('.').as_bytes());
        }
        let hash = self.keys.hash_one(&text) | 1;
        let place = usize::try_from(hash >> 48).unwrap_or(0) % REMEMBERED;
        let belongs = match self.remembered.get(place) {
            Some((held, belongs)) if *held == hash => *belongs,
            _ => self.find(&text, day),
        };
        if let Some(held) = self.remembered.get_mut(place) {
            *held = (hash, belongs);
        }
        self.text = text;
        belongs
    }

    fn find(&self, name: &[u8], day: &mut Day) -> Belongs {
        let site = psl::domain(name).map_or(name, |domain| domain.as_bytes());
        let mut rest = Some(name);
        let mut service = None;
        while let Some(suffix) = rest.filter(|_| service.is_none()) {
            service = self.services.get(suffix);
            let dot = suffix.iter().position(|&octet| octet == b'.');
            rest = dot.and_then(|dot| suffix.get(dot + 1..));
        }
        Belongs {
            site: day.number(site),
            service: service.map_or(0, |service| day.number(service.as_bytes())),
        }
    }
}

/// Writes a name in wire format as text in small letters, where every octet stands for itself; `false`: it does not, or is no name.
fn plain(mut wire: &[u8], text: &mut Vec<u8>) -> bool {
    while let Some((&length, rest)) = wire.split_first() {
        if length == 0 {
            return rest.is_empty();
        }
        let Some((label, rest)) = rest.split_at_checked(usize::from(length)) else {
            return false;
        };
        let stands = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if !label.iter().all(stands) {
            return false;
        }
        if !text.is_empty() {
            text.push(b'.');
        }
        text.extend(label.iter().map(u8::to_ascii_lowercase));
        wire = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_grouped_by_what_somebody_registered() {
        for (name, expected) in [
            ("www.example.com", "example.com"),
            ("cdn3.img.example.co.uk.", "example.co.uk"),
            ("shkolla.edu.al", "shkolla.edu.al"),
            ("nas.home.arpa.", "nas.home.arpa"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(site(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_below_a_services_domain_belongs_to_it() {
        let (mut groups, mut day) = (Groups::new(), Day::default());
        let mut of = |name: &str, day: &mut Day| {
            let name = Name::parse(name).unwrap();
            groups.of(name.as_ref().wire(), day)
        };
        let numbers = |site: &str, service: &str, day: &mut Day| Belongs {
            site: day.number(site.as_bytes()),
            service: day.number(service.as_bytes()),
        };
        for _ in 0..2 {
            let found = of("i.instagram.com", &mut day);
            assert_eq!(found, numbers("instagram.com", "instagram", &mut day));
            let found = of("instagram.com.example", &mut day);
            assert_eq!(found, numbers("com.example", "", &mut day));
        }
        // The next day has other numbers.
        let mut next = Day::default();
        next.number(b"another");
        groups.forget();
        let name = Name::parse("i.instagram.com").unwrap();
        let found = groups.of(name.as_ref().wire(), &mut next);
        assert_eq!(found, numbers("instagram.com", "instagram", &mut next));
    }

    proptest! {
        #[test]
        fn the_short_way_writes_a_name_as_the_long_way_does(wire in proptest::collection::vec(any::<u8>(), 0..40), labels in proptest::collection::vec("[a-zA-Z0-9_.\\\\-]{1,8}", 0..5)) {
            let mut name: Vec<u8> = labels.iter().flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
            name.push(0);
            for wire in [wire, name] {
                let mut text = Vec::new();
                if plain(&wire, &mut text) {
                    let long = Name::from_wire(&wire).unwrap().to_string();
                    prop_assert_eq!(long.trim_end_matches('.').as_bytes(), &text);
                }
            }
        }
    }
}
