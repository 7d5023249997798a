//! Collection, check, purge, backup and explanation, on the command line and through a server.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use colophon::clock::Clock as _;
use colophon::tokens::{TokenKind, create_token};
use colophon::units::{Size, Span};
use colophon_model::{Digest, LogEntry, Ordinal};
use colophon_store::rows::TenantRow;
use colophon_store::{Change, Options, Store};
use serde_json::Value;

use crate::support::process::{MAINTENANCE_RUNS, colophon, refused, run, told};
use crate::support::programs::{clone, git, git_in, program};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, noise, small_flow};

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A flow whose files are too large to be kept in the metadata.
fn large_flow(slug: &str, seed: u64) -> Vec<u8> {
    small_flow(slug, None, &noise(seed, 20_000))
}

fn built(server: &TestServer, tenant: &TestTenant, body: &[u8]) -> Value {
    let answer = server.build(tenant, body);
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    answer.json()
}

/// The digest of the largest file of a build.
fn largest_file(build: &Value) -> String {
    let files = build["outputs"][0]["files"].as_array().unwrap();
    let largest = files.iter().max_by_key(|file| file["size"].as_u64()).unwrap();
    largest["digest"].as_str().unwrap().to_owned()
}

/// Flips one byte of a blob that is in a segment.
fn damage(data: &Path, digest: &str) {
    let place = colophon(data, &["explain", digest])["place"].as_str().unwrap().to_owned();
    let words: Vec<&str> = place.split([' ', ',']).filter(|w| !w.is_empty()).collect();
    let ["segment", segment, length, "bytes", "at", offset] = words[..] else {
        panic!("not in a segment: {place}");
    };
    let at = offset.parse::<u64>().unwrap() + length.parse::<u64>().unwrap() / 2;
    let path = data.join("segments").join(format!("{segment}.seg"));
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

/// Waits for a condition, and fails when it does not come true within a minute.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_mins(3), "{what}");
        std::thread::yield_now();
    }
}

/// The second bundle supersedes the first one's `timestamp.json`.
fn make_garbage(server: &TestServer, tenant: &TestTenant) {
    for revision in [1, 2] {
        let mut flow: Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
        flow["revision"] = revision.into();
        let text = flow.to_string().replace("#order", &format!("#order-{revision}"));
        built(server, tenant, text.as_bytes());
    }
}

/// A dry run says what the run then does, and whoever holds the data gives the same report.
#[test]
fn garbage_is_collected_here_and_through_the_server() {
    let server = TestServer::start();
    let data = server.data();
    make_garbage(&server, &server.tenant("acme-inc"));
    // The server writes lines of its own meanwhile, as that it has started.
    let planned = || {
        let mut planned = colophon(&data, &["gc", "--dry-run"]);
        for metadata in ["metadata_bytes", "metadata_live_bytes"] {
            assert!(planned.as_object_mut().unwrap().remove(metadata).is_some(), "{planned}");
        }
        planned
    };
    let (first, planned) = (planned(), planned());
    assert_eq!(first, planned, "nothing was changed");
    let condemned = planned["condemned"].as_u64().unwrap();
    assert!(condemned > 0 && planned["dry_run"] == true, "{planned}");
    assert!(told(&data, &["gc", "--dry-run"]).starts_with("would collect; nothing was changed"));

    let first = colophon(&data, &["gc"]);
    assert_eq!((&first["condemned"], &first["deleted"]), (&planned["condemned"], &0.into()));
    let within = colophon(&data, &["gc"]);
    assert_eq!((&within["waiting"], &within["deleted"]), (&planned["condemned"], &0.into()));
    // The server's clock decides.
    server.clock.advance(DAY);
    let after = colophon(&data, &["gc", "--share", "50", "--budget", "1GiB"]);
    assert_eq!(after["deleted"], planned["condemned"], "{after}");

    let dir = take(server);
    let here = colophon(&data, &["gc", "--dry-run"]);
    assert_eq!(here["blobs"].as_u64().unwrap(), after["blobs"].as_u64().unwrap() - condemned);
    assert_eq!((&here["condemned"], &here["missing"]), (&0.into(), &0.into()));
    assert!(told(&data, &["gc"]).starts_with("collected\n  blobs "));
    drop(dir);
}

/// Stops the server and keeps its directory.
fn take(mut server: TestServer) -> tempfile::TempDir {
    std::mem::replace(&mut server.dir, tempfile::tempdir().unwrap())
}

/// A file of the branch is in the Git log too, and comes back from there; the flow as received is
/// nowhere else, so its damage is told and stays.
#[test]
fn a_flipped_byte_is_found_and_healed_from_git() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    let body = large_flow("orders", 1);
    let file = largest_file(&built(&server, &tenant, &body));
    let clean = colophon(&data, &["fsck"]);
    assert_eq!(clean["total_problems"], 0, "{clean}");
    assert!(told(&data, &["fsck", "--quick"]).ends_with("nothing is wrong\n"));

    damage(&data, &file);
    let found = refused(&data, &["fsck"]);
    assert!(found.contains("1 problem found; `colophon fsck --repair`"), "{found}");
    let healed = told(&data, &["fsck", "--repair"]);
    assert!(healed.contains(&format!("E_BLOB_DAMAGED  blob {file}")), "{healed}");
    assert!(healed.ends_with("1 problem, 1 repaired\n"), "{healed}");
    let path = format!("/v1/t/acme-inc/blob/{file}");
    assert_eq!(server.get_with(&path, &tenant.api).status, 200);
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);

    // A delivery of the same flow writes nothing, except what the store has lost of it.
    let received = Digest::of(&body).to_string();
    damage(&data, &received);
    refused(&data, &["fsck", "--repair"]);
    assert_eq!(server.build(&tenant, &body).status, 200);
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);

    // The same without a server, and what cannot be repaired.
    let dir = take(server);
    damage(&data, &received);
    let left = refused(&data, &["fsck", "--repair"]);
    assert!(left.contains("1 problem could not be repaired"), "{left}");
    assert!(told(&data, &["explain", &received]).contains("damaged"));
    drop(dir);
}

#[test]
fn a_blob_is_explained() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    let build = built(&server, &tenant, &small_flow("orders", None, "hello"));
    let file = &build["outputs"][0]["files"][0];
    let digest = file["digest"].as_str().unwrap();
    let text = told(&data, &["explain", digest]);
    let id = build["id"].as_str().unwrap();
    let reason = format!("{} of build {id}", file["path"].as_str().unwrap());
    for part in [&format!("blob {digest}\n"), "acme-inc (", reason.as_str(), "place "] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    let unknown = Digest::of(b"nothing").to_string();
    assert!(refused(&data, &["explain", &unknown]).contains("the store holds no blob"));
    let dir = take(server);
    assert_eq!(told(&data, &["explain", digest]), text, "the same without a server");
    assert!(refused(&data, &["explain", &unknown]).contains("the store holds no blob"));
    drop(dir);
}

/// Tokens of tests end after 30 days.
fn renew_git_token(server: &TestServer, tenant: &mut TestTenant) {
    let (store, now) = (&server.app.press.store, server.clock.now());
    let slug = tenant.slug.parse().unwrap();
    let made = create_token(store, &slug, TokenKind::Git, "test", 30, now).unwrap();
    made.token.reveal().clone_into(&mut tenant.git);
}

fn tags(server: &TestServer, tenant: &TestTenant) -> usize {
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
    git(&["-c", &header, "ls-remote", "--tags", "--refs", &server.git_url(tenant)]).lines().count()
}

/// Tags end, and nothing else that a user of the branch can see.
#[test]
fn expired_tags_are_purged_and_the_branch_stays() {
    let server = TestServer::start();
    let (data, mut tenant, mut other) =
        (server.data(), server.tenant("acme-inc"), server.tenant("other"));
    for n in 0..3 {
        built(&server, &tenant, &small_flow("orders", None, &format!("text {n}")));
    }
    built(&server, &other, &small_flow("orders", None, "text"));
    server.clock.advance(29 * DAY);
    let last = built(&server, &tenant, &small_flow("orders", None, "the last"));
    assert_eq!(colophon(&data, &["purge", "--dry-run"])["tags"], 0, "all are young");
    server.clock.advance(2 * DAY);
    renew_git_token(&server, &mut tenant);
    renew_git_token(&server, &mut other);
    let planned = colophon(&data, &["purge", "--dry-run"]);
    assert_eq!((&planned["tags"], &planned["tenants"]), (&4.into(), &2.into()));
    assert_eq!(tags(&server, &tenant), 4);

    let purged = colophon(&data, &["purge", "--tenant", "acme-inc"]);
    assert_eq!((&purged["tags"], &purged["tenants"]), (&3.into(), &1.into()));
    assert_eq!((tags(&server, &tenant), tags(&server, &other)), (1, 1));
    let dir = server.path("clone");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    git_in(&dir, &["fsck", "--strict", "--full"]);
    assert_eq!(git_in(&dir, &["rev-list", "--count", "HEAD"]).trim(), "5");
    assert_eq!(git_in(&dir, &["tag"]).trim(), last["tags"][0].as_str().unwrap());
    assert!(told(&data, &["purge", "--older-than", "1s"]).contains("build tags   2\n"));
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
    let unknown = refused(&data, &["purge", "--tenant", "nobody"]);
    assert!(unknown.contains("there is no tenant `nobody`"), "{unknown}");
}

/// The server purges by itself, by its own clock.
#[test]
fn the_server_purges_by_itself() {
    let server = TestServer::with(|config| config.maintenance.purge_every = Span::seconds(1));
    let mut tenant = server.tenant("acme-inc");
    built(&server, &tenant, &small_flow("orders", None, "hello"));
    assert_eq!(tags(&server, &tenant), 1);
    server.clock.advance(31 * DAY);
    renew_git_token(&server, &mut tenant);
    wait_until("the tag is purged", || tags(&server, &tenant) == 0);
}

/// The server reads its blobs by itself, and puts damage into quarantine.
#[test]
fn the_server_finds_damage_by_itself() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    let file = largest_file(&built(&server, &tenant, &large_flow("orders", 1)));
    let dir = take(server);
    damage(&data, &file);
    let server = TestServer::with(|config| {
        config.data = data.clone();
        config.maintenance.scrub_per_second = Size::mib(1);
    });
    // A quick check reads no blob: it tells what is known.
    let known = || server.operator("POST", "/v1/maintenance/fsck", r#"{"quick": true}"#);
    wait_until("the damage is known", || {
        String::from_utf8_lossy(&known().bytes).contains(&format!("blob {file}"))
    });
    drop((server, dir));
}

fn tip(server: &TestServer, tenant: &TestTenant) -> String {
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
    let branch = format!("refs/heads/tenant/{}", tenant.slug);
    let refs = git(&["-c", &header, "ls-remote", &server.git_url(tenant), &branch]);
    refs.split_whitespace().next().unwrap().to_owned()
}

/// A backup made during builds is a store as it was at one moment, and serves on after a restore.
#[test]
fn a_backup_made_during_builds_is_restored_elsewhere() {
    let server =
        TestServer::with(|config| config.quota.builds_per_day = 100_000.try_into().unwrap());
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    built(&server, &tenant, &large_flow("first", 1));
    let (backup, key) = (server.path("backup"), data.join("keys/master.key"));
    let done = AtomicBool::new(false);
    let commits = std::thread::scope(|scope| {
        let builder = scope.spawn(|| {
            let mut commits = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let body = large_flow("busy", 100 + commits.len() as u64);
                let build = built(&server, &tenant, &body);
                commits.push(build["commit"].as_str().unwrap().to_owned());
            }
            commits
        });
        let first = tip(&server, &tenant);
        wait_until("builds go on", || tip(&server, &tenant) != first);
        let report = colophon(&data, &["backup", &backup.display().to_string()]);
        done.store(true, Ordering::Relaxed);
        assert!(report["metadata_bytes"].as_u64().unwrap() > 0, "{report}");
        builder.join().unwrap()
    });
    let again = refused(&data, &["backup", &backup.display().to_string()]);
    assert!(again.contains("is not empty"), "{again}");
    let quiet = server.path("quiet");
    let text = told(&data, &["backup", &quiet.display().to_string()]);
    assert!(text.contains("`keys/master.key` is not in it"), "{text}");
    let last = tip(&server, &tenant);
    let dir = take(server);

    for (from, to) in [(&backup, "restored"), (&quiet, "restored-quiet")] {
        let to = dir.path().join(to);
        let (from, key) = (from.display().to_string(), key.display().to_string());
        let text = told(&to, &["restore", &from, "--key", &key]);
        assert!(text.contains("nothing is wrong"), "{text}");
        let restored = TestServer::with(|config| config.data = to.clone());
        let log = restored.operator("GET", "/v1/audit", "").json();
        let is_restore = |entry: &Value| {
            (&entry["action"], &entry["actor"]["kind"])
                == (&"store.restore".into(), &"local".into())
        };
        assert_eq!(log["entries"].as_array().unwrap().iter().filter(|e| is_restore(e)).count(), 1);
        assert_eq!(colophon(&to, &["fsck"])["total_problems"], 0);
        let tip = tip(&restored, &tenant);
        assert!(commits.contains(&tip), "one of the commits that were acknowledged");
        assert!(from.ends_with("backup") || tip == last, "the same tip");
        let cloned = restored.path("clone");
        clone(&restored.git_url(&tenant), &tenant.git, &cloned);
        git_in(&cloned, &["fsck", "--strict", "--full"]);
        built(&restored, &tenant, &small_flow("after", None, "the restore"));
    }
}

/// What is no backup, and what would overwrite something, is refused before anything is written.
#[test]
fn a_restore_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, to) = (dir.path().join("data"), dir.path().join("to"));
    colophon(&data, &["tenant", "create", "acme-inc"]);
    let nothing = dir.path().join("nothing").display().to_string();
    assert!(refused(&to, &["restore", &nothing]).contains("holds no whole backup"));
    assert!(!to.exists());
    let backup = dir.path().join("backup").display().to_string();
    told(&data, &["backup", &backup]);
    let wrong = dir.path().join("wrong.key");
    std::fs::write(&wrong, "abc").unwrap();
    let wrong = wrong.display().to_string();
    let error = refused(&to, &["restore", &backup, "--key", &wrong]);
    assert!(error.contains("64 hex digits") && !to.exists(), "{error}");
    assert!(refused(&data, &["restore", &backup]).contains("is not empty"));
    let text = told(&to, &["restore", &backup]);
    assert!(text.contains("put the copy of your master key at"), "{text}");
    assert!(refused(&to, &["fsck"]).contains("restore that file"));
}

/// Only the operator's token is good for maintenance, and mistakes are answered in words.
#[test]
fn maintenance_is_the_operators_and_mistakes_are_told() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for path in ["gc", "fsck", "purge", "backup"].map(|job| format!("/v1/maintenance/{job}")) {
        let bearer = format!("Bearer {}", tenant.api);
        assert_eq!(server.post(&path, &[("authorization", &bearer)], b"{}").status, 401, "{path}");
        let misspelt = server.operator("POST", &path, r#"{"dryrun": true}"#);
        assert_eq!((misspelt.status, misspelt.code().as_str()), (400, "invalid-request"));
    }
    let blob = format!("/v1/maintenance/blobs/{}", Digest::of(b"nothing"));
    assert_eq!(server.get_with(&blob, &tenant.api).status, 401);
    assert_eq!(server.operator("GET", &blob, "").status, 404);
    for (body, code) in [(r#"{"dir": "relative"}"#, "invalid-dir"), ("{}", "invalid-request")] {
        let answer = server.operator("POST", "/v1/maintenance/backup", body);
        assert_eq!((answer.status, answer.code().as_str()), (400, code));
    }
    let inside = server.data().join("backup").display().to_string();
    assert!(refused(&server.data(), &["backup", &inside]).contains("is inside the data directory"));
    assert!(!server.data().join("backup").exists());
    for (args, hint) in [
        (&["gc", "--grace", "soon"][..], "write it like `90s`"),
        (&["gc", "--budget", "lots"], "write it like `512MiB`"),
        (&["gc", "--share", "0"], "1 to 100 percent"),
        (&["purge", "--older-than", "30"], "write it like `90s`"),
        (&["explain", "abc"], "64 lower-case hex digits"),
    ] {
        let output = Command::new(program("colophon")).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(hint), "{args:?}: {stderr}");
    }
    let answer = server.operator("POST", "/v1/maintenance/gc", "");
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = String::from_utf8(answer.bytes)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (last, steps) = lines.split_last().unwrap();
    assert!(last["result"]["blobs"].as_u64().unwrap() > 0);
    assert!(!steps.is_empty() && steps.iter().all(|l| l["progress"]["stage"].is_string()));
}

/// One job at a time; a second one is told, and changes nothing.
#[test]
fn a_second_job_is_told_that_one_runs() {
    let server = TestServer::start();
    let place = loop {
        // The server may just be looking for interrupted erasures.
        if let Ok(place) = server.app.maintenance.admit() {
            break place;
        }
    };
    let answer = server.operator("POST", "/v1/maintenance/gc", "");
    assert_eq!((answer.status, answer.code().as_str()), (409, "maintenance-runs"));
    let output = run(&server.data(), &["gc"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("{MAINTENANCE_RUNS}: try again")), "{error}");
    drop(place);
    assert_eq!(server.operator("POST", "/v1/maintenance/gc", "").status, 200);
}

/// A job that was begun is done to its end, and its place is free again, whoever is listening.
#[test]
fn a_client_that_goes_away_does_not_end_a_job() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    built(&server, &tenant, &large_flow("orders", 1));
    let backup = server.path("backup");
    let body = serde_json::json!({ "dir": &backup }).to_string();
    let token = server.app.press.keys.operator_token();
    let mut stream = std::net::TcpStream::connect(server.url.replace("http://", "")).unwrap();
    let (length, token) = (body.len(), token.reveal());
    let head = format!(
        "POST /v1/maintenance/backup HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    drop(stream);
    wait_until("the backup is whole", || backup.join("FORMAT").exists());
    wait_until("another job may run", || {
        server.operator("POST", "/v1/maintenance/gc", "").status == 200
    });
}

/// A Git object whose bytes are another's passes every check of the store's own rows.
#[test]
fn a_git_object_that_is_not_itself_is_found() {
    let server = TestServer::start();
    let (data, tenant) = (server.data(), server.tenant("acme-inc"));
    built(&server, &tenant, ORDER_INTAKE);
    let dir = take(server);
    let store = Store::open(&data, &Options::default()).unwrap();
    let uid = store.view().unwrap().scan::<TenantRow>(&()).next().unwrap().unwrap().1.uid;
    let entries: Vec<(Ordinal, LogEntry)> = store
        .view()
        .unwrap()
        .scan::<LogEntry>(&uid)
        .map(|row| row.map(|((_, at), entry)| (at, entry)).unwrap())
        .filter(|(_, entry)| entry.base.is_none() && entry.blob.is_some())
        .take(2)
        .collect();
    let [(at, first), (_, other)] = entries.as_slice() else { panic!("two whole blobs") };
    let swapped = LogEntry { oid: first.oid, ..other.clone() };
    let mut change = Change::new();
    change.put(&(uid, *at), &swapped);
    store.commit(change).unwrap();
    drop(store);
    let found = refused(&data, &["fsck"]);
    assert!(found.contains("problem"), "{found}");
    let report = told(&data, &["fsck", "--quick"]);
    assert!(report.ends_with("nothing is wrong\n"), "a quick check does not hash: {report}");
    drop(dir);
}
