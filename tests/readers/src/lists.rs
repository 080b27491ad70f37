//! Lists, the index that they become, and differences between them.

use std::sync::LazyLock;

use isigurt_blocklists::delta;
use isigurt_blocklists::index::{Compiler, Index, Lines, ListInfo, Seed, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::{self, Format};

use crate::{Reader, damaged, texts};

const ADBLOCK: &str =
    "||a.test^\n@@||b.a.test^\n||c.test^$dnsrewrite=192.0.2.1\n/x[0-9]+/\n! note\n|d.test^$dnstype=AAAA\n";
const HOSTS: &str = "# hosts\n0.0.0.0 a.test b.test\n127.0.0.1 localhost\n::1 c.test # x\n";
const DOMAINS: &str = "a.test\n*.b.test\n# note\nc.test.\n";
const RPZ: &str = "$TTL 60\n@ SOA localhost. root.localhost. (\n 1 2 3\n 4 5 )\n NS localhost.\na.test CNAME .\n*.b.test CNAME rpz-passthru.\n32.1.2.0.192.rpz-ip CNAME *.\nc.test A 192.0.2.1\n";
const DNSMASQ: &str =
    "address=/a.test/\naddress=/b.test/192.0.2.1\nserver=/c.test/\nlocal=/d.test/\n# note\n";
const V2FLY: &str = "domain:a.test\nfull:b.test\nkeyword:x\nregexp:^y\ninclude:z\n# note\n";
const HASHED: &str = "# isigurt hashed list 1\n# hash: blake3-keyed-128\n# key: 0000000000000000000000000000000000000000000000000000000000000000\n# bits: 24\n# offline: block\n00ff11\n=22ff33\n";

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "read_adblock",
        read: |octets| list(octets, Format::Adblock),
        examples: || texts(&[ADBLOCK]),
    },
    Reader {
        name: "read_hosts",
        read: |octets| list(octets, Format::Hosts),
        examples: || texts(&[HOSTS]),
    },
    Reader {
        name: "read_domains",
        read: |octets| list(octets, Format::Domains),
        examples: || texts(&[DOMAINS]),
    },
    Reader {
        name: "read_rpz",
        read: |octets| list(octets, Format::Rpz),
        examples: || texts(&[RPZ]),
    },
    Reader {
        name: "read_dnsmasq",
        read: |octets| list(octets, Format::Dnsmasq),
        examples: || texts(&[DNSMASQ]),
    },
    Reader {
        name: "read_v2fly",
        read: |octets| list(octets, Format::V2fly),
        examples: || texts(&[V2FLY]),
    },
    Reader {
        name: "read_hashed",
        read: |octets| list(octets, Format::Hashed),
        examples: || texts(&[HASHED]),
    },
    Reader {
        name: "read_auto",
        read: |octets| list(octets, Format::Auto),
        examples: || texts(&[ADBLOCK, HOSTS, DOMAINS, RPZ, DNSMASQ, V2FLY, HASHED]),
    },
    Reader {
        name: "index_file",
        read: index_file,
        examples: || vec![GOOD.0.clone()],
    },
    Reader {
        name: "lines_file",
        read: lines_file,
        examples: || vec![GOOD.1.clone()],
    },
    Reader {
        name: "delta",
        read: difference,
        examples: || vec![DELTA.clone(), OLD.to_vec(), NEW.to_vec()],
    },
];

/// An index and its lines as files.
static GOOD: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let list = read::read(ADBLOCK.as_bytes(), Format::Adblock, None).expect("a list");
    let (mut index, mut lines) = (std::io::Cursor::new(Vec::new()), std::io::Cursor::new(Vec::new()));
    compiler(list)
        .finish(0, 1, &mut index, &mut lines)
        .expect("compiled");
    (index.into_inner(), lines.into_inner())
});

/// An index of a few rules.
pub(crate) static INDEX: LazyLock<Index> = LazyLock::new(|| Index::open(GOOD.0.clone()).expect("good"));

fn compiler(list: read::List) -> Compiler {
    let mut compiler = Compiler::new(Seed([1; 32]), 1000);
    let tag = compiler.tag(TagKind::Own, "own").expect("one tag");
    let info = ListInfo {
        id: "l".to_owned(),
        tag,
        origin: "l".to_owned(),
        format: list.format,
        version: String::new(),
    };
    compiler.add(info, list.hash_key, list.rules);
    compiler
}

/// Reads a list, checks that each line was counted once, compiles it, and asks for some names.
fn list(octets: &[u8], format: Format) {
    let Ok(list) = read::read(octets, format, None) else {
        return;
    };
    let report = &list.report;
    let counted = report.comments + report.with_rules + report.not_dns + report.refused();
    // A record of a zone over several lines is counted once; its further lines count as comments.
    assert!(counted <= report.lines, "{report:?}");
    if list.format != Format::Rpz {
        assert_eq!(counted, report.lines, "{report:?}");
    }
    let compiled = compiler(list).into_index(1);
    let (index, lines) = compiled.expect("a list that was read can be compiled");
    ask(&index, Some(&lines));
}

/// Looks some names up; whatever is said, nothing may panic.
fn ask(index: &Index, lines: Option<&Lines>) {
    for text in ["a", "a.b", "www.a.test", "x1.y.a.test", "a.a.a.a.a.a.a.a.a.a"] {
        let name = Name::parse(text).expect("a name");
        let outcome = index.lookup(name.as_ref(), 1);
        for hit in outcome
            .blocked
            .iter()
            .chain(&outcome.lifted)
            .chain(&outcome.candidates)
        {
            let _ = (hit.line(lines), hit.pattern_text());
        }
    }
}

/// Opening, checking and looking up never panic; what was changed does not pass.
fn index_file(octets: &[u8]) {
    for file in [octets.to_vec(), damaged(GOOD.0.clone(), octets)] {
        let same = file == GOOD.0;
        if let Ok(index) = Index::open(file) {
            ask(&index, None);
            assert!(same || index.verify().is_err(), "a changed index passes");
        }
    }
}

fn lines_file(octets: &[u8]) {
    for file in [octets.to_vec(), damaged(GOOD.1.clone(), octets)] {
        if let Ok(lines) = Lines::open(&file.into()) {
            ask(&INDEX, Some(&lines));
        }
    }
}

const OLD: &[u8] = b"# isigurt-list 1\n||a.test^\n||b.test^\n||c.test^\n";
const NEW: &[u8] = b"# isigurt-list 1\n00ff11\n||a.test^\n||b2.test^\n||c.test^\n";
static DELTA: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut out = Vec::new();
    delta::diff(OLD, NEW, &mut out).expect("a difference");
    out
});

/// Applying a delta only gives the new list; any text is canonical, and then its own difference, or refused.
fn difference(octets: &[u8]) {
    for file in [octets.to_vec(), damaged(DELTA.clone(), octets)] {
        let mut out = Vec::new();
        if delta::apply(OLD, file.as_slice(), &mut out).is_ok() && file == *DELTA {
            assert_eq!(out, NEW);
        }
    }
    let mut difference = Vec::new();
    if delta::diff(octets, octets, &mut difference).is_ok() {
        let mut again = Vec::new();
        delta::apply(octets, difference.as_slice(), &mut again).expect("its own difference");
        assert_eq!(again, octets);
    }
}
