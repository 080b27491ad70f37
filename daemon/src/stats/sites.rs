//! Which site and which service a name belongs to.
//!
//! A site is what somebody registered: the name below the public suffix, so that `cdn3.img.example.co.uk` and
//! `www.example.co.uk` are one. Services are those of `blocklists/data/services.toml`.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use isigurt_blocklists::data;
use isigurt_blocklists::name::Name;

/// Names whose site and service are remembered.
const REMEMBERED: usize = 8192;

/// The site of a name, without trailing dot; the name itself where nothing of it can be registered.
pub fn site(name: &str) -> &str {
    let name = name.trim_end_matches('.');
    psl::domain_str(name).unwrap_or(name)
}

/// A site, and a service.
#[derive(Debug, Clone, Default)]
pub(super) struct Belongs {
    pub(super) site: Box<str>,
    pub(super) service: Option<Box<str>>,
}

/// Finds the sites and services of names.
#[derive(Debug)]
pub(super) struct Groups {
    /// Services by their domains.
    services: HashMap<Box<str>, Box<str>, RandomState>,
    remembered: HashMap<Box<[u8]>, Belongs, RandomState>,
}

impl Groups {
    /// With the built-in services.
    pub(super) fn new() -> Self {
        let services = data::built_in().map(|data| data.services).unwrap_or_default();
        let domains = services.into_iter().flat_map(|service| {
            let id: Box<str> = service.id.into();
            let domains = service.domains.into_iter();
            domains.map(move |domain| (domain.to_string().into(), id.clone()))
        });
        Self {
            services: domains.collect(),
            remembered: HashMap::default(),
        }
    }

    /// Where a name in wire format belongs; `None` where it is none.
    pub(super) fn of(&mut self, wire: &[u8]) -> Option<&Belongs> {
        if !self.remembered.contains_key(wire) {
            let name = Name::from_wire(wire).ok()?.to_string();
            let name = name.trim_end_matches('.');
            let mut rest = Some(name);
            let mut service = None;
            while let Some(suffix) = rest.filter(|_| service.is_none()) {
                service = self.services.get(suffix).cloned();
                rest = suffix.split_once('.').map(|(_, parent)| parent);
            }
            let belongs = Belongs {
                site: site(name).into(),
                service,
            };
            if self.remembered.len() >= REMEMBERED {
                self.remembered.clear();
            }
            self.remembered.insert(wire.into(), belongs);
        }
        self.remembered.get(wire)
    }
}

#[cfg(test)]
mod tests {
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
        let mut groups = Groups::new();
        let mut service = |name: &str| {
            let name = Name::parse(name).unwrap();
            groups.of(name.as_ref().wire()).unwrap().service.clone()
        };
        assert_eq!(service("i.instagram.com").as_deref(), Some("instagram"));
        assert_eq!(service("instagram.com.example").as_deref(), None);
    }
}
