//! Made-up domain names for benches: shaped like those of real blocklists, from a seed.

/// Numbers that look random.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number below `bound` (splitmix64).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % bound
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let place = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of.get(place).copied().unwrap_or_default()
    }
}

const SYLLABLES: &[&str] = &[
    "ba", "ko", "mi", "ra", "te", "lo", "shi", "ver", "dan", "qu", "xi", "por", "gam", "bet", "adu", "net",
    "cam", "slo", "slot", "win", "free", "hot", "vid", "tube", "play", "fun", "my", "the", "go", "pro",
];
const RARE: &[&str] = &[
    "info", "xyz", "top", "site", "online", "club", "ru", "de", "co.uk", "al", "it", "cc", "io", "tv", "me",
    "biz", "pw", "bet", "casino",
];
const FRONT: &[&str] = &["www", "m", "cdn", "ads", "api", "img", "go"];

fn label(random: &mut Random) -> String {
    let mut label: String = (0..2 + random.below(4))
        .map(|_| random.one_of(SYLLABLES))
        .collect();
    if random.below(100) < 15 {
        label.push_str(&(1 + random.below(999)).to_string());
    }
    if random.below(100) < 8 {
        label.insert(label.len() / 2, '-');
    }
    label
}

/// A domain of 2 to 4 labels, in nearly one case of three with something in front of the registered name.
pub(crate) fn domain(random: &mut Random) -> String {
    let top = match random.below(50 + 10 + 8 + RARE.len() as u64) {
        0..50 => "com",
        50..60 => "net",
        60..68 => "org",
        _ => random.one_of(RARE),
    };
    let name = format!("{}.{top}", label(random));
    match random.below(100) {
        0..25 => format!("{}.{name}", random.one_of(FRONT)),
        25..30 => format!("{}.{}.{name}", label(random), label(random)),
        _ => name,
    }
}

/// So many different domains.
pub(crate) fn domains(random: &mut Random, count: usize) -> Vec<String> {
    let mut seen = std::collections::HashSet::with_capacity(count);
    let mut domains = Vec::with_capacity(count);
    while domains.len() < count {
        let domain = domain(random);
        if seen.insert(domain.clone()) {
            domains.push(domain);
        }
    }
    domains
}
