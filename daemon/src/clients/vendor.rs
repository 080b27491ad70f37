//! Who made a network card, by the prefix of its hardware address (IEEE MA-L, MA-M, MA-S), and what to say of made-up ones.
//!
//! The table is searched where it lies in the program: nothing is read or allocated at the start. It is made by `cargo xtask
//! oui` and reads: a line with the version, a line with source, date and licence, three lengths in octets (u32), the entries of
//! 24, 28 and 36 bits, and the names. An entry is its prefix (3, 4 or 5 octets, the rest of the last one zero) and the place of
//! a name (3 octets); a name is its length (1 octet) and its text in UTF-8. Numbers are big-endian, entries ascending.

use super::Mac;

static TABLE: &[u8] = include_bytes!("../../../blocklists/data/oui.bin");

const PLACE: usize = 3;

/// What is said of a device whose hardware address is made up, in both languages of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Albanian.
    pub sq: &'static str,
    /// English.
    pub en: &'static str,
}

/// Why a device with a made-up address may turn up as a new one, and what its owner can do.
pub const RANDOMISED: Explanation = Explanation {
    sq: "Kjo pajisje përdor një adresë MAC të rastit (private), që mund të ndryshojë; atëherë pajisja duket si e re dhe \
         merr profilin e parazgjedhur. Që të njihet gjithmonë, çaktivizojeni te cilësimet e këtij rrjeti Wi-Fi në pajisje: \
         “Private Wi-Fi Address” (iPhone, iPad, Mac), “Randomized MAC” (Android), “Random hardware addresses” (Windows).",
    en: "This device uses a random (private) MAC address, which may change; it then looks like a new device and gets the \
         default profile. To have it recognised always, turn that off in the settings of this Wi-Fi network on the device: \
         \"Private Wi-Fi Address\" (iPhone, iPad, Mac), \"Randomized MAC\" (Android), \"Random hardware addresses\" (Windows).",
};

/// The table's parts.
#[derive(Debug, Clone, Copy)]
struct Parts {
    source: &'static str,
    /// By the octets of their prefixes: 3, 4, 5.
    entries: [&'static [u8]; 3],
    names: &'static [u8],
}

/// The maker of a card.
pub(super) fn of(mac: Mac) -> Option<&'static str> {
    let parts = parts()?;
    let [first, second, third, fourth, fifth, _] = mac.0;
    // The narrower block first: the wider one belongs to the registry itself.
    let [wide, middle, narrow] = parts.entries;
    let place = find(narrow, &[first, second, third, fourth, fifth & 0xf0])
        .or_else(|| find(middle, &[first, second, third, fourth & 0xf0]))
        .or_else(|| find(wide, &[first, second, third]))?;
    let (&length, rest) = parts.names.get(place..)?.split_first()?;
    std::str::from_utf8(rest.get(..usize::from(length))?).ok()
}

/// Where the table is from, with its date and licence.
pub fn source() -> &'static str {
    parts().map_or("", |parts| parts.source)
}

fn parts() -> Option<Parts> {
    let rest = TABLE.strip_prefix(b"isigurt-oui 1\n")?;
    let end = rest.iter().take(400).position(|&octet| octet == b'\n')?;
    let source = std::str::from_utf8(rest.get(..end)?).ok()?;
    let (lengths, rest) = rest.get(end + 1..)?.split_first_chunk::<12>()?;
    let length = |at: usize| {
        let field: [u8; 4] = lengths.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(field)).ok()
    };
    let (wide, rest) = rest.split_at_checked(length(0)?)?;
    let (middle, rest) = rest.split_at_checked(length(4)?)?;
    let (narrow, names) = rest.split_at_checked(length(8)?)?;
    Some(Parts {
        source,
        entries: [wide, middle, narrow],
        names,
    })
}

/// The place of the name of a prefix.
fn find(entries: &[u8], prefix: &[u8]) -> Option<usize> {
    let each = prefix.len() + PLACE;
    let (mut low, mut high) = (0, entries.len() / each);
    while low < high {
        let middle = usize::midpoint(low, high);
        let (found, place) = entries
            .get(middle * each..(middle + 1) * each)?
            .split_at_checked(prefix.len())?;
        match found.cmp(prefix) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                return Some(
                    place
                        .iter()
                        .fold(0, |number, &octet| number << 8 | usize::from(octet)),
                );
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vendor(mac: &str) -> Option<&'static str> {
        mac.parse::<Mac>().unwrap().vendor()
    }

    #[test]
    fn known_makers_are_found_in_blocks_of_each_size() {
        assert_eq!(vendor("00:00:00:12:34:56"), Some("XEROX"));
        assert_eq!(vendor("b8:27:eb:00:00:01"), Some("Raspberry Pi Foundation"));
        assert!(vendor("00:1a:11:00:00:00").unwrap().contains("Google"));
        let [wide, middle, narrow] = parts().unwrap().entries;
        for (entries, octets) in [(wide, 3), (middle, 4), (narrow, 5)] {
            for entry in entries.chunks(octets + PLACE) {
                let mut mac = [0; 6];
                mac[..octets].copy_from_slice(&entry[..octets]);
                assert!(of(Mac(mac)).is_some_and(|name| !name.is_empty()), "{mac:x?}");
            }
            let ascending = entries
                .chunks(octets + PLACE)
                .is_sorted_by(|one, next| one[..octets] < next[..octets]);
            assert!(ascending);
        }
    }

    #[test]
    fn a_made_up_address_has_no_maker() {
        assert_eq!(vendor("02:00:00:12:34:56"), None);
        assert_eq!(vendor("fc:ff:ff:ff:ff:ff"), None);
    }

    #[test]
    fn the_table_is_small_and_says_where_it_is_from() {
        assert!(TABLE.len() < 1_000_000, "{}", TABLE.len());
        assert!(source().contains("202"), "{:?}", source());
    }
}
