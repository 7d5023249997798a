//! The export for auditors to stores that speak S3: SeaweedFS, moto, and Garage where there is one.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use colophon::config::{Encryption, ExportConfig};
use colophon::export::LockMode;
use colophon::units::Span;
use serde_json::json;

use crate::support::export::{check, commands, export, follow, job, run};
use crate::support::s3::{self, BUCKET, KEY, READER, Store, WRITER};
use crate::support::upstream::{Proxy, Twist, until};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, noise, small_flow};

/// A server that exports to `store` with the credentials of `who`.
fn press(
    endpoint: &str,
    who: (&str, &str),
    change: impl FnOnce(&mut ExportConfig),
) -> (TestServer, TestTenant) {
    let server = TestServer::with(|config| {
        config.export.endpoint = Some(endpoint.to_owned());
        config.export.attempts = 3;
        s3::with_key(config, who);
        change(&mut config.export);
    });
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    (server, tenant)
}

fn error(server: &TestServer, to: &str) -> String {
    run(server, &job(to, "acme-inc")).expect_err("it must fail").to_string()
}

/// One start of the store for all that is asked of it: it takes seconds.
#[test]
fn seaweedfs_keeps_an_export_that_stock_tools_verify() {
    let Some(store) = Store::seaweedfs() else { return };
    an_auditor_fetches_and_verifies(&store);
    an_increment_takes_few_requests(&store);
    refusals_are_told_apart(&store);
    a_writer_that_may_not_delete_is_enough(&store);
    what_is_locked_stays(&store);
    what_is_large_goes_in_parts(&store);
    the_store_encrypts(&store);
    what_is_changed_on_its_way_is_refused(&store);
}

/// The export is fetched with the AWS command line, as VERIFY.md says, and verified by its commands.
fn an_auditor_fetches_and_verifies(store: &Store) {
    let (server, tenant) = press(&store.url(), KEY, |_| {});
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
    let to = format!("s3://{BUCKET}/a/b");
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "b")).status, 201);
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    let found = check(&server, &to, "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
    assert_eq!((found.bags, found.builds), (2, 3));
    let folder = server.path("fetched");
    store.must(&[
        "s3",
        "sync",
        "--quiet",
        &format!("{to}/v1/acme-inc"),
        &folder.display().to_string(),
    ]);
    let output = follow(&folder, &commands(&folder));
    assert!(output.status.success(), "{output:?}");
}

/// The bar: one more build of a flow, twenty requests.
fn an_increment_takes_few_requests(store: &Store) {
    let (server, tenant) = press(&store.url(), KEY, |_| {});
    let to = format!("s3://{BUCKET}/few");
    export(&server, &to, "acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "b")).status, 201);
    let done = run(&server, &job(&to, "acme-inc")).unwrap();
    assert!(done.requests <= 20, "{} requests: {done:#?}", done.requests);
    assert_eq!(done.tenants[0].bags[0].builds, 1);
}

/// Each way to be refused has a code of its own and words that help, and leaves nothing behind.
fn refusals_are_told_apart(store: &Store) {
    let to = format!("s3://{BUCKET}/refused");
    for (who, to, expected) in [
        ((KEY.0, "wrong"), to.as_str(), "AWS_ACCESS_KEY_ID"),
        (("nobody", "secret"), &to, "AWS_ACCESS_KEY_ID"),
        (READER, &to, "the policy that the exporter's credentials need"),
        (KEY, "s3://no-such-bucket/x", "make the bucket"),
    ] {
        let (server, _) = press(&store.url(), who, |_| {});
        let said = error(&server, to);
        assert!(said.contains(expected), "{who:?}: {said}");
        assert!(!said.contains("wrong") || who.1 != "wrong", "no secret is told: {said}");
    }
    assert!(!store.must(&["s3", "ls", &format!("s3://{BUCKET}/")]).contains("refused"));
    let (server, _) = press("http://127.0.0.1:1", KEY, |config| config.attempts = 2);
    let said = error(&server, &to);
    assert!(said.contains("127.0.0.1:1"), "{said}");
    let (server, _) = press("http://192.0.2.1", KEY, |_| {});
    assert!(error(&server, &to).contains("export.plain_http"));
}

/// Separation of duties: the exporter's credentials write and read, and need not delete.
fn a_writer_that_may_not_delete_is_enough(store: &Store) {
    let (server, _) = press(&store.url(), WRITER, |_| {});
    let to = format!("s3://{BUCKET}/writer");
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    assert!(check(&server, &to, "acme-inc").is_clean());
}

/// Under object lock every object of a bag is locked, the audit log alone in the mode that nobody gets around; a bucket
/// without it is refused, and the probe that failed is named.
fn what_is_locked_stays(store: &Store) {
    let locked = |config: &mut ExportConfig| {
        config.lock = Some(LockMode::Compliance);
        config.lock_for = Span::hours(1);
    };
    let (server, tenant) = press(&store.url(), KEY, locked);
    let said = error(&server, &format!("s3://{BUCKET}/locked"));
    assert!(said.contains("probe `versioning`"), "{said}");
    store.must(&[
        "s3api",
        "create-bucket",
        "--bucket",
        "locked",
        "--object-lock-enabled-for-bucket",
    ]);
    assert_eq!(export(&server, "s3://locked/x", "acme-inc"), 1);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "b")).status, 201);
    assert_eq!(export(&server, "s3://locked/x", "acme-inc"), 1);
    let found = check(&server, "s3://locked/x", "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
    let listed = store.must(&["s3", "ls", "--recursive", "s3://locked/x/v1/acme-inc/"]);
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let mut modes = Vec::new();
    for part in ["/data/audit/0", "/data/builds.jsonl", "tagmanifest-sha256.txt.sig", "/blobs/"] {
        let key = names
            .iter()
            .find(|name| name.contains(part))
            .unwrap_or_else(|| panic!("{part}: {listed}"));
        let told =
            store.must(&["s3api", "get-object-retention", "--bucket", "locked", "--key", key]);
        modes.push(told.contains("COMPLIANCE"));
        let head = store.must(&["s3api", "head-object", "--bucket", "locked", "--key", key]);
        let head: serde_json::Value = serde_json::from_str(&head).unwrap();
        let version = head["VersionId"].as_str().unwrap();
        let deleted = store.aws(&[
            "s3api",
            "delete-object",
            "--bucket",
            "locked",
            "--key",
            key,
            "--version-id",
            version,
        ]);
        assert!(!deleted.status.success(), "{key} was deleted");
    }
    assert_eq!(modes, [true, false, false, false]);
    // `HEAD.json` is what moves.
    let head =
        ["s3api", "get-object-retention", "--bucket", "locked", "--key", "x/v1/acme-inc/HEAD.json"];
    assert!(!store.aws(&head).status.success());
}

/// A bundle of Git objects above the bound for one request is sent in parts, and locked as all else is.
fn what_is_large_goes_in_parts(store: &Store) {
    let server = TestServer::with(|config| {
        config.limits.body_bytes = 16 << 20;
        config.export.endpoint = Some(store.url());
        config.export.lock = Some(LockMode::Governance);
        config.export.lock_for = Span::hours(1);
        s3::with_key(config, KEY);
    });
    let tenant = server.tenant("acme-inc");
    for n in 1..=5 {
        let answer = server.build(&tenant, &large_flow(n));
        assert_eq!(answer.status, 201, "{:#}", answer.json());
    }
    assert_eq!(export(&server, "s3://locked/large", "acme-inc"), 1);
    let found = check(&server, "s3://locked/large", "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
    let listed = store.must(&["s3", "ls", "--recursive", "s3://locked/large/"]);
    let bundle = listed.lines().find(|line| line.ends_with("mirror.bundle")).unwrap();
    let words: Vec<&str> = bundle.split_whitespace().collect();
    assert!(words[2].parse::<u64>().unwrap() > 16 << 20, "{bundle}");
    let told =
        store.must(&["s3api", "get-object-retention", "--bucket", "locked", "--key", words[3]]);
    assert!(told.contains("GOVERNANCE"), "{told}");
}

/// A flow of 4 MB that do not compress well.
pub(crate) fn large_flow(revision: u64) -> Vec<u8> {
    let name = |n: u64| format!("n{n}");
    let mut nodes = vec![json!({"id": "n0", "kind": "trigger.manual"})];
    nodes.extend((1..=32).map(|n| {
        let text = noise(revision * 1000 + n, 128 << 10);
        json!({"id": name(n), "kind": "data.map", "fields": {"text": text}})
    }));
    let edges: Vec<_> = (1..=32).map(|n| json!({"from": name(n - 1), "to": name(n)})).collect();
    let flow = json!({
        "schema_version": "1.0", "id": "native-large", "slug": "large", "name": "large",
        "revision": revision, "nodes": nodes, "edges": edges,
    });
    serde_json::to_vec(&flow).unwrap()
}

fn the_store_encrypts(store: &Store) {
    let (server, _) = press(&store.url(), KEY, |config| config.encryption = Encryption::S3);
    let to = format!("s3://{BUCKET}/sealed");
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    assert!(check(&server, &to, "acme-inc").is_clean());
    let head = store.must(&[
        "s3api",
        "head-object",
        "--bucket",
        BUCKET,
        "--key",
        "sealed/v1/acme-inc/HEAD.json",
    ]);
    assert!(head.contains("AES256"), "{head}");
}

/// The store compares what comes with the checksums that are signed; it is sent again.
fn what_is_changed_on_its_way_is_refused(store: &Store) {
    let proxy = Proxy::before(store.port);
    let once = AtomicBool::new(true);
    proxy.rule(move |head| {
        let blob = head.starts_with("PUT ") && head.contains("/blobs/");
        (blob && once.swap(false, Ordering::SeqCst)).then_some(Twist::Corrupt)
    });
    let (server, _) = press(&format!("http://127.0.0.1:{}", proxy.port), KEY, |_| {});
    let to = format!("s3://{BUCKET}/way");
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    let found = check(&server, &to, "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
}

/// moto is a second reading of the protocol.
#[test]
fn moto_keeps_an_export_too() {
    let Some(store) = Store::moto() else { return };
    let (server, tenant) = press(&store.url(), KEY, |_| {});
    let to = format!("s3://{BUCKET}/x");
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "b")).status, 201);
    assert_eq!(export(&server, &to, "acme-inc"), 1);
    let found = check(&server, &to, "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
}

/// A store that takes conditions and does not heed them is found out: nothing is exported unless somebody says that
/// nobody else exports there, and nothing is ever locked there.
#[test]
fn a_store_that_heeds_nothing_is_found_out() {
    let Some(store) = Store::moto() else { return };
    let proxy = Proxy::before(store.port);
    proxy.rule(|_| Some(Twist::Heedless));
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    let (server, tenant) = press(&endpoint, KEY, |_| {});
    let to = format!("s3://{BUCKET}/x");
    let said = error(&server, &to);
    assert!(said.contains("probe `create`") && said.contains("--allow-unconditional"), "{said}");
    let asked =
        || colophon::maintenance::Export { allow_unconditional: true, ..job(&to, "acme-inc") };
    assert_eq!(run(&server, &asked()).unwrap().tenants[0].bags.len(), 1);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "b")).status, 201);
    assert_eq!(run(&server, &asked()).unwrap().tenants[0].bags.len(), 1);
    assert!(check(&server, &to, "acme-inc").is_clean());
    assert!(run(&server, &job(&to, "acme-inc")).is_err(), "it must be said each time");

    let locked = |config: &mut ExportConfig| config.lock = Some(LockMode::Governance);
    let (server, _) = press(&endpoint, KEY, locked);
    store.must(&["s3api", "create-bucket", "--bucket", "worm", "--object-lock-enabled-for-bucket"]);
    let said = run(
        &server,
        &colophon::maintenance::Export { to: "s3://worm/x".parse().unwrap(), ..asked() },
    );
    let said = said.unwrap_err().to_string();
    assert!(
        said.contains("does not keep what is locked") && said.contains("probe `create`"),
        "{said}"
    );
    // Conditions heeded, locks not.
    proxy.rule(|head| {
        head.to_ascii_lowercase().contains("x-amz-object-lock").then_some(Twist::Heedless)
    });
    let said = error(&server, "s3://worm/y");
    assert!(said.contains("probe `lock`"), "{said}");
}

/// A running Garage; killed when dropped.
struct Garage(Child, #[expect(dead_code, reason = "it goes with the store")] tempfile::TempDir);

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Garage 2.5 answers 200 to conditions and locks that it does not know.
#[test]
fn garage_is_found_out() {
    let Some(program) = s3::garage() else { return };
    let dir = tempfile::tempdir().unwrap();
    let [rpc, port] = [(); 2].map(|()| crate::support::upstream::free_port());
    let path = dir.path().display();
    let config = format!(
        "metadata_dir = \"{path}/meta\"\ndata_dir = \"{path}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
         rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{}\"\n\
         [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"127.0.0.1:{port}\"\n",
        "17".repeat(32)
    );
    fs::write(dir.path().join("garage.toml"), config).unwrap();
    let (id, secret) = ("GK0123456789abcdef01234567", "0123456789abcdef".repeat(4));
    let child = Command::new(program)
        .arg("-c")
        .arg(dir.path().join("garage.toml"))
        .args(["server", "--single-node", "--default-bucket"])
        .env("GARAGE_DEFAULT_ACCESS_KEY", id)
        .env("GARAGE_DEFAULT_SECRET_KEY", &secret)
        .env("GARAGE_DEFAULT_BUCKET", BUCKET)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _garage = Garage(child, dir);
    until("Garage listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let endpoint = format!("http://127.0.0.1:{port}");
    let (server, _) =
        press(&endpoint, (id, &secret), |config| config.region = Some("garage".to_owned()));
    let to = format!("s3://{BUCKET}/x");
    assert!(error(&server, &to).contains("probe `create`"), "{}", error(&server, &to));
    let asked = colophon::maintenance::Export { allow_unconditional: true, ..job(&to, "acme-inc") };
    assert_eq!(run(&server, &asked).unwrap().tenants[0].bags.len(), 1);
    assert!(check(&server, &to, "acme-inc").is_clean());
}
