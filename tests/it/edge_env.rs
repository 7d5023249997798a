//! Encrypted environments of edge flows, from the operator's machine to the agent: with stock age, stock
//! python-tuf and the real agent.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::python_tuf::{deliver, run as python_tuf};
use crate::support::process::{colophon, refused};
use crate::support::programs::{must_be_marked_unavailable, program};
use crate::support::{Answer, TestServer, TestTenant, agent as http, read};

const FLOW: &str = "order_intake";
const SECRETS: &str = r#"{"ERP_USER":"robot","ERP_PASSWORD":"hunter2-in-clear"}"#;
const BUNDLE: &str = "acme-inc.order_intake.python.zip";
const ENV: &str = "acme-inc.order_intake.env.age";

fn world() -> (TestServer, TestTenant) {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    deliver(&server, &tenant, 1, "a");
    (server, tenant)
}

fn edge_fetch(server: &TestServer, tenant: &TestTenant, device: &str, args: &[&str]) -> Output {
    Command::new(program("edge-fetch"))
        .arg("--json")
        .args(args)
        .env("EDGE_FETCH_DIR", server.path(device))
        .env("EDGE_FETCH_TOKEN", &tenant.edge)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Enrols a device; its recipient.
fn enroll(server: &TestServer, tenant: &TestTenant, device: &str) -> String {
    let root = server.path("root.json");
    std::fs::write(&root, &tenant.root).unwrap();
    let root = root.display().to_string();
    let enroll = ["enroll", "--url", &server.url, "--tenant", &tenant.slug, "--root", &root];
    let output = edge_fetch(server, tenant, device, &enroll);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["recipient"].as_str().unwrap().to_owned()
}

/// `colophon edge env set` with `json` on its standard input.
fn set(server: &TestServer, args: &[&str], json: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_colophon"))
        .args(["--json", "edge", "env", "set", "acme-inc", FLOW])
        .args(args)
        .arg("--data")
        .arg(server.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that is refused may read nothing.
    let _ = child.stdin.take().unwrap().write_all(json.as_bytes());
    child.wait_with_output().unwrap()
}

fn set_ok(server: &TestServer, args: &[&str], json: &str) -> Value {
    let output = set(server, args, json);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn url(flow: &str) -> String {
    format!("/v1/t/acme-inc/edge/{flow}/env")
}

fn put(server: &TestServer, token: &str, flow: &str, body: &[u8]) -> Answer {
    let request = http().put(format!("{}{}", server.url, url(flow)));
    read(request.header("authorization", &format!("Bearer {token}")).send(body).unwrap())
}

/// The entries of the current targets file.
fn targets(server: &TestServer, tenant: &TestTenant) -> Value {
    let get = |name: &str| {
        let answer = server.get_with(&format!("/v1/t/acme-inc/tuf/{name}"), &tenant.edge);
        answer.json()["signed"].take()
    };
    let snapshot = get("timestamp.json")["meta"]["snapshot.json"]["version"].clone();
    let targets =
        get(&format!("{snapshot}.snapshot.json"))["meta"]["targets.json"]["version"].clone();
    get(&format!("{targets}.targets.json"))["targets"].take()
}

fn ciphertext(server: &TestServer, tenant: &TestTenant) -> Vec<u8> {
    let sha256 = targets(server, tenant)[ENV]["hashes"]["sha256"].as_str().unwrap().to_owned();
    let path = format!("/v1/t/acme-inc/targets/{sha256}.{ENV}");
    let answer = server.get_with(&path, &tenant.edge);
    assert_eq!(answer.status, 200);
    answer.bytes
}

/// Stock age, when it is to be had.
fn age(args: &[&str]) -> Option<Vec<u8>> {
    let Ok(output) = Command::new("age").args(args).output() else {
        eprintln!("NOT RUN: `age` is missing");
        must_be_marked_unavailable("age");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// What the operator encrypts, stock age opens with the device's key, python-tuf downloads, and the agent
/// gives to the flow's script; the server's folder has no word of it.
#[test]
fn secrets_go_from_the_operator_to_the_device_and_nowhere_else() {
    let (server, tenant) = world();
    let recipient = enroll(&server, &tenant, "agent");
    let done = set_ok(&server, &["--recipient", &recipient], SECRETS);
    assert_eq!(
        (&done["changed"], &done["seq"], &done["recipients"]),
        (&json!(true), &json!(1), &json!(1))
    );
    let bytes = ciphertext(&server, &tenant);

    let file = server.path("fetched.age");
    std::fs::write(&file, &bytes).unwrap();
    let (key, file) = (server.path("agent").join("device.key"), file.display().to_string());
    if let Some(plain) = age(&["-d", "-i", &key.display().to_string(), &file]) {
        let plain: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(plain, serde_json::from_str::<Value>(SECRETS).unwrap());
    }
    let output = python_tuf(&server, &tenant, ENV);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["sha256"], done["sha256"]);

    let applied = edge_fetch(&server, &tenant, "agent", &["apply"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let doctor = edge_fetch(&server, &tenant, "agent", &["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("its secrets can be decrypted"));
    for folder in [server.data(), server.path("agent")] {
        assert!(!holds(&folder, b"hunter2-in-clear"), "{}", folder.display());
    }
}

fn holds(folder: &std::path::Path, needle: &[u8]) -> bool {
    let mut entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.any(|path| {
        if path.is_dir() {
            return holds(&path, needle);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

/// A-28: another secret changes nothing that is signed about the bundle, nor how it travels.
#[test]
fn rotating_a_secret_touches_no_bundle() {
    let (server, tenant) = world();
    let first = targets(&server, &tenant)[BUNDLE].clone();
    deliver(&server, &tenant, 2, "b");
    let recipient = enroll(&server, &tenant, "agent");
    set_ok(&server, &["--recipient", &recipient], SECRETS);
    let bundle = targets(&server, &tenant)[BUNDLE].clone();
    let tree = |entry: &Value| {
        entry["custom"]["colophon"]["tree"].as_str().unwrap().replace("blake3:", "")
    };
    let delta = format!("/v1/t/acme-inc/delta/{}..{}", tree(&first), tree(&bundle));
    let before = server.get_with(&delta, &tenant.edge).bytes;
    let builds = server.get_with("/v1/t/acme-inc/flows", &tenant.api).json();
    edge_fetch(&server, &tenant, "agent", &["apply"]);
    let current =
        || std::fs::read(server.path("agent").join("flows/order_intake/current")).unwrap();
    let generation = current();

    let old = ciphertext(&server, &tenant);
    set_ok(&server, &["--recipient", &recipient], r#"{"ERP_PASSWORD":"new"}"#);
    assert_eq!(targets(&server, &tenant)[BUNDLE].to_string(), bundle.to_string());
    assert_eq!(server.get_with(&delta, &tenant.edge).bytes, before);
    assert_eq!(server.get_with("/v1/t/acme-inc/flows", &tenant.api).json(), builds);
    assert_eq!(edge_fetch(&server, &tenant, "agent", &["check"]).status.code(), Some(10));
    assert!(edge_fetch(&server, &tenant, "agent", &["apply"]).status.success());
    assert_eq!(current(), generation);

    // The same ciphertext once more is no change, and a build keeps it.
    let bytes = ciphertext(&server, &tenant);
    assert_ne!(bytes, old);
    let signed = targets(&server, &tenant);
    let again = put(&server, &tenant.api, FLOW, &bytes);
    assert_eq!((again.status, &again.json()["changed"]), (200, &json!(false)));
    assert_eq!(targets(&server, &tenant), signed);
    deliver(&server, &tenant, 3, "c");
    assert_eq!(targets(&server, &tenant)[ENV], signed[ENV]);
}

/// Plaintext, and what no device can open, is refused and changes nothing.
#[test]
fn what_is_not_encrypted_is_refused() {
    let (server, tenant) = world();
    for body in [SECRETS.as_bytes(), b"", b"age-encryption.org/v1\nhunter2"] {
        let answer = put(&server, &tenant.api, FLOW, body);
        assert_eq!((answer.status, answer.code().as_str()), (422, "not-encrypted"));
        assert!(answer.json()["hint"].as_str().unwrap().contains("edge env set"));
    }
    assert_eq!(put(&server, &tenant.api, FLOW, &vec![b'a'; 65_537]).status, 413);
    assert_eq!(server.get_with(&url(FLOW), &tenant.api).status, 404);
    assert_eq!(targets(&server, &tenant)[ENV], Value::Null);
    let nobody = set(&server, &[], SECRETS);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("--recipient age1"));
    let recipient = enroll(&server, &tenant, "agent");
    let bad = set(&server, &["--recipient", &recipient], r#"{"erp":"hunter2-in-clear"}"#);
    let stderr = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(
        !bad.status.success() && stderr.contains("\"erp\"") && !stderr.contains("hunter2"),
        "{stderr}"
    );
    assert!(!holds(&server.data(), b"hunter2"));
}

/// Tokens that may build set it, those that may read see it, agents download it, strangers get nothing.
#[test]
fn every_right_is_its_own() {
    let (server, tenant) = world();
    let other = server.tenant("other");
    let recipient = enroll(&server, &tenant, "agent");
    set_ok(&server, &["--recipient", &recipient], SECRETS);
    let bytes = ciphertext(&server, &tenant);
    for (token, status) in [(&tenant.edge, 401), (&tenant.git, 401), (&other.api, 404)] {
        assert_eq!(put(&server, token, FLOW, &bytes).status, status);
        assert_eq!(server.get_with(&url(FLOW), token).status, status);
    }
    let shown = server.get_with(&url(FLOW), &tenant.api);
    assert_eq!(shown.json(), colophon(&server.data(), &["edge", "env", "show", "acme-inc", FLOW]));
    let sha256 = shown.json()["sha256"].as_str().unwrap().to_owned();
    let path = format!("/v1/t/acme-inc/targets/{sha256}.{ENV}");
    assert_eq!(server.get_with(&path, &tenant.api).status, 401);
    assert_eq!(server.get_with(&path, &other.edge).status, 404);
    let elsewhere = format!("/v1/t/acme-inc/targets/{sha256}.acme-inc.other.env.age");
    assert_eq!(server.get_with(&elsewhere, &tenant.edge).status, 404);
    assert_eq!(put(&server, &tenant.api, "nonesuch", &bytes).status, 404);
}

/// It goes with its flow, survives what collects garbage, and its number never falls.
#[test]
fn it_lives_as_long_as_its_flow() {
    let (server, tenant) = world();
    let data = server.data();
    let recipient = enroll(&server, &tenant, "agent");
    set_ok(&server, &["--recipient", &recipient], SECRETS);
    server.clock.advance(5 * 24 * 60 * 60 * 1000);
    colophon(&data, &["gc"]);
    server.clock.advance(5 * 24 * 60 * 60 * 1000);
    colophon(&data, &["gc"]);
    let old = ciphertext(&server, &tenant);

    let removed = colophon(&data, &["edge", "env", "remove", "acme-inc", FLOW]);
    assert_eq!(removed["removed"], true);
    assert_eq!(targets(&server, &tenant)[ENV], Value::Null);
    assert!(refused(&data, &["edge", "env", "show", "acme-inc", FLOW]).contains("no environment"));
    assert_eq!(colophon(&data, &["edge", "env", "remove", "acme-inc", FLOW])["removed"], false);
    assert_eq!(put(&server, &tenant.api, FLOW, &old).json()["seq"], 2);

    colophon(&data, &["flow", "delete", "acme-inc", FLOW]);
    assert_eq!(targets(&server, &tenant), json!({}));
    assert_eq!(put(&server, &tenant.api, FLOW, &old).status, 404);
    deliver(&server, &tenant, 2, "b");
    assert_eq!(targets(&server, &tenant)[ENV], Value::Null, "a flow that comes back has none");
    assert_eq!(put(&server, &tenant.api, FLOW, &old).json()["seq"], 3);
}

/// The server lists for whom to encrypt, and whom that leaves out.
#[test]
fn agents_report_their_recipients() {
    let (server, tenant) = world();
    let recipient = enroll(&server, &tenant, "agent");
    edge_fetch(&server, &tenant, "agent", &["apply"]);
    let old = json!({"device": format!("{:032x}", 7), "name": "old-till", "version": "0.0.1",
        "os": "linux", "arch": "x86_64", "flows": []});
    let bearer = format!("Bearer {}", tenant.edge);
    let report = |body: &Value| {
        let path = "/v1/t/acme-inc/edge/report";
        server.post(path, &[("authorization", &bearer)], body.to_string().as_bytes())
    };
    assert_eq!(report(&old).status, 204);
    let mut bad = old.clone();
    bad["recipient"] = "age1nonsense".into();
    assert_eq!(report(&bad).code(), "invalid-report");
    let list = colophon(&server.data(), &["edge", "agents", "acme-inc"]);
    let agents = list["agents"].as_array().unwrap();
    assert!(agents.iter().any(|agent| agent["recipient"] == json!(recipient)), "{list}");
    let done = set_ok(&server, &["--recipients-of-agents"], SECRETS);
    assert_eq!(done["recipients_used"], json!([recipient]));
    assert!(done["without_recipient"][0].as_str().unwrap().starts_with("old-till ("));
}

/// What stock age made on another machine is taken as it is, armored too.
#[test]
fn a_file_of_stock_age_is_taken() {
    let (server, tenant) = world();
    let recipient = enroll(&server, &tenant, "agent");
    let (plain, file) = (server.path("plain.json"), server.path("made.age"));
    std::fs::write(&plain, SECRETS).unwrap();
    let plain = plain.display().to_string();
    for args in [vec!["-r", &recipient, &plain], vec!["-a", "-r", &recipient, &plain]] {
        let Some(made) = age(&args) else { return };
        std::fs::write(&file, &made).unwrap();
        let done = set_ok(&server, &["--ciphertext", &file.display().to_string()], "");
        assert_eq!((&done["changed"], &done["recipients"]), (&json!(true), &json!(1)));
        assert_eq!(ciphertext(&server, &tenant), made);
        assert!(edge_fetch(&server, &tenant, "agent", &["apply"]).status.success());
        let doctor = edge_fetch(&server, &tenant, "agent", &["doctor"]);
        assert!(String::from_utf8_lossy(&doctor.stdout).contains("its secrets can be decrypted"));
    }
}
