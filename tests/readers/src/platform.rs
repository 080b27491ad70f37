//! What gateways and the national platform say to each other. Whatever is damaged on the way is not believed, and does not open.

use std::sync::LazyLock;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::SigningKey;
use isigurt_wire::confirm::{Confirmation, Question};
use isigurt_wire::decision::{Act, Decision, FORMAT, Sealed};
use isigurt_wire::release::{Publisher, Service};
use isigurt_wire::report::{self, BLOCK, Envelope, Id, Kind, Report};
use isigurt_wire::seal::{self, PrivateKey, PublicKey, REPORT};
use isigurtd::{report as reporting, sync};

use crate::{Reader, damaged, texts};

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "confirmation",
        read: confirmation,
        examples: || vec![CONFIRMATION.1.clone()],
    },
    Reader {
        name: "decision",
        read: decision,
        examples: || vec![DECISION.1.clone(), DECISION.2.clone()],
    },
    Reader {
        name: "envelope",
        read: envelope,
        examples: || vec![ENVELOPE.0.clone(), ENVELOPE.1.clone()],
    },
    Reader {
        name: "sealed",
        read: sealed,
        examples: || {
            vec![
                SEALED.clone(),
                HEXLOWER.encode(&[9; 32]).into_bytes(),
                vec![b'0'; 64],
            ]
        },
    },
    Reader {
        name: "release_role",
        read: release_role,
        examples: || texts(&[ROLE]),
    },
    Reader {
        name: "service",
        read: service,
        examples: || {
            let key = HEXLOWER.encode(&[9; 32]);
            let text = format!(
                "{{\"format\":1,\"report_keys\":[{{\"id\":\"a\",\"suite\":\"{}\",\"public\":\"{key}\"}}],\"intake\":\"https://x.example/\",\"confirm_keys\":[\"{key}\"]}}",
                seal::SUITE
            );
            vec![text.into_bytes()]
        },
    },
    Reader {
        name: "platform_answer",
        read: platform_answer,
        examples: || {
            texts(&[
                r#"{"receipt":"AAAA-BBBB-CCCC-DDDD","state":"under-review","since":1795000000}"#,
                "Thu, 26 Nov 2026 12:00:00 GMT",
                "120",
            ])
        },
    },
];

/// Made anew from its purpose, so that the same octets do the same in each run.
fn signing(purpose: &str) -> SigningKey {
    SigningKey::from_bytes(&blake3::derive_key("isigurt readers", purpose.as_bytes()))
}

fn public(key: &SigningKey) -> String {
    HEXLOWER.encode(key.verifying_key().as_bytes())
}

static OPENING: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::from_octets(blake3::derive_key("isigurt readers", b"opening")));

fn to() -> PublicKey {
    OPENING.public().expect("a key")
}

static CONFIRMATION: LazyLock<(Confirmation, Vec<u8>)> = LazyLock::new(|| {
    let hashes = vec![
        format!("0102ff{}", "00".repeat(13)),
        format!("=0102ff{}", "11".repeat(13)),
    ];
    let answer = Confirmation::signed(&question(), hashes, 100, &signing("confirm"));
    let json = serde_json::to_vec(&answer).expect("JSON");
    (answer, json)
});

fn question() -> Question {
    Question {
        list: "abuse".to_owned(),
        version: 7,
        prefix: "0102ff".to_owned(),
    }
}

/// Only what was signed is believed.
fn confirmation(octets: &[u8]) {
    let keys = [public(&signing("confirm"))];
    for json in [octets.to_vec(), damaged(CONFIRMATION.1.clone(), octets)] {
        let Ok(answer) = serde_json::from_slice::<Confirmation>(&json) else {
            continue;
        };
        let _ = answer.holds(&[1; 16], true);
        if answer.verify(&question(), &keys, 99).is_ok() {
            assert_eq!(answer.octets(), CONFIRMATION.0.octets());
        }
    }
}

/// A decision with one vote, sealed and in clear.
static DECISION: LazyLock<(Decision, Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let mut decision = Decision {
        format: FORMAT,
        act: Act::Block,
        name: "bad.test".to_owned(),
        subdomains: true,
        list: "abuse".to_owned(),
        decided: 1_764_000_000,
        votes: Vec::new(),
    };
    decision
        .votes
        .push(decision.vote(decision.decided, &signing("analyst")));
    let sealed = decision.seal(Id([1; 16]), &to()).expect("sealed");
    let (line, clear) = (serde_json::to_vec(&sealed), serde_json::to_vec(&decision));
    (decision, line.expect("JSON"), clear.expect("JSON"))
});

/// What opens is what was sealed; a voter has voted for this very decision.
fn decision(octets: &[u8]) {
    for line in [octets.to_vec(), damaged(DECISION.1.clone(), octets)] {
        let sealed = Sealed::parse(&String::from_utf8_lossy(&line));
        if let Ok(opened) = sealed.and_then(|sealed| sealed.open(&OPENING)) {
            assert_eq!(opened, DECISION.0);
        }
    }
    let analyst = public(&signing("analyst"));
    for json in [octets.to_vec(), damaged(DECISION.2.clone(), octets)] {
        let Ok(decision) = serde_json::from_slice::<Decision>(&json) else {
            continue;
        };
        if !decision.voters([analyst.as_str()]).is_empty() {
            assert_eq!(decision.octets(0), DECISION.0.octets(0));
        }
    }
}

/// A report: its envelope, and what is in it.
static ENVELOPE: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let report = Report {
        format: report::FORMAT,
        kind: Kind::WronglyBlocked,
        name: "good.test".into(),
        note: Some("x".into()),
        contact: None,
        language: "sq".to_owned(),
        blocked_by: Some("adult".to_owned()),
    };
    let plain = serde_json::to_vec(&report).expect("JSON");
    let id = Id([2; 16]);
    let sealed = seal::seal(&to(), REPORT, &id.0, &plain, BLOCK).expect("sealed");
    let envelope = Envelope {
        format: report::FORMAT,
        id,
        key: to().id(),
        sealed: BASE64URL_NOPAD.encode(&sealed),
    };
    (serde_json::to_vec(&envelope).expect("JSON"), plain)
});

/// What opens is the report that was sealed; both forms are written as they are read.
fn envelope(octets: &[u8]) {
    for json in [octets.to_vec(), damaged(ENVELOPE.0.clone(), octets)] {
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&json) else {
            continue;
        };
        assert_eq!(envelope.id.receipt().len(), 19);
        assert_eq!(Id::try_from(envelope.id.to_string()), Ok(envelope.id));
        let Ok(sealed) = BASE64URL_NOPAD.decode(envelope.sealed.as_bytes()) else {
            continue;
        };
        if let Ok(plain) = seal::open(&OPENING, REPORT, &envelope.id.0, &sealed) {
            assert_eq!(*plain, ENVELOPE.1);
        }
    }
    if let Ok(report) = serde_json::from_slice::<Report>(octets) {
        let written = serde_json::to_vec(&report).expect("JSON");
        assert_eq!(serde_json::from_slice::<Report>(&written).ok(), Some(report));
    }
}

static SEALED: LazyLock<Vec<u8>> =
    LazyLock::new(|| seal::seal(&to(), REPORT, b"id", b"{}", 16).expect("sealed"));

/// Nothing opens but what was sealed, and no octets for a key do harm.
fn sealed(octets: &[u8]) {
    assert!(seal::open(&OPENING, REPORT, b"id", octets).is_err() || octets == *SEALED);
    let bent = damaged(SEALED.clone(), octets);
    if seal::open(&OPENING, REPORT, b"id", &bent).is_ok() {
        assert_eq!(bent, *SEALED);
    }
    if let Ok(key) = PublicKey::from_hex(&String::from_utf8_lossy(octets)) {
        assert_eq!(PublicKey::from_hex(&key.to_hex()), Ok(key.clone()));
        let _ = seal::seal(&key, REPORT, b"id", b"{}", 16);
    }
    if let Some(key) = octets.first_chunk::<32>() {
        let _ = PrivateKey::from_octets(*key).public();
    }
}

const ROLE: &str = r#"{"_type":"targets","spec_version":"1.0.0","version":3,"expires":"2030-01-01T00:00:00Z","targets":{
"mandatory/abuse/7.list.zst":{"length":10,"hashes":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"},
"custom":{"isigurt":{"format":1,"publisher":"mandatory","list":"abuse","version":7,"tier":"prefix","entries":1,"octets":5,"unpacked":5,"blake3":"00"}}},
"mandatory/abuse/6-7.delta.zst":{"length":10,"hashes":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"},
"custom":{"isigurt":{"format":1,"publisher":"mandatory","list":"abuse","version":7,"from":6,"entries":1,"octets":5,"unpacked":5,"blake3":"00"}}}}}"#;

/// A release says what its name says, and names its category.
fn release_role(octets: &[u8]) {
    for publisher in Publisher::ALL {
        let Some(Ok(released)) = sync::outside::role(publisher, octets) else {
            continue;
        };
        for (name, target) in released {
            assert_eq!(name, target.name());
            assert_eq!(target.publisher, publisher);
            assert!(publisher == Publisher::Mandatory || target.category.is_some());
            assert!(!target.list.contains(['/', '.', '%']), "{}", target.list);
        }
    }
}

fn service(octets: &[u8]) {
    let Ok(service) = serde_json::from_slice::<Service>(octets) else {
        return;
    };
    let written = serde_json::to_vec(&service).expect("JSON");
    assert_eq!(
        serde_json::from_slice::<Service>(&written).ok().as_ref(),
        Some(&service)
    );
    for key in &service.report_keys {
        if let Ok(key) = PublicKey::from_hex(&key.public) {
            assert_eq!(key.id().len(), 16);
        }
    }
}

/// Waits are not in the past, and an answer is about the report that was asked for.
fn platform_answer(octets: &[u8]) {
    let receipt = "AAAA-BBBB-CCCC-DDDD";
    if let Some(progress) = reporting::outside::progress(octets, receipt) {
        assert_eq!(progress.receipt, receipt);
    }
    let wait = reporting::outside::retry_after(&String::from_utf8_lossy(octets));
    assert!(wait.is_none_or(|seconds| seconds >= 0), "{wait:?}");
}
