//! The export for auditors, to a folder and to memory: it verifies with stock tools and nothing else, one changed byte
//! is seen, and what is there is never written over.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use colophon::export::Cursor;
use colophon::export::increment::{Limits, Until, collect, until};
use colophon_store::rows::{AuditHead, TenantRow};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::export::{check, commands, export, files, follow, job, run};
use crate::support::process::{colophon, refused, told};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// A server with a tenant that has built what there is to build: flows with and without an edge part, one that was
/// deleted, and one that was refused.
fn press() -> (TestServer, TestTenant) {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for (revision, text) in [(1, "a"), (2, "b")] {
        assert_eq!(server.build(&tenant, &small_flow("one", Some(revision), text)).status, 201);
    }
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
    (server, tenant)
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// An export in two bags, fetched as it lies in the folder.
fn two_bags(server: &TestServer, tenant: &TestTenant, to: &Path) {
    assert_eq!(export(server, &url(to), &tenant.slug), 1);
    assert_eq!(server.build(tenant, &small_flow("two", Some(1), "c")).status, 201);
    assert_eq!(export(server, &url(to), &tenant.slug), 1);
}

/// VERIFY.md, followed to the letter with bash, coreutils, openssl, git and jq, accepts an export; with one byte changed in
/// an object of each kind it does not, and neither does the program's own check.
#[test]
fn an_auditor_needs_stock_tools_only_and_sees_every_changed_byte() {
    let (server, tenant) = press();
    let to = server.path("evidence");
    two_bags(&server, &tenant, &to);
    let folder = to.join("v1/acme-inc");
    let script = commands(&folder);
    let good = follow(&folder, &script);
    let said = |output: &std::process::Output| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    assert!(good.status.success(), "{}", said(&good));
    assert!(said(&good).contains("/root.json"), "agents' first root is named: {}", said(&good));
    let found = check(&server, &url(&to), "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
    assert_eq!((found.bags, found.builds), (2, 4));
    assert!(found.blobs > 10 && found.blobs_read == found.blobs, "{found:?}");

    let mut kinds = BTreeSet::new();
    for file in files(&folder).iter().filter(|file| !file.contains(".json.lock")) {
        // One object of each kind is enough.
        if !kinds.insert(kind(file)) {
            continue;
        }
        let path = folder.join(file);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let output = follow(&folder, &script);
        assert!(
            !output.status.success(),
            "a changed byte in {file} was not seen: {}",
            said(&output)
        );
        let found = check(&server, &url(&to), "acme-inc");
        assert!(!found.is_clean(), "a changed byte in {file} was not found");
        fs::write(&path, &whole).unwrap();
    }
    let expected = [
        "HEAD.json",
        "VERIFY.md",
        "allowed_signers",
        "attestation",
        "audit",
        "bag-info.txt",
        "bagit.txt",
        "blob",
        "blobs.txt",
        "builds.jsonl",
        "checkpoint",
        "edge.json",
        "key",
        "manifest-sha256.txt",
        "minisig",
        "mirror.bundle",
        "sbom",
        "tagmanifest-sha256.txt",
        "tagmanifest-sha256.txt.sig",
        "tenant.json",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    assert!(follow(&folder, &script).status.success(), "all is as it was");

    // What is missing, and what is there and should not be.
    let blob = files(&folder).into_iter().find(|file| file.starts_with("blobs/")).unwrap();
    let kept = fs::read(folder.join(&blob)).unwrap();
    fs::remove_file(folder.join(&blob)).unwrap();
    assert!(
        !follow(&folder, &script).status.success()
            && !check(&server, &url(&to), "acme-inc").is_clean()
    );
    fs::write(folder.join(&blob), kept).unwrap();
    let builds =
        files(&folder).into_iter().find(|file| file.ends_with("data/builds.jsonl")).unwrap();
    let stray = folder.join(&builds).with_file_name("more.jsonl");
    fs::write(&stray, "{}\n").unwrap();
    assert!(
        !follow(&folder, &script).status.success()
            && !check(&server, &url(&to), "acme-inc").is_clean()
    );
}

/// What an object is, by its path in the tenant's folder.
fn kind(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap();
    match file {
        _ if file.starts_with("blobs/") => "blob",
        _ if file.starts_with("keys/pub/") => "key",
        _ if file.starts_with("VERIFY-") => "VERIFY.md",
        _ if file.ends_with(".dsse.json") => "attestation",
        _ if file.ends_with(".minisig") => "minisig",
        _ if file.contains("/sbom/") => "sbom",
        _ if file.contains("/audit/") && name != "checkpoint" => "audit",
        _ => name,
    }
    .to_owned()
}

/// With nothing new nothing is written: not by the line that tells of the export either. That line is in the bag that it
/// tells of.
#[test]
fn a_second_run_writes_nothing() {
    let (server, tenant) = press();
    let to = server.path("evidence");
    two_bags(&server, &tenant, &to);
    let before: Vec<_> =
        files(&to).into_iter().map(|file| (fs::read(to.join(&file)).unwrap(), file)).collect();
    assert_eq!(export(&server, &url(&to), "acme-inc"), 0);
    assert_eq!(export(&server, &url(&to), "acme-inc"), 0);
    let after: Vec<_> =
        files(&to).into_iter().map(|file| (fs::read(to.join(&file)).unwrap(), file)).collect();
    assert_eq!(before, after);
    let log: String = after
        .iter()
        .filter(|(_, file)| file.contains("/data/audit/") && file.contains(".jsonl"))
        .map(|(text, _)| String::from_utf8(text.clone()).unwrap())
        .collect();
    let told: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let exports: Vec<&Value> =
        told.iter().filter(|line| line["action"] == "tenant.export").collect();
    let numbers: Vec<&str> =
        exports.iter().map(|line| line["detail"]["sequence"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["1", "2"]);
    assert_eq!(exports[0]["subject"]["id"], url(&to));
}

/// Two exporters of one store at once: one moves `HEAD.json`, the other finds that done; nothing is lost or told twice.
#[test]
fn exporters_at_once_make_one_chain() {
    let (server, tenant) = press();
    let to = "memory://at-once";
    for round in 0..4 {
        let flow = small_flow("more", Some(round + 1), &format!("text {round}"));
        assert_eq!(server.build(&tenant, &flow).status, 201);
        std::thread::scope(|scope| {
            let runs: Vec<_> =
                (0..3).map(|_| scope.spawn(|| run(&server, &job(to, "acme-inc")))).collect();
            for one in runs {
                let done = one.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
                assert!(done.failed.is_empty(), "{done:?}");
            }
        });
        let found = check(&server, to, "acme-inc");
        assert!(found.is_clean(), "{found:#?}");
        assert_eq!(found.builds, 4 + round, "all are there, once");
    }
}

/// Somebody took `HEAD.json` away, or put an older one back: that is seen, and only who says that it was meant goes on.
#[test]
fn an_export_that_went_back_is_seen() {
    let (server, tenant) = press();
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    let head = to.join("v1/acme-inc/HEAD.json");
    let old = fs::read(&head).unwrap();
    assert_eq!(server.build(&tenant, &small_flow("two", Some(1), "c")).status, 201);
    export(&server, &url(&to), "acme-inc");
    let fails = |anew: bool| {
        let done =
            run(&server, &colophon::maintenance::Export { anew, ..job(&url(&to), "acme-inc") });
        done.err().map(|error| error.to_string()).unwrap_or_default()
    };
    fs::write(&head, &old).unwrap();
    let said = fails(false);
    assert!(said.contains("number 2 was made there") && said.contains("--anew"), "{said}");
    fs::write(&head, b"{}").unwrap();
    assert!(fails(true).contains("not signed"), "{}", fails(true));
    fs::remove_file(&head).unwrap();
    server.clock.advance(1000);
    assert!(fails(false).contains("is not there"), "{}", fails(false));
    assert_eq!(fails(true), "");
    let found = check(&server, &url(&to), "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
    assert_eq!(
        (found.bags, found.orphaned.len()),
        (1, 2),
        "the bags before are there and named by none"
    );
}

/// A store that was restored from an older backup does not go on with an export that it is not the past of.
#[test]
fn another_past_is_refused() {
    let (server, tenant) = press();
    let (data, to) = (server.path("copy"), server.path("evidence"));
    let backup = colophon::maintenance::Backup { dir: data.clone() };
    let site = colophon::maintenance::Site { press: &server.app.press, config: &server.app.config };
    colophon::maintenance::perform(&backup, site, &|_| {}).unwrap();
    assert_eq!(server.build(&tenant, &small_flow("two", Some(1), "c")).status, 201);
    export(&server, &url(&to), "acme-inc");
    let restored = server.path("restored");
    let key = server.data().join("keys/master.key");
    let paths = [&data, &key].map(|path| path.display().to_string());
    told(&restored, &["restore", &paths[0], "--key", &paths[1]]);
    let before = files(&to);
    let said = refused(&restored, &["export", &url(&to), "--tenant", "acme-inc"]);
    assert!(said.contains("is not the one of this store"), "{said}");
    assert_eq!(files(&to), before, "nothing was written");
}

/// The command line: counts before, data as JSON, the check without the store's help, and what is wrong in words.
#[test]
fn the_command_line_exports_and_checks() {
    let (server, tenant) = press();
    server.tenant("other-inc");
    let (data, to) = (server.data(), server.path("evidence"));
    drop(tenant);
    let at = url(&to);
    let preview = colophon(&data, &["export", &at, "--tenant", "acme-inc", "--dry-run"]);
    let bag = &preview["tenants"][0]["bags"][0];
    assert_eq!((&bag["builds"], &preview["tenants"][0]["dry_run"]), (&3.into(), &true.into()));
    assert!(bag["bytes"].as_u64().unwrap() > 1000 && !to.join("v1").exists(), "{bag}");
    let done = colophon(&data, &["export", &at, "--all-tenants"]);
    assert_eq!(done["tenants"].as_array().unwrap().len(), 2);
    assert_eq!(done["tenants"][0]["bags"][0]["blobs"], bag["blobs"], "as was said before");
    let text = told(&data, &["export", &at, "--tenant", "acme-inc"]);
    assert!(text.contains("nothing new"), "{text}");

    let nowhere = server.path("nowhere");
    let said = refused(&nowhere, &["export", "verify", &url(&nowhere)]);
    assert!(said.contains("no folder"), "{said}");
    let key = colophon(&data, &["export", "key"]);
    let pem = server.path("key.pem");
    fs::write(&pem, key["pem"].as_str().unwrap()).unwrap();
    let pem = pem.display().to_string();
    let checked = colophon(&nowhere, &["export", "verify", &at, "--key", &pem]);
    let checked = checked.as_array().unwrap();
    assert!(
        checked.len() == 2
            && checked.iter().all(|one| one["findings"].as_array().unwrap().is_empty())
    );
    assert_eq!(checked[0]["key"], key["id"]);
    let text = told(&nowhere, &["export", "verify", &at, "--tenant", "acme-inc", "--sample", "10"]);
    assert!(text.contains("AS IT LIES THERE") && text.contains("good, 1 bag"), "{text}");
    let folder = told(&nowhere, &["export", "verify", &format!("{at}/v1/acme-inc")]);
    assert!(folder.contains("acme-inc: good"), "{folder}");

    let head = to.join("v1/acme-inc/HEAD.json");
    let changed = fs::read_to_string(&head).unwrap().replace("\"builds\":3", "\"builds\":2");
    fs::write(&head, changed).unwrap();
    let said = refused(&nowhere, &["export", "verify", &at, "--key", &pem]);
    assert!(said.contains("was changed, or is damaged"), "{said}");
    for (args, expected) in [
        (vec!["export", "s3://ab", "--tenant", "acme-inc"], 2),
        (vec!["export", at.as_str()], 2),
        (vec!["export", at.as_str(), "--tenant", "nobody"], 1),
    ] {
        let output = crate::support::process::run(&data, &args);
        assert_eq!(output.status.code(), Some(expected), "{args:?}");
    }
    let inside = format!("file://{}/evidence", data.display());
    assert!(
        refused(&data, &["export", &inside, "--tenant", "acme-inc"]).contains("inside the data")
    );
}

fn row(server: &TestServer) -> TenantRow {
    server.app.press.store.view().unwrap().get(&"acme-inc".parse().unwrap()).unwrap().unwrap()
}

/// The parts of what there is, cut at the given builds and lines: each with what is in it.
fn cut(
    server: &TestServer,
    steps: &[(u64, u64)],
) -> (Vec<String>, String, BTreeSet<String>, Cursor) {
    let (view, tenant) = (server.app.press.store.view().unwrap(), row(server));
    let (mut since, mut records, mut lines, mut names) =
        (Cursor::default(), Vec::new(), String::new(), BTreeSet::new());
    let mut steps = steps.iter().copied().chain(std::iter::repeat((u64::MAX, u64::MAX)));
    loop {
        let (builds, audit) = steps.next().unwrap();
        let Some(until) = until(&view, &tenant, &since, Limits { builds, lines: audit }).unwrap()
        else {
            break;
        };
        let content = collect(&view, &tenant, &since, until).unwrap();
        let again = collect(&view, &tenant, &since, until).unwrap();
        assert_eq!(
            (&content.lines, &content.after),
            (&again.lines, &again.after),
            "the same state, the same bag"
        );
        records.extend(content.records.iter().map(|record| record.id.to_string()));
        lines.push_str(&content.lines);
        names
            .extend(content.references.iter().map(|name| format!("{} {}", name.digest, name.path)));
        since = content.after;
    }
    (records, lines, names, Cursor { sequence: 0, ..since })
}

/// However builds and lines are spread over bags, together they say the same; and every chain of bags verifies.
#[test]
fn any_split_into_bags_has_the_same_union() {
    let (server, tenant) = press();
    for n in 0..4 {
        assert_eq!(
            server.build(&tenant, &small_flow("many", Some(n + 1), &format!("text {n}"))).status,
            201
        );
    }
    let bearer = format!("Bearer {}", tenant.api);
    let path = format!("{}/v1/t/acme-inc/flows/one", server.url);
    let gone = crate::support::agent().delete(path).header("authorization", bearer).call().unwrap();
    assert_eq!(gone.status(), 200);
    let whole = cut(&server, &[]);
    assert_eq!(whole.0.len(), 8);
    let view = server.app.press.store.view().unwrap();
    assert_eq!(whole.3.audit, view.get::<AuditHead>(&row(&server).uid).unwrap().unwrap().0);
    drop(view);
    proptest!(ProptestConfig::with_cases(64), |(steps in prop::collection::vec((0u64..4, 0u64..6), 0..12))| {
        prop_assert_eq!(&cut(&server, &steps), &whole);
    });
    let (tenant, view) = (row(&server), server.app.press.store.view().unwrap());
    let beyond = Until { builds: 9, lines: 1 };
    assert!(
        collect(&view, &tenant, &Cursor::default(), beyond).is_err(),
        "what is not there is not made up"
    );
}

/// Bags of one, two and three builds, each chain checked by the program and by git.
#[test]
fn small_bags_make_a_chain_too() {
    for builds in 1..=3 {
        let server = TestServer::with(|config| config.export.builds_per_bag = builds);
        let tenant = server.tenant("acme-inc");
        for n in 0..5 {
            assert_eq!(
                server
                    .build(&tenant, &small_flow("many", Some(n + 1), &format!("text {n}")))
                    .status,
                201
            );
        }
        let to = server.path("evidence");
        let bags = export(&server, &url(&to), "acme-inc");
        assert_eq!(bags as u64, 5_u64.div_ceil(builds), "bags of {builds}");
        let found = check(&server, &url(&to), "acme-inc");
        assert!(found.is_clean(), "{found:#?}");
        let folder = to.join("v1/acme-inc");
        let output = follow(&folder, &commands(&folder));
        assert!(output.status.success(), "{output:?}");
    }
}

/// Where a tenant was exported to is named when it is erased: this server does not reach there.
#[test]
fn an_erasure_names_the_places_of_exports() {
    let (server, _tenant) = press();
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    let answer = server.operator("DELETE", "/v1/tenants/acme-inc?confirm=acme-inc", "");
    let told = String::from_utf8(answer.bytes).unwrap();
    assert!(told.contains(&format!("exported for auditors to {}", url(&to))), "{told}");
    assert!(files(&to).len() > 10, "what is there stays");
}
