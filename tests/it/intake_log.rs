//! The log of deliveries: what came in, what became of it, and running it again.

use colophon::gates::{GatesConfig, Mode};
use serde_json::Value;

use crate::support::gates::{command, config, environment};
use crate::support::sign::standard;
use crate::support::{Answer, TestServer, TestTenant, small_flow};

const DAY: u64 = 24 * 60 * 60 * 1000;

fn list(server: &TestServer, tenant: &TestTenant, query: &str) -> Vec<Value> {
    let told = server.get_with(&format!("/v1/t/{}/deliveries{query}", tenant.slug), &tenant.api);
    assert_eq!(told.status, 200, "{:#}", told.json());
    told.json()["deliveries"].as_array().unwrap().clone()
}

fn show(server: &TestServer, tenant: &TestTenant, id: &str) -> Value {
    server.get_with(&format!("/v1/t/{}/deliveries/{id}", tenant.slug), &tenant.api).json()
}

fn replay(server: &TestServer, tenant: &TestTenant, id: &str) -> Answer {
    let bearer = format!("Bearer {}", tenant.api);
    let path = format!("/v1/t/{}/deliveries/{id}/replay", tenant.slug);
    server.post(&path, &[("authorization", &bearer)], b"")
}

fn outcomes(deliveries: &[Value]) -> Vec<(&str, u64)> {
    deliveries
        .iter()
        .map(|d| (d["outcome"].as_str().unwrap(), d["status"].as_u64().unwrap()))
        .collect()
}

/// Whatever becomes of a delivery that was proven, it is told, newest first, under the name that its answer
/// carried; of one that was not proven nothing is kept.
#[test]
fn every_proven_delivery_is_logged() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", None, "a"), small_flow("one", None, "b"));
    let mut names = Vec::new();
    let mut send = |id: &str, body: &[u8], status| {
        let answer = server.deliver_standard(&tenant, id, body);
        assert_eq!(answer.status, status, "{:#}", answer.json());
        names.push(answer.header("colophon-delivery").to_owned());
        server.clock.advance(1000);
        answer.json()
    };
    let built = send("msg_1", &a, 201);
    send("msg_2", &a, 200);
    send("msg_1", &a, 200);
    send("msg_3", &b, 201);
    send("msg_1", &b, 422);
    send("msg_4", b"{}", 422);
    let mut wrong = standard(&tenant.secret, "msg_5", server.seconds(), &a);
    wrong[2].1 = "v1,AAAA".to_owned();
    let refused = server.deliver("acme-inc", &wrong, &a);
    assert_eq!((refused.status, refused.header("colophon-delivery")), (401, ""));

    let told = list(&server, &tenant, "");
    names.reverse();
    assert_eq!(told.iter().map(|d| d["delivery"].as_str().unwrap()).collect::<Vec<_>>(), names);
    assert_eq!(
        outcomes(&told),
        [
            ("refused", 422),
            ("refused", 422),
            ("built", 201),
            ("replayed", 200),
            ("noop", 200),
            ("built", 201)
        ]
    );
    let first = &told[5];
    assert_eq!((&first["by"], &first["secret"]), (&"standard".into(), &1.into()));
    assert_eq!((&first["id"], &first["from"]), (&"msg_1".into(), &"127.0.0.1".into()));
    assert_eq!((&first["build"], &first["flow"]), (&built["id"], &"one".into()));
    assert_eq!(first["size"], a.len());
    assert_eq!(
        (&told[0]["code"], &told[1]["code"]),
        (&"invalid-flow".into(), &"delivery-id-reused".into())
    );
    let single = show(&server, &tenant, names[0].as_str());
    assert_eq!((&single["delivery"], &single["replayable"]), (&told[0]["delivery"], &true.into()));
}

#[test]
fn the_list_comes_in_pages_and_can_be_filtered() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    for n in 0..7 {
        let flow = if n % 2 == 0 { "even" } else { "odd" };
        let body = small_flow(flow, None, &n.to_string());
        assert_eq!(server.build(&tenant, &body).status, 201);
        server.clock.advance(1000);
    }
    server.build(&tenant, b"{}");
    let (mut seen, mut before) = (Vec::new(), String::new());
    for size in [3, 3, 2] {
        let path = format!("/v1/t/acme-inc/deliveries?limit=3{before}");
        let page = server.get_with(&path, &tenant.api).json();
        let found = page["deliveries"].as_array().unwrap();
        assert_eq!(found.len(), size);
        seen.extend(found.iter().map(|d| d["delivery"].as_str().unwrap().to_owned()));
        before = format!("&cursor={}", page["next"].as_str().unwrap_or_default());
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    sorted.reverse();
    assert_eq!((seen.len(), &seen), (8, &sorted), "each once, newest first");
    assert_eq!(list(&server, &tenant, "?flow=odd").len(), 3);
    assert_eq!(list(&server, &tenant, "?outcome=refused").len(), 1);
    assert_eq!(list(&server, &tenant, "?code=invalid-flow&outcome=built").len(), 0);
    for bad in ["?limit=x", "?cursor=1", "?colour=red", "?flow=Not%20One"] {
        let path = format!("/v1/t/acme-inc/deliveries{bad}");
        assert_eq!(server.get_with(&path, &tenant.api).code(), "invalid-query", "{bad}");
    }
}

/// What was refused can be run again once the reason is gone, by its own body, as somebody's act.
#[test]
fn a_refused_delivery_can_be_run_again() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 1.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let (a, b) = (small_flow("one", None, "a"), small_flow("two", None, "b"));
    assert_eq!(server.deliver_standard(&tenant, "msg_1", &a).status, 201);
    let refused = server.deliver_standard(&tenant, "msg_2", &b);
    assert_eq!(refused.code(), "quota-exceeded");
    let name = refused.header("colophon-delivery");
    let again = replay(&server, &tenant, name).json();
    assert_eq!((&again["outcome"], &again["code"]), (&"refused".into(), &"quota-exceeded".into()));
    server.clock.advance(DAY + 1);
    let again = replay(&server, &tenant, name).json();
    assert_eq!((&again["outcome"], &again["status"]), (&"built".into(), &201.into()), "{again:#}");
    assert_eq!((&again["by"], &again["replay_of"]), (&"token".into(), &name.into()));
    let path = format!("/v1/t/acme-inc/deliveries/{name}/replay");
    let again = server.operator("POST", &path, "").json();
    assert_eq!((&again["outcome"], &again["by"]), (&"noop".into(), &"operator".into()));
}

/// A replay is ordered by the time that the delivery was signed at, like the delivery itself.
#[test]
fn a_replay_does_not_take_a_flow_back() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 1.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let body = |text: &str| small_flow("one", None, text);
    let first = server.deliver_standard(&tenant, "msg_1", &body("a"));
    let overtaken = server.deliver_standard(&tenant, "msg_2", &body("b"));
    server.clock.advance(DAY + 1);
    assert_eq!(server.deliver_standard(&tenant, "msg_3", &body("c")).status, 201);
    server.clock.advance(DAY + 1);
    for old in [&first, &overtaken] {
        let again = replay(&server, &tenant, old.header("colophon-delivery")).json();
        assert_eq!(again["code"], "stale-delivery", "{again:#}");
    }
}

#[test]
fn what_is_kept_of_refusals_is_bounded() {
    let server = TestServer::with(|c| c.intake.refused_bodies = 2);
    let tenant = server.tenant("acme-inc");
    let send = |text: &str| {
        let body = format!("{{\"no flow\": \"{text}\"}}");
        let answer = server.deliver_standard(&tenant, text, body.as_bytes());
        server.clock.advance(1000);
        answer.header("colophon-delivery").to_owned()
    };
    let names = ["first", "second", "third"].map(send);
    list(&server, &tenant, "");
    let kept = |name: &str| {
        let path = format!(
            "/v1/maintenance/blobs/{}",
            show(&server, &tenant, name)["body"].as_str().unwrap()
        );
        let told = server.operator("GET", &path, "");
        told.status == 200 && !told.json()["tenants"][0]["reasons"].as_array().unwrap().is_empty()
    };
    assert_eq!(names.each_ref().map(|name| kept(name)), [false, true, true]);
    server.clock.advance(7 * DAY);
    assert_eq!(server.operator("POST", "/v1/maintenance/purge", "").status, 200);
    assert_eq!(names.each_ref().map(|name| kept(name)), [false; 3], "a week later");
    server.clock.advance(30 * DAY);
    server.operator("POST", "/v1/maintenance/purge", "");
    let told = server.operator("GET", "/v1/t/acme-inc/deliveries", "").json();
    assert_eq!(told["deliveries"], Value::Array(Vec::new()), "a month later");
}

/// The log is the tenant's and the operator's; others read that there is none such.
#[test]
fn a_foreign_delivery_is_one_that_is_not_there() {
    let server = TestServer::start();
    let (victim, thief) = (server.tenant("victim"), server.tenant("thief"));
    let built = server.build(&victim, &small_flow("one", None, "a"));
    let name = built.header("colophon-delivery").to_owned();
    let absent = "0".repeat(32);
    for slug in ["thief", "victim", "nobody"] {
        let get =
            |name: &str| server.get_with(&format!("/v1/t/{slug}/deliveries/{name}"), &thief.api);
        assert_eq!((get(&name).status, get(&name).bytes), (404, get(&absent).bytes), "{slug}");
        let bearer = format!("Bearer {}", thief.api);
        let post = |name: &str| {
            let path = format!("/v1/t/{slug}/deliveries/{name}/replay");
            server.post(&path, &[("authorization", &bearer)], b"")
        };
        assert_eq!((post(&name).status, post(&name).bytes), (404, post(&absent).bytes), "{slug}");
    }
    let path = "/v1/t/victim/deliveries";
    assert_eq!(
        server.get_with(path, &thief.api).bytes,
        server.get_with("/v1/t/nobody/deliveries", &thief.api).bytes
    );
    assert_eq!(server.get(path, &[]).status, 401);
    for wrong in [&victim.git, &victim.edge] {
        assert_eq!(server.get_with(path, wrong).status, 401);
    }
    assert_eq!(server.get_with(&format!("{path}/{name}"), &victim.api).status, 200);
    assert_eq!(list(&server, &thief, "").len(), 0);
}

/// What a gate refused has a record, which the log names; its id is free for the next attempt, and a dry run
/// says the same without either.
#[test]
fn a_build_that_a_gate_refused_is_logged_and_claims_nothing() {
    let python = environment().join("python").display().to_string();
    let gate = command("never", &[&python, "-c", "raise SystemExit('no')"]);
    let gates = GatesConfig { smoke: Mode::Off, command: vec![gate], ..config() };
    let server = TestServer::with(|config| config.gates = gates);
    let tenant = server.tenant("acme-inc");
    let body = small_flow("one", None, "a");
    for _ in 0..2 {
        let refused = server.deliver_standard(&tenant, "msg_1", &body);
        assert_eq!((refused.status, refused.code().as_str()), (422, "gate-failed"));
        assert!(refused.header("ratelimit").starts_with("\"builds-cloud\";r="));
        let told = show(&server, &tenant, refused.header("colophon-delivery"));
        assert_eq!((&told["code"], &told["flow"]), (&"gate-failed".into(), &"one".into()));
        let build = format!("/v1/builds/{}", told["build"].as_str().unwrap());
        assert_eq!(server.get_with(&build, &tenant.api).json()["outcome"], "failed");
        server.clock.advance(1000);
    }
    let mut headers = standard(&tenant.secret, "msg_1", server.seconds(), &body);
    headers.push(("x-tenant-slug", "acme-inc".to_owned()));
    let dry = server.send("/build?dry_run=1", &headers, &body);
    assert_eq!((dry.status, &dry.json()["outcome"]), (200, &"refused".into()));
    assert_eq!(list(&server, &tenant, "").len(), 2);
}

/// What waits is written when the server stops, and the delivery of a build is there as soon as the build is.
#[test]
fn the_log_survives_a_stop() {
    let data = tempfile::tempdir().unwrap();
    let at = || TestServer::with(|config| config.data = data.path().join("data"));
    let server = at();
    let tenant = server.tenant("acme-inc");
    let body = small_flow("one", None, "a");
    assert_eq!(server.build(&tenant, &body).status, 201);
    assert_eq!(server.build(&tenant, &body).status, 200);
    drop(server);
    let server = at();
    assert_eq!(outcomes(&list(&server, &tenant, "")).len(), 2);
}
