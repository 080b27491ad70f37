//! The starter lists hold what they promise: plentiful, sourced, in two languages, and harmless to whoever seeks help
//! or shares a server with a blocked app.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};

use isigurt_blocklists::data::{self, BypassAnswer, BypassKind, Data, SafeSearch, Text};
use isigurt_blocklists::name::Name;

/// Hosts that many sites stand on. Blocking one would take down what nobody meant.
const SHARED_HOSTS: &[&str] = &[
    "akadns.net",
    "akamai.net",
    "akamaiedge.net",
    "akamaihd.net",
    "akamaized.net",
    "amazonaws.com",
    "amazontrust.com",
    "ampproject.org",
    "apple-dns.net",
    "apple.com",
    "appspot.com",
    "arkoselabs.com",
    "awsglobalaccelerator.com",
    "azure.com",
    "azureedge.net",
    "azurefd.net",
    "azurewebsites.net",
    "b-cdn.net",
    "bing.com",
    "cdn77.org",
    "cloudflare.com",
    "cloudflare.net",
    "cloudfront.net",
    "digicert.com",
    "edgekey.net",
    "edgesuite.net",
    "fastly-edge.com",
    "fastly.net",
    "fastlylb.net",
    "firebaseio.com",
    "ggpht.com",
    "google.com",
    "googleapis.com",
    "googleusercontent.com",
    "gstatic.com",
    "gvt1.com",
    "icloud.com",
    "jsdelivr.net",
    "l.google.com",
    "lencr.org",
    "live.com",
    "livekit.cloud",
    "microsoft.com",
    "microsoftonline.com",
    "office.com",
    "office.net",
    "recaptcha.net",
    "sentry.io",
    "unity3d.com",
    "unpkg.com",
    "windows.com",
    "windows.net",
    "windowsupdate.com",
    "zendesk.com",
];

/// Names under which strangers register (publicsuffix.org), as far as an entry might come near them.
const PUBLIC_SUFFIXES: &[&str] = &[
    "blogspot.com",
    "co.il",
    "co.jp",
    "co.kr",
    "co.nz",
    "co.uk",
    "co.za",
    "com.al",
    "com.au",
    "com.be",
    "com.br",
    "com.cn",
    "com.mk",
    "com.mx",
    "com.tr",
    "edu.al",
    "github.io",
    "gov.al",
    "gov.uk",
    "herokuapp.com",
    "netlify.app",
    "org.al",
    "org.mk",
    "org.uk",
    "pages.dev",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// Names that every household needs, whatever is blocked.
const NEEDED: &[&str] = &[
    "www.google.com",
    "accounts.google.com",
    "mail.google.com",
    "classroom.google.com",
    "fonts.googleapis.com",
    "www.gstatic.com",
    "play.googleapis.com",
    "connectivitycheck.gstatic.com",
    "captive.apple.com",
    "www.icloud.com",
    "gateway.icloud.com",
    "www.apple.com",
    "login.microsoftonline.com",
    "outlook.office.com",
    "www.msftconnecttest.com",
    "update.microsoft.com",
    "en.wikipedia.org",
    "github.com",
    "cdn.jsdelivr.net",
    "d111111abcdef8.cloudfront.net",
    "s3.amazonaws.com",
    "a1.akamaized.net",
    "time.cloudflare.com",
    "e-albania.al",
    "www.bankofalbania.org",
    "www.unicef.org",
    "www.who.int",
    "www.duolingo.com",
    "www.khanacademy.org",
    "scratch.mit.edu",
    "www.mozilla.org",
    "ocsp.digicert.com",
    "quad9.net",
];

fn data() -> Data {
    data::built_in().unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn covers(rule: &Name, other: &Name) -> bool {
    other.as_ref().is_at_or_below(rule.as_ref())
}

/// Every name that some profile could block, with the entry it comes from.
fn blockable(data: &Data) -> Vec<(String, &Name)> {
    let categories = data.categories.iter().flat_map(|entry| {
        entry
            .names
            .iter()
            .map(|name| (format!("category {}", entry.id), name))
    });
    let services = data.services.iter().flat_map(|entry| {
        entry
            .domains
            .iter()
            .map(|name| (format!("service {}", entry.id), name))
    });
    let bypass = data.bypass.iter().flat_map(|entry| {
        entry
            .domains
            .iter()
            .map(|name| (format!("bypass {}", entry.id), name))
    });
    categories.chain(services).chain(bypass).collect()
}

#[test]
fn there_is_enough_of_everything() {
    let data = data();
    let of_kind = |kind| -> usize {
        data.bypass
            .iter()
            .filter(|entry| entry.kind == kind)
            .map(|entry| entry.domains.len())
            .sum()
    };
    assert!(data.categories.len() >= 20);
    assert!(data.services.len() >= 80);
    assert!(of_kind(BypassKind::Doh) >= 120);
    assert!(of_kind(BypassKind::Vpn) >= 80);
    assert!(of_kind(BypassKind::Proxy) >= 20);
    assert!(of_kind(BypassKind::Tor) >= 10);
    assert!(data.helplines.len() >= 40);
    for id in ["adult", "gambling"] {
        let category = data.categories.iter().find(|category| category.id == id).unwrap();
        assert!(category.default && category.names.len() >= 60, "{id}");
    }
}

#[test]
fn every_service_lies_in_a_category_and_blocks_something() {
    let data = data();
    let ids: HashSet<&str> = data
        .categories
        .iter()
        .map(|category| category.id.as_str())
        .collect();
    for service in &data.services {
        assert!(
            ids.contains(service.category.as_str()),
            "{}: {}",
            service.id,
            service.category
        );
        assert!(!service.domains.is_empty(), "{}", service.id);
    }
}

#[test]
fn all_groups_fit_into_the_index() {
    // The index numbers its groups in one octet; room is left for the household's own and for lists to come.
    let data = data();
    let groups = data.categories.len() + data.services.len();
    assert!(groups <= 240, "{groups} categories and services");
}

#[test]
fn the_manual_lists_every_category_and_its_default() {
    let manual = include_str!("../../docs/lists.md");
    for category in data().categories {
        let plain = manual.contains(&format!("| `{}` |", category.id));
        let marked = manual.contains(&format!("| `{}` ● |", category.id));
        assert_eq!(
            (plain, marked),
            (!category.default, category.default),
            "{}",
            category.id
        );
    }
}

#[test]
fn texts_are_there_in_both_languages() {
    let data = data();
    let differ = |text: &Text| text.sq != text.en;
    for category in &data.categories {
        assert!(
            differ(&category.name) && differ(&category.about),
            "{}",
            category.id
        );
    }
    for helpline in &data.helplines {
        assert!(differ(&helpline.name), "{}", helpline.id);
    }
    // Albanian without its letters is a sign of a careless text.
    let letters = data
        .categories
        .iter()
        .filter(|category| category.about.sq.contains(['ë', 'ç']))
        .count();
    assert!(
        letters * 10 >= data.categories.len() * 8,
        "{letters} of {}",
        data.categories.len()
    );
}

#[test]
fn a_domain_belongs_to_one_service() {
    let data = data();
    let mut owner: HashMap<&Name, (&str, bool)> = HashMap::new();
    for service in &data.services {
        for domain in &service.domains {
            if let Some((other, shared)) = owner.insert(domain, (&service.id, service.shared)) {
                assert!(shared && service.shared, "{domain} in {other} and {}", service.id);
            }
        }
    }
    for service in &data.services {
        for domain in &service.domains {
            let parents = domain.as_ref().suffixes().skip(1);
            for parent in parents {
                let Some((other, shared)) = owner.get(&parent.to_name()) else {
                    continue;
                };
                assert_ne!(*other, service.id, "{domain} is below {parent} already");
                assert!(
                    *shared && service.shared,
                    "{domain} of {} is below {parent} of {other}",
                    service.id
                );
            }
        }
    }
}

#[test]
fn nothing_is_a_public_suffix_or_a_host_that_others_stand_on() {
    let data = data();
    let forbidden: Vec<Name> = SHARED_HOSTS
        .iter()
        .chain(PUBLIC_SUFFIXES)
        .map(|text| name(text))
        .collect();
    for (entry, rule) in blockable(&data) {
        assert!(
            rule.as_ref().labels().count() >= 2,
            "{entry}: {rule} is a top-level domain"
        );
        for host in &forbidden {
            assert!(!covers(rule, host), "{entry}: {rule} takes down {host}");
        }
    }
}

#[test]
fn what_every_household_needs_is_never_blocked() {
    let data = data();
    for needed in NEEDED {
        let needed = name(needed);
        for (entry, rule) in blockable(&data) {
            assert!(!covers(rule, &needed), "{entry}: {rule} blocks {needed}");
        }
    }
}

#[test]
fn no_helpline_is_blocked_and_none_shields_a_blocked_name() {
    let data = data();
    for helpline in &data.helplines {
        assert!(
            helpline.phone.is_some() || !helpline.domains.is_empty(),
            "{} helps nobody",
            helpline.id
        );
        for domain in &helpline.domains {
            assert!(domain.as_ref().labels().count() >= 2, "{domain}");
            for (entry, rule) in blockable(&data) {
                assert!(
                    !covers(rule, domain),
                    "{entry}: {rule} blocks {domain} of {}",
                    helpline.id
                );
                assert!(
                    !covers(domain, rule),
                    "{domain} of {} shields {rule} of {entry}",
                    helpline.id
                );
            }
            for suffix in PUBLIC_SUFFIXES {
                assert!(
                    !covers(domain, &name(suffix)),
                    "{domain} would shield all of {suffix}"
                );
            }
        }
    }
}

#[test]
fn a_helplines_web_address_lies_in_its_domains() {
    for helpline in data().helplines {
        let Some(web) = &helpline.web else { continue };
        let host = name(web.trim_start_matches("https://").split('/').next().unwrap());
        assert!(
            helpline.domains.iter().any(|domain| covers(domain, &host)),
            "{}: {web}",
            helpline.id
        );
    }
}

#[test]
fn albanian_children_find_their_helpline() {
    let data = data();
    let of = |id: &str| {
        data.helplines
            .iter()
            .find(|helpline| helpline.id == id)
            .unwrap()
            .clone()
    };
    let alo = of("al-alo-116-111");
    assert_eq!(alo.phone.as_deref(), Some("116 111"));
    assert_eq!(alo.domains, [name("alo116.al")]);
    assert_eq!(of("al-police").phone.as_deref(), Some("129"));
    assert_eq!(of("al-emergency").phone.as_deref(), Some("112"));
    assert_eq!(of("al-isigurt").domains, [name("isigurt.al")]);
}

#[test]
fn canaries_get_the_answer_that_their_vendors_document() {
    let data = data();
    let answer = |text: &str| {
        let wanted = name(text);
        let entry = data
            .bypass
            .iter()
            .find(|entry| entry.domains.contains(&wanted))
            .unwrap();
        (entry.kind, entry.answer)
    };
    assert_eq!(
        answer("use-application-dns.net"),
        (BypassKind::Canary, Some(BypassAnswer::NxDomain))
    );
    assert_eq!(
        answer("mask.icloud.com"),
        (BypassKind::Relay, Some(BypassAnswer::NxDomain))
    );
    assert_eq!(
        answer("mask-h2.icloud.com"),
        (BypassKind::Relay, Some(BypassAnswer::NxDomain))
    );
    assert_eq!(answer("dns.google"), (BypassKind::Doh, None));
}

#[test]
fn safe_search_rewrites_a_host_to_one_target_and_never_a_target() {
    let data = data();
    let targets: HashSet<&Name> = data.safe_search.iter().map(|entry| &entry.target).collect();
    let mut rewritten: HashMap<&Name, &SafeSearch> = HashMap::new();
    for entry in &data.safe_search {
        for host in &entry.hosts {
            assert!(!targets.contains(host), "{host} would be rewritten for ever");
            if let Some(other) = rewritten.insert(host, entry) {
                assert_eq!(other.provider, entry.provider, "{host}");
                assert!(
                    other.mode.is_some() && other.mode != entry.mode,
                    "{host} has two targets"
                );
            }
        }
    }
    let target = |host: &str| rewritten.get(&name(host)).map(|entry| entry.target.to_string());
    for host in [
        "www.google.com",
        "www.google.al",
        "www.google.mk",
        "www.google.co.uk",
        "www.google.com.tr",
    ] {
        assert_eq!(
            target(host).as_deref(),
            Some("forcesafesearch.google.com"),
            "{host}"
        );
    }
    assert_eq!(target("www.bing.com").as_deref(), Some("strict.bing.com"));
    assert_eq!(target("duckduckgo.com").as_deref(), Some("safe.duckduckgo.com"));
    assert_eq!(target("mail.google.com"), None);
    let youtube = |mode: &str| {
        let of_mode =
            |entry: &&SafeSearch| entry.provider == "youtube" && entry.mode.as_deref() == Some(mode);
        data.safe_search
            .iter()
            .find(of_mode)
            .map(|entry| entry.target.to_string())
    };
    assert_eq!(youtube("strict").as_deref(), Some("restrict.youtube.com"));
    assert_eq!(
        youtube("moderate").as_deref(),
        Some("restrictmoderate.youtube.com")
    );
}

#[test]
fn a_blocked_category_never_breaks_safe_search() {
    let data = data();
    for category in data.categories.iter().filter(|category| category.default) {
        for entry in &data.safe_search {
            for needed in entry.hosts.iter().chain([&entry.target]) {
                let blocks = category.names.iter().any(|rule| covers(rule, needed));
                assert!(!blocks, "{} blocks {needed}", category.id);
            }
        }
    }
}

#[test]
fn entries_stand_in_their_files_where_they_say() {
    let data = data();
    let starts_at = |file: data::File, line: u32, id: &str| {
        let from = usize::try_from(line).unwrap() - 1;
        let mut lines = file.text.lines().skip(from);
        assert_eq!(lines.next(), Some("[[entry]]"), "{id}");
        assert!(lines.next().unwrap().contains(&format!("\"{id}\"")), "{id}");
    };
    data.categories
        .iter()
        .for_each(|entry| starts_at(data::CATEGORIES, entry.line, &entry.id));
    data.services
        .iter()
        .for_each(|entry| starts_at(data::SERVICES, entry.line, &entry.id));
    data.bypass
        .iter()
        .for_each(|entry| starts_at(data::BYPASS, entry.line, &entry.id));
    data.helplines
        .iter()
        .for_each(|entry| starts_at(data::HELPLINES, entry.line, &entry.id));
    data.safe_search
        .iter()
        .for_each(|entry| starts_at(data::SAFE_SEARCH, entry.line, &entry.provider));
}
