//! Approvals: what an editor lets through although a check would hold it back, signed with the editor's own key.
//!
//! Two distinct editors have to approve the same thing. An approval of a name says which list may block it; one of a release
//! names the hash of exactly that list. Both end after a while.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use isigurt_blocklists::name::Name;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::keys::Public;
use super::repository;
use crate::keygen::hex;

const FORMAT: u32 = 1;
/// Distinct editors that an approval needs.
pub(crate) const EDITORS: usize = 2;

/// What is approved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    /// The list may block this name, as the entry writes it.
    Name(Name),
    /// The list may shrink or grow to the one with this BLAKE3.
    Release(String),
}

/// An approval as it stands in its file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    format: u32,
    list: String,
    subject: Subject,
    reason: String,
    /// Until when it holds, seconds since 1970.
    until: i64,
    /// Id of the editor's key.
    editor: String,
    /// Ed25519 over [`Approval::octets`], hexadecimal.
    signature: String,
}

impl Approval {
    /// What is signed: a line each for purpose, list, kind, subject, end and reason.
    fn octets(&self) -> Vec<u8> {
        let (kind, subject) = match &self.subject {
            Subject::Name(name) => ("name", name.to_string()),
            Subject::Release(hash) => ("release", hash.clone()),
        };
        let (list, until, reason) = (&self.list, self.until, &self.reason);
        format!("isigurt approval {FORMAT}\n{list}\n{kind}\n{subject}\n{until}\n{reason}\n").into_bytes()
    }
}

/// All approvals that hold now.
#[derive(Default)]
pub(crate) struct Approvals(HashMap<(String, Subject), BTreeSet<String>>);

impl Approvals {
    /// Reads those of the configured editors; one that is damaged or of a stranger is an error, because somebody put it there
    /// to be counted.
    pub(crate) fn read(config: &Config, now: i64) -> anyhow::Result<Self> {
        let mut approvals = Self::default();
        let Some(folder) = config.checks.approvals.as_ref().filter(|folder| folder.exists()) else {
            return Ok(approvals);
        };
        let editors: Vec<Public> = config
            .checks
            .editors
            .iter()
            .map(|file| Public::read(file))
            .collect::<anyhow::Result<_>>()?;
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let file = entry?.path();
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let approval = read(&file, &editors).with_context(|| file.display().to_string())?;
            if approval.until > now {
                let subject = (approval.list, approval.subject);
                approvals.0.entry(subject).or_default().insert(approval.editor);
            }
        }
        Ok(approvals)
    }

    /// Whether enough editors approve.
    pub(crate) fn hold(&self, list: &str, subject: Subject) -> bool {
        let editors = self.0.get(&(list.to_owned(), subject));
        editors.is_some_and(|editors| editors.len() >= EDITORS)
    }
}

fn read(file: &Path, editors: &[Public]) -> anyhow::Result<Approval> {
    let approval: Approval = serde_json::from_slice(&std::fs::read(file)?)?;
    if approval.format != FORMAT {
        bail!(
            "an approval of form {}, this program reads form {FORMAT}",
            approval.format
        );
    }
    let editor = editors.iter().find(|editor| editor.id == approval.editor);
    let editor =
        editor.context("not of an editor in [checks] editors; remove the file, or add the editor's key")?;
    let signature = data_encoding::HEXLOWER.decode(approval.signature.as_bytes())?;
    let signature = Signature::from_slice(&signature)?;
    editor
        .key
        .verify_strict(&approval.octets(), &signature)
        .ok()
        .context("its signature is wrong; remove the file and approve again")?;
    Ok(approval)
}

/// Signs an approval and writes it into the folder of approvals; gives its file.
pub(crate) fn approve(
    folder: &Path,
    key: &SigningKey,
    list: &str,
    subject: Subject,
    reason: &str,
    until: i64,
) -> anyhow::Result<PathBuf> {
    if reason.trim().is_empty() || reason.chars().any(char::is_control) {
        bail!("an approval has a reason, on one line");
    }
    let editor = Public::of(key.verifying_key()).id;
    let mut approval = Approval {
        format: FORMAT,
        list: list.to_owned(),
        subject,
        reason: reason.to_owned(),
        until,
        editor,
        signature: String::new(),
    };
    let octets = approval.octets();
    approval.signature = hex(&key.sign(&octets).to_bytes());
    let name = blake3::hash(&octets).to_hex();
    let editor = approval.editor.get(..8).unwrap_or_default();
    let file = folder.join(format!("{list}-{}-{editor}.json", &name.as_str()[..16]));
    repository::write(&file, &serde_json::to_vec_pretty(&approval)?)?;
    Ok(file)
}
