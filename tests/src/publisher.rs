//! The national platform's publisher for a test: all keys, a configuration and sources in a folder of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::terminate;

/// One list of names, read from `casino.txt`.
pub const CASINO: &str = r#"
[[list]]
id = "casino"
publisher = "categories"
category = "gambling"
[[list.source]]
path = "casino.txt"
format = "domains"
"#;

/// A publisher's machine. Keys of two editors are beside those of the roles.
#[derive(Debug)]
pub struct Publisher {
    folder: TempDir,
}

/// Every key that is made.
const KEYS: &str = "root,targets,mandatory,categories,snapshot,timestamp,confirm,report,decision,\
                    editor-ana,editor-ben";

impl Publisher {
    /// Makes the keys and the first root; `lists` are the `[[list]]` tables, whose sources are files of
    /// the folder, with `[decisions]` before them where they are needed.
    pub fn new(lists: &str) -> Self {
        let publisher = Self::with_keys();
        publisher.configure(lists);
        publisher.init();
        publisher
    }

    /// The keys alone.
    pub fn with_keys() -> Self {
        let publisher = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        publisher.run(&["keygen", "--out", "keys", "--roles", KEYS]);
        publisher
    }

    /// Makes the first root.
    pub fn init(&self) {
        self.run(&["init", "--config", "publish.toml"]);
    }

    /// Publishes by itself whatever changes, until what is given back is dropped.
    pub fn watch(&self) -> Watching {
        let child = command(
            self.folder.path(),
            &["publish", "--config", "publish.toml", "--watch", "--every", "1s"],
        )
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
        Watching(child)
    }

    /// Writes the configuration anew.
    pub fn configure(&self, lists: &str) {
        let mut text = "repository = \"public\"\nstate = \"state\"\nkeys = [\"keys\"]\n[roles]\n".to_owned();
        for (role, expires) in [
            ("root", "365d"),
            ("targets", "180d"),
            ("mandatory", "14d"),
            ("categories", "14d"),
            ("snapshot", "7d"),
            ("timestamp", "1d"),
        ] {
            let _ = writeln!(
                text,
                "{role} = {{ keys = [\"keys/{role}.pub\"], expires = \"{expires}\" }}"
            );
        }
        text += "[service]\nreport_keys = [\"keys/report.pub\"]\nconfirm_keys = [\"keys/confirm.pub\"]\n\
                 [checks]\neditors = [\"keys/editor-ana.pub\", \"keys/editor-ben.pub\"]\napprovals = \"approvals\"\n";
        self.put("publish.toml", &(text + lists));
    }

    /// A file or folder of the publisher's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that a web server serves.
    pub fn repository(&self) -> PathBuf {
        self.path("public")
    }

    /// The first root, which gateways ship.
    pub fn root(&self) -> PathBuf {
        self.path("public/metadata/1.root.json")
    }

    /// Writes a file of the publisher's.
    pub fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Publishes what changed; gives the report.
    pub fn publish(&self) -> serde_json::Value {
        let said = self.run(&["--json", "publish", "--config", "publish.toml"]);
        serde_json::from_str(&said).unwrap()
    }

    /// Runs the program in the folder; gives what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    /// Runs the program in the folder, however it ends.
    pub fn output(&self, arguments: &[&str]) -> Output {
        command(self.folder.path(), arguments).output().unwrap()
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::program("isigurt-platform"));
    command.args(arguments).current_dir(folder);
    command
}

/// A publisher that watches its sources.
#[derive(Debug)]
pub struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        terminate(&mut self.0);
    }
}
