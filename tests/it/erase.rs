//! Erasing a tenant: nothing of it is left in any file, others notice nothing, and a signed report
//! says what was done.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use colophon::intake::legacy_signature as webhook_signature;
use colophon_model::Digest;
use colophon_store::PreparedBlob;
use serde_json::Value;

use crate::support::process::{ServerProcess, colophon, refused, run_in_turn, told};
use crate::support::programs::{clone, git_in, git_output, python};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, agent, noise, small_flow};

/// A name that nothing else in the files contains.
const GONE: &str = "zanzibar-traders";
/// The name of its flows; each has a number behind it.
const FLOW: &str = "quagmire";

fn large_flow(slug: &str, seed: u64) -> Vec<u8> {
    small_flow(slug, None, &noise(seed, 20_000))
}

/// Every file below `dir`, with its bytes. A server that is at work may remove one meanwhile.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            continue;
        }
        match std::fs::read(&path) {
            Ok(bytes) => found.push((path, bytes)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display()),
        }
    }
    found
}

/// The needles that are in some file.
fn present<'a>(dir: &Path, needles: &'a [(String, Vec<u8>)]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for (path, bytes) in files(dir) {
        // The reserve is space without content.
        if path.ends_with("reserve.bin") {
            assert!(bytes.iter().all(|byte| *byte == 0));
            continue;
        }
        for (name, needle) in needles {
            let first = needle[0];
            let hit = bytes.windows(needle.len()).any(|at| at[0] == first && at == needle);
            if hit {
                found.insert(name.as_str());
            }
        }
    }
    found
}

/// What could give the tenant away: its names, its uid, and the bytes of its blobs as they are
/// encoded.
fn traces(
    server: &TestServer,
    builds: &[(Vec<u8>, Value)],
    tenant: &TestTenant,
) -> Vec<(String, Vec<u8>)> {
    let uid = server.app.press.store.view().unwrap();
    let uid = colophon::tenants::find(&uid, &GONE.parse().unwrap()).unwrap().uid;
    let mut traces = vec![
        ("slug".to_owned(), GONE.as_bytes().to_vec()),
        ("uid in hex".to_owned(), uid.to_string().into_bytes()),
        ("uid".to_owned(), uid.as_bytes().to_vec()),
        ("flow".to_owned(), FLOW.as_bytes().to_vec()),
        ("native id".to_owned(), format!("native-{FLOW}").into_bytes()),
    ];
    for (n, (body, build)) in builds.iter().enumerate() {
        let commit = hex_bytes(build["commit"].as_str().unwrap());
        traces.push((format!("commit {n}"), commit));
        traces.push((format!("body {n}"), payload(body)));
        let digest = Digest::of(body);
        traces.push((format!("digest {n}"), digest.as_bytes().to_vec()));
        let files = build["outputs"][0]["files"].as_array().unwrap();
        let named = files.iter().filter(|file| file["path"].as_str().unwrap().contains(FLOW));
        for file in named {
            let path = format!("/v1/t/{GONE}/blob/{}", file["digest"].as_str().unwrap());
            let bytes = server.get_with(&path, &tenant.api).bytes;
            traces.push((format!("{} {n}", file["path"]), payload(&bytes)));
        }
    }
    traces
}

/// The middle of a blob as the store encodes it: long enough to be there once, or not at all.
fn payload(bytes: &[u8]) -> Vec<u8> {
    let blob = PreparedBlob::new(bytes).unwrap();
    let payload = blob.frame().payload();
    let middle = payload.len() / 2;
    payload[middle.saturating_sub(12)..(middle + 12).min(payload.len())].to_vec()
}

fn hex_bytes(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Posts builds until it is told to stop; returns each status that was answered.
fn race(server: &TestServer, tenant: &TestTenant, flow: &str, stop: &AtomicBool) -> BTreeSet<u16> {
    let mut seen = BTreeSet::new();
    let mut number = 1000;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let body = small_flow(flow, None, &format!("race {number}"));
        seen.insert(server.build(tenant, &body).status);
    }
    seen
}

/// Erases through the running server while builds of both tenants go on.
fn erase_under_load(
    server: &TestServer,
    gone: &TestTenant,
    stays: &TestTenant,
    report: &Path,
) -> Value {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let racing: Vec<_> = ["a", "b"]
            .map(|n| scope.spawn(move || race(server, gone, &format!("{FLOW}_{n}"), stop)))
            .into();
        let others = scope.spawn(move || race(server, stays, "steady", stop));
        let report = report.display().to_string();
        let args = ["tenant", "erase", GONE, "--confirm", GONE, "--report", &report];
        let done = colophon(&server.data(), &args);
        stop.store(true, Ordering::Relaxed);
        for statuses in racing.into_iter().map(|thread| thread.join().unwrap()) {
            let clean = BTreeSet::from([201, 401, 404]);
            assert!(statuses.is_subset(&clean), "{statuses:?}");
        }
        assert_eq!(others.join().unwrap(), BTreeSet::from([201]), "others notice nothing");
        done
    })
}

#[test]
fn an_erased_tenant_leaves_no_trace_and_others_notice_nothing() {
    let server =
        TestServer::with(|config| config.quota.builds_per_day = 100_000.try_into().unwrap());
    let (gone, stays) = (server.tenant(GONE), server.tenant("acme-inc"));
    let post = |tenant: &TestTenant, body: Vec<u8>| {
        let answer = server.build(tenant, &body);
        assert_eq!(answer.status, 201, "{:#}", answer.json());
        (body, answer.json())
    };
    let builds: Vec<_> =
        (0..4).map(|n| post(&gone, large_flow(&format!("{FLOW}_{n}"), n))).collect();
    post(&gone, ORDER_INTAKE.to_vec());
    let kept = post(&stays, large_flow("kept", 77)).1;
    post(&stays, ORDER_INTAKE.to_vec());
    let traces = traces(&server, &builds, &gone);
    let all: BTreeSet<&str> = traces.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(present(&server.data(), &traces), all, "before, each of them can be found");

    let report = server.path("report.json");
    let done = erase_under_load(&server, &gone, &stays, &report);
    assert_eq!(present(&server.data(), &traces), BTreeSet::new(), "of {GONE}");
    check_report(&server, &done, &report);

    // Nobody gets in as the tenant, and nobody gets its name.
    assert_eq!(server.build(&gone, &builds[0].0).status, 401);
    let header = format!("http.extraHeader=Authorization: Bearer {}", gone.git);
    assert!(!git_output(&["-c", &header, "ls-remote", &server.git_url(&gone)]).status.success());
    let again = server.operator("POST", "/v1/tenants", &format!(r#"{{"slug": "{GONE}"}}"#));
    assert_eq!((again.status, again.code().as_str()), (409, "tenant-erased"));
    let twice = refused(&server.data(), &["tenant", "erase", GONE, "--confirm", GONE]);
    assert!(twice.contains("has been erased already"), "{twice}");

    // The other one clones, and what it built is there.
    let dir = server.path("clone");
    clone(&server.git_url(&stays), &stays.git, &dir);
    git_in(&dir, &["fsck", "--strict", "--full"]);
    let path = format!("/v1/builds/{}", kept["id"].as_str().unwrap());
    assert_eq!(server.get_with(&path, &stays.api).status, 200);
    for file in kept["outputs"][0]["files"].as_array().unwrap() {
        let path = format!("/v1/t/acme-inc/blob/{}", file["digest"].as_str().unwrap());
        assert_eq!(server.get_with(&path, &stays.api).status, 200, "{}", file["path"]);
    }
    assert_eq!(colophon(&server.data(), &["fsck"])["total_problems"], 0);
}

/// The report says what was done and what is out of reach, and securesystemslib verifies it with the
/// key that the server publishes.
fn check_report(server: &TestServer, done: &Value, report: &Path) {
    let key = server.get("/v1/keys/operator", &[]);
    assert_eq!(done["key"], key.json()["pem"]);
    let key_file = server.path("key.json");
    std::fs::write(&key_file, &key.bytes).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/dsse.py");
    let output =
        Command::new(python()).arg(script).args([report, key_file.as_path()]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let verified: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verified["type"], "application/vnd.colophon.erasure+json");
    let statement: Value = serde_json::from_str(verified["payload"].as_str().unwrap()).unwrap();
    assert_eq!(statement, done["statement"]);
    assert_eq!(statement["slug"], GONE);
    assert!(statement["erased"]["blobs"].as_u64().unwrap() > 0);
    assert!(statement["outside"][0]["what"].as_str().unwrap().contains("backups"));
}

/// A slip of the hand erases nobody, and a report that cannot be written is told before.
#[test]
fn an_erasure_is_confirmed_and_its_report_has_a_place_first() {
    let dir = tempfile::tempdir().unwrap();
    let (data, report) = (dir.path().join("data"), dir.path().join("report.json"));
    colophon(&data, &["tenant", "create", GONE]);
    let place = report.display().to_string();
    let wrong = ["tenant", "erase", GONE, "--confirm", "zanzibar", "--report", &place];
    let error = refused(&data, &wrong);
    assert!(error.contains("cannot be undone and is confirmed by its name"), "{error}");
    let nowhere = dir.path().join("missing/report.json").display().to_string();
    let args = ["tenant", "erase", GONE, "--confirm", GONE, "--report"];
    assert!(refused(&data, &[&args[..], &[&nowhere]].concat()).contains("cannot create"));
    let unknown = ["tenant", "erase", "nobody", "--confirm", "nobody", "--report", &place];
    assert!(refused(&data, &unknown).contains("there is no tenant `nobody`"));
    assert!(!report.exists(), "a report of nothing is not left behind");
    colophon(&data, &["token", "create", GONE, "--kind", "api"]);

    // Without a server, and without a file: the report is printed, and nothing keeps it.
    let text = told(&data, &args[..5]);
    let envelope = text.lines().last().unwrap();
    assert!(text.contains(&format!("erased tenant {GONE}")), "{text}");
    assert!(text.contains("clones and mirrors of the tenant's branch"), "{text}");
    serde_json::from_str::<colophon_trust::dsse::Envelope>(envelope).unwrap();
    let error = refused(&data, &["tenant", "create", GONE]);
    assert!(error.contains("is not given again"), "{error}");
    let traces = [("slug".to_owned(), GONE.as_bytes().to_vec())];
    assert!(present(&data, &traces).is_empty());
}

/// The server wants the name twice too, from the operator alone.
#[test]
fn the_server_erases_nobody_by_mistake() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for query in ["", "?confirm=acme", "?confirm="] {
        let answer = server.operator("DELETE", &format!("/v1/tenants/acme-inc{query}"), "");
        assert_eq!((answer.status, answer.code().as_str()), (400, "unconfirmed"), "{query}");
    }
    let unknown = server.operator("DELETE", "/v1/tenants/nobody?confirm=nobody", "");
    assert_eq!(unknown.status, 404);
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
}

/// An erasure that a crash cut is finished by the next server, without being asked.
#[test]
fn an_erasure_that_was_cut_is_finished_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = ServerProcess::start(&data);
    let secret = colophon(&data, &["tenant", "create", GONE])["webhook_secret"].clone();
    let api = colophon(&data, &["token", "create", GONE, "--kind", "api"])["token"].clone();
    for n in 0..20 {
        let body = large_flow(&format!("{FLOW}_{n}"), n);
        let answer = agent()
            .post(format!("{}/build", server.url))
            .header("x-tenant-slug", GONE)
            .header("x-ap-signature", webhook_signature(secret.as_str().unwrap(), &body))
            .send(body.as_slice());
        assert_eq!(answer.unwrap().status(), 201);
    }
    let traces = ["slug", "flow"].map(str::to_owned);
    let traces: Vec<_> = traces.into_iter().zip([GONE, FLOW].map(Into::into)).collect();
    assert_eq!(present(&data, &traces).len(), 2);

    let manifest = format!("{}/v1/t/{GONE}/manifest.json", server.url);
    let bearer = format!("Bearer {}", api.as_str().unwrap());
    std::thread::scope(|scope| {
        // Its client is cut off with the server, or told that it is done; either may happen.
        scope.spawn(|| run_in_turn(&data, &["tenant", "erase", GONE, "--confirm", GONE]));
        let there = || agent().get(&manifest).header("authorization", &bearer).call().unwrap();
        let start = Instant::now();
        while there().status() == 200 {
            assert!(start.elapsed() < Duration::from_mins(3), "the erasure does not begin");
        }
        server.kill();
    });

    let server = ServerProcess::start(&data);
    let start = Instant::now();
    while !present(&data, &traces).is_empty() {
        assert!(start.elapsed() < Duration::from_mins(3), "it is not finished");
    }
    let again = refused(&data, &["tenant", "create", GONE]);
    assert!(again.contains("is not given again"), "{again}");
    drop(server);
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
}
