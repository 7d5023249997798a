//! Sealed exports: auditors open them with stock age, whoever has no key still checks that they are whole, and an erasure
//! makes what is locked unreadable without breaking the chain.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use colophon::config::ExportConfig;
use colophon::export::envelope::{Identity, Opener, Sealer};
use colophon::export::{LockMode, Options, Place, Verified, VerifyOptions, verify_all};
use colophon::maintenance::{Site, perform};
use colophon::units::Span;

use crate::support::export::{
    check, commands, erase, export, files, follow, job, opener, run, seal,
};
use crate::support::process::{colophon, refused, told};
use crate::support::s3::{self, KEY, Store};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// Strings that stand in the tenant's flows and outputs, and nowhere else.
const SECRETS: [&str; 3] = ["quagmire", "zanzibar text", "native-quagmire"];

/// A server that seals, with copies of keys for `operator` in a folder of their own, and a tenant with flows.
fn press(operator: &Identity, change: impl FnOnce(&mut ExportConfig)) -> (TestServer, TestTenant) {
    let server = TestServer::with(|config| {
        seal(config, operator);
        change(&mut config.export);
    });
    let tenant = server.tenant("acme-inc");
    build(&server, &tenant, 1);
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
    (server, tenant)
}

fn build(server: &TestServer, tenant: &TestTenant, revision: u64) {
    let text = format!("zanzibar text {revision}");
    assert_eq!(server.build(tenant, &small_flow("quagmire", Some(revision), &text)).status, 201);
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// The check with no key of the tenant's, as an auditor does it who was given none.
fn check_closed(server: &TestServer, to: &str, keys: Opener) -> Verified {
    let config = &server.app.config.export;
    let place =
        Place::open(&to.parse().unwrap(), config, &Options::default(), &server.app.press.secrets);
    let key = Some(server.app.press.keys.export_key().public());
    let how = VerifyOptions { key, percent: 100, concurrency: 4, opener: keys };
    verify_all(&place.unwrap(), None, config, &how, &|_| {}).unwrap().remove(0)
}

/// Which of the strings stand in any file below a folder, or in its name.
fn found(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files(folder) {
        let bytes = fs::read(folder.join(&file)).unwrap();
        for secret in SECRETS {
            let inside = bytes.windows(secret.len()).any(|at| at == secret.as_bytes());
            if inside || file.contains(secret) {
                found.insert(format!("{secret} in {file}"));
            }
        }
    }
    found
}

fn stock_age(args: &[&str]) -> std::process::Output {
    Command::new("age").args(args).output().unwrap()
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// What the program seals the age program opens, chunks and all, and not with another key.
#[test]
fn stock_age_opens_what_is_sealed() {
    if !is_there("age") {
        return crate::support::programs::must_be_marked_unavailable("age");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let [ours, other] = [1, 2].map(|byte| Identity::from_secret([byte; 32]));
    fs::write(path("key"), ours.to_text().as_bytes()).unwrap();
    fs::write(path("other"), other.to_text().as_bytes()).unwrap();
    for length in [0_u32, 1, 65_536, 65_537, 200_000] {
        let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        fs::write(path("sealed"), Sealer::new(&ours).seal(&plain)).unwrap();
        let opened = stock_age(&["-d", "-i", &path("key"), &path("sealed")]);
        assert!(opened.status.success(), "{length}: {opened:?}");
        assert_eq!(opened.stdout, plain, "{length}");
        assert!(!stock_age(&["-d", "-i", &path("other"), &path("sealed")]).status.success());
    }
}

/// An export that was begun plain goes on sealed. VERIFY.md accepts it with the key and without, and sees one changed byte in
/// an object of each kind either way; and so does the program's own check. Nothing of the flows can be read in what is sealed.
#[test]
fn a_sealed_export_verifies_with_and_without_the_key() {
    if !is_there("age") {
        return crate::support::programs::must_be_marked_unavailable("age");
    }
    let operator = Identity::generate().unwrap();
    let (server, tenant) = press(&operator, |_| {});
    let to = server.path("evidence");
    assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
    build(&server, &tenant, 2);
    assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
    assert_eq!(export(&server, &url(&to), "acme-inc"), 0, "nothing is new");
    assert_eq!(found(&to), BTreeSet::new(), "of what was built");
    let folder = to.join("v1/acme-inc");
    let key = server.path("tenant.key");
    let revealed = told(
        &server.data(),
        &["export", "identity", "--tenant", "acme-inc", "--out", &key.display().to_string()],
    );
    assert!(revealed.contains("age1"), "{revealed}");
    let (closed, opened) =
        (commands(&folder), format!("IDENTITY={}\n{}", key.display(), commands(&folder)));
    for script in [&closed, &opened] {
        let output = follow(&folder, script);
        assert!(output.status.success(), "{output:?}");
    }
    let whole = check(&server, &url(&to), "acme-inc");
    assert!(whole.is_clean() && whole.unopened == 0, "{whole:#?}");
    let part = check_closed(&server, &url(&to), Opener::default());
    assert!(part.is_clean() && part.unopened > part.blobs, "{part:#?}");
    assert_eq!((part.bags, part.builds, part.lines), (whole.bags, whole.builds, whole.lines));
    assert_eq!(part.sealed, whole.sealed);

    let mut kinds = BTreeSet::new();
    for file in files(&folder).iter().filter(|file| !file.contains(".json.lock")) {
        if !kinds.insert(kind(file)) {
            continue;
        }
        let path = folder.join(file);
        let good = fs::read(&path).unwrap();
        let mut changed = good.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert!(!follow(&folder, &closed).status.success(), "not seen without the key: {file}");
        assert!(!check_closed(&server, &url(&to), Opener::default()).is_clean(), "{file}");
        assert!(!check(&server, &url(&to), "acme-inc").is_clean(), "{file}");
        fs::write(&path, &good).unwrap();
    }
    for kind in ["acts.jsonl", "objects.txt", "audit.age", "blob", "builds.jsonl.age"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}

/// What an object is, by its path in the tenant's folder.
fn kind(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap();
    match file {
        _ if file.starts_with("blobs/") => "blob",
        _ if file.starts_with("keys/pub/") => "key",
        _ if file.starts_with("VERIFY-") => "VERIFY.md",
        _ if file.contains("/attestations/") || file.contains("/sbom/") => "document",
        _ if name.ends_with(".acts.jsonl") => "acts.jsonl",
        _ if file.contains("/audit/") && name.rsplit('.').next() == Some("age") => "audit.age",
        _ => name,
    }
    .to_owned()
}

/// Bags of before are plain, those after are sealed and name sealed blobs only: what was there is sent again when a new bag
/// names it, and the whole verifies. Turned off again, new bags are plain.
#[test]
fn plain_and_sealed_bags_make_one_chain() {
    let operator = Identity::generate().unwrap();
    let (server, tenant) = press(&operator, |config| {
        (config.encrypt, config.keys, config.recipients) = (false, None, Vec::new());
    });
    let to = url(&server.path("evidence"));
    let mut config = server.app.config.clone();
    let export = |server: &TestServer, encrypt: bool, config: &mut colophon::config::Config| {
        config.export.encrypt = encrypt;
        let site = Site { press: &server.app.press, config };
        perform(&job(&to, "acme-inc"), site, &|_| {}).unwrap().tenants.remove(0).bags
    };
    let bags = export(&server, false, &mut config);
    assert!(bags[0].key.is_none());
    build(&server, &tenant, 2);
    let bags = export(&server, true, &mut config);
    assert!(bags[0].key.is_some());
    build(&server, &tenant, 3);
    let bags = export(&server, false, &mut config);
    assert!(bags[0].key.is_none());
    let found = check(&server, &to, "acme-inc");
    assert!(found.is_clean() && found.unopened == 0, "{found:#?}");
    assert_eq!((found.bags, found.builds), (3, 4));
    let closed = check_closed(&server, &to, Opener::default());
    assert!(closed.is_clean() && closed.unopened > 0, "{closed:#?}");
    // The report says what shredding does not reach.
    let report = erase(&server, false).unwrap();
    let outside = serde_json::to_string(&report.statement.outside).unwrap();
    assert!(outside.contains("2 bags are not sealed"), "{outside}");
}

/// A bag that was cut is made again with the same bytes, sealed files among them: every object that was there stays as it is.
#[test]
fn a_sealed_bag_that_was_cut_is_made_again_to_the_byte() {
    let operator = Identity::generate().unwrap();
    let (server, _) = press(&operator, |_| {});
    let to = server.path("evidence");
    assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
    let head = to.join("v1/acme-inc/HEAD.json");
    let again = server.path("again");
    assert_eq!(export(&server, &url(&again), "acme-inc"), 1);
    let blobs = |folder: &Path| {
        let all = files(&folder.join("v1/acme-inc"));
        all.into_iter().filter(|file| file.starts_with("blobs/")).collect::<Vec<_>>()
    };
    assert!(!blobs(&to).is_empty() && blobs(&to) == blobs(&again), "named by the same hashes");
    assert!(head.exists());
}

/// The copy for the operator opens with the operator's key alone and gives the tenant's; who is not named any more gets no new one,
/// and the older copy is deleted. Keys are refused a place beside what they open.
#[test]
fn copies_of_the_key_are_for_those_who_are_named() {
    let [first, second] = [(); 2].map(|()| Identity::generate().unwrap());
    let (server, tenant) = press(&first, |_| {});
    let (to, wrapped) = (url(&server.path("evidence")), server.path("wrapped"));
    export(&server, &to, "acme-inc");
    let ours = opener(&server, "acme-inc");
    let copy = |by: &Identity| -> Option<Vec<Identity>> {
        let names = files(&wrapped);
        assert_eq!(names.len(), 1, "{names:?}");
        let bytes = fs::read(wrapped.join(&names[0])).unwrap();
        let text = Opener::new([by.clone()]).open(&bytes).ok()?;
        Some(Identity::parse_all(std::str::from_utf8(&text).unwrap()).unwrap())
    };
    assert!(ours.has(&copy(&first).unwrap()[0].id()) && copy(&second).is_none());
    assert!(check_closed(&server, &to, Opener::new(copy(&first).unwrap())).unopened == 0);

    let mut config = server.app.config.clone();
    config.export.recipients = vec![second.id().into()];
    build(&server, &tenant, 2);
    let site = Site { press: &server.app.press, config: &config };
    perform(&job(&to, "acme-inc"), site, &|_| {}).unwrap();
    assert!(ours.has(&copy(&second).unwrap()[0].id()) && copy(&first).is_none());

    config.export.keys = Some(to.parse().unwrap());
    let site = Site { press: &server.app.press, config: &config };
    let error = perform(&job(&to, "acme-inc"), site, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("not apart"), "{error}");
}

/// A legal hold keeps a tenant from being erased, and from being purged, until it is lifted; whoever asks is told.
#[test]
fn a_legal_hold_blocks_erasure_until_it_is_lifted() {
    let operator = Identity::generate().unwrap();
    let (server, tenant) = press(&operator, |_| {});
    let to = url(&server.path("evidence"));
    export(&server, &to, "acme-inc");
    let data = server.data();
    let text = told(&data, &["tenant", "hold", "acme-inc"]);
    assert!(text.contains("under legal hold"), "{text}");
    let shown = colophon(&data, &["tenant", "show", "acme-inc"]);
    assert!(shown["held"].is_string() && shown["state"] == "active", "{shown}");
    let refusal = refused(&data, &["tenant", "erase", "acme-inc", "--confirm", "acme-inc"]);
    assert!(refusal.contains("under legal hold"), "{refusal}");
    let answer = server.operator("DELETE", "/v1/tenants/acme-inc?confirm=acme-inc", "");
    assert_eq!((answer.status, answer.code().as_str()), (409, "tenant-held"));
    assert!(refused(&data, &["purge", "--tenant", "acme-inc"]).contains("under legal hold"));
    build(&server, &tenant, 2);
    assert_eq!(export(&server, &to, "acme-inc"), 1, "it works on");
    assert_eq!(files(&server.path("wrapped")).len(), 1, "no key was touched");
    assert!(check(&server, &to, "acme-inc").erased.is_empty(), "and no record was written");
    told(&data, &["tenant", "release", "acme-inc"]);
    erase(&server, false).unwrap();
}

/// When a copy of the key cannot be destroyed the tenant is not erased, unless that is asked for; then the report names it.
#[test]
fn copies_that_cannot_be_destroyed_stop_the_erasure_or_are_told() {
    let operator = Identity::generate().unwrap();
    let (server, _) = press(&operator, |_| {});
    let to = url(&server.path("evidence"));
    export(&server, &to, "acme-inc");
    // In place of the folder there is a file: nothing can be looked for or deleted there.
    let wrapped = server.path("wrapped");
    let aside = server.path("aside");
    fs::rename(&wrapped, &aside).unwrap();
    fs::write(&wrapped, "").unwrap();
    let error = erase(&server, false).unwrap_err().to_string();
    assert!(error.contains("a copy of its key at") && error.contains("--leave-keys"), "{error}");
    let found = check(&server, &to, "acme-inc");
    assert!(found.is_clean() && found.unopened == 0, "it can still be read: {found:#?}");
    let report = erase(&server, true).unwrap();
    let shredded = report.statement.shredded.unwrap();
    assert!(shredded.keys.iter().any(|fate| !fate.left.is_empty()), "{shredded:#?}");
    let found = check_closed(&server, &to, Opener::default());
    let erased = &found.erased[found.erased.len() - 1];
    assert!(found.is_clean() && !erased.left.is_empty(), "{found:#?}");
}

/// Every version of every object of a bucket, fetched.
fn versions(store: &Store, bucket: &str, into: &Path) -> usize {
    let listed = store.must(&["s3api", "list-object-versions", "--bucket", bucket]);
    if listed.trim().is_empty() {
        return 0;
    }
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let all = listed["Versions"].as_array().cloned().unwrap_or_default();
    for (number, one) in all.iter().enumerate() {
        let [key, version] = ["Key", "VersionId"].map(|name| one[name].as_str().unwrap());
        let file: PathBuf = into.join(format!("{number}-{}", key.replace('/', "_")));
        let file = file.display().to_string();
        store.must(&[
            "s3api",
            "get-object",
            "--bucket",
            bucket,
            "--key",
            key,
            "--version-id",
            version,
            &file,
        ]);
    }
    all.len()
}

/// In a real store that keeps versions and locks, the audit log so that nobody may delete it: after the erasure no version of any
/// object in any bucket gives away a word of the tenant's flows or outputs, neither as it lies there nor to whoever has the
/// operator's key and every copy that is left; and the chain still verifies.
#[test]
fn after_shredding_no_version_tells_anything_and_the_chain_holds() {
    let Some(store) = Store::seaweedfs() else { return };
    for bucket in ["worm", "keys"] {
        store.must(&[
            "s3api",
            "create-bucket",
            "--bucket",
            bucket,
            "--object-lock-enabled-for-bucket",
        ]);
    }
    let operator = Identity::generate().unwrap();
    let server = TestServer::with(|config| {
        s3::with_key(config, KEY);
        config.export = ExportConfig {
            endpoint: Some(store.url()),
            encrypt: true,
            keys: Some("s3://keys/colophon".parse().unwrap()),
            recipients: vec![operator.id().into()],
            lock: Some(LockMode::Compliance),
            lock_for: Span::hours(1),
            ..config.export.clone()
        };
    });
    let tenant = server.tenant("acme-inc");
    build(&server, &tenant, 1);
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
    assert_eq!(export(&server, "s3://worm/x", "acme-inc"), 1);
    build(&server, &tenant, 2);
    assert_eq!(export(&server, "s3://worm/x", "acme-inc"), 1);
    let before = check(&server, "s3://worm/x", "acme-inc");
    assert!(before.is_clean() && before.unopened == 0, "{before:#?}");
    let kept = tempfile::tempdir().unwrap();
    assert_eq!(versions(&store, "keys", kept.path()), 1, "a copy lies there");
    // Until then whoever has the operator's key reads everything.
    let copy = fs::read(kept.path().join(&files(kept.path())[0])).unwrap();
    let copy = Opener::new([operator.clone()]).open(&copy).unwrap();
    let keys = Identity::parse_all(std::str::from_utf8(&copy).unwrap()).unwrap();
    assert_eq!(check_closed(&server, "s3://worm/x", Opener::new(keys)).unopened, 0);

    let report = erase(&server, false).unwrap();
    let shredded = report.statement.shredded.as_ref().unwrap();
    assert!(shredded.keys.iter().all(|fate| fate.left.is_empty()), "{shredded:#?}");
    assert!(shredded.records.iter().all(|fate| fate.problem.is_none()), "{shredded:#?}");
    let fetched = tempfile::tempdir().unwrap();
    let evidence = versions(&store, "worm", fetched.path());
    assert!(evidence > 30, "all of it is there still: {evidence}");
    assert_eq!(found(fetched.path()), BTreeSet::new());
    let keys = tempfile::tempdir().unwrap();
    assert_eq!(versions(&store, "keys", keys.path()), 0, "no version of a key is left");
    // Nor does the operator's key open any of it by itself.
    let opener = Opener::new([operator]);
    for file in files(fetched.path()).iter().filter(|file| !file.contains("probe")) {
        let bytes = fs::read(fetched.path().join(file)).unwrap();
        assert!(opener.open(&bytes).is_err(), "{file}");
    }
    let after = check_closed(&server, "s3://worm/x", Opener::default());
    assert!(after.is_clean() && after.unopened > 0, "{after:#?}");
    assert_eq!((after.bags, after.builds, after.lines), (before.bags, before.builds, before.lines));
    let erased = &after.erased[0];
    assert_eq!((&erased.key, after.erased.len()), (&before.sealed[0], 1));
    assert!(erased.finished.is_some() && erased.left.is_empty(), "{erased:?}");
    let folder = server.path("fetched");
    let to = folder.display().to_string();
    store.must(&["s3", "sync", "--quiet", "s3://worm/x/v1/acme-inc", &to]);
    let output = follow(&folder, &commands(&folder));
    assert!(output.status.success(), "{output:?}");
    let record = files(&folder).into_iter().find(|file| file.starts_with("erasure/")).unwrap();
    let mut bytes = fs::read(folder.join(&record)).unwrap();
    bytes[20] ^= 1;
    fs::write(folder.join(&record), bytes).unwrap();
    assert!(!follow(&folder, &commands(&folder)).status.success(), "a changed record is seen");
    let run = run(&server, &job("s3://worm/x", "acme-inc"));
    assert!(run.is_err(), "there is nobody to export any more");
}
