//! Stock python-tuf as the judge of what the server signs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use colophon_model::{TenantUid, UnixMillis};
use colophon_trust::{Seed, TenantKeys, initial_root, publish};

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

#[test]
fn stock_python_tuf_updates_from_our_repository() {
    let keys = TenantKeys::derive(&Seed::new([7; 32]), TenantUid::from_bytes([9; 16]));
    let slug = "acme-inc".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (state, out) = (dir.path().join("state"), dir.path().join("out"));
    std::fs::create_dir(&state).unwrap();
    std::fs::create_dir(&out).unwrap();
    let root = dir.path().join("pinned.json");
    std::fs::write(&root, initial_root(&keys, &slug, now())).unwrap();

    let mut files = BTreeMap::new();
    for (n, zip) in [(1, b"first zip"), (2, b"other zip")] {
        let file = bundle("acme-inc", "order_intake", n, zip);
        let name = file.custom.target_name();
        files.insert(format!("/targets/{}", name.file_name(&file.sha256)), zip.to_vec());
        let targets = BTreeMap::from([(name.clone(), file)]);
        for (name, bytes) in publish(&keys, version(n), &targets, now()).unwrap().files {
            files.insert(format!("/tuf/{name}"), bytes);
        }
        let output = Command::new(python())
            .args(["-c", UPDATE])
            .args([&root, Path::new(&serve(files.clone())), &state, &out])
            .arg(name.to_string())
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "python-tuf refused version {n}:\n{stderr}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{n} {n}"));
        assert_eq!(std::fs::read(out.join(name.to_string())).unwrap(), zip);
    }
}
