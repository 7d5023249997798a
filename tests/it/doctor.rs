//! `colophon doctor` and `check-config`, as an operator runs them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::collector::listen;
use crate::support::process::{ServerProcess, colophon, run};
use crate::support::programs::program;

/// What it finds, and its exit code.
fn doctor(data: &Path, args: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = run(data, &[&["--json", "doctor"], args].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.code())
}

fn level<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no `{check}` in {findings:?}"))["level"].as_str().unwrap()
}

#[test]
fn a_healthy_server_is_found_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    colophon(&data, &["tenant", "create", "acme-inc"]);
    let (endpoint, _told) = listen("200 OK");
    let server = ServerProcess::start(&data);
    let args = ["--public-url", &server.url, "--otlp-endpoint", &endpoint];
    let (findings, code) = doctor(&data, &args);
    for check in
        ["configuration", "data", "keys", "clock", "edge", "mirrors", "public url", "collector"]
    {
        assert_eq!(level(&findings, check), "ok", "{check}: {findings:?}");
    }
    assert_eq!(code, Some(0));
}

#[test]
fn each_finding_comes_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (findings, code) = doctor(&data, &[]);
    assert_eq!((level(&findings, "data"), code), ("fail", Some(1)), "there is no data directory");

    colophon(&data, &["tenant", "create", "acme-inc"]);
    let key = data.join("keys/master.key");
    assert!(Command::new("chmod").arg("644").arg(&key).status().unwrap().success());
    let config = dir.path().join("c.toml");
    std::fs::write(
        &config,
        "listen = \"0.0.0.0:1\"\n[telemetry]\notlp_endpoint = \"http://127.0.0.1:1/\"\n",
    )
    .unwrap();
    let (findings, code) = doctor(&data, &["--config", config.to_str().unwrap()]);
    assert_eq!(level(&findings, "keys"), "fail", "others can read the key");
    assert_eq!(level(&findings, "public url"), "fail", "no client reaches 0.0.0.0");
    assert_eq!(level(&findings, "tls"), "warn", "plain HTTP for everybody");
    assert_eq!(level(&findings, "collector"), "warn");
    assert_eq!(code, Some(1));
    for finding in findings.iter().filter(|finding| finding["level"] != "ok") {
        assert!(finding["hint"].is_string(), "{finding}");
    }
    let said = String::from_utf8(run(&data, &["doctor"]).stdout).unwrap();
    assert!(said.contains("FAIL keys") && said.contains("hint: take the rights away"), "{said}");
}

#[test]
fn the_configuration_is_checked_whole_and_shown() {
    let check = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = Command::new(program("colophon"));
        command.args(["check-config"]).args(args).env("COLOPHON_GATES_SMOKE", "off");
        command.envs(env.iter().copied()).output().unwrap()
    };
    let example = String::from_utf8(check(&["--example"], &[]).stdout).unwrap();
    assert!(
        example.contains("\n[limits]\n") && example.contains("#body_bytes = 1048576\n"),
        "{example}"
    );
    assert!(!example.contains("]("), "no marks of the document");
    let shown = check(&[], &[("COLOPHON_LIMITS_BODY_BYTES", "2048")]);
    assert!(String::from_utf8(shown.stdout).unwrap().contains("body_bytes = 2048"));
    let bad = [("COLOPHON_LIMITS_BODY_BYTES", "1"), ("COLOPHON_LIMITS_EDGE_URL_SECONDS", "0")];
    let refused = check(&[], &bad);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    for word in ["(in COLOPHON_LIMITS_BODY_BYTES)", "(in COLOPHON_LIMITS_EDGE_URL_SECONDS)"] {
        assert!(said.contains(word), "{said}");
    }
}
