//! The repository in object storage: the documented script against a real S3 server, and a gateway that syncs from there.
// A failure here is a failed test, and says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/synced.rs"]
mod synced;

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use isigurt_tests::publisher::{CASINO, Publisher};
use isigurt_tests::{Mirror, free_address, terminate};
use synced::{Synced, eventually, get};

const BUCKET: &str = "lists-isigurt-example";

/// An S3 server (moto) with the documented bucket, and the AWS CLI; both are installed below `target` by `cargo xtask test`.
struct Storage {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../platform/deploy")
        .join(name)
}

/// A program of the environment that has it, or of the system.
fn installed(name: &str) -> PathBuf {
    let below = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/s3/bin")
        .join(name);
    if below.is_file() {
        below
    } else {
        isigurt_tests::system(name)
    }
}

impl Storage {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(installed("moto_server"))
            .args(["-H", &address.ip().to_string(), "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let storage = Self {
            child,
            address,
            folder,
        };
        eventually("the S3 server", || TcpStream::connect(address).is_ok());
        storage.aws(&["s3", "mb", &format!("s3://{BUCKET}")]);
        let policy = std::fs::read_to_string(deploy("s3-policy.json")).unwrap();
        let file = storage.folder.path().join("policy.json");
        std::fs::write(&file, policy.replace("BUCKET", BUCKET)).unwrap();
        storage.aws(&[
            "s3api",
            "put-public-access-block",
            "--bucket",
            BUCKET,
            "--public-access-block-configuration",
            "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=false,RestrictPublicBuckets=false",
        ]);
        let policy = format!("file://{}", file.display());
        storage.aws(&[
            "s3api",
            "put-bucket-policy",
            "--bucket",
            BUCKET,
            "--policy",
            &policy,
        ]);
        storage
    }

    /// A command that reaches this server and no other.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("NO_PROXY", "127.0.0.1");
        command
    }

    fn aws(&self, arguments: &[&str]) {
        run(self.command(&installed("aws")).args(arguments));
    }

    /// The documented script. Before its first call of `aws` comes back, `meanwhile` is run by the shell.
    fn bring(&self, publisher: &Publisher, meanwhile: &str) {
        let bin = self.folder.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let once = bin.join("once");
        std::fs::write(&once, meanwhile).unwrap();
        let aws = format!(
            "#!/bin/sh\n{} \"$@\" || exit 1\nif [ -e {once} ]; then . {once}; rm -f {once}; fi\n",
            installed("aws").display(),
            once = once.display()
        );
        std::fs::write(bin.join("aws"), aws).unwrap();
        std::fs::set_permissions(bin.join("aws"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut script = self.command(&deploy("s3.sh"));
        run(script.arg(publisher.repository()).arg(BUCKET).env("PATH", path));
    }

    /// What anybody is answered who asks for it.
    fn get(&self, path: &str) -> String {
        get(self.address, &format!("/{BUCKET}/{path}"))
    }

    /// Paths that were brought since the server began, in their order.
    fn brought(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        let lines = log.lines().filter_map(|line| {
            let (_, rest) = line.split_once(&format!("\"PUT /{BUCKET}/"))?;
            rest.split_whitespace().next().map(str::to_owned)
        });
        lines.filter(|path| !path.starts_with('?')).collect()
    }

    /// Fetches everything as the documentation says, and has it inspected.
    fn inspected(&self, publisher: &Publisher) -> serde_json::Value {
        let copy = publisher.path("copy");
        let _ = std::fs::remove_dir_all(&copy);
        let copy = copy.display().to_string();
        self.aws(&["s3", "sync", &format!("s3://{BUCKET}"), &copy]);
        let said = publisher.run(&["--json", "inspect", &copy]);
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn the_documented_script_brings_what_gateways_and_caches_need_and_a_release_meanwhile_breaks_nothing() {
    let publisher = Publisher::new(CASINO);
    publisher.put("casino.txt", "one.example\n");
    publisher.publish();
    let storage = Storage::start();
    // While targets are brought a second version comes out, and another one is being written.
    let meanwhile = format!(
        "cd {} && printf 'one.example\\ntwo.example\\n' > casino.txt && {} publish --config publish.toml > /dev/null && touch public/metadata/.9.snapshot.json.new\n",
        publisher.path("").display(),
        isigurt_tests::program("isigurt-platform").display()
    );
    storage.bring(&publisher, &meanwhile);
    assert!(
        publisher.path("public/metadata/2.snapshot.json").exists(),
        "the second version came out meanwhile"
    );
    let brought = storage.brought();
    let last = |part: &str| brought.iter().rposition(|path| path.contains(part)).unwrap();
    let first = |part: &str| brought.iter().position(|path| path.contains(part)).unwrap();
    assert!(last("targets/") < first("metadata/"), "{brought:?}");
    assert!(last("snapshot.json") < first("root.json"), "{brought:?}");
    assert_eq!(last("timestamp.json"), brought.len() - 1, "{brought:?}");
    assert!(!brought.iter().any(|path| path.contains(".new")), "{brought:?}");
    let inspection = storage.inspected(&publisher);
    assert_eq!(inspection["lists"][0]["version"], 1, "{inspection}");
    assert_eq!(
        inspection["problems"].as_array().unwrap().len(),
        0,
        "{inspection}"
    );
    for (path, cache) in [
        ("metadata/timestamp.json", "public, max-age=10, must-revalidate"),
        ("metadata/1.root.json", "public, max-age=60"),
        ("metadata/1.snapshot.json", "public, max-age=31536000, immutable"),
    ] {
        let answer = storage.get(path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(
            answer
                .to_lowercase()
                .contains(&format!("cache-control: {cache}\r\n")),
            "{path}: {answer}"
        );
    }
    let missing = storage.get("metadata/2.root.json");
    assert!(
        ["403", "404"]
            .iter()
            .any(|status| missing.starts_with(&format!("HTTP/1.1 {status}"))),
        "{missing}"
    );
    // A gateway that knows this address and the first root alone; then the second version.
    let root = std::fs::read_to_string(publisher.root()).unwrap();
    let platform = format!(
        "[platform]\nurl = \"http://{}/{BUCKET}/\"\nroot = \"{{dir}}/root.json\"\npoll = \"1s\"\n",
        storage.address
    );
    let nothing = tempfile::tempdir().unwrap();
    let synced = Synced::start(Mirror::of(nothing.path()), &platform, "", &[("root.json", &root)]);
    synced.blocks("one.example");
    assert!(synced.opens_now("two.example"));
    storage.bring(&publisher, "");
    synced.blocks("two.example");
    assert_eq!(storage.inspected(&publisher)["lists"][0]["version"], 2);
}
