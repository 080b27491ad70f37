//! The questions of the well-known EDNS compliance test (DNS flag day 2019, RFC 6891), a row each, and header flags.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use isigurt_tests::{Authority, Gateway, ask_udp, query};

const PATIENCE: Duration = Duration::from_secs(3);
const COOKIE: u16 = 10;

/// A question, and what the answer must be.
struct Row {
    what: &'static str,
    /// Octets 2 and 3 of the header.
    flags: [u8; 2],
    /// UDP payload, version, flags and options of each OPT record.
    opt: Vec<(u16, u8, u16, Vec<u8>)>,
    /// The extended response code.
    rcode: u16,
    /// Whether it has the answer in it.
    answered: bool,
    /// Whether it has an OPT record.
    edns: bool,
    /// Whether it is cut short.
    truncated: bool,
    name: &'static str,
    qtype: u16,
}

fn row(what: &'static str) -> Row {
    Row {
        what,
        flags: [0x01, 0x00],
        opt: Vec::new(),
        rcode: 0,
        answered: true,
        edns: false,
        truncated: false,
        name: "plain.example",
        qtype: 1,
    }
}

fn with(what: &'static str, version: u8, flags: u16, options: &[u8]) -> Row {
    Row {
        opt: vec![(4096, version, flags, options.to_vec())],
        edns: true,
        ..row(what)
    }
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [&code.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
}

fn refused(row: Row, rcode: u16) -> Row {
    Row {
        rcode,
        answered: false,
        ..row
    }
}

#[allow(clippy::too_many_lines)] // a table
fn rows() -> Vec<Row> {
    let unknown = option(100, b"");
    let all = [
        option(3, b""),
        option(8, &[0, 1, 16, 0, 198, 51]),
        option(9, b""),
        option(COOKIE, &[1; 8]),
        option(100, b"x"),
    ]
    .concat();
    let many = "many.example";
    vec![
        row("plain DNS"),
        Row {
            flags: [0x01, 0x40],
            ..row("the reserved flag Z is ignored")
        },
        Row {
            flags: [0x01, 0x20],
            ..row("AD in a query")
        },
        Row {
            flags: [0x01, 0x10],
            ..row("CD in a query")
        },
        Row {
            flags: [0x00, 0x00],
            ..row("no recursion desired")
        },
        Row {
            flags: [0x05, 0x00],
            ..row("AA in a query is ignored")
        },
        Row {
            flags: [0x03, 0x00],
            ..row("TC in a query is ignored")
        },
        Row {
            flags: [0x01, 0x8f],
            ..row("RA and a code in a query are ignored")
        },
        with("plain EDNS", 0, 0, b""),
        refused(with("EDNS version 1", 1, 0, b""), 16),
        refused(with("EDNS version 255", 255, 0, b""), 16),
        refused(with("version 1 with an unknown option", 1, 0, &unknown), 16),
        refused(with("version 1 with an unknown flag", 1, 0x40, b""), 16),
        with("unknown option", 0, 0, &unknown),
        with("unknown flag", 0, 0x40, b""),
        with("all unknown flags", 0, 0x7fff, b""),
        with("DO", 0, 0x8000, b""),
        with("DO and an unknown flag", 0, 0x8040, b""),
        with("many options at once", 0, 0, &all),
        with("NSID is asked for", 0, 0, &option(3, b"")),
        with("client subnet", 0, 0, &option(8, &[0, 1, 24, 0, 198, 51, 100])),
        with("padding", 0, 0, &option(12, &[0; 100])),
        with("a client cookie", 0, 0, &option(COOKIE, &[1; 8])),
        with(
            "a client and a stale server cookie",
            0,
            0,
            &option(COOKIE, &[1; 24]),
        ),
        refused(
            Row {
                edns: false,
                ..with("a cookie of seven octets", 0, 0, &option(COOKIE, &[1; 7]))
            },
            1,
        ),
        refused(
            Row {
                edns: false,
                ..with("a cookie of nine octets", 0, 0, &option(COOKIE, &[1; 9]))
            },
            1,
        ),
        refused(
            Row {
                edns: false,
                ..with("a cookie of 41 octets", 0, 0, &option(COOKIE, &[1; 41]))
            },
            1,
        ),
        refused(
            Row {
                edns: false,
                ..with("an option longer than the record", 0, 0, &[0, 100, 0, 9, 1])
            },
            1,
        ),
        refused(
            Row {
                opt: vec![(4096, 0, 0, Vec::new()), (4096, 0, 0, Vec::new())],
                ..row("two OPT records")
            },
            1,
        ),
        Row {
            opt: vec![(0, 0, 0, Vec::new())],
            edns: true,
            ..row("a payload of 0 counts as 512")
        },
        Row {
            truncated: true,
            answered: false,
            name: many,
            qtype: 16,
            ..row("more than 512 octets, plain")
        },
        Row {
            opt: vec![(512, 0, 0x8000, Vec::new())],
            edns: true,
            truncated: true,
            answered: false,
            name: many,
            qtype: 16,
            ..row("more than 512 octets, a payload of 512 and DO")
        },
        Row {
            name: many,
            qtype: 16,
            ..with("a payload of 4096 holds them", 0, 0, b"")
        },
        refused(
            Row {
                flags: [0x11, 0x00],
                ..row("opcode 2")
            },
            4,
        ),
        refused(
            Row {
                flags: [0x21, 0x00],
                ..row("NOTIFY")
            },
            4,
        ),
        refused(
            Row {
                flags: [0x29, 0x00],
                ..row("UPDATE")
            },
            4,
        ),
    ]
}

#[test]
fn every_question_of_the_compliance_test_is_answered_as_it_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let zone = folder.path().join("zone");
    let text: String = (0..8).fold(
        "$ORIGIN .\n$TTL 300\n. SOA ns. admin. 1 3600 600 86400 300\n. NS ns.\nns. A 192.0.2.1\nplain.example. A 192.0.2.53\n"
            .to_owned(),
        |text, number| text + &format!("many.example. TXT \"{number} {}\"\n", "x".repeat(100)),
    );
    std::fs::write(&zone, text).unwrap();
    let authority = Authority::with_zone(&zone);
    let gateway = Gateway::start(authority.address, "", "", &[]);
    for row in rows() {
        let mut packet = query(row.name, row.qtype);
        packet[2..4].copy_from_slice(&row.flags);
        packet[11] = u8::try_from(row.opt.len()).unwrap();
        for (payload, version, flags, options) in &row.opt {
            packet.extend([0, 0, 41]);
            packet.extend(payload.to_be_bytes());
            packet.extend([0, *version]);
            packet.extend(flags.to_be_bytes());
            packet.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
            packet.extend(options);
        }
        let answer = ask_udp(gateway.address, &packet, PATIENCE).expect(row.what);
        check(&row, &packet, &answer);
    }
}

fn check(row: &Row, packet: &[u8], answer: &[u8]) {
    let what = row.what;
    assert_eq!(answer[..2], packet[..2], "{what}: the identifier");
    assert_eq!(answer[2] & 0x80, 0x80, "{what}: QR");
    assert_eq!(
        answer[2] & 0x79,
        row.flags[0] & 0x79,
        "{what}: opcode and RD are echoed"
    );
    assert_eq!(answer[2] & 0x02 != 0, row.truncated, "{what}: TC");
    assert_eq!(answer[2] & 0x04, 0, "{what}: never authoritative");
    assert_eq!(answer[3] & 0x40, 0, "{what}: the reserved flag is zero");
    let answers = u16::from_be_bytes([answer[6], answer[7]]);
    assert_eq!(answers > 0, row.answered, "{what}: {answers} answers");
    assert_eq!(answer[11], u8::from(row.edns), "{what}: an OPT record");
    let mut code = u16::from(answer[3] & 0x0f);
    if row.edns {
        let opt = opt(answer);
        code |= u16::from(opt[5]) << 4;
        assert_eq!(opt[6], 0, "{what}: version 0 is what is spoken");
        let asked = row.opt[0].2 & 0x8000;
        assert_eq!(
            u16::from_be_bytes([opt[7], opt[8]]),
            asked,
            "{what}: DO and no other flag is echoed"
        );
        assert!(u16::from_be_bytes([opt[3], opt[4]]) >= 512, "{what}: payload");
        let mut options = &opt[11..];
        while !options.is_empty() {
            let number = u16::from_be_bytes([options[0], options[1]]);
            assert_eq!(number, COOKIE, "{what}: no option but the cookie comes back");
            options = &options[4 + usize::from(options[3])..];
        }
    }
    assert_eq!(code, row.rcode, "{what}: response code");
}

/// The OPT record, which stands last.
fn opt(answer: &[u8]) -> &[u8] {
    let at = (0..answer.len() - 10)
        .rev()
        .find(|&at| {
            let record = &answer[at..];
            record[..3] == [0, 0, 41]
                && usize::from(u16::from_be_bytes([record[9], record[10]])) + 11 == record.len()
        })
        .expect("an OPT record");
    &answer[at..]
}
