//! A platform's repository, made by hand: each file can be signed by whom a test likes, with what version and for how long.
//!
//! The platform's own program refuses to make most of what stands here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use isigurt_blocklists::delta;
use isigurt_wire::release::{CUSTOM, FORMAT, Publisher, ReportKey, SERVICE, Service, Target, Tier};
use isigurt_wire::seal::{PrivateKey, SUITE};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Says who the others are.
    Root,
    /// Says who publishes lists.
    Targets,
    /// Says which versions belong together.
    Snapshot,
    /// Says that this is the newest.
    Timestamp,
    /// The authority.
    Mandatory,
    /// The editors.
    Categories,
}

impl Role {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Root,
        Self::Targets,
        Self::Snapshot,
        Self::Timestamp,
        Self::Mandatory,
        Self::Categories,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
            Self::Mandatory => "mandatory",
            Self::Categories => "categories",
        }
    }
}

/// A version of a list: its number and its text.
type Version = (u64, Vec<u8>);

/// The repository: change what is to be served, then [`Repository::publish`].
pub struct Repository {
    folder: TempDir,
    /// Keys of each role; all of them sign.
    pub keys: BTreeMap<Role, Vec<SigningKey>>,
    /// Who signs in the place of a role's own keys.
    pub signers: BTreeMap<Role, Vec<SigningKey>>,
    /// How many of a role's keys have to sign.
    pub thresholds: BTreeMap<Role, usize>,
    /// Versions of the metadata; those of all but the root grow with each [`Repository::publish`].
    pub versions: BTreeMap<Role, u64>,
    /// How long signatures are good; nothing = not at all.
    pub good_for: BTreeMap<Role, Duration>,
    /// Delegated roles that the snapshot says nothing of.
    pub unnamed: Vec<Role>,
    /// The platform's services.
    pub service: Option<Service>,
    targets: BTreeMap<Role, BTreeMap<String, Value>>,
    lists: BTreeMap<(Role, String), Vec<Version>>,
}

/// A new key.
pub fn key() -> SigningKey {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    SigningKey::from_bytes(&seed)
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

impl Repository {
    /// An empty one with a key a role, two for the root, and its first root.
    pub fn new() -> Self {
        let keys = Role::ALL.map(|role| {
            let count = if role == Role::Root { 2 } else { 1 };
            (role, (0..count).map(|_| key()).collect())
        });
        let mut repository = Self {
            folder: tempfile::tempdir().unwrap(),
            keys: keys.into(),
            signers: BTreeMap::new(),
            thresholds: Role::ALL
                .map(|role| (role, if role == Role::Root { 2 } else { 1 }))
                .into(),
            versions: Role::ALL.map(|role| (role, 0)).into(),
            good_for: Role::ALL
                .map(|role| (role, Duration::from_secs(30 * 86_400)))
                .into(),
            unnamed: Vec::new(),
            service: None,
            targets: BTreeMap::new(),
            lists: BTreeMap::new(),
        };
        repository.new_root(&[]);
        repository
    }

    /// Tells of a platform that takes reports at `intake`, sealed to a new key whose other half nobody has.
    pub fn take_reports(&mut self, intake: Option<String>) {
        let public = PrivateKey::generate().unwrap().public().unwrap();
        self.service = Some(Service {
            format: FORMAT,
            report_keys: vec![ReportKey {
                id: public.id(),
                suite: SUITE.to_owned(),
                public: public.to_hex(),
            }],
            intake,
            confirm: None,
            confirm_keys: Vec::new(),
            software: None,
        });
    }

    /// The folder to serve.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of everything that is served now.
    pub fn frozen(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(self.path().join("."))
            .arg(copy.path())
            .status();
        assert!(copied.unwrap().success());
        copy
    }

    /// The text of a root.
    pub fn root(&self, version: u64) -> String {
        std::fs::read_to_string(self.metadata(&format!("{version}.root.json"))).unwrap()
    }

    fn metadata(&self, name: &str) -> PathBuf {
        self.path().join("metadata").join(name)
    }

    /// Writes the next root, signed with the root's keys as they are now and with `older` ones.
    pub fn new_root(&mut self, older: &[SigningKey]) {
        *self.versions.get_mut(&Role::Root).unwrap() += 1;
        let mut keys = serde_json::Map::new();
        let mut roles = serde_json::Map::new();
        for role in [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp] {
            let ids: Vec<String> = self.keys[&role].iter().map(key_id).collect();
            for key in &self.keys[&role] {
                keys.insert(key_id(key), key_object(key));
            }
            roles.insert(
                role.name().to_owned(),
                json!({ "keyids": ids, "threshold": self.thresholds[&role] }),
            );
        }
        let body = json!({ "consistent_snapshot": true, "keys": keys, "roles": roles });
        let mut signers = self.keys[&Role::Root].clone();
        signers.extend_from_slice(older);
        let text = self.signed(Role::Root, "root", body, &signers);
        let version = self.versions[&Role::Root];
        write(&self.metadata(&format!("{version}.root.json")), &text);
    }

    /// Signs `body` as metadata of a role, in its present version.
    fn signed(&self, role: Role, kind: &str, mut body: Value, signers: &[SigningKey]) -> Vec<u8> {
        let signers = self.signers.get(&role).map_or(signers, Vec::as_slice);
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::try_from(self.good_for[&role]).unwrap();
        let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let object = body.as_object_mut().unwrap();
        object.insert("_type".to_owned(), kind.into());
        object.insert("spec_version".to_owned(), "1.0.0".into());
        object.insert("version".to_owned(), self.versions[&role].into());
        object.insert("expires".to_owned(), expires.into());
        let octets = canonical(&body);
        let signatures: Vec<Value> = signers
            .iter()
            .map(|key| json!({ "keyid": key_id(key), "sig": hex(&key.sign(octets.as_bytes()).to_bytes()) }))
            .collect();
        canonical(&json!({ "signed": body, "signatures": signatures })).into_bytes()
    }

    /// The next version of a list: as a full list, and as a delta from each version before it.
    pub fn list(&mut self, role: Role, list: &str, category: Option<&str>, tier: Tier, text: &str) -> u64 {
        let before = self.lists.entry((role, list.to_owned())).or_default();
        let version = before.last().map_or(1, |(version, _)| version + 1);
        before.push((version, text.as_bytes().to_vec()));
        let older = before.clone();
        let about = |from: Option<u64>, unpacked: usize| Target {
            from,
            category: category.map(str::to_owned),
            tier,
            unpacked: unpacked as u64,
            ..about(role, list, version, text)
        };
        self.put(role, &about(None, text.len()), text.as_bytes());
        for (from, old) in older.iter().rev().skip(1) {
            let mut octets = Vec::new();
            delta::diff(old.as_slice(), text.as_bytes(), &mut octets).unwrap();
            self.put(role, &about(Some(*from), octets.len()), &octets);
        }
        version
    }

    /// Puts a target of a list in, packed; whatever `about` says of it.
    pub fn put(&mut self, role: Role, about: &Target, octets: &[u8]) {
        let packed = zstd::encode_all(octets, 3).unwrap();
        self.put_packed(role, about, &packed);
    }

    /// The same as it is to be sent.
    pub fn put_packed(&mut self, role: Role, about: &Target, packed: &[u8]) {
        let custom = json!({ CUSTOM: about });
        self.target(role, &about.name(), packed, Some(custom));
    }

    /// Takes a target away.
    pub fn remove(&mut self, role: Role, name: &str) {
        self.targets.get_mut(&role).unwrap().remove(name);
    }

    /// The file of a target.
    pub fn file(&self, role: Role, name: &str) -> PathBuf {
        let sum = self.targets[&role][name]["hashes"]["sha256"].as_str().unwrap();
        self.path().join(format!("targets/{sum}.{name}"))
    }

    fn target(&mut self, role: Role, name: &str, octets: &[u8], custom: Option<Value>) {
        let sum = hex(&Sha256::digest(octets));
        let mut target = json!({ "length": octets.len(), "hashes": { "sha256": sum } });
        if let Some(custom) = custom {
            target["custom"] = custom;
        }
        self.targets
            .entry(role)
            .or_default()
            .insert(name.to_owned(), target);
        write(&self.path().join(format!("targets/{sum}.{name}")), octets);
    }

    /// Signs everything anew: versions of all but the root grow by one.
    pub fn publish(&mut self) {
        for role in Role::ALL.into_iter().skip(1) {
            *self.versions.get_mut(&role).unwrap() += 1;
        }
        self.sign();
    }

    /// Writes everything in its present version.
    pub fn sign(&mut self) {
        if let Some(service) = &self.service {
            let octets = serde_json::to_vec(service).unwrap();
            self.target(Role::Targets, SERVICE, &octets, None);
        }
        let mut meta = serde_json::Map::new();
        let mut delegated = Vec::new();
        let mut keys = serde_json::Map::new();
        for role in [Role::Mandatory, Role::Categories] {
            let targets = self.targets.get(&role).cloned().unwrap_or_default();
            let text = self.signed(role, "targets", json!({ "targets": targets }), &self.keys[&role]);
            let version = self.versions[&role];
            write(&self.metadata(&format!("{version}.{}.json", role.name())), &text);
            if !self.unnamed.contains(&role) {
                meta.insert(format!("{}.json", role.name()), file(version, &text));
            }
            let ids: Vec<String> = self.keys[&role].iter().map(key_id).collect();
            for key in &self.keys[&role] {
                keys.insert(key_id(key), key_object(key));
            }
            delegated.push(json!({
                "name": role.name(), "keyids": ids, "threshold": self.thresholds[&role],
                "terminating": false, "paths": [format!("{}/*", role.name())],
            }));
        }
        let own = self.targets.get(&Role::Targets).cloned().unwrap_or_default();
        let body = json!({ "targets": own, "delegations": { "keys": keys, "roles": delegated } });
        let text = self.signed(Role::Targets, "targets", body, &self.keys[&Role::Targets]);
        let version = self.versions[&Role::Targets];
        write(&self.metadata(&format!("{version}.targets.json")), &text);
        meta.insert("targets.json".to_owned(), file(version, &text));
        let text = self.signed(
            Role::Snapshot,
            "snapshot",
            json!({ "meta": meta }),
            &self.keys[&Role::Snapshot],
        );
        let version = self.versions[&Role::Snapshot];
        write(&self.metadata(&format!("{version}.snapshot.json")), &text);
        let body = json!({ "meta": { "snapshot.json": file(version, &text) } });
        let text = self.signed(Role::Timestamp, "timestamp", body, &self.keys[&Role::Timestamp]);
        write(&self.metadata("timestamp.json"), &text);
    }
}

/// What is signed about a whole list in clear, without a category.
pub fn about(role: Role, list: &str, version: u64, text: &str) -> Target {
    Target {
        format: FORMAT,
        publisher: match role {
            Role::Mandatory => Publisher::Mandatory,
            _ => Publisher::Categories,
        },
        list: list.to_owned(),
        version,
        from: None,
        category: None,
        tier: Tier::Clear,
        entries: text.lines().filter(|line| !line.starts_with('#')).count() as u64,
        octets: text.len() as u64,
        unpacked: text.len() as u64,
        blake3: blake3::hash(text.as_bytes()).to_hex().to_string(),
    }
}

fn file(version: u64, text: &[u8]) -> Value {
    json!({ "version": version, "length": text.len(), "hashes": { "sha256": hex(&Sha256::digest(text)) } })
}

fn key_object(key: &SigningKey) -> Value {
    let public = hex(key.verifying_key().as_bytes());
    json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } })
}

fn key_id(key: &SigningKey) -> String {
    hex(&Sha256::digest(canonical(&key_object(key))))
}

fn hex(octets: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(octets)
}

/// Canonical JSON of what has no unusual characters in it: keys sorted, no white space.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            let pairs: Vec<String> = keys
                .into_iter()
                .map(|key| format!("\"{key}\":{}", canonical(&object[key])))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(array) => {
            let items: Vec<String> = array.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// Writes a file, renamed into place so that nobody reads half of it.
fn write(file: &Path, octets: &[u8]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let next = file.with_extension("next");
    std::fs::write(&next, octets).unwrap();
    std::fs::rename(&next, file).unwrap();
}
