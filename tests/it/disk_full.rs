//! A full disk: builds are refused in words, what is there stays readable, and room brings them back.

use std::path::Path;

use colophon::config;
use colophon::units::Size;

use crate::support::process::{colophon, told};
use crate::support::programs::clone;
use crate::support::{Answer, TestServer, TestTenant, small_flow};

/// A server that calls the disk full below `low` bytes.
fn server(data: &Path, low: Size) -> TestServer {
    TestServer::with(|config| {
        data.clone_into(&mut config.data);
        config.space.low = low;
    })
}

/// More than any disk has.
const EVERYTHING: Size = Size::bytes(u64::MAX);

fn assert_full(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (507, "disk-full"));
    assert_eq!(answer.header("retry-after"), "60");
}

fn flow(text: &str) -> Vec<u8> {
    small_flow("orders", None, text)
}

fn tenant_with_a_build(data: &Path) -> TestTenant {
    let server = server(data, Size::bytes(0));
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &flow("before")).status, 201);
    tenant
}

#[test]
fn a_full_disk_refuses_builds_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let tenant = tenant_with_a_build(&data);

    let full = server(&data, EVERYTHING);
    assert_full(&full.build(&tenant, &flow("new")));
    assert_full(&full.operator("POST", "/v1/tenants", r#"{"slug": "another"}"#));
    let token = r#"{"kind": "api", "days": 1}"#;
    assert_full(&full.operator("POST", "/v1/tenants/acme-inc/tokens", token));
    // A no-op writes nothing, whether the body is remembered or has to be read.
    for _ in 0..2 {
        let noop = full.build(&tenant, &flow("before"));
        assert_eq!((noop.status, &noop.json()["outcome"]), (200, &"noop".into()));
    }
    let (live, ready) = (full.get("/healthz", &[]), full.get("/readyz", &[]));
    assert_eq!((live.status, &live.json()["status"]), (200, &"full".into()));
    assert_eq!((ready.status, &ready.json()["status"]), (503, &"full".into()));
    clone(&full.git_url(&tenant), &tenant.git, &full.path("clone"));
    // What makes room is allowed to write.
    assert_eq!(colophon(&data, &["purge", "--older-than", "0s"])["tags"], 1);
    told(&data, &["gc", "--grace", "0s"]);
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
    drop(full);

    let roomy = server(&data, Size::bytes(1));
    assert_eq!(roomy.get("/readyz", &[]).status, 200);
    assert_eq!(roomy.build(&tenant, &flow("new")).status, 201);
}

/// A file that takes so many bytes of the disk.
fn ballast(path: &Path, size: Size) {
    std::fs::write(path, vec![1; size.get() as usize]).unwrap();
}

/// What builders were told while the disk was full is in the audit log once there is room, whole: nobody may work
/// unseen by filling the disk first. Until then it is told that the log lacks something.
#[test]
fn the_audit_log_has_everything_once_there_is_room() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap(); // where nobody else takes much room
    let data = dir.path().join("data");
    let tenant = tenant_with_a_build(&data);
    // What is kept back would be given up, and be room again.
    let _ = std::fs::remove_file(data.join("reserve.bin")); // there is none where there is little room
    let full_below = |mark: Size| {
        TestServer::with(|config| {
            data.clone_into(&mut config.data);
            config.space = config::Space { low: mark, high: mark, reserve: Size::bytes(0) };
        })
    };
    let free = full_below(Size::bytes(1)).app.press.store.extent().unwrap().free.unwrap();
    let filler = dir.path().join("filler");
    // Others take and give some room there too.
    let margin = Size::mib(128).get().min(free / 4);
    let server = full_below(Size::bytes(free - margin));
    let press = &server.app.press;
    press.write_gathered(true);
    ballast(&filler, Size::bytes(2 * margin));
    for _ in 0..3 {
        assert_full(&server.build(&tenant, &flow("new")));
        assert_eq!(server.build(&tenant, &flow("before")).status, 200);
        server.clock.advance(5_000);
        press.write_gathered(false);
    }
    let warnings = server.get("/readyz", &[]).json()["warnings"].to_string();
    assert!(warnings.contains("the audit log lacks 6 acts since"), "{warnings}");
    let look = colophon::metrics::look(&server.app).unwrap();
    let metrics = colophon::metrics::text(&server.app, &press.metrics, &look).unwrap();
    assert!(metrics.contains("\ncolophon_audit_behind_seconds 10"), "{metrics}");

    std::fs::remove_file(&filler).unwrap();
    server.clock.advance(1_000);
    press.write_gathered(false);
    let log = server.operator("GET", "/v1/t/acme-inc/audit?limit=1000", "").json();
    let count = |action: &str| {
        let entries = log["entries"].as_array().unwrap().iter();
        entries.filter(|e| e["action"] == action && e["count"] == 3).count()
    };
    assert_eq!((count("build.noop"), count("build.make")), (1, 1), "{log:#}");
    assert!(server.get("/readyz", &[]).json()["warnings"].is_null());
}

/// The command line says the same without a server.
#[test]
fn a_build_from_a_file_is_told_that_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    tenant_with_a_build(&data);
    let file = dir.path().join("flow.json");
    std::fs::write(&file, flow("new")).unwrap();
    let output = std::process::Command::new(crate::support::programs::program("colophon"))
        .args(["build", "acme-inc", "--space-low", "8EiB", "--data"])
        .args([&data, &file])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("the disk is full"), "{stderr}");
}
