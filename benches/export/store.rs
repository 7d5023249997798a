//! A SeaweedFS of our own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Who may do everything.
pub(crate) const KEY: (&str, &str) = ("adminkey", "adminsecret");
/// Where everything goes.
pub(crate) const BUCKET: &str = "bench";
/// How long it may take to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// A store; killed when dropped, and what is in it deleted.
pub(crate) struct Store {
    child: Child,
    pub(crate) port: u16,
    dir: PathBuf,
}

impl Drop for Store {
    fn drop(&mut self) {
        // On SIGTERM it takes half a minute.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Store {
    /// Starts it with an empty bucket, on the same disk as everything else.
    pub(crate) fn start(weed: &Path, below: &Path) -> anyhow::Result<Self> {
        let dir = below.join("seaweedfs");
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(dir.join("data"))?;
        let all = ["Admin", "Read", "List", "Tagging", "Write"];
        let identities = serde_json::json!({"identities": [
            {"name": "anonymous", "actions": ["Admin"]},
            {"name": "admin", "credentials": [{"accessKey": KEY.0, "secretKey": KEY.1}], "actions": all},
        ]});
        fs::write(dir.join("s3.json"), identities.to_string())?;
        let base = free_ports();
        let path = |name: &str| dir.join(name).display().to_string();
        // Paths of sockets are short (unix(7)).
        let socket = |name: &str| {
            std::env::temp_dir().join(format!("colophon-bench-{base}-{name}")).display().to_string()
        };
        let child = Command::new(weed)
            .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .arg(format!("-dir={}", path("data")))
            .args([format!("-master.port={base}"), format!("-volume.port={}", base + 1)])
            .args(["-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=0"])
            .args(["-filer".to_owned(), format!("-filer.port={}", base + 2)])
            .args([
                format!("-filer.localSocket={}", socket("f")),
                format!("-s3.localSocket={}", socket("s")),
            ])
            .args(["-s3".to_owned(), format!("-s3.port={}", base + 3)])
            .args([format!("-s3.config={}", path("s3.json"))])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("log"))?)
            .spawn()
            .with_context(|| format!("`{}`: run tests/setup.sh s3", weed.display()))?;
        let store = Self { child, port: base + 3, dir };
        store.wait()?;
        Ok(store)
    }

    /// It answers before it has volumes: until the bucket is there and takes an object.
    fn wait(&self) -> anyhow::Result<()> {
        let bucket = format!("http://127.0.0.1:{}/{BUCKET}", self.port);
        let start = Instant::now();
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(true).build().into();
        while agent.put(&bucket).send_empty().is_err()
            || agent.put(format!("{bucket}/warm")).send("x").is_err()
        {
            ensure!(start.elapsed() < PATIENCE, "SeaweedFS does not start: see its log");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// The first of four ports that nobody listens at, nor at those 10,000 above, where it puts gRPC; all below those that Linux
/// gives to outgoing connections.
fn free_ports() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut base = 21_000;
    while !(0..4).all(|n| free(base + n) && free(base + 10_000 + n)) {
        base += 4;
    }
    base
}
