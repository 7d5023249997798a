//! A tenant made again from its export: everything that decides and everything that was handed out is what it was, and
//! life goes on.

use std::collections::BTreeMap;
use std::fs;

use colophon::tokens::TokenKind;
use colophon_model::UnixMillis;
use colophon_store::rows::{AuditLine, EdgeRepo, ImportRow, TenantHead};
use colophon_trust::RootChain;
use serde_json::Value;

use crate::support::export::{check, export};
use crate::support::import::{
    beside, code, differences, drill, edited_intake, import, job, row, rows, run, token, url,
    with_gate, world,
};
use crate::support::process::{colophon, refused, told};
use crate::support::programs::{clone, git_in};
use crate::support::{TestServer, TestTenant, small_flow};

/// The end of what was exported.
fn exported_lines(folder: &std::path::Path) -> u64 {
    let head = fs::read(folder.join("v1/acme-inc/HEAD.json")).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    head["audit"]["seq"].as_u64().unwrap()
}

/// Every row that an export holds, or that follows from it, is restored byte for byte: builds of every kind, flows, the
/// Git log with its deltas, tags that stand and none that has ended, bundles, the audit log.
#[test]
fn a_tenant_with_every_kind_of_build_is_restored_row_by_row() {
    let (server, tenant) = world(|_| {});
    let to = server.path("evidence");
    assert!(export(&server, &url(&to), "acme-inc") >= 3, "several bags");
    assert_eq!(server.build(&tenant, &small_flow("late", Some(1), "d")).status, 201);
    assert_eq!(server.build(&tenant, &edited_intake(10, "#order-3")).status, 201);
    assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
    let lines = exported_lines(&to);
    let before = rows(&server, "acme-inc", lines);

    let new = beside(&server, with_gate);
    let done = import(&new, &url(&to), "acme-inc");
    let one = &done.tenants[0];
    assert!(one.same_key && one.edge_kept && !one.resumed, "{one:#?}");
    assert!(one.compared.as_ref().unwrap().refs > 1 && done.problems.is_empty(), "{done:#?}");
    let after = rows(&new, "acme-inc", lines);
    let differences = differences(&before, &after);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(after.len() > 150, "{}", after.len());
    let view = new.app.press.store.view().unwrap();
    let uid = row(&new, "acme-inc").uid;
    assert_eq!(view.scan::<ImportRow>(&()).count(), 0);
    let next = view.get::<AuditLine>(&(uid, lines + 1)).unwrap().unwrap().0;
    assert!(next.contains("\"action\":\"tenant.import\""), "the chain goes on: {next}");

    life_goes_on(&server, &new, lines);
    a_second_import_is_refused(&new, &url(&to));
    // The same key goes on at the same place.
    assert_eq!(export(&new, &url(&to), "acme-inc"), 1);
    let found = check(&new, &url(&to), "acme-inc");
    assert!(found.is_clean(), "{found:#?}");
    assert_eq!(found.builds, one.builds + 1);
    // The old server has not gone on from there, and is told so.
    assert_eq!(server.build(&tenant, &small_flow("fork", Some(1), "e")).status, 201);
    let forked =
        crate::support::export::run(&server, &crate::support::export::job(&url(&to), "acme-inc"));
    let said = forked.unwrap_err().to_string();
    assert!(said.contains("is not the one of this store"), "{said}");
}

/// Stock git, a no-op that is one, the next build, deliveries in their order, a deleted flow that comes back.
fn life_goes_on(old: &TestServer, new: &TestServer, lines: u64) {
    let git = token(new, "acme-inc", TokenKind::Git);
    let api = token(new, "acme-inc", TokenKind::Api);
    let made = new.operator("POST", "/v1/tenants/acme-inc/webhook/secrets", r#"{"overlap": "0s"}"#);
    assert_eq!(made.status, 201, "{:#}", made.json());
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let old_secret = old.app.press.keys.webhook_secret(row(old, "acme-inc").uid, 1);
    assert_ne!(secret, old_secret);
    let tenant = TestTenant {
        slug: "acme-inc".to_owned(),
        secret,
        root: Vec::new(),
        api,
        git,
        edge: String::new(),
    };
    let stranger = TestTenant { secret: old_secret, ..copy(&tenant) };
    assert_eq!(new.build(&stranger, &small_flow("late", Some(1), "d")).status, 401);
    let noop = new.build(&tenant, &small_flow("late", Some(1), "d"));
    assert_eq!((noop.status, &noop.json()["outcome"]), (200, &"noop".into()), "{:#}", noop.json());
    let stale = new.build(&tenant, &small_flow("one", Some(1), "older"));
    assert_eq!(stale.status, 409, "{:#}", stale.json());
    let next = new.build(&tenant, &small_flow("gone", Some(2), "back again"));
    assert_eq!(next.status, 201, "{:#}", next.json());
    let head = tenant_head(new);
    assert_eq!(head.builds, tenant_head(old).builds + 1);

    let [theirs, ours] = [new.path("theirs"), new.path("ours")];
    let old_git = token(old, "acme-inc", TokenKind::Git);
    let old_tenant = TestTenant { git: old_git, ..copy(&tenant) };
    clone(&old.git_url(&old_tenant), &old_tenant.git, &theirs);
    clone(&new.git_url(&tenant), &tenant.git, &ours);
    git_in(&ours, &["fsck", "--strict", "--full"]);
    let tip = git_in(&theirs, &["rev-parse", "HEAD"]);
    assert_eq!(git_in(&ours, &["rev-parse", "HEAD~1"]), tip);
    let tags = |at| git_in(at, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/tags"]);
    let theirs = tags(&theirs);
    assert!(theirs.lines().all(|tag| tags(&ours).contains(tag)) && theirs.lines().count() > 1);
    for (job, clean) in [("fsck", "\"total_problems\":0"), ("audit/verify", "\"problems\":[]")] {
        let done = new.operator("POST", &format!("/v1/maintenance/{job}"), "");
        let told = String::from_utf8(done.bytes).unwrap();
        assert!(told.contains(clean), "{job}: {told}");
    }
    assert!(lines > 10);
}

fn copy(tenant: &TestTenant) -> TestTenant {
    TestTenant {
        slug: tenant.slug.clone(),
        secret: tenant.secret.clone(),
        root: Vec::new(),
        api: tenant.api.clone(),
        git: tenant.git.clone(),
        edge: tenant.edge.clone(),
    }
}

fn tenant_head(server: &TestServer) -> TenantHead {
    let view = server.app.press.store.view().unwrap();
    view.get::<TenantHead>(&row(server, "acme-inc").uid).unwrap().unwrap()
}

/// A tenant that is there is never touched.
fn a_second_import_is_refused(server: &TestServer, from: &str) {
    let before = rows(server, "acme-inc", u64::from(u32::MAX));
    let said = run(server, &job(from, "acme-inc")).unwrap_err().to_string();
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(differences(&before, &rows(server, "acme-inc", u64::from(u32::MAX))), [""; 0]);
    let body = format!(r#"{{"from": "{from}", "tenants": ["acme-inc"]}}"#);
    let answer = server.operator("POST", "/v1/maintenance/import", &body);
    assert_eq!(code(&answer), "409 import-exists");
}

/// An agent that has pinned the old server's root, and has seen metadata that was signed after the last export, takes
/// what the new server signs.
#[test]
fn agents_go_on_with_the_root_that_they_have_pinned() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &edited_intake(7, "#order-1")).status, 201);
    let rotate = r#"{"tenant": "acme-inc", "role": "targets"}"#;
    server.clock.advance(1_000);
    assert_eq!(server.operator("POST", "/v1/maintenance/edge/rotate", rotate).status, 200);
    assert_eq!(export(&server, "memory://agents", "acme-inc"), 1);
    server.clock.advance(1_000);
    assert_eq!(server.build(&tenant, &edited_intake(8, "#order-2")).status, 201);
    let seen = Repository::read(&server, &tenant.edge);
    let new = beside(&server, |_| {});
    import(&new, "memory://agents", "acme-inc");
    let found = Repository::read(&new, &token(&new, "acme-inc", TokenKind::Edge));
    let now = new.app.press.clock.now();
    seen.then(&found, &tenant.root, now);
    let repo: EdgeRepo = tenant_head(&new).edge.unwrap();
    assert_eq!((repo.root.version.get(), repo.targets.generation), (2, 1));
}

/// The files of a TUF repository, by name.
struct Repository(BTreeMap<String, Vec<u8>>);

impl Repository {
    fn read(server: &TestServer, token: &str) -> Self {
        let mut files = BTreeMap::new();
        let mut get = |name: &str| {
            let answer = server.get_with(&format!("/v1/t/acme-inc/tuf/{name}"), token);
            if answer.status == 200 {
                files.insert(name.to_owned(), answer.bytes);
            }
        };
        let repo = tenant_head(server).edge.unwrap();
        for version in 1..=3 {
            get(&format!("{version}.root.json"));
        }
        get("timestamp.json");
        get(&format!("{}.snapshot.json", repo.snapshot.version));
        get(&format!("{}.targets.json", repo.targets.version));
        Self(files)
    }

    /// Whether a client that has these files goes on to `next`.
    fn then(&self, next: &Self, pinned: &[u8], now: UnixMillis) {
        let mut chain = RootChain::pinned(pinned, &"acme-inc".parse().unwrap()).unwrap();
        while let Some(root) = next.0.get(&chain.next_name()) {
            chain.update(root).unwrap();
        }
        let root = chain.finish(now).unwrap();
        let own = |files: &BTreeMap<String, Vec<u8>>, end: &str| {
            files.iter().find(|(name, _)| name.ends_with(end)).unwrap().1.clone()
        };
        let trusted = own(&self.0, "timestamp.json");
        let timestamp = root.timestamp(&next.0["timestamp.json"], Some(&trusted), now).unwrap();
        let trusted = own(&self.0, ".snapshot.json");
        let snapshot = &next.0[&timestamp.snapshot_name()];
        let snapshot = timestamp.snapshot(snapshot, Some(&trusted), now).unwrap();
        let targets = snapshot.targets(&next.0[&snapshot.targets_name()], now).unwrap();
        assert_eq!(targets.bundles().len(), 1);
    }
}

/// With another master key: who vouches for the export must be said, agents get a new root, and the place stays the old
/// server's.
#[test]
fn another_master_key_is_told_what_it_cannot_do() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &edited_intake(7, "#order-1")).status, 201);
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    let new = TestServer::start();
    let from = url(&to);
    let body = format!(r#"{{"from": "{from}", "tenants": ["acme-inc"]}}"#);
    let answer = new.operator("POST", "/v1/maintenance/import", &body);
    assert_eq!(code(&answer), "422 import-untrusted-key");
    let pem = server.app.press.keys.export_key().public().to_pem();
    let other = TestServer::start().app.press.keys.export_key().public().to_pem();
    let wrong =
        run(&new, &colophon::maintenance::Import { key: Some(other), ..job(&from, "acme-inc") });
    assert!(wrong.unwrap_err().to_string().contains("is not signed by key"));
    let asked = colophon::maintenance::Import { key: Some(pem), ..job(&from, "acme-inc") };
    let done = run(&new, &asked).unwrap();
    assert!(done.is_good(), "{done:#?}");
    let one = &done.tenants[0];
    assert!(!one.same_key && !one.edge_kept);
    assert!(one.missing.iter().any(|it| it.what.contains("root")), "{one:#?}");
    let said = crate::support::export::run(&new, &crate::support::export::job(&from, "acme-inc"));
    let said = said.unwrap_err().to_string();
    assert!(
        said.contains("is not signed by key") && said.contains("export to another place"),
        "{said}"
    );
    let elsewhere = url(&new.path("elsewhere"));
    assert_eq!(export(&new, &elsewhere, "acme-inc"), 1);
    assert!(check(&new, &elsewhere, "acme-inc").is_clean());
    // Roots of ceremonies only: there is none for this uid.
    let strict = TestServer::with(|config| config.edge.offline_roots = true);
    let said = run(&strict, &asked).unwrap_err().to_string();
    assert!(said.contains("--master FILE"), "{said}");
    let found = colophon::maintenance::Import {
        key_as_found: true,
        verify: false,
        ..job(&from, "acme-inc")
    };
    assert!(
        run(&TestServer::start(), &found).unwrap().is_good(),
        "as it lies there, when that is said"
    );
}

/// What was erased here does not come back from an export.
#[test]
fn an_erased_tenant_is_not_imported() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    export(&server, "memory://erased", "acme-inc");
    assert_eq!(server.operator("DELETE", "/v1/tenants/acme-inc?confirm=acme-inc", "").status, 200);
    let body = r#"{"from": "memory://erased", "tenants": ["acme-inc"]}"#;
    let answer = server.operator("POST", "/v1/maintenance/import", body);
    assert_eq!(code(&answer), "409 tenant-erased");
}

/// A tenant that has built nothing is restored too, and all that a place has at once.
#[test]
fn all_tenants_of_a_place_are_restored() {
    let server = TestServer::start();
    server.tenant("empty");
    let acme = server.tenant("acme-inc");
    assert_eq!(server.build(&acme, &small_flow("one", Some(1), "a")).status, 201);
    for slug in ["empty", "acme-inc"] {
        assert_eq!(export(&server, "memory://all", slug), 1);
    }
    let new = beside(&server, |_| {});
    let all = colophon::maintenance::Import { tenants: Vec::new(), ..job("memory://all", "x-x") };
    let preview = colophon::maintenance::Import { dry_run: true, ..all.clone() };
    assert_eq!(run(&new, &preview).unwrap().tenants.len(), 2);
    let done = run(&new, &all).unwrap();
    assert!(done.is_good(), "{done:#?}");
    let builds: Vec<u64> = done.tenants.iter().map(|one| one.builds).collect();
    assert_eq!(builds, [1, 0]);
}

/// The drill leaves its result in the tenant's audit log, good or not, and nothing else.
#[test]
fn a_drill_restores_compares_and_deletes_and_is_written_down() {
    let (server, tenant) = world(|_| {});
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    let done = drill(&server, &url(&to), "acme-inc");
    let one = &done.tenants[0];
    assert!(one.is_good(), "{one:#?}");
    assert!(one.builds > 10 && one.refs > 1 && one.tip == tenant_head(&server).tip, "{one:#?}");
    let last = |word: &str| {
        let line = newest_line(&server);
        assert!(line.contains("\"action\":\"export.drill\"") && line.contains(word), "{line}");
    };
    last("\"outcome\":\"success\"");
    assert!(!server.data().join("drill").exists());
    let before = server.data().join("drill");
    fs::create_dir_all(before.join("left")).unwrap();
    // One flipped byte of a blob.
    let folder = to.join("v1/acme-inc");
    let files = crate::support::export::files(&folder);
    let blob = folder.join(files.iter().find(|file| file.starts_with("blobs/")).unwrap());
    let whole = fs::read(&blob).unwrap();
    let mut changed = whole.clone();
    changed[0] ^= 1;
    fs::write(&blob, changed).unwrap();
    let done = drill(&server, &url(&to), "acme-inc");
    assert_eq!(done.tenants[0].code.as_deref(), Some("import-not-good"), "{done:#?}");
    last("\"code\":\"import-not-good\"");
    assert!(!before.exists(), "what a killed one left is gone");
    fs::write(&blob, whole).unwrap();
    // The drill's own line is evidence, and goes into the next bag.
    assert_eq!(server.build(&tenant, &small_flow("one", Some(9), "z")).status, 201);
    assert_eq!(export(&server, &url(&to), "acme-inc"), 1);
    assert!(drill(&server, &url(&to), "acme-inc").tenants[0].is_good());
}

fn newest_line(server: &TestServer) -> String {
    let view = server.app.press.store.view().unwrap();
    let uid = row(server, "acme-inc").uid;
    view.scan::<AuditLine>(&uid).descending().next().unwrap().unwrap().1.0
}

/// The command line makes a data directory with the old key, says what is missing, and refuses to make up a key.
#[test]
fn the_command_line_restores_into_an_empty_folder() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &edited_intake(7, "#order-1")).status, 201);
    let to = server.path("evidence");
    export(&server, &url(&to), "acme-inc");
    let key = server.data().join("keys/master.key").display().to_string();
    let (from, data) = (url(&to), server.path("restored"));
    let said = refused(&data, &["import", &from, "--tenant", "acme-inc"]);
    assert!(said.contains("--master FILE") && !data.exists(), "{said}");
    let preview = ["import", &from, "--tenant", "acme-inc", "--master", &key, "--dry-run"];
    assert_eq!(colophon(&data, &preview)["tenants"][0]["builds"], 1);
    assert!(!data.exists(), "a dry run makes nothing");
    let said =
        told(&data, &["import", &from, "--tenant", "acme-inc", "--master", &key, "--verify"]);
    for word in [
        "acme-inc: restored",
        "this server's own",
        "the same as in the export",
        "colophon token create acme-inc",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(colophon(&data, &["fsck"])["total_problems"], 0);
    let said = refused(&data, &["import", &from, "--tenant", "acme-inc"]);
    assert!(said.contains("exists already"), "{said}");
    let drilled = colophon(&data, &["export", "drill", &from, "--tenant", "acme-inc"]);
    assert_eq!(drilled["tenants"][0]["builds"], 1);
    assert_eq!(drilled["tenants"][0].get("code"), None, "{drilled:#}");
}

/// A sealed export opens with the tenant's identity alone, and says so when it is not given; the drill has it.
#[test]
fn a_sealed_export_is_restored_with_its_identity() {
    let server = TestServer::with(|config| config.export.encrypt = true);
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &edited_intake(7, "#order-1")).status, 201);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    let from = url(&server.path("evidence"));
    export(&server, &from, "acme-inc");
    let new = beside(&server, |_| {});
    let body = format!(r#"{{"from": "{from}", "tenants": ["acme-inc"]}}"#);
    let answer = new.operator("POST", "/v1/maintenance/import", &body);
    let told = String::from_utf8(answer.bytes).unwrap();
    assert!(told.contains("import-sealed"), "{told}");
    let which = r#"{"tenant": "acme-inc"}"#;
    let revealed = server.operator("POST", "/v1/maintenance/export/identity", which);
    let revealed = String::from_utf8(revealed.bytes).unwrap();
    let last: Value = serde_json::from_str(revealed.lines().last().unwrap()).unwrap();
    let identity = last["result"]["identity"].as_str().unwrap().to_owned();
    let asked = colophon::maintenance::Import {
        identity: colophon::maintenance::Identities::new(identity),
        ..job(&from, "acme-inc")
    };
    assert!(!format!("{asked:?}").contains("AGE-SECRET"), "{asked:?}");
    let done = run(&new, &asked).unwrap();
    assert!(done.is_good(), "{done:#?}");
    let lines = done.tenants[0].lines;
    let differences =
        differences(&rows(&server, "acme-inc", lines), &rows(&new, "acme-inc", lines));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(drill(&server, &from, "acme-inc").tenants[0].is_good());
}
