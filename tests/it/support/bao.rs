//! A real OpenBao.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use colophon::config::{SecretsConfig, VaultConfig};
use serde_json::{Value, json};

use super::programs::{cache, must_be_marked_unavailable};
use super::upstream::free_port;
use super::{agent, read};

pub(crate) const ROOT_TOKEN: &str = "root-token-of-the-test";

/// A program that `tests/setup.sh secrets` fetched.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let path = cache().join("secrets").join(name);
    if path.exists() {
        return Some(path);
    }
    must_be_marked_unavailable("secrets");
    None
}

/// A running OpenBao with its secrets in memory; killed when dropped.
pub(crate) struct Bao {
    child: Child,
    pub(crate) url: String,
}

impl Bao {
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        let bao = peer("bao")?;
        let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let child = Command::new(bao)
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
            .arg(format!("-dev-listen-address={free}"))
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut this = Self { child, url: format!("http://{free}") };
        let health = format!("{}/v1/sys/health", this.url);
        while !agent().get(&health).call().is_ok_and(|answer| answer.status() == 200) {
            assert!(this.child.try_wait().unwrap().is_none(), "OpenBao does not start");
        }
        Some(this)
    }

    /// Posts to its API as its root, in a namespace when one is named.
    pub(crate) fn post(&self, path: &str, namespace: &str, body: &Value) -> Value {
        let mut request =
            agent().post(format!("{}/v1/{path}", self.url)).header("x-vault-token", ROOT_TOKEN);
        if !namespace.is_empty() {
            request = request.header("x-vault-namespace", namespace);
        }
        let answer = read(request.send(body.to_string()).unwrap());
        let said = String::from_utf8_lossy(&answer.bytes);
        assert!((200..300).contains(&answer.status), "{path}: {said}");
        serde_json::from_str(&said).unwrap_or_default()
    }

    pub(crate) fn write(&self, path: &str, data: &Value) {
        self.post(&format!("secret/data/{path}"), "", &json!({"data": data}));
    }

    pub(crate) fn config(&self, token: &Path, namespace: Option<&str>) -> SecretsConfig {
        let vault = VaultConfig {
            address: Some(self.url.clone()),
            token: Some(format!("file:{}", token.display())),
            namespace: namespace.map(str::to_owned),
            ..VaultConfig::default()
        };
        SecretsConfig { vault, ..SecretsConfig::default() }
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
