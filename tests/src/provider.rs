//! A school's service that signs its staff in (OpenID Connect): a real one (npm `oidc-provider`, with its own login pages), or one that
//! lies in whatever way a test wants. Both are `tests/data/oidc.mjs`.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{system, terminate, wait_for};

/// The service; ends when dropped.
#[derive(Debug)]
pub struct Provider(Child);

impl Provider {
    /// A real one, which sends browsers back to `callback`.
    pub fn real(address: SocketAddr, callback: &str) -> Self {
        Self::start(address, installed().to_str().unwrap(), callback)
    }

    /// One that lies.
    pub fn lying(address: SocketAddr) -> Self {
        Self::start(address, "-", "")
    }

    fn start(address: SocketAddr, folder: &str, callback: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/oidc.mjs");
        let child = Command::new("timeout")
            .arg("300")
            .arg(system("node"))
            .arg(script)
            .args([folder, &address.port().to_string(), callback])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the school's service", || TcpStream::connect(address).is_ok());
        Self(child)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        terminate(&mut self.0);
    }
}

/// Where `oidc-provider` is installed.
fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/oidc");
    let folder = std::env::var_os("ISIGURT_OIDC").map_or(folder, PathBuf::from);
    let found = folder.join("node_modules/oidc-provider").is_dir();
    assert!(
        found,
        "oidc-provider is missing: run cargo xtask test, which installs it"
    );
    folder.canonicalize().unwrap()
}
