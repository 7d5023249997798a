//! What the API tells of builds and flows after they were made.

use colophon_model::Digest;
use serde_json::Value;

use crate::support::process::{colophon, told};
use crate::support::{Answer, ORDER_INTAKE, TestServer, TestTenant, agent, read, small_flow};

fn built(server: &TestServer, tenant: &TestTenant, body: &[u8]) -> Value {
    let answer = server.build(tenant, body);
    assert_eq!(answer.status, 201, "{:#}", answer.json());
    server.clock.advance(1_000);
    answer.json()
}

fn id(build: &Value) -> String {
    build["id"].as_str().unwrap().to_owned()
}

fn get(server: &TestServer, tenant: &TestTenant, path: &str) -> Answer {
    server.get_with(&format!("/v1/t/{}/{path}", tenant.slug), &tenant.api)
}

fn ids(page: &Value) -> Vec<String> {
    page["builds"].as_array().unwrap().iter().map(id).collect()
}

/// Every page once, no build twice, none left out, newest first; filters hold on every page.
#[test]
fn builds_are_listed_by_the_page() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let mut made: Vec<String> = Vec::new();
    for number in 1..=5 {
        made.push(id(&built(
            &server,
            &tenant,
            &small_flow("one", Some(number), &number.to_string()),
        )));
    }
    let edge = id(&built(&server, &tenant, ORDER_INTAKE));
    made.push(edge.clone());
    made.reverse();
    let (mut path, mut seen) = ("builds?limit=2".to_owned(), Vec::new());
    loop {
        let page = get(&server, &tenant, &path).json();
        assert_eq!(ids(&page).len(), 2);
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("builds?limit=2&cursor={next}");
    }
    assert_eq!(seen, made, "six builds on three full pages, and no empty one after them");
    let page = get(&server, &tenant, "builds?target=edge").json();
    assert_eq!(ids(&page), [edge]);
    assert_eq!(page["builds"][0]["targets"], serde_json::json!(["cloud", "edge"]));
    assert_eq!(ids(&get(&server, &tenant, "builds?flow=one").json()), &made[1..]);
    assert_eq!(ids(&get(&server, &tenant, "flows/one/history?limit=2").json()), &made[1..3]);
    assert_eq!(ids(&get(&server, &tenant, "builds?outcome=failed").json()).len(), 0);
    for wrong in ["limit=0", "limit=201", "cursor=x", "outcome=other", "what=1", "flow=Ä"] {
        let answer = get(&server, &tenant, &format!("builds?{wrong}"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-query"), "{wrong}");
    }
    assert_eq!(get(&server, &tenant, "flows/none/history").status, 404);
}

/// A deleted flow has a history still, which says what became of it.
#[test]
fn a_flow_is_shown_while_it_stands_and_its_history_stays() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let first = id(&built(&server, &tenant, &small_flow("one", Some(1), "a")));
    built(&server, &tenant, &small_flow("one", Some(2), "b"));
    let shown = get(&server, &tenant, "flows/one");
    assert_eq!(shown.json()["revision"], 2);
    assert_eq!(shown.header("etag"), format!("\"{}\"", shown.json()["build"].as_str().unwrap()));
    let body = format!("{{\"to\": \"{first}\"}}");
    assert_eq!(server.operator("POST", "/v1/t/acme-inc/flows/one/rollback", &body).status, 201);
    assert_eq!(server.operator("DELETE", "/v1/t/acme-inc/flows/one", "").status, 200);
    assert_eq!(get(&server, &tenant, "flows/one").status, 404);
    let page = get(&server, &tenant, "flows/one/history").json();
    let kinds: Vec<&str> =
        page["builds"].as_array().unwrap().iter().map(|b| b["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["deletion", "reverted", "delivery", "delivery"]);
    assert_eq!(page["builds"][1]["reverted_to"], first);
}

/// The files of a build are told and read for as long as the build is there, whatever is current.
#[test]
fn a_build_is_read_file_by_file() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let build = built(&server, &tenant, &small_flow("one", Some(1), "a"));
    built(&server, &tenant, &small_flow("one", Some(2), "b"));
    let path = format!("builds/{}", id(&build));
    let shown = get(&server, &tenant, &path).json();
    assert_eq!(shown["outputs"], build["outputs"]);
    let files = get(&server, &tenant, &format!("{path}/files")).json();
    let files = files["files"].as_array().unwrap();
    assert_eq!(files.len(), build["outputs"][0]["files"].as_array().unwrap().len());
    for file in files {
        let name = file["path"].as_str().unwrap();
        let answer = get(&server, &tenant, &format!("{path}/files/{name}"));
        assert_eq!(answer.bytes.len() as u64, file["size"].as_u64().unwrap(), "{name}");
        let digest = Digest::of(&answer.bytes).to_string();
        assert_eq!(file["digest"], digest);
        assert_eq!(answer.header("etag"), format!("\"{digest}\""));
    }
    for wrong in ["files/none.py", "files/../manifest.json", "files/"] {
        assert_eq!(get(&server, &tenant, &format!("{path}/{wrong}")).status, 404, "{wrong}");
    }
    let log = get(&server, &tenant, &format!("{path}/log")).json();
    assert_eq!(log["outcome"], "built");
    let gates: Vec<&Value> = log["gates"].as_array().unwrap().iter().collect();
    assert!(!gates.is_empty() && gates.iter().all(|gate| gate["status"] == "passed"), "{log:#}");
}

/// Files with their digests for whoever may read records; lines for whoever may read files.
#[test]
fn two_builds_are_compared() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let before = id(&built(&server, &tenant, &small_flow("one", Some(1), "old words")));
    let after = id(&built(&server, &tenant, &small_flow("one", Some(2), "new words")));
    let path = format!("builds/{before}/diff/{after}");
    let diff = get(&server, &tenant, &path).json();
    let files = diff["files"].as_array().unwrap();
    assert!(files.iter().all(|file| file["change"] == "changed" && file["unified"].is_null()));
    assert_ne!(files[0]["before"]["digest"], files[0]["after"]["digest"]);
    let lines = get(&server, &tenant, &format!("{path}?unified=true&context=0")).json();
    let text: String =
        lines["files"].as_array().unwrap().iter().filter_map(|f| f["unified"].as_str()).collect();
    let has = |mark: char, words: &str| {
        text.lines().any(|line| line.starts_with(mark) && line.contains(words))
    };
    assert!(has('-', "old words") && has('+', "new words"), "{text}");
    assert!(!has('+', "old words") && text.contains("--- a/") && text.contains("@@ "), "{text}");
    let same = get(&server, &tenant, &format!("builds/{after}/diff/{after}?unified=true")).json();
    assert_eq!(same["files"], serde_json::json!([]));
    let other = id(&built(&server, &tenant, ORDER_INTAKE));
    let diff = get(&server, &tenant, &format!("builds/{before}/diff/{other}?unified=true")).json();
    let changes: std::collections::BTreeSet<&str> =
        diff["files"].as_array().unwrap().iter().map(|f| f["change"].as_str().unwrap()).collect();
    assert!(changes.contains("added") && changes.contains("removed"), "{changes:?}");
    assert_eq!(get(&server, &tenant, &format!("{path}?context=101")).code(), "invalid-query");
    let auditor = auditor(&server);
    let as_auditor =
        |path: &str| server.get_with(&format!("/v1/t/acme-inc/{path}"), &auditor).status;
    assert_eq!(as_auditor(&path), 200);
    assert_eq!(as_auditor(&format!("{path}?unified=true")), 401, "lines are as good as files");
    assert_eq!(as_auditor(&format!("builds/{before}/files")), 200);
    assert_eq!(as_auditor(&format!("builds/{before}/files/one/graph.py")), 401);
}

fn auditor(server: &TestServer) -> String {
    let made = server.operator("POST", "/v1/tenants/acme-inc/tokens", r#"{"kind": "auditor"}"#);
    made.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_used_of_the_quota_is_told() {
    let server = TestServer::with(|config| {
        config.quota.builds_per_day = std::num::NonZeroU64::new(3).unwrap();
    });
    let tenant = server.tenant("acme-inc");
    built(&server, &tenant, &small_flow("one", None, "a"));
    let answer = get(&server, &tenant, "quota");
    let quota = answer.json();
    assert_eq!(quota["window"], 86_400);
    assert_eq!(quota["quota"][0], serde_json::json!({"target": "cloud", "used": 1, "limit": 3}));
    assert!(answer.header("ratelimit").contains("\"builds-cloud\";r=2"));
    assert!(answer.header("ratelimit-policy").contains("\"builds-cloud\";q=3;w=86400"));
}

fn send(server: &TestServer, method: &str, path: &str, tag: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {}", server.app.press.keys.operator_token().reveal());
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.url))
        .header("authorization", bearer)
        .header("if-match", tag);
    read(agent().run(request.body(body.to_owned()).unwrap()).unwrap())
}

/// Who changes what somebody else has changed meanwhile is told, and nothing happens.
#[test]
fn a_flow_that_has_moved_on_is_not_changed() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    built(&server, &tenant, &small_flow("one", Some(1), "a"));
    let old = get(&server, &tenant, "flows/one").header("etag").to_owned();
    built(&server, &tenant, &small_flow("one", Some(2), "b"));
    let flow = "/v1/t/acme-inc/flows/one";
    let refused = [
        send(&server, "POST", &format!("{flow}/rollback"), &old, ""),
        send(&server, "DELETE", flow, &old, ""),
        send(&server, "DELETE", flow, "no tag", ""),
    ];
    for answer in refused {
        assert_eq!((answer.status, answer.code().as_str()), (412, "precondition-failed"));
    }
    let current = get(&server, &tenant, "flows/one");
    assert_eq!(current.json()["revision"], 2);
    let tag = current.header("etag");
    assert_eq!(send(&server, "POST", &format!("{flow}/rollback"), tag, "").status, 201);
    assert_eq!(send(&server, "DELETE", flow, tag, "").status, 412, "the way back was a build");
    assert_eq!(send(&server, "DELETE", flow, "\"x\", *", "").status, 200);
}

#[test]
fn a_mirror_that_was_set_anew_is_not_changed() {
    let server = TestServer::start();
    server.tenant("acme-inc");
    let path = "/v1/tenants/acme-inc/mirror";
    let wanted = r#"{"url": "https://forge.invalid/acme.git"}"#;
    assert_eq!(send(&server, "PUT", path, "*", wanted).status, 412, "there is none");
    let set = server.operator("PUT", path, wanted);
    let tag = set.header("etag").to_owned();
    assert_eq!(server.operator("GET", path, "").header("etag"), tag);
    server.clock.advance(1);
    assert_eq!(send(&server, "PUT", path, &tag, wanted).status, 200);
    assert_eq!(send(&server, "PUT", path, &tag, wanted).code(), "precondition-failed");
    assert_eq!(send(&server, "DELETE", path, &tag, "").status, 412);
    assert_eq!(send(&server, "DELETE", path, "*", "").status, 204);
}

/// The command line tells the same through a server and without one.
#[test]
fn builds_are_shown_on_the_command_line() {
    let mut server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let first = id(&built(&server, &tenant, &small_flow("one", Some(1), "old words")));
    let second = id(&built(&server, &tenant, &small_flow("one", Some(2), "new words")));
    let data = server.data();
    let commands: [&[&str]; 5] = [
        &["builds", "list", "acme-inc", "--limit", "1"],
        &["builds", "list", "acme-inc", "--flow", "one", "--target", "cloud", "--outcome", "built"],
        &["builds", "show", "acme-inc", &first],
        &["builds", "diff", "acme-inc", &first, &second, "--unified"],
        &["flow", "history", "acme-inc", "one"],
    ];
    let through: Vec<Value> = commands.iter().map(|args| colophon(&data, args)).collect();
    let dir = std::mem::replace(&mut server.dir, tempfile::tempdir().unwrap());
    drop(server);
    let without: Vec<Value> = commands.iter().map(|args| colophon(&data, args)).collect();
    assert_eq!(through, without);
    assert_eq!(ids(&without[0]), [second.as_str()]);
    assert_eq!(ids(&without[4]), [second.as_str(), first.as_str()]);
    assert!(told(&data, commands[0]).contains("more with --cursor 2"));
    assert!(told(&data, commands[3]).contains('+'));
    assert!(told(&data, commands[2]).starts_with(&format!("build {first}\n")));
    drop(dir);
}

/// Browsers let no page in that is not listed, and none at all unless that is set; and no page ever writes.
#[test]
fn pages_of_other_origins_read_if_they_are_listed() {
    let page = "https://portal.example.com";
    let server = TestServer::with(|config| config.server.cors_origins = vec![page.to_owned()]);
    let closed = TestServer::start();
    let ask = |server: &TestServer, method: &str, path: &str, headers: &[(&str, &str)]| {
        let uri = format!("{}{path}", server.url);
        let mut request = ureq::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(agent().run(request.body(()).unwrap()).unwrap())
    };
    let allowed = "access-control-allow-origin";
    let preflight = |server: &TestServer, origin: &str, method: &str| {
        let headers = [("origin", origin), ("access-control-request-method", method)];
        ask(server, "OPTIONS", "/v1/t/acme-inc/builds", &headers)
    };
    let answer = preflight(&server, page, "GET");
    assert_eq!((answer.status, answer.header(allowed)), (204, page));
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD");
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    for answer in [
        preflight(&server, page, "POST"),
        preflight(&server, page, "DELETE"),
        preflight(&server, "https://other.example.com", "GET"),
        preflight(&closed, page, "GET"),
        ask(&server, "POST", "/v1/builds", &[("origin", page)]),
        ask(&server, "GET", "/branches/tenant/acme-inc", &[("origin", page)]),
        ask(&closed, "GET", "/v1/schema/flow.json", &[("origin", page)]),
    ] {
        assert_eq!(answer.header(allowed), "", "{answer:?}");
    }
    let read = ask(&server, "GET", "/v1/t/acme-inc/builds", &[("origin", page)]);
    assert_eq!((read.status, read.header(allowed), read.header("vary")), (401, page, "origin"));
}
