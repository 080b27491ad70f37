//! The policy in force: profiles made ready for one index, and who has which.
//!
//! A query costs one look-up of its client's address, and one more for each prefix length that networks are given with.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use isigurt_blocklists::index::{Index, TagId, TagKind, TagSet};

use super::Profile;
use super::model::{Otherwise, Policy, ProfileText};
use super::names::{Names, NamesError};
use crate::clients::{self, Network};

/// Why a policy cannot be put in force; for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is no profile.
    #[error("no [[profile]]: at least one is needed")]
    NoProfile,
    /// More profiles than can be told apart.
    #[error("more than 65,536 profiles")]
    TooMany,
    /// Two of a kind bear one name.
    #[error("two {kind}s are named \"{name}\"")]
    Twice {
        /// `profile` or `device`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A profile is named that does not exist.
    #[error("{by}: there is no profile \"{name}\"")]
    UnknownProfile {
        /// Who names it.
        by: String,
        /// The name.
        name: String,
    },
    /// Several profiles, and none of them is the default.
    #[error("[settings] default_profile is needed where there are several profiles")]
    NoDefault,
    /// A category or service that nothing is known about.
    #[error("profile \"{profile}\": there is no {kind} \"{id}\"")]
    UnknownTag {
        /// The profile.
        profile: String,
        /// `category` or `service`.
        kind: &'static str,
        /// What was written.
        id: String,
    },
    /// A line of `allow` or `deny` is no rule.
    #[error("profile \"{profile}\": {error}")]
    Names {
        /// The profile.
        profile: String,
        /// What is wrong.
        error: NamesError,
    },
    /// A device cannot be recognised so.
    #[error("device \"{device}\": {text:?} is not ip:ADDRESS or cidr:NETWORK")]
    Match {
        /// The device.
        device: String,
        /// What was written.
        text: String,
    },
    /// Two devices are recognised by the same.
    #[error("device \"{device}\": {text} is another device's already")]
    MatchTwice {
        /// The device.
        device: String,
        /// What was written.
        text: String,
    },
}

/// Places of profiles by address, see [`clients::number`].
type Addresses = HashMap<u128, u16, foldhash::fast::RandomState>;

/// The policy in force.
#[derive(Debug)]
pub struct InForce {
    profiles: Vec<Profile>,
    default: Profile,
    addresses: Addresses,
    /// Profiles by device name.
    devices: HashMap<String, u16>,
    /// Networks by what their addresses have in common, the longest first.
    networks: Vec<(u128, Addresses)>,
}

impl InForce {
    /// One profile for everybody.
    pub fn everybody(profile: Profile) -> Self {
        Self {
            profiles: Vec::new(),
            default: profile,
            addresses: Addresses::default(),
            devices: HashMap::new(),
            networks: Vec::new(),
        }
    }

    /// Makes `policy` ready for `index`. `own`: groups that every profile blocks, the household's own lists.
    pub fn new(policy: &Policy, index: &Index, own: &TagSet) -> Result<Self, PolicyError> {
        let mut profiles: Vec<Profile> = Vec::with_capacity(policy.profile.len());
        for text in &policy.profile {
            if profiles.iter().any(|profile| profile.name == text.name) {
                return Err(twice("profile", &text.name));
            }
            let place = u16::try_from(profiles.len()).map_err(|_| PolicyError::TooMany)?;
            profiles.push(profile(text, place, index, own)?);
        }
        let place = |by: &str, name: &str| {
            let place = profiles.iter().position(|profile| profile.name == name);
            place.ok_or_else(|| PolicyError::UnknownProfile {
                by: by.to_owned(),
                name: name.to_owned(),
            })
        };
        let default = match (&policy.settings.default_profile, profiles.len()) {
            (_, 0) => return Err(PolicyError::NoProfile),
            (Some(name), _) => place("[settings] default_profile", name)?,
            (None, 1) => 0,
            (None, _) => return Err(PolicyError::NoDefault),
        };
        let mut force = Self::everybody(profiles.get(default).cloned().ok_or(PolicyError::NoProfile)?);
        for device in &policy.device {
            let by = format!("device \"{}\"", device.name);
            let place = u16::try_from(place(&by, &device.profile)?).map_err(|_| PolicyError::TooMany)?;
            if force.devices.insert(device.name.clone(), place).is_some() {
                return Err(twice("device", &device.name));
            }
            for text in &device.matches {
                force.recognise(&device.name, text, place)?;
            }
        }
        force.networks.sort_by_key(|(mask, _)| std::cmp::Reverse(*mask));
        force.profiles = profiles;
        Ok(force)
    }

    fn recognise(&mut self, device: &str, text: &str, profile: u16) -> Result<(), PolicyError> {
        let wrong = || PolicyError::Match {
            device: device.to_owned(),
            text: text.to_owned(),
        };
        let (addresses, address) = match text.split_once(':') {
            Some(("ip", address)) => {
                let address: IpAddr = address.parse().map_err(|_| wrong())?;
                (&mut self.addresses, clients::number(address))
            }
            Some(("cidr", network)) => {
                let network: IpNet = network.parse().map_err(|_| wrong())?;
                let network = Network::from(network);
                let masks = self.networks.iter().position(|(mask, _)| *mask == network.mask());
                let at = masks.unwrap_or_else(|| {
                    self.networks.push((network.mask(), Addresses::default()));
                    self.networks.len() - 1
                });
                let (_, addresses) = self.networks.get_mut(at).ok_or_else(wrong)?;
                (addresses, network.first())
            }
            _ => return Err(wrong()),
        };
        match addresses.insert(address, profile) {
            None => Ok(()),
            Some(_) => Err(PolicyError::MatchTwice {
                device: device.to_owned(),
                text: text.to_owned(),
            }),
        }
    }

    /// The profile of a client: that of its address, else of the longest network that holds it, else the default one.
    #[inline]
    pub fn of(&self, client: IpAddr) -> &Profile {
        if self.profiles.is_empty() {
            return &self.default;
        }
        let client = clients::number(client);
        let mut networks = self.networks.iter();
        let place = self
            .addresses
            .get(&client)
            .or_else(|| networks.find_map(|(mask, addresses)| addresses.get(&(client & mask))));
        place
            .and_then(|place| self.profiles.get(usize::from(*place)))
            .unwrap_or(&self.default)
    }

    /// The profile of clients that none is named for.
    pub fn default_profile(&self) -> &Profile {
        &self.default
    }

    /// The profile of the device of this name.
    pub fn device(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(usize::from(*self.devices.get(name)?))
    }

    /// The name of the profile at this place.
    pub fn name(&self, place: u16) -> &str {
        let profile = self.profiles.get(usize::from(place));
        &profile.unwrap_or(&self.default).name
    }

    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles
            .iter()
            .chain([&self.default])
            .find(|profile| profile.name == name)
    }
}

fn twice(kind: &'static str, name: &str) -> PolicyError {
    PolicyError::Twice {
        kind,
        name: name.to_owned(),
    }
}

fn profile(text: &ProfileText, place: u16, index: &Index, own: &TagSet) -> Result<Profile, PolicyError> {
    let mut blocked = *own;
    let tags = [
        (TagKind::Category, "category", &text.categories),
        (TagKind::Service, "service", &text.services),
    ];
    for (kind, called, ids) in tags {
        for id in ids {
            let tag: TagId = index.tag(kind, id).ok_or_else(|| PolicyError::UnknownTag {
                profile: text.name.clone(),
                kind: called,
                id: id.clone(),
            })?;
            blocked.insert(tag);
        }
    }
    if text.bypass_protection
        && let Some(tag) = index.tag(TagKind::Bypass, "bypass")
    {
        blocked.insert(tag);
    }
    let names = |lines: &[String]| {
        Names::read(lines).map_err(|error| PolicyError::Names {
            profile: text.name.clone(),
            error,
        })
    };
    Ok(Profile {
        name: text.name.clone(),
        place,
        blocked,
        allow: names(&text.allow)?,
        deny: names(&text.deny)?,
        deny_rest: text.default == Otherwise::Deny,
    })
}
