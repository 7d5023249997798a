//! Real stores that speak S3: SeaweedFS, moto, and Garage where there is one.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use colophon::config::Config;

use super::agent;
use super::programs::{cache, must_be_marked_unavailable};
use super::upstream::until;

/// A program of `tests/setup.sh s3`; `None`, said loudly, when it could not be had.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let path = cache().join("s3/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    must_be_marked_unavailable("s3");
    None
}

/// A script of it, run by the Python beside it: its first line names the folder in which it was installed, which may have
/// been moved since.
fn script(name: &str) -> Option<Command> {
    let path = peer(name)?;
    let mut command = Command::new(path.with_file_name("python"));
    command.arg(path);
    Some(command)
}

/// Who may do everything.
pub(crate) const KEY: (&str, &str) = ("adminkey", "adminsecret");
/// Who may only read.
pub(crate) const READER: (&str, &str) = ("readkey", "readsecret");
/// Who may write into one bucket, and not delete.
pub(crate) const WRITER: (&str, &str) = ("writekey", "writesecret");
/// The bucket that those two may use.
pub(crate) const BUCKET: &str = "evidence";

/// What SeaweedFS writes its log to.
const LOG: &str = "log";
/// How long SeaweedFS may take for each step of its start.
const PATIENCE: Duration = Duration::from_mins(3);

/// A store; killed when dropped.
pub(crate) struct Store {
    child: Child,
    pub(crate) port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Store {
    fn drop(&mut self) {
        // On SIGTERM SeaweedFS takes half a minute, and nothing of it is kept.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Store {
    /// SeaweedFS, with the bucket `evidence`.
    pub(crate) fn seaweedfs() -> Option<Self> {
        let weed = peer("weed")?;
        // It ends by itself when somebody took one of its eight ports while it started.
        let store = (0..3).find_map(|_| Self::start(&weed).running());
        Some(store.expect("SeaweedFS ends when it is started, three times in a row"))
    }

    fn start(weed: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("s3.json"), identities()).unwrap();
        let base = free_ports();
        let [master, volume, filer, s3] = [0, 1, 2, 3].map(|n| base + n);
        let path = |name: &str| dir.path().join(name).display().to_string();
        let log = fs::File::create(dir.path().join(LOG)).unwrap();
        let child = Command::new(weed)
            .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .arg(format!("-dir={}", path("data")))
            .args([format!("-master.port={master}"), format!("-volume.port={volume}")])
            .args([
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=0",
                "-filer",
            ])
            .arg(format!("-filer.port={filer}"))
            // Its sockets are named by port in the folder for temporary files, unless it is told where.
            .args([
                format!("-filer.localSocket={}", path("f.sock")),
                format!("-s3.localSocket={}", path("s.sock")),
            ])
            .args([
                format!("-s3.port={s3}"),
                format!("-s3.config={}", path("s3.json")),
                "-s3".to_owned(),
            ])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .env("WEED_S3_SSE_KEY", "local-test-passphrase")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, port: s3, dir }
    }

    /// The store when it takes objects; `None` when it has ended.
    fn running(mut self) -> Option<Self> {
        let status = format!("{}/status", self.url());
        let answers = || agent().get(&status).call().is_ok_and(|answer| answer.status() == 200);
        self.wait("answers", |_| answers())?;
        // It answers before its volumes are there.
        let bucket = ["s3api", "create-bucket", "--bucket", BUCKET];
        self.wait("makes a bucket", |store| store.aws(&bucket).status.success())?;
        let put = ["s3api", "put-object", "--bucket", BUCKET, "--key", "warm"];
        self.wait("writes", |store| store.aws(&put).status.success())?;
        Some(self)
    }

    /// Waits until `ready`; `None` when the store ended meanwhile. On two busy processors a start was seen to take a minute.
    fn wait(&mut self, what: &str, ready: impl Fn(&Self) -> bool) -> Option<()> {
        let start = Instant::now();
        while !ready(self) {
            let log = || fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
            if let Some(status) = self.child.try_wait().unwrap() {
                eprintln!("SeaweedFS ended with {status}:\n{}", log());
                return None;
            }
            assert!(start.elapsed() < PATIENCE, "SeaweedFS {what}; its log:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(())
    }

    /// moto's server: no signature is checked, and the clock is the machine's.
    pub(crate) fn moto() -> Option<Self> {
        let mut moto = script("moto_server")?;
        let dir = tempfile::tempdir().unwrap();
        let port = free_ports();
        let child = moto
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let store = Self { child, port, dir };
        until("moto answers", || agent().get(store.url()).call().is_ok());
        assert!(store.aws(&["s3api", "create-bucket", "--bucket", BUCKET]).status.success());
        Some(store)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs the AWS command line as who may do everything.
    pub(crate) fn aws(&self, args: &[&str]) -> Output {
        aws(&self.url(), args)
    }

    /// The same, which must succeed.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let output = self.aws(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aws {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Runs the AWS command line against an endpoint.
pub(crate) fn aws(endpoint: &str, args: &[&str]) -> Output {
    script("aws")
        .expect("it came with the store")
        .args(args)
        .envs(environment(endpoint, KEY))
        .env("HOME", "/nonexistent")
        .output()
        .unwrap()
}

/// What AWS's tools, and colophon, read from their environment.
pub(crate) fn environment(
    endpoint: &str,
    (id, secret): (&str, &str),
) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", id.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

/// Has a server export with a key, whose secret is in a file beside its data.
pub(crate) fn with_key(config: &mut Config, (id, secret): (&str, &str)) {
    let file = config.data.with_file_name("export.secret");
    fs::write(&file, secret).unwrap();
    config.export.access_key = Some(id.to_owned());
    config.export.secret_key = Some(format!("file:{}", file.display()));
}

fn identities() -> String {
    let identity = |name: &str, (id, secret): (&str, &str), actions: &[String]| {
        serde_json::json!({
            "name": name, "credentials": [{"accessKey": id, "secretKey": secret}], "actions": actions,
        })
    };
    let all = ["Admin", "Read", "List", "Tagging", "Write"].map(str::to_owned);
    let read = [format!("Read:{BUCKET}"), format!("List:{BUCKET}")];
    let write = [format!("Read:{BUCKET}"), format!("List:{BUCKET}"), format!("Write:{BUCKET}")];
    serde_json::json!({"identities": [
        {"name": "anonymous", "actions": [format!("List:{BUCKET}")]},
        identity("admin", KEY, &all), identity("reader", READER, &read), identity("writer", WRITER, &write),
    ]})
    .to_string()
}

/// The first of four ports that nobody listens at, nor at those 10,000 above, where SeaweedFS puts gRPC. All are below those
/// that Linux gives to outgoing connections (32768 and up): SeaweedFS takes seconds until it listens, and another test's
/// connection could have such a port by then.
fn free_ports() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 600) as u16;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let turn = GIVEN.fetch_add(1, Ordering::Relaxed);
        let base = 20_000 + (first + turn) % 600 * 4;
        if (0..4).all(|n| free(base + n) && free(base + 10_000 + n)) {
            return base;
        }
    }
}

/// A garage that somebody installed; `None`, said loudly, when there is none.
pub(crate) fn garage() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .map(|dir| dir.join("garage"))
        .find(|path: &PathBuf| Path::exists(path));
    if found.is_none() {
        must_be_marked_unavailable("garage");
    }
    found
}
