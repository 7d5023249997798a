//! The command line without a server.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::process::{ServerProcess, colophon};
use crate::support::programs::program;
use crate::support::small_flow;

fn run(args: &[&str], data: &Path) -> Output {
    let mut command = Command::new(program("colophon"));
    command.env("COLOPHON_GATES_SMOKE", "off");
    command.args(args).arg("--data").arg(data).output().unwrap()
}

/// `make build-flow` ends here.
#[test]
fn a_file_is_built_against_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (data, flow) = (dir.path().join("data"), dir.path().join("flow.json"));
    std::fs::write(&flow, small_flow("one", None, "hello")).unwrap();
    let flow = flow.display().to_string();

    let mistyped = run(&["build", "acme-inc", &flow], &data);
    assert!(!mistyped.status.success() && !data.exists(), "a wrong path makes no store");
    assert!(String::from_utf8_lossy(&mistyped.stderr).contains("there is no data directory"));

    colophon(&data, &["tenant", "create", "acme-inc"]);
    let unknown = run(&["build", "nobody", &flow], &data);
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is no tenant `nobody`"));
    let built = colophon(&data, &["build", "acme-inc", &flow]);
    assert_eq!(built["outcome"], "built");
    let again = colophon(&data, &["build", "acme-inc", &flow]);
    assert_eq!(again["outcome"], "noop");
    assert_eq!(again["build"]["commit"], built["build"]["commit"]);
}

/// The same command beside a running server: the server builds, with the operator as who did it, and tells all
/// that is wrong with a file.
#[test]
fn a_file_is_built_by_the_server_that_holds_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let (data, flow) = (dir.path().join("data"), dir.path().join("flow.json"));
    std::fs::write(&flow, small_flow("one", None, "hello")).unwrap();
    let flow = flow.display().to_string();
    let server = ServerProcess::start(&data);
    colophon(&data, &["tenant", "create", "acme-inc"]);
    let built = colophon(&data, &["build", "acme-inc", &flow]);
    assert_eq!(built["outcome"], "built");
    let again = run(&["build", "acme-inc", &flow], &data);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    let commit = built["build"]["commit"].as_str().unwrap();
    assert!(said.contains("unchanged") && said.contains(commit), "{said}");
    let lines = colophon(&data, &["audit", "list", "acme-inc"]);
    let lines = lines.to_string();
    assert!(lines.contains("build.make") && !lines.contains("\"token\""), "{lines}");

    std::fs::write(&flow, r#"{"schema_version": "1.0", "nodes": 3}"#).unwrap();
    let refused = run(&["build", "acme-inc", &flow], &data);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && stderr.matches("\n  E_").count() > 1, "{stderr}");
    let unknown = run(&["build", "nobody", &flow], &data);
    assert!(!unknown.status.success() && !unknown.stderr.is_empty());
    drop(server);
}

/// Every problem on a line of its own, with its code.
#[test]
fn a_bad_file_is_told_all_its_problems() {
    let dir = tempfile::tempdir().unwrap();
    let flow = dir.path().join("flow.json");
    std::fs::write(&flow, r#"{"schema_version": "1.0", "nodes": 3}"#).unwrap();
    colophon(dir.path(), &["tenant", "create", "acme-inc"]);
    let output = run(&["build", "acme-inc", &flow.display().to_string()], dir.path());
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.matches("\n  E_").count() > 1, "{stderr}");
}

#[test]
fn the_configuration_that_holds_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "[quota]\nbuilds_per_day = 7\n").unwrap();
    let file = file.display().to_string();
    let shown = colophon(dir.path(), &["check-config", "--config", &file]);
    assert_eq!(shown["quota"]["builds_per_day"], 7);
    assert_eq!(shown["data"], dir.path().display().to_string());

    std::fs::write(&file, "[quota]\nbuilds_per_week = 7\n").unwrap();
    let refused = run(&["check-config", "--config", &file], dir.path());
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("builds_per_week"));
}

/// A new key would void every secret and every pinned root without a word.
#[test]
fn a_lost_master_key_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    colophon(dir.path(), &["tenant", "create", "acme-inc"]);
    std::fs::remove_dir_all(dir.path().join("keys")).unwrap();
    let output = run(&["tenant", "create", "another"], dir.path());
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("restore that file"), "{stderr}");
    assert!(!dir.path().join("keys/master.key").exists());
}

/// Whatever listens where a server should be is asked for proof before it is told the token.
#[test]
fn an_impostor_is_told_nothing() {
    use std::io::{Read as _, Write as _};
    let dir = tempfile::tempdir().unwrap();
    colophon(dir.path(), &["tenant", "create", "acme-inc"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let owner = format!("pid 1 at http://{}", listener.local_addr().unwrap());
    let options = colophon_store::Options { owner, ..colophon_store::Options::default() };
    let held = colophon_store::Store::open(dir.path(), &options).unwrap();
    let impostor = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsure";
        stream.write_all(answer).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let output = run(&["token", "create", "acme-inc", "--kind", "api"], dir.path());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not the server of"));
    assert!(!impostor.join().unwrap().contains("clp_"), "no token was sent");
    drop(held);
}

/// A tenant whose secret nobody has seen would be of no use.
#[test]
fn a_root_that_cannot_be_written_makes_no_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let nowhere = dir.path().join("missing/root.json").display().to_string();
    let output = run(&["tenant", "create", "acme-inc", "--root-out", &nowhere], &data);
    assert!(!output.status.success());
    colophon(&data, &["tenant", "create", "acme-inc"]);
}
