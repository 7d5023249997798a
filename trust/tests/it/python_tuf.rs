//! Stock python-tuf as the judge of what the server signs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use colophon_model::{TenantUid, UnixMillis};
use colophon_trust::{
    Generations, Listing, Published, RootRequest, Seed, TargetFile, TargetName, TenantKeys,
    Versions, initial_root, next_root, publish, sign_all,
};

use crate::forge::{bundle, version};

/// Pins the root it is given, refreshes, and downloads one target; prints the version of the
/// timestamp that it ended up with.
const UPDATE: &str = r#"
import sys
from tuf.ngclient import Updater
root, url, state, out, name = sys.argv[1:]
updater = Updater(
    metadata_dir=state, metadata_base_url=url + "/tuf/",
    target_dir=out, target_base_url=url + "/targets/",
    bootstrap=open(root, "rb").read(),
)
updater.refresh()
info = updater.get_targetinfo(name)
assert info is not None, "no such target"
updater.download_target(info)
facts = info.unrecognized_fields["custom"]["colophon"]
print(updater._trusted_set.timestamp.version, facts["seq"])
"#;

/// The interpreter with python-tuf: `COLOPHON_TEST_PYTHON`, else the one that `make test-setup`
/// made.
fn python() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/venv/bin/python");
    let python = std::env::var_os("COLOPHON_TEST_PYTHON").map_or(default, PathBuf::from);
    assert!(
        python.exists(),
        "no Python with the `tuf` package at `{}`: run `make test-setup`",
        python.display()
    );
    python
}

/// Files by path below the server's root; answers until the test process ends.
fn serve(files: BTreeMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let files = Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let files = Arc::clone(&files);
            std::thread::spawn(move || answer(&stream.unwrap(), &files));
        }
    });
    url
}

fn answer(stream: &TcpStream, files: &BTreeMap<String, Vec<u8>>) {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let request = lines.next().unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    // The headers end at the empty line; none of them matters here.
    lines.find(String::is_empty);
    let (status, body) = match files.get(&path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &b""[..]),
    };
    let mut stream = stream;
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
        .and_then(|()| stream.write_all(body))
        .unwrap_or_default();
}

/// Real time, since python-tuf compares expiry dates with the machine's clock.
#[expect(clippy::disallowed_methods, reason = "the peer reads the machine's clock")]
fn now() -> UnixMillis {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis::new(u64::try_from(now.as_millis()).unwrap())
}

/// A machine where python-tuf runs, with the root that it pinned.
struct Client {
    dir: tempfile::TempDir,
    target: TargetName,
}

impl Client {
    fn pin(root: &[u8], target: TargetName) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["state", "out"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("pinned.json"), root).unwrap();
        Self { dir, target }
    }

    /// Updates from a server with these files: the versions of timestamp and bundle, or what python-tuf
    /// has against them.
    fn update(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<String, String> {
        let path = |name: &str| self.dir.path().join(name);
        let output = Command::new(python())
            .args(["-c", UPDATE])
            .arg(path("pinned.json"))
            .arg(serve(files.clone()))
            .args([path("state"), path("out")])
            .arg(self.target.to_string())
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn downloaded(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("out").join(self.target.to_string())).unwrap()
    }
}

fn keys(generations: Generations) -> TenantKeys {
    TenantKeys::derive_at(&Seed::new([7; 32]), TenantUid::from_bytes([9; 16]), generations)
}

/// The one bundle of the repository in its version `n`.
fn only(n: u64, zip: &[u8]) -> BTreeMap<TargetName, TargetFile> {
    let file = bundle("acme-inc", "order_intake", n, zip);
    BTreeMap::from([(file.custom.target_name(), file)])
}

fn put(files: &mut BTreeMap<String, Vec<u8>>, published: Published) {
    files.extend(published.files.into_iter().map(|(name, bytes)| (format!("/tuf/{name}"), bytes)));
}

fn put_zip(
    files: &mut BTreeMap<String, Vec<u8>>,
    targets: &BTreeMap<TargetName, TargetFile>,
    zip: &[u8],
) {
    for (name, file) in targets {
        files.insert(format!("/targets/{}", name.file_name(&file.sha256)), zip.to_vec());
    }
}

#[test]
fn stock_python_tuf_updates_from_our_repository() {
    let keys = keys(Generations::default());
    let root = initial_root(&keys, &"acme-inc".parse().unwrap(), now());
    let (name, _) = only(1, b"").pop_first().unwrap();
    let (client, mut files) = (Client::pin(&root, name), BTreeMap::new());
    for (n, zip) in [(1, b"first zip"), (2, b"other zip")] {
        let targets = only(n, zip);
        put_zip(&mut files, &targets, zip);
        put(&mut files, publish(&keys, version(n), &targets, now()).unwrap());
        assert_eq!(client.update(&files).unwrap(), format!("{n} {n}"));
        assert_eq!(client.downloaded(), zip);
    }
}

/// A thief of the timestamp and snapshot keys raised both versions to 1e9: python-tuf refuses what is
/// honest, until a new root gives new keys. It keeps a stored timestamp whose own key did not change, so
/// that a new key of snapshot alone would not do.
#[test]
fn python_tuf_recovers_from_a_fast_forward() {
    for new in [
        Generations { timestamp: 1, ..Generations::default() },
        Generations { snapshot: 1, timestamp: 1, ..Generations::default() },
    ] {
        let (old, new) = (keys(Generations::default()), keys(new));
        let root = initial_root(&old, &"acme-inc".parse().unwrap(), now());
        let (targets, mut files) = (only(1, b"zip"), BTreeMap::new());
        let client = Client::pin(&root, targets.first_key_value().unwrap().0.clone());
        put_zip(&mut files, &targets, b"zip");
        let sky = version(1_000_000_000);
        let raised = Versions { targets: version(1), snapshot: sky, timestamp: sky };
        let listing = Listing::Current { bundles: &targets, envs: &BTreeMap::new() };
        put(&mut files, sign_all(old.online(), raised, listing, now()).unwrap());
        assert_eq!(client.update(&files).unwrap(), "1000000000 1");

        put(&mut files, publish(&old, version(2), &targets, now()).unwrap());
        let refused = client.update(&files).unwrap_err();
        assert!(refused.contains("BadVersionNumberError"), "{refused}");
        files.insert("/tuf/2.root.json".to_owned(), next_root(&new, &root, now()).unwrap());
        put(&mut files, publish(&new, version(3), &targets, now()).unwrap());
        assert_eq!(client.update(&files).unwrap(), "3 1");
    }
}

/// A root of a ceremony, and the one after it, signed by two of the three seeds.
#[test]
fn python_tuf_follows_roots_of_a_ceremony() {
    let keys = keys(Generations::default());
    let mut request =
        RootRequest { uid: keys.uid(), online: keys.online().public(), previous: None };
    let seeds = |numbers: &[u8]| -> Vec<Seed> {
        numbers.iter().map(|number| Seed::new([*number; 32])).collect()
    };
    let first = request.sign(&seeds(&[1, 2, 3]), now()).unwrap();
    let (targets, mut files) = (only(1, b"zip"), BTreeMap::new());
    let client = Client::pin(first.bytes(), targets.first_key_value().unwrap().0.clone());
    put_zip(&mut files, &targets, b"zip");
    put(&mut files, publish(&keys, version(1), &targets, now()).unwrap());
    assert_eq!(client.update(&files).unwrap(), "1 1");

    request.previous = Some(String::from_utf8(first.bytes().to_vec()).unwrap());
    let second = request.sign(&seeds(&[3, 1]), now()).unwrap();
    files.insert("/tuf/2.root.json".to_owned(), second.bytes().to_vec());
    put(&mut files, publish(&keys, version(2), &targets, now()).unwrap());
    assert_eq!(client.update(&files).unwrap(), "2 1");
    let stored = std::fs::read(client.dir.path().join("state/root.json")).unwrap();
    assert_eq!(stored, second.bytes());
}
