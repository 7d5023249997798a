//! Imports, and a tenant with a history of every kind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use colophon::app::App;
use colophon::config::Config;
use colophon::export::Options;
use colophon::gates::{GatesConfig, Mode};
use colophon::maintenance::{Drill, DrillReport, Import, ImportReport, JobError, Site, perform};
use colophon::tokens::{TokenKind, create_token};
use colophon_model::{BuildRecord, LogEntry, TagObject};
use colophon_store::rows::{
    AuditLine, BuildNumber, BundleAlias, BundleTree, FirstCommit, FlowClaim, FlowGone, FlowHead,
    FlowOwner, GitOid, Planted, RefRow, SeenPlan, TenantRow,
};
use colophon_store::{Row, Store};
use serde_json::Value;

use super::{HELLO_LANGFLOW, ORDER_INTAKE, TestServer, TestTenant, gates, small_flow};

/// What imports `slug` from `from`, and compares.
pub(crate) fn job(from: &str, slug: &str) -> Import {
    Import {
        from: from.parse().unwrap(),
        tenants: vec![slug.parse().unwrap()],
        options: Options::default(),
        key: None,
        key_as_found: false,
        identity: colophon::maintenance::Identities::default(),
        new_export_key: false,
        verify: true,
        dry_run: false,
        discard: false,
    }
}

pub(crate) fn site(app: &App) -> Site<'_> {
    Site { press: &app.press, config: &app.config }
}

pub(crate) fn run(server: &TestServer, job: &Import) -> Result<ImportReport, JobError> {
    perform(job, site(&server.app), &|_| {})
}

/// Imports, which must work.
#[track_caller]
pub(crate) fn import(server: &TestServer, from: &str, slug: &str) -> ImportReport {
    let done = run(server, &job(from, slug)).unwrap_or_else(|error| panic!("{error}"));
    assert!(done.is_good(), "{done:#?}");
    done
}

pub(crate) fn drill(server: &TestServer, from: &str, slug: &str) -> DrillReport {
    let job = Drill {
        from: from.parse().unwrap(),
        tenants: vec![slug.parse().unwrap()],
        options: Options::default(),
    };
    perform(&job, site(&server.app), &|_| {}).unwrap_or_else(|error| panic!("{error}"))
}

/// An empty server that has the master key of another one, and its time.
pub(crate) fn beside(old: &TestServer, change: impl FnOnce(&mut Config)) -> TestServer {
    let key = old.data().join("keys/master.key");
    let server = TestServer::with(|config| {
        let keys = config.data.join("keys");
        fs::create_dir_all(&keys).unwrap();
        fs::copy(key, keys.join("master.key")).unwrap();
        config.compiler.templates.clone_from(&old.app.config.compiler.templates);
        change(config);
    });
    let ahead = old.clock_millis().saturating_sub(server.clock_millis());
    server.clock.advance(ahead + 1_000);
    server
}

const SCANNER: &str = "import pathlib, sys\n\
    sys.exit(any(b'EVIL' in p.read_bytes() for p in pathlib.Path.cwd().rglob('app/**/*.py')))";

/// A gate that refuses some flows.
pub(crate) fn with_gate(config: &mut Config) {
    let python = gates::environment().join("python").display().to_string();
    config.gates = GatesConfig {
        smoke: Mode::Off,
        command: vec![gates::command("scan", &[&python, "-c", SCANNER])],
        ..gates::config()
    };
}

const DAY: u64 = 24 * 60 * 60 * 1000;
const RUNNER: &str = include_str!("../../../templates/cloud/runner.py.tera");

/// A server and a tenant that has builds of every kind: delivered with and without an edge part, refused by a gate,
/// rolled back, reverted, deleted, compiled again; and tags and bundles that have ended.
pub(crate) fn world(change: impl FnOnce(&mut Config)) -> (TestServer, TestTenant) {
    let mut first = TestServer::with(with_gate);
    let tenant = first.tenant("acme-inc");
    early(&first, &tenant);
    let (data, dir) =
        (first.data(), std::mem::replace(&mut first.dir, tempfile::tempdir().unwrap()));
    let templates = dir.path().join("templates");
    fs::create_dir_all(templates.join("cloud")).unwrap();
    let runner = format!("{RUNNER}\n# as of our platform team\n");
    fs::write(templates.join("cloud/runner.py.tera"), runner).unwrap();
    let before = first.clock_millis();
    drop(first);
    let mut server = TestServer::with(|config| {
        with_gate(config);
        config.data = data;
        config.compiler.templates = Some(templates);
        config.export.builds_per_bag = 4;
        change(config);
    });
    server.dir = dir;
    server.clock.advance(before.saturating_sub(server.clock_millis()) + 31 * DAY);
    let purged = server.operator("POST", "/v1/maintenance/purge", "");
    assert_eq!(purged.status, 200);
    let rebuilt = server.operator("POST", "/v1/maintenance/rebuild", r#"{"tenant": "acme-inc"}"#);
    let told = String::from_utf8(rebuilt.bytes).unwrap();
    assert!(told.contains("\"failed\":0") && !told.contains("\"rebuilt\":0"), "{told}");
    (server, tenant)
}

fn early(server: &TestServer, tenant: &TestTenant) {
    let built = |body: &[u8]| {
        let answer = server.build(tenant, body);
        assert_eq!(answer.status, 201, "{:#}", answer.json());
        server.clock.advance(1_000);
    };
    built(&small_flow("one", Some(1), "a"));
    built(ORDER_INTAKE);
    built(&edited_intake(9, "#order-2"));
    let refused = server.build(tenant, &small_flow("one", Some(2), "EVIL"));
    assert_eq!(refused.code(), "gate-failed");
    let back = r#"{"tenant": "acme-inc", "flow": "order_intake"}"#;
    assert_eq!(server.operator("POST", "/v1/maintenance/edge/rollback", back).status, 200);
    built(&small_flow("one", Some(3), "b"));
    let bearer = format!("Bearer {}", tenant.api);
    let revert = "/v1/t/acme-inc/flows/one/rollback";
    assert_eq!(server.post(revert, &[("authorization", &bearer)], b"{}").status, 201);
    built(&small_flow("gone", Some(1), "c"));
    let gone = format!("{}/v1/t/acme-inc/flows/gone", server.url);
    let deleted = super::agent().delete(gone).header("authorization", &bearer).call().unwrap();
    assert_eq!(deleted.status(), 200);
    built(HELLO_LANGFLOW);
}

/// Another version of the flow with an edge part.
pub(crate) fn edited_intake(revision: u64, channel: &str) -> Vec<u8> {
    let text = String::from_utf8(ORDER_INTAKE.to_vec()).unwrap().replace("#order", channel);
    let mut flow: Value = serde_json::from_str(&text).unwrap();
    flow["revision"] = revision.into();
    serde_json::to_vec(&flow).unwrap()
}

/// The tenant's row.
pub(crate) fn row(server: &TestServer, slug: &str) -> TenantRow {
    let view = server.app.press.store.view().unwrap();
    view.get::<TenantRow>(&slug.parse().unwrap()).unwrap().unwrap()
}

/// A token for a tenant that has none.
pub(crate) fn token(server: &TestServer, slug: &str, kind: TokenKind) -> String {
    let (store, now) = (&server.app.press.store, server.app.press.clock.now());
    let made = create_token(store, &slug.parse().unwrap(), kind, "test", 30, now).unwrap();
    made.token.reveal().to_owned()
}

/// Rows by table and key.
pub(crate) type Rows = BTreeMap<(&'static str, Vec<u8>), String>;

/// Every row of a tenant that an export holds, or that follows from what it holds, as it is stored; of the audit log
/// the first `lines`.
pub(crate) fn rows(server: &TestServer, slug: &str, lines: u64) -> Rows {
    fn add<R: Row>(store: &Store, uid: colophon_model::TenantUid, rows: &mut Rows)
    where
        R::Key: colophon_store::KeyPart,
    {
        for row in store.view().unwrap().scan::<R>(&uid) {
            let (key, row) = row.unwrap();
            let text = String::from_utf8_lossy(&row.encode()).into_owned();
            rows.insert((R::TABLE.name(), R::encode_key(&key)), text);
        }
    }
    let (store, tenant, mut all) = (&server.app.press.store, row(server, slug), Rows::new());
    let uid = tenant.uid;
    add::<BuildRecord>(store, uid, &mut all);
    add::<BuildNumber>(store, uid, &mut all);
    add::<FlowHead>(store, uid, &mut all);
    add::<FlowGone>(store, uid, &mut all);
    add::<FlowClaim>(store, uid, &mut all);
    add::<FlowOwner>(store, uid, &mut all);
    add::<SeenPlan>(store, uid, &mut all);
    add::<LogEntry>(store, uid, &mut all);
    add::<GitOid>(store, uid, &mut all);
    add::<TagObject>(store, uid, &mut all);
    add::<RefRow>(store, uid, &mut all);
    add::<Planted>(store, uid, &mut all);
    add::<FirstCommit>(store, uid, &mut all);
    add::<BundleTree>(store, uid, &mut all);
    add::<BundleAlias>(store, uid, &mut all);
    let mut audit = Rows::new();
    add::<AuditLine>(store, uid, &mut audit);
    all.extend(audit.into_iter().take(usize::try_from(lines).unwrap()));
    all.insert(("tenant", Vec::new()), serde_json::to_string(&tenant).unwrap());
    all
}

/// What two sets of rows differ in, in words.
pub(crate) fn differences(left: &Rows, right: &Rows) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differs = |key: &&&(&'static str, Vec<u8>)| left.get(**key) != right.get(**key);
    let told = |key: &(&'static str, Vec<u8>)| {
        format!("{}: {:?}\n    {:?}", key.0, left.get(key), right.get(key))
    };
    keys.iter().filter(differs).map(|key| told(key)).collect()
}

/// The URL of a folder.
pub(crate) fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// Status or none, and the code of a job's refusal, which may come after its first steps.
pub(crate) fn code(answer: &super::Answer) -> String {
    let text = String::from_utf8_lossy(&answer.bytes);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let problem = last.get("error").unwrap_or(&last);
    format!("{} {}", problem["status"], problem["code"].as_str().unwrap_or_default())
}
