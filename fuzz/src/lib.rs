//! What the fuzz targets share.
#![forbid(unsafe_code)]

use isigurt_blocklists::index::{Compiler, Index, Lines, ListInfo, Seed, TagKind};
use isigurt_blocklists::name::Name;
use isigurt_blocklists::read::{self, Format};

/// Reads a list, checks that each line was counted once, compiles it, and asks for some names.
pub fn read(octets: &[u8], format: Format) {
    let Ok(list) = read::read(octets, format, None) else { return };
    let report = &list.report;
    let counted = report.comments + report.with_rules + report.not_dns + report.refused();
    // A record of a zone over several lines is counted once; its further lines count as comments.
    assert!(counted <= report.lines, "{report:?}");
    if list.format != Format::Rpz {
        assert_eq!(counted, report.lines, "{report:?}");
    }
    let (index, lines) = compiled(list);
    ask(&index, Some(&lines));
}

/// Compiles one list.
pub fn compiled(list: read::List) -> (Index, Lines) {
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
    compiler.into_index(1).expect("a list that was read can be compiled")
}

/// Looks some names up; whatever is said, nothing may panic.
pub fn ask(index: &Index, lines: Option<&Lines>) {
    for text in ["a", "a.b", "www.a.test", "x1.y.a.test", "a.a.a.a.a.a.a.a.a.a"] {
        let name = Name::parse(text).expect("a name");
        let outcome = index.lookup(name.as_ref(), 1);
        for hit in outcome.blocked.iter().chain(&outcome.lifted).chain(&outcome.candidates) {
            let _ = (hit.line(lines), hit.pattern_text());
        }
    }
}

/// An index and its lines as files.
pub fn files() -> (Vec<u8>, Vec<u8>) {
    let text = "||a.test^\n@@||b.a.test^\n||c.test^$dnsrewrite=192.0.2.1\n/x[0-9]+/\n";
    let list = read::read(text.as_bytes(), Format::Adblock, None).expect("a list");
    let mut compiler = Compiler::new(Seed([1; 32]), 1000);
    let tag = compiler.tag(TagKind::Own, "own").expect("one tag");
    let info = ListInfo {
        id: "l".to_owned(),
        tag,
        origin: "l".to_owned(),
        format: list.format,
        version: String::new(),
    };
    compiler.add(info, None, list.rules);
    let (mut index, mut lines) = (std::io::Cursor::new(Vec::new()), std::io::Cursor::new(Vec::new()));
    compiler.finish(0, 1, &mut index, &mut lines).expect("compiled");
    (index.into_inner(), lines.into_inner())
}

/// Puts `change` over a good file at a place that it names itself, so that damage lies behind a good start.
pub fn damaged(mut good: Vec<u8>, change: &[u8]) -> Vec<u8> {
    let Some((place, rest)) = change.split_first_chunk::<2>() else { return change.to_vec() };
    let from = usize::from(u16::from_le_bytes(*place)) % good.len();
    for (octet, with) in good.iter_mut().skip(from).zip(rest) {
        *octet ^= *with;
    }
    good
}
