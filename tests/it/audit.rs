//! The audit log from outside: every act is in it with whoever did it, nobody changes it unseen, and an auditor
//! needs none of our programs to check it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use colophon_model::TenantUid;
use colophon_model::audit::Chain;
use colophon_store::Change;
use colophon_store::rows::{AuditHead, AuditLine, AuditOrigin, TenantRow};
use serde_json::Value;

use crate::console::Visitor;
use crate::support::process::{refused, run, told};
use crate::support::{TestServer, TestTenant, small_flow};

/// Writes down what is gathered, as the server does by itself within a minute.
fn settle(server: &TestServer) {
    server.app.press.write_gathered(true);
}

fn entries(server: &TestServer, path: &str) -> Vec<Value> {
    let answer = server.operator("GET", &format!("{path}?order=asc&limit=1000"), "");
    assert_eq!(answer.status, 200, "{:#}", answer.json());
    answer.json()["entries"].as_array().unwrap().clone()
}

fn of_tenant(server: &TestServer, tenant: &TestTenant) -> Vec<Value> {
    entries(server, &format!("/v1/t/{}/audit", tenant.slug))
}

/// What of entries tells them apart here: action, outcome or its code, kind of actor.
fn told_of(entries: &[Value]) -> Vec<(&str, &str, &str)> {
    entries
        .iter()
        .map(|entry| {
            let outcome = entry["code"].as_str().or(entry["outcome"].as_str());
            let [action, kind] = [&entry["action"], &entry["actor"]["kind"]].map(Value::as_str);
            (action.unwrap(), outcome.unwrap(), kind.unwrap())
        })
        .collect()
}

fn uid(server: &TestServer, tenant: &TestTenant) -> TenantUid {
    let slug = tenant.slug.parse().unwrap();
    server.app.press.store.view().unwrap().get::<TenantRow>(&slug).unwrap().unwrap().uid
}

/// The acts of a tenant's life, in order, by whoever did each.
#[test]
fn every_act_is_written_down_with_whoever_did_it() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", Some(1), "a"), small_flow("one", Some(2), "b"));
    assert_eq!(server.build(&tenant, &a).status, 201);
    assert_eq!(server.build(&tenant, &b).status, 201);
    for _ in 0..3 {
        assert_eq!(server.build(&tenant, &b).status, 200);
    }
    assert_eq!(server.build(&tenant, &a).status, 409, "it takes the flow back");
    settle(&server);
    let made = server.operator("POST", "/v1/tenants/acme-inc/tokens", r#"{"kind":"git"}"#);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        server.operator("DELETE", &format!("/v1/tenants/acme-inc/tokens/{id}"), "").status,
        204
    );
    assert_eq!(server.operator("POST", "/v1/tenants/acme-inc/webhook/secrets", "").status, 201);
    for step in ["suspend", "resume"] {
        assert_eq!(
            server.operator("POST", &format!("/v1/tenants/acme-inc/{step}"), "").status,
            200
        );
    }
    let bearer = format!("Bearer {}", tenant.api);
    let path = format!("{}/v1/t/acme-inc/flows/one", server.url);
    let gone = crate::support::agent().delete(path).header("authorization", bearer).call().unwrap();
    assert_eq!(gone.status(), 200);
    let all = of_tenant(&server, &tenant);
    let by_local = ("success", "local");
    let expected = [
        ("tenant.create", by_local.0, by_local.1),
        ("token.create", by_local.0, by_local.1),
        ("token.create", by_local.0, by_local.1),
        ("token.create", by_local.0, by_local.1),
        ("build.make", "success", "webhook"),
        ("build.make", "success", "webhook"),
        ("build.make", "stale-revision", "webhook"),
        ("build.noop", "success", "webhook"),
        ("token.create", "success", "operator"),
        ("token.revoke", "success", "operator"),
        ("secret.rotate", "success", "operator"),
        ("tenant.suspend", "success", "operator"),
        ("tenant.resume", "success", "operator"),
        ("flow.delete", "success", "token"),
    ];
    assert_eq!(told_of(&all), expected);
    let build = &all[4];
    assert_eq!(
        (build["detail"]["flow"].as_str(), build["actor"]["id"].as_str()),
        (Some("one"), Some("1"))
    );
    assert_eq!(build["from"]["address"], "127.0.0.1");
    assert_eq!(build["from"]["trace"], "0af7651916cd43dd8448eb211c80319c", "as the request says");
    assert_eq!(all[7]["count"], 3, "the same in one moment is one line");
    assert_eq!(all[9]["subject"]["id"].as_str(), Some(id.as_str()));
}

/// Reads of content and credentials that were refused are counted; what a line says of them names no secret.
#[test]
fn reads_and_refusals_are_counted() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let built = server.build(&tenant, &small_flow("one", None, "a")).json();
    let digest = built["outputs"][0]["files"][0]["digest"].as_str().unwrap();
    for _ in 0..5 {
        assert_eq!(
            server.get_with(&format!("/v1/t/acme-inc/blob/{digest}"), &tenant.api).status,
            200
        );
    }
    assert_eq!(
        server.get_with(&format!("/v1/t/acme-inc/blob/{digest}"), "clp_api_none").status,
        401
    );
    assert_eq!(
        server
            .build(&TestTenant { secret: "wrong".to_owned(), ..server.tenant("other") }, b"{}")
            .status,
        401
    );
    settle(&server);
    let reads: Vec<Value> =
        of_tenant(&server, &tenant).into_iter().filter(|e| e["action"] == "content.read").collect();
    assert_eq!(reads.len(), 1, "{reads:#?}");
    assert_eq!((&reads[0]["count"], &reads[0]["actor"]["kind"]), (&5.into(), &"token".into()));
    settle(&server);
    let all = of_tenant(&server, &tenant);
    let last = all.last().unwrap();
    let told = (&last["action"], &last["actor"]["kind"]);
    assert_eq!(told, (&"audit.read".into(), &"operator".into()), "in the log that was read");
    let system = entries(&server, "/v1/audit");
    let refused: Vec<&Value> = system.iter().filter(|e| e["action"] == "access.refuse").collect();
    assert_eq!(refused.len(), 2, "{system:#?}");
    assert!(refused.iter().all(|e| e["actor"]["kind"] == "unknown" && e["code"] == "401"));
    assert!(!format!("{system:?}").contains("clp_"));
}

/// What an operator reads of a tenant at the console is in that tenant's log, as what is read by the API is; and who has
/// logged in is in the log of what they see.
#[test]
fn the_console_leaves_the_same_traces_as_the_api() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let built = server.build(&tenant, &small_flow("one", None, "a")).json();
    let operator = Visitor::operator(&server);
    operator.page(&format!("/console/t/acme-inc/builds/{}", built["id"].as_str().unwrap()));
    operator.page("/console/t/acme-inc/audit");
    operator.page("/console/tenants");
    let made = server.operator("POST", "/v1/tenants/acme-inc/tokens", r#"{"kind":"auditor"}"#);
    Visitor::enter(&server, made.json()["token"].as_str().unwrap());
    settle(&server);
    let all = of_tenant(&server, &tenant);
    let own = told_of(&all);
    for told in
        [("content.read", "operator"), ("audit.read", "operator"), ("console.login", "token")]
    {
        assert!(own.contains(&(told.0, "success", told.1)), "{told:?}: {own:?}");
    }
    let system = entries(&server, "/v1/audit");
    let system = told_of(&system);
    let of =
        |action| system.iter().filter(|told| **told == (action, "success", "operator")).count();
    assert_eq!((of("console.login"), of("content.read")), (1, 0), "{system:?}");
}

/// An agent that gets a bundle in its one answer has read it, as one that asks for it by name; one that is told that there
/// is nothing new has read nothing.
#[test]
fn a_bundle_that_comes_with_a_sync_was_read() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, crate::support::ORDER_INTAKE).status, 201);
    let reads = || {
        settle(&server);
        let all = of_tenant(&server, &tenant);
        all.iter().filter(|entry| entry["action"] == "content.read").count()
    };
    let first = server.get_with("/v1/t/acme-inc/edge/sync", &tenant.edge);
    assert_eq!((first.status, reads()), (200, 1));
    let newest = server.get_with("/v1/t/acme-inc/tuf/timestamp.json", &tenant.edge).json();
    let newest = newest["signed"]["version"].as_u64().unwrap();
    let path = format!("/v1/t/acme-inc/edge/sync?root=1&timestamp={newest}");
    let nothing = server.get_with(&path, &tenant.edge);
    assert_eq!((nothing.status, reads()), (204, 1));
}

/// A tenant's log is for its auditors and for the operator; others find nothing there.
#[test]
fn a_log_is_read_by_those_who_may() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("other-inc"));
    let auditor = |slug: &str| {
        let made =
            server.operator("POST", &format!("/v1/tenants/{slug}/tokens"), r#"{"kind":"auditor"}"#);
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let (mine, theirs) = (auditor("acme-inc"), auditor("other-inc"));
    for end in ["audit", "audit/lines"] {
        let path = format!("/v1/t/acme-inc/{end}");
        assert_eq!(server.get_with(&path, &mine).status, 200);
        assert_eq!(server.get_with(&path, &theirs).status, 404);
        assert_eq!(
            server.get_with(&path, &tenant.api).status,
            401,
            "it builds, and does not audit"
        );
        assert_eq!(server.get_with(&path, &other.git).status, 401);
        assert_eq!(server.get(&path, &[]).status, 401);
    }
    for path in ["/v1/audit", "/v1/audit/lines", "/v1/audit/checkpoint"] {
        assert_eq!(server.get_with(path, &mine).status, 401, "{path}");
    }
    for bad in ["?limit=0", "?limit=1001", "?order=up", "?from=x", "?until=5"] {
        let answer = server.get_with(&format!("/v1/t/acme-inc/audit{bad}"), &mine);
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-query"), "{bad}");
    }
}

/// Whoever writes into the store past the server is found out, also when they make the chain fit again: a
/// checkpoint tells.
#[test]
fn a_changed_log_does_not_verify() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", None, "a")).status, 201);
    told(&server.data(), &["audit", "checkpoint"]);
    let good = told(&server.data(), &["audit", "verify"]);
    assert!(good.contains("acme-inc: good, 5 lines"), "{good}");
    let uid = uid(&server, &tenant);
    let store = &server.app.press.store;
    let original = store.view().unwrap().get::<AuditLine>(&(uid, 5)).unwrap().unwrap();
    let set = |line: &str| {
        let mut change = Change::new();
        change.put(&(uid, 5), &AuditLine(line.to_owned()));
        store.commit(change).unwrap();
    };
    set(&original.0.replace("\"one\"", "\"two\""));
    let bad = refused(&server.data(), &["audit", "verify", "acme-inc"]);
    assert!(bad.contains("the audit log was changed"), "{bad}");
    // The whole chain written anew, head and all: it fits, and is not what was signed.
    let (mut head, mut change) = (colophon_model::audit::ChainHead::default(), Change::new());
    for seq in 1..=5 {
        let actor = colophon_model::audit::Actor::system("forger");
        let subject = colophon_model::audit::Subject::new("build", seq);
        let act = colophon_model::audit::Act::done(actor, "build.make".parse().unwrap(), subject);
        let (line, after) = head.append(Chain::Tenant(uid), &act, server.app.press.clock.now());
        change.put(&(uid, seq), &AuditLine(line));
        head = after;
    }
    change.put(&uid, &AuditHead(head));
    store.commit(change).unwrap();
    let output = run(&server.data(), &["audit", "verify", "acme-inc"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && shown.contains("has another root"), "{shown}");
}

/// The commands of docs/audit.md, with jq, sha256sum and openssl alone, on what was exported; then one byte is
/// changed.
#[test]
fn an_auditor_checks_an_export_without_us() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for n in 0..3 {
        let flow = small_flow("one", Some(n), &n.to_string());
        assert_eq!(server.build(&tenant, &flow).status, 201);
    }
    told(&server.data(), &["audit", "checkpoint"]);
    let dir = server.path("evidence");
    told(&server.data(), &["audit", "export", "acme-inc", "--out", dir.to_str().unwrap()]);
    let (ok, shown) = follow_the_document(&dir);
    assert!(ok && shown.contains("Signature Verified Successfully"), "{shown}");
    let good = verify_export(&server, &dir);
    assert!(String::from_utf8_lossy(&good.stdout).contains(": good, 7 lines"), "{good:?}");
    let lines = dir.join("audit.jsonl");
    let text = std::fs::read_to_string(&lines).unwrap();
    std::fs::write(&lines, text.replacen("\"count\":1", "\"count\":2", 1)).unwrap();
    let (ok, shown) = follow_the_document(&dir);
    assert!(!ok && shown.contains("broken before line 2"), "{shown}");
    assert!(!verify_export(&server, &dir).status.success());
    std::fs::write(&lines, &text).unwrap();
    let note = dir.join("checkpoint.txt");
    std::fs::write(&note, std::fs::read_to_string(&note).unwrap().replacen("\n7\n", "\n6\n", 1))
        .unwrap();
    assert!(!follow_the_document(&dir).0, "the signature is over the number too");
    assert!(!verify_export(&server, &dir).status.success());
}

fn verify_export(server: &TestServer, dir: &Path) -> Output {
    let key = std::fs::read_to_string(dir.join("audit.vkey")).unwrap();
    let [lines, note]: [PathBuf; 2] = ["audit.jsonl", "checkpoint.txt"].map(|name| dir.join(name));
    let (lines, note) = (lines.to_str().unwrap(), note.to_str().unwrap());
    let args = ["audit", "verify", "--file", lines, "--checkpoint", note, "--key", key.trim()];
    run(&server.data(), &args)
}

/// Runs the commands that the document gives an auditor, in `dir`.
fn follow_the_document(dir: &Path) -> (bool, String) {
    let document = include_str!("../../docs/audit.md");
    let (_, part) = document.split_once("## Check it without us").unwrap();
    let (_, script) = part.split_once("```sh\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let mut bash = Command::new("bash");
    let output =
        bash.args(["-eu", "-o", "pipefail", "-c", script]).current_dir(dir).output().unwrap();
    let shown = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&shown).into_owned())
}

/// How many acts of a chain it is known of from where they were asked for.
fn origins(server: &TestServer, chain: Chain) -> usize {
    server.app.press.store.view().unwrap().scan::<AuditOrigin>(&chain.uid()).count()
}

/// Addresses are personal data: they go when their time is over, the system's too. The lines say what they said, and
/// every link and checkpoint still holds.
#[test]
fn where_acts_came_from_is_forgotten_and_the_chain_still_verifies() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let chain = Chain::Tenant(uid(&server, &tenant));
    assert_eq!(server.build(&tenant, &small_flow("one", Some(1), "a")).status, 201);
    assert_eq!(server.get_with("/v1/t/acme-inc/manifest.json", "clp_api_none").status, 401);
    settle(&server);
    told(&server.data(), &["audit", "checkpoint"]);
    let (before, system) = (of_tenant(&server, &tenant), entries(&server, "/v1/audit"));
    let purge = |body: &str| {
        let answer = server.operator("POST", "/v1/maintenance/purge", body);
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.bytes).unwrap();
        let done: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        done["result"]["origins"].as_u64().unwrap_or_else(|| panic!("{text}"))
    };
    assert_eq!(purge("{}"), 0, "they are young");
    server.clock.advance(91 * 24 * 60 * 60 * 1000);
    assert_eq!(server.build(&tenant, &small_flow("one", Some(2), "b")).status, 201);
    let old = purge(r#"{"dry_run":true}"#);
    assert_eq!((purge("{}"), purge("{}")), (old, 0));
    let after = of_tenant(&server, &tenant);
    assert!(before.iter().any(|entry| entry["from"]["address"] == "127.0.0.1"));
    let line =
        |entry: &Value| (entry["seq"].clone(), entry["hash"].clone(), entry["origin"].clone());
    for (old, new) in before.iter().zip(&after) {
        assert_eq!(line(old), line(new));
        assert!(new["from"].is_null(), "{new}");
    }
    let is_known = |entry: &&Value| entry["from"]["address"] == "127.0.0.1";
    let known: Vec<_> = after.iter().filter(is_known).map(|entry| &entry["action"]).collect();
    assert!(known.contains(&&Value::from("build.make")), "what is young stays: {known:?}");
    assert!(system.iter().any(|entry| !entry["from"].is_null()));
    let refusal =
        entries(&server, "/v1/audit").into_iter().find(|e| e["action"] == "access.refuse");
    assert!(refusal.unwrap()["from"].is_null());
    let good = told(&server.data(), &["audit", "verify"]);
    assert!(good.contains("system: good") && good.contains("acme-inc: good"), "{good}");
    // And an erasure takes those that are left.
    assert!(origins(&server, chain) > 0);
    assert_eq!(server.operator("DELETE", "/v1/tenants/acme-inc?confirm=acme-inc", "").status, 200);
    assert_eq!(origins(&server, chain), 0);
}

/// The chain goes with the tenant; the system's keeps that it was there, and how it ended.
#[test]
fn an_erased_tenant_leaves_the_end_of_its_chain_behind() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let name = Chain::pseudonym(uid(&server, &tenant));
    let before = of_tenant(&server, &tenant);
    let erased = server.operator("DELETE", "/v1/tenants/acme-inc?confirm=acme-inc", "");
    assert_eq!(erased.status, 200);
    let system = entries(&server, "/v1/audit");
    let act = |action: &str| {
        system
            .iter()
            .find(|e| e["action"] == action && e["subject"]["id"] == name.as_str())
            .unwrap()
    };
    assert_eq!(act("tenant.create")["outcome"], "success");
    assert_eq!(act("tenant.erase")["detail"]["lines"], before.len().to_string());
    assert!(!format!("{system:?}").contains("acme-inc"));
    let good = told(&server.data(), &["audit", "verify"]);
    assert!(good.starts_with("system: good"), "{good}");
}
