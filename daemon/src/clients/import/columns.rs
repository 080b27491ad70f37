//! What the columns of a spreadsheet are, by its first row.

use super::matching::Kind;

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Profile,
    /// Ways to recognise the device: of one kind, or each saying its own.
    Match(Option<Kind>),
    Ignored,
}

/// Words for each kind of column, in lower case, without spaces, hyphens and underscores.
const WORDS: &[(Column, &[&str])] = &[
    (
        Column::Name,
        &[
            "name",
            "device",
            "devicename",
            "emri",
            "emer",
            "emër",
            "pajisja",
            "pajisje",
            "emriipajisjes",
        ],
    ),
    (
        Column::Profile,
        &["profile", "group", "profili", "profil", "grupi", "grup", "klasa"],
    ),
    (
        Column::Match(None),
        &["match", "matches", "id", "ids", "identifikimi"],
    ),
    (
        Column::Match(Some(Kind::Mac)),
        &[
            "mac",
            "macaddress",
            "hwaddr",
            "hardwareaddress",
            "ethernet",
            "wifimac",
            "adresamac",
            "macadresa",
        ],
    ),
    (
        Column::Match(Some(Kind::Ip)),
        &["ip", "ipaddress", "address", "ipv4", "ipv6", "adresaip", "adresa"],
    ),
    (
        Column::Match(Some(Kind::Cidr)),
        &["cidr", "subnet", "network", "net", "nenrrjeti", "rrjeti"],
    ),
    (
        Column::Match(Some(Kind::Hostname)),
        &["hostname", "host", "computername", "dnsname"],
    ),
    (
        Column::Match(Some(Kind::ClientId)),
        &["clientid", "client", "dohid"],
    ),
];

/// The columns of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) kinds: Vec<Column>,
    pub(super) name: usize,
    pub(super) profile: Option<usize>,
    pub(super) first_match: usize,
    pub(super) ignored: Vec<String>,
}

impl Columns {
    /// Reads the header; `default_profile`: there is one for rows that name none.
    pub(super) fn read(header: &csv::StringRecord, default_profile: bool) -> Result<Self, String> {
        let kinds: Vec<Column> = header.iter().map(kind).collect();
        let only = |wanted: Column| -> Result<Option<usize>, String> {
            let mut places = (0..)
                .zip(&kinds)
                .filter(|(_, kind)| **kind == wanted)
                .map(|(place, _)| place);
            match (places.next(), places.next()) {
                (_, Some(second)) => Err(format!(
                    "column {} means the same as an earlier one; leave one of them out",
                    second + 1
                )),
                (first, None) => Ok(first),
            }
        };
        let first_match = kinds.iter().position(|kind| matches!(kind, Column::Match(_)));
        let (name, profile) = (only(Column::Name)?, only(Column::Profile)?);
        let mut missing = Vec::new();
        missing.extend(name.is_none().then_some("name"));
        missing.extend(
            first_match
                .is_none()
                .then_some("match (or mac, ip, cidr, hostname, client-id)"),
        );
        missing.extend((profile.is_none() && !default_profile).then_some("profile"));
        let (Some(name), Some(first_match), true) = (name, first_match, missing.is_empty()) else {
            return Err(format!(
                "the header has no column for: {}; one like name,match,profile is expected",
                missing.join(", ")
            ));
        };
        let ignored = header
            .iter()
            .zip(&kinds)
            .filter(|(_, kind)| **kind == Column::Ignored);
        Ok(Self {
            ignored: ignored.map(|(word, _)| word.to_owned()).collect(),
            kinds,
            name,
            profile,
            first_match,
        })
    }
}

fn kind(word: &str) -> Column {
    let plain: String = word
        .chars()
        .filter(|character| !matches!(character, ' ' | '-' | '_' | '.'))
        .flat_map(char::to_lowercase)
        .collect();
    let found = WORDS.iter().find(|(_, words)| words.contains(&plain.as_str()));
    found.map_or(Column::Ignored, |(kind, _)| *kind)
}
