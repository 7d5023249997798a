//! `colophon render`: what a flow compiles to, without a store.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::process::{colophon, refused, told};
use crate::support::programs::program;
use crate::support::{ORDER_INTAKE, TestServer, small_flow};

fn written(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// The files are those that a build would commit, and no data directory is made.
#[test]
fn what_is_rendered_is_what_is_built() {
    let dir = tempfile::tempdir().unwrap();
    let flow = written(dir.path(), "flow.json", ORDER_INTAKE);
    let (data, out) = (dir.path().join("data"), dir.path().join("out").display().to_string());
    let rendered = colophon(&data, &["render", &flow, "--tenant", "acme-inc", "--out", &out]);
    assert!(!data.exists(), "nothing is stored");

    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let build = server.build(&tenant, ORDER_INTAKE).json();
    assert_eq!(rendered["key"], build["key"]);
    assert_eq!(rendered["flow"], build["flow"]);
    assert_eq!(rendered["edge"]["sha256"], build["outputs"][1]["edge"]["edge_sha256"]);
    let outputs = build["outputs"].as_array().unwrap().iter();
    let files: Vec<&Value> = outputs.flat_map(|o| o["files"].as_array().unwrap()).collect();
    assert_eq!(rendered["files"].as_array().unwrap().len(), files.len());
    for file in files {
        let path = file["path"].as_str().unwrap();
        let blob = format!("/v1/t/acme-inc/blob/{}", file["digest"].as_str().unwrap());
        let bytes = server.get_with(&blob, &tenant.api).bytes;
        assert_eq!(std::fs::read(Path::new(&out).join(path)).unwrap(), bytes, "{path}");
    }
    let text = told(&data, &["render", &flow]);
    assert!(text.contains("==> app/flows/example/flow_order_intake.py <=="), "{text}");
}

/// As in `colophon render F | head -1`.
#[test]
fn a_reader_who_leaves_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let flow = written(dir.path(), "flow.json", ORDER_INTAKE);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut colophon = Command::new(program("colophon"));
    let output = colophon.args(["render", &flow]).stdout(writer).stderr(Stdio::piped());
    let output = output.spawn().unwrap().wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_bad_flow_and_a_bad_template_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let bad = written(dir.path(), "bad.json", br#"{"schema_version": "1.0", "nodes": 3}"#);
    let told = refused(dir.path(), &["render", &bad]);
    assert!(told.matches("\n  E_").count() > 1, "{told}");
    let flow = written(dir.path(), "flow.json", &small_flow("one", None, "a"));
    written(dir.path(), "t/cloud/flow.py.tera", b"\n<% if %>");
    written(dir.path(), "t/cloud/runer.py.tera", b"");
    let templates = dir.path().join("t").display().to_string();
    for command in [&["render", &flow][..], &["check-config"], &["tenant", "create", "acme-inc"]] {
        let told = refused(dir.path(), &[command, &["--templates", &templates]].concat());
        assert!(told.contains("\n  cloud/flow.py.tera:2: "), "{told}");
        assert!(told.contains("did you mean `cloud/runner.py.tera`?"), "{told}");
    }
    assert!(!dir.path().join("FORMAT").exists(), "a bad template makes no store");
}

/// A watching process; ended when dropped.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(program("colophon"))
            .args(["--json", "render", "--watch"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What came of the next rendering for which `wanted` holds.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.next().expect("it goes on").unwrap();
            let told = serde_json::from_str(&line).unwrap();
            if wanted(&told) {
                return told;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The flow, a template, a mistake in either, and an editor that replaces the file.
#[test]
fn a_watched_flow_is_rendered_again() {
    let dir = tempfile::tempdir().unwrap();
    let flow = written(dir.path(), "flow.json", &small_flow("one", None, "a"));
    let templates = dir.path().join("t");
    std::fs::create_dir(&templates).unwrap();
    let templates = templates.display().to_string();
    let mut watch = Watch::start(&[&flow, "--templates", &templates]);
    let first = watch.until(|told| told.get("rendered").is_some());
    let key = first["rendered"]["key"].clone();

    written(dir.path(), "flow.json", b"{}");
    let told = watch.until(|told| told.get("rendered").is_none());
    assert_eq!(told["problems"][0]["code"], "E_SCHEMA", "{told:#}");

    written(dir.path(), "new.json", &small_flow("one", None, "b"));
    std::fs::rename(dir.path().join("new.json"), &flow).unwrap();
    let second = watch.until(|told| told.get("rendered").is_some());
    assert_ne!(second["rendered"]["key"], key);

    written(dir.path(), "t/cloud/runner.py.tera", b"<% if %>");
    let told = watch.until(|told| told.get("error").is_some());
    assert!(told["error"].as_str().unwrap().contains("cloud/runner.py.tera:1: "), "{told:#}");

    written(dir.path(), "t/cloud/runner.py.tera", b"OURS = True\n");
    let third = watch.until(|told| told.get("rendered").is_some());
    let mut files = third["rendered"]["files"].as_array().unwrap().iter();
    assert!(files.any(|file| file["text"] == "OURS = True\n"));
}
