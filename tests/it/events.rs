//! Streams of events: a reader that comes again misses nothing and sees nothing twice, whenever and wherever it
//! was cut; it reads no longer than it may, and no build waits for it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use colophon::gates::Mode;
use colophon::progress::Stage;
use colophon::units::Span;
use colophon_model::{TenantSlug, TenantUid};
use colophon_store::rows::{DeliveryKey, TenantRow};
use serde_json::{Value, json};

use crate::support::events::{Event, EventStream};
use crate::support::gates::command;
use crate::support::process::refused;
use crate::support::programs::program;
use crate::support::raw::exchange;
use crate::support::sign::plain;
use crate::support::upstream::until;
use crate::support::{TestServer, TestTenant, agent, small_flow};

const DAY: u64 = 24 * 60 * 60 * 1000;

fn uid(server: &TestServer, tenant: &TestTenant) -> TenantUid {
    let slug: TenantSlug = tenant.slug.parse().unwrap();
    server.app.press.store.view().unwrap().get::<TenantRow>(&slug).unwrap().unwrap().uid
}

/// Delivers without waiting for long, and returns where the stages are told: one that is quick is answered as ever.
fn begin(server: &TestServer, tenant: &TestTenant, body: &[u8]) -> String {
    let mut headers = plain(&tenant.secret, body);
    headers.push(("prefer", "wait=0".to_owned()));
    let taken = server.deliver(&tenant.slug, &headers, body);
    let path = format!("/v1/builds/{}/events", taken.header("colophon-delivery"));
    assert!(taken.status != 202 || taken.json()["events"] == path, "{}", taken.json());
    path
}

fn open(server: &TestServer, path: &str, token: &str, last: Option<u64>) -> EventStream {
    EventStream::with(&server.url, path, token, last)
}

fn words(events: &[Event]) -> Vec<(u64, &str)> {
    events.iter().map(|event| (event.id.unwrap(), event.kind.as_str())).collect()
}

/// Beats that a test can wait for.
fn quick(config: &mut colophon::config::Config) {
    config.events.heartbeat = "100ms".parse().unwrap();
}

const ALL: [(u64, &str); 5] =
    [(1, "accepted"), (2, "compiled"), (3, "gated"), (4, "committed"), (5, "succeeded")];

/// A build is held before its commit. Whoever is cut then, behind any event, and comes again hears the rest as it
/// happens; whoever comes again when all is over hears it of what is stored; whoever has heard all is told not
/// to come again.
#[test]
fn a_reader_that_was_cut_misses_nothing_and_sees_nothing_twice() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let lane = server.app.press.store.lane(uid(&server, &tenant));
    let path = begin(&server, &tenant, &small_flow("one", None, "a"));
    let mut first = open(&server, &path, &tenant.api, None);
    assert_eq!((first.status, first.header("content-type")), (200, "text/event-stream"));
    assert_eq!(
        (first.header("cache-control"), first.header("x-accel-buffering")),
        ("no-store", "no")
    );
    assert_eq!(first.piece().unwrap(), "retry: 2000");
    let mut seen: Vec<Event> = (0..3).map(|_| first.event().unwrap()).collect();
    assert_eq!(words(&seen), ALL[..3]);
    assert_eq!(seen[2].data["passed"], true);
    drop(first);
    let mut again: Vec<_> =
        (0..=3).map(|last| (last, open(&server, &path, &tenant.api, Some(last)))).collect();
    for (last, stream) in &mut again {
        let missed: Vec<Event> = (*last..3).map(|_| stream.event().unwrap()).collect();
        assert_eq!(missed, seen[*last as usize..], "behind {last}");
    }
    drop(lane);
    for (last, mut stream) in again {
        let rest = stream.rest();
        assert_eq!(words(&rest), ALL[3..], "behind {last}");
        if last == 0 {
            seen.extend(rest);
        }
    }
    let build = seen[4].data["build"].as_str().unwrap().to_owned();
    assert_eq!((&seen[3].data["build"], &seen[3].data["number"]), (&json!(build), &json!(1)));
    for (path, whole) in [(path, true), (format!("/v1/builds/{build}/events"), false)] {
        for last in 0..5 {
            let rest = open(&server, &path, &tenant.api, Some(last)).rest();
            assert_eq!(words(&rest), ALL[last as usize..], "{path} behind {last}");
            // A build's record does not know the delivery's name.
            let same = if whole { 0 } else { last.max(1) };
            assert!(last < same || rest == seen[last as usize..], "{path} behind {last}");
        }
        assert_eq!(open(&server, &path, &tenant.api, Some(5)).status, 204);
        let headers =
            [format!("Authorization: Bearer {}", tenant.api), "Last-Event-ID: junk".into()];
        assert_eq!(words(&EventStream::open(&server.url, &path, &headers).rest()), ALL);
    }
}

/// What can become of a delivery, as another server on the same data tells it, byte for byte.
#[test]
fn after_a_restart_the_same_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let start = |gate: Option<&str>| {
        TestServer::with(|config| {
            config.data.clone_from(&data);
            config.gates.sandbox = Mode::Auto;
            config.gates.command =
                gate.map(|tool| command("refuse", &[tool])).into_iter().collect();
        })
    };
    let (one, two) = (small_flow("one", None, "a"), small_flow("one", None, "b"));
    let server = start(None);
    let tenant = server.tenant("acme-inc");
    let all = |server: &TestServer, path: &str| {
        (0..5).map(|last| open(server, path, &tenant.api, Some(last)).rest()).collect::<Vec<_>>()
    };
    let mut told = Vec::new();
    for (body, end) in [(&one[..], "succeeded"), (&one[..], "noop"), (&b"{}"[..], "failed")] {
        let path = begin(&server, &tenant, body);
        let before = all(&server, &path);
        assert_eq!(before[0].last().unwrap().kind, end);
        told.push((path, before));
    }
    let path = "/v1/t/acme-inc/builds/events?after=0&follow=false";
    let builds = open(&server, path, &tenant.api, None).rest();
    drop(server);
    let server = start(Some("false"));
    for (path, before) in &told {
        assert_eq!(&all(&server, path), before, "{path}");
    }
    let refused = begin(&server, &tenant, &two);
    let before = all(&server, &refused);
    let end = before[0].last().unwrap();
    assert_eq!((&end.data["code"], &end.data["status"]), (&json!("gate-failed"), &json!(422)));
    assert_eq!(words(&before[0]), [ALL[0], ALL[1], ALL[2], (5, "failed")]);
    drop(server);
    let server = start(None);
    assert_eq!(all(&server, &refused), before);
    let after = open(&server, path, &tenant.api, None).rest();
    assert_eq!(after[..1], builds[..]);
    assert_eq!(open(&server, path, &tenant.api, Some(1)).rest(), after[1..]);
    assert_eq!(after.len(), 2, "the refusal is a build too");
    assert_eq!(open(&server, path, &tenant.api, Some(2)).status, 204);
}

/// Neither of a delivery that runs nor of one that has ended is anything told to others.
#[test]
fn what_is_foreign_is_what_is_absent() {
    let server = TestServer::start();
    let (tenant, thief) = (server.tenant("acme-inc"), server.tenant("thief"));
    let key = |n| DeliveryKey::new(server.app.press.clock.now(), [n; 10]);
    let progress = &server.app.press.progress;
    let running = progress.begin(uid(&server, &tenant), key(1), server.app.press.clock.now());
    let ended = begin(&server, &tenant, &small_flow("one", None, "a"));
    let ended = ended.split('/').nth(3).unwrap().to_owned();
    open(&server, &format!("/v1/builds/{ended}/events"), &tenant.api, None).until("succeeded");
    let ask = |path: &str, token: &str| {
        let head = format!("GET {path} HTTP/1.1\nAuthorization: Bearer {token}");
        exchange(&server.url, &head, b"")
    };
    let nobody = ask(&format!("/v1/builds/{}/events", key(2)), &thief.api);
    assert_eq!(nobody.status, 404);
    for id in [key(1).to_string(), ended, "no-id".to_owned()] {
        assert_eq!(ask(&format!("/v1/builds/{id}/events"), &thief.api), nobody, "{id}");
        for slug in ["acme-inc", "nobody", "thief"] {
            let path = format!("/v1/t/{slug}/builds/{id}/events");
            assert_eq!(ask(&path, &thief.api), nobody, "{path}");
        }
    }
    assert_eq!(ask("/v1/t/acme-inc/builds/events", &thief.api), nobody);
    assert_eq!(ask("/v1/t/nobody/builds/events", &thief.api), nobody);
    for token in [&tenant.git, &tenant.edge] {
        assert_eq!(ask(&format!("/v1/builds/{}/events", key(1)), token).status, 401);
    }
    drop(running);
}

/// The list tells of what is built from now on, or since a number, and of what is in work.
#[test]
fn a_tenants_builds_are_told_as_they_are_made() {
    let server = TestServer::start();
    let (tenant, other) = (server.tenant("acme-inc"), server.tenant("other"));
    let path = "/v1/t/acme-inc/builds/events";
    let build =
        |text: &str| assert_eq!(server.build(&tenant, &small_flow("one", None, text)).status, 201);
    build("a");
    let mut live = open(&server, path, &tenant.api, None);
    let ready = live.event().unwrap();
    assert_eq!(
        (ready.id, ready.kind.as_str(), &ready.data),
        (Some(1), "ready", &json!({"builds": 1}))
    );
    assert_eq!(server.build(&other, &small_flow("one", None, "x")).status, 201);
    build("b");
    let second = live.until("build");
    assert_eq!((second.id, &second.data["number"]), (Some(2), &json!(2)));
    let list = server.get_with("/v1/t/acme-inc/builds", &tenant.api).json();
    assert_eq!(second.data, list["builds"][0], "as in the list");

    let lane = server.app.press.store.lane(uid(&server, &tenant));
    let held = begin(&server, &tenant, &small_flow("two", None, "a"));
    let stage = loop {
        let running = live.until("running");
        assert_eq!(running.id, None, "it is no place to come again to");
        if let Some(one) = running.data["running"].get(0).filter(|one| one["stage"] == "gated") {
            break one.clone();
        }
    };
    assert!(held.contains(stage["delivery"].as_str().unwrap()));
    assert_eq!(stage["name"], "two");
    drop(lane);
    assert_eq!(live.until("build").id, Some(3));
    let gone = server.operator("DELETE", "/v1/t/acme-inc/flows/two", "");
    assert_eq!(gone.status, 200, "{}", gone.json());
    assert_eq!(live.until("build").data["kind"], "deletion");

    let after = |query: &str, last| {
        let path = format!("{path}?follow=false{query}");
        let events = open(&server, &path, &tenant.api, last).rest();
        events.iter().map(|event| event.id.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(after("&after=0", None), [1, 2, 3, 4]);
    assert_eq!(after("&after=0", Some(2)), [3, 4], "what was seen counts more");
    assert_eq!(after("&after=2", None), [3, 4]);
    let restored = open(&server, &format!("{path}?follow=false"), &tenant.api, Some(99)).rest();
    assert_eq!(words(&restored), [(4, "ready")], "a store that was set back");
    for bad in ["?after=x", "?follow=perhaps", "?before=1"] {
        let told = server.get_with(&format!("{path}{bad}"), &tenant.api);
        assert_eq!((told.status, told.code().as_str()), (400, "invalid-query"), "{bad}");
    }
    let operator = server.app.press.keys.operator_token();
    assert_eq!(open(&server, path, operator.reveal(), None).status, 200);
}

/// More builds than are read at once, and a reader that reads none of them until all are made.
#[test]
fn a_slow_reader_keeps_no_build_waiting_and_misses_none() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let mut slow = open(&server, "/v1/t/acme-inc/builds/events?after=0", &tenant.api, None);
    for n in 1..=60 {
        let body = small_flow("one", Some(n), &n.to_string());
        assert_eq!(server.build(&tenant, &body).status, 201);
    }
    let numbers: Vec<_> = (1..=60).map(|_| slow.until("build").id.unwrap()).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
}

/// Proxies cut what is silent; comments keep it in use, and are no events.
#[test]
fn a_silent_stream_beats() {
    let server = TestServer::with(quick);
    let tenant = server.tenant("acme-inc");
    let mut stream = open(&server, "/v1/t/acme-inc/builds/events", &tenant.api, None);
    let pieces: Vec<_> = (0..4).map(|_| stream.piece().unwrap()).collect();
    assert!(pieces[1].starts_with("id: 0\nevent: ready\n"), "{pieces:?}");
    assert_eq!(pieces[2..], [": ping", ": ping"]);
}

/// Whoever may read no longer is told no more, and is cut at the next beat.
#[test]
fn a_credential_that_ends_takes_its_streams_along() {
    let server = TestServer::with(quick);
    let tokens = "/v1/tenants/acme-inc/tokens";
    let tenant = server.tenant("acme-inc");
    let list = "/v1/t/acme-inc/builds/events";
    let made = || server.operator("POST", tokens, r#"{"kind": "auditor", "days": 1}"#).json();
    let opened = |token: &Value| {
        let mut stream = open(&server, list, token.as_str().unwrap(), None);
        assert_eq!(stream.event().unwrap().kind, "ready");
        stream
    };
    let (revoked, ending, kept) = (made(), made(), made());
    let mut stream = opened(&revoked["token"]);
    let gone =
        server.operator("DELETE", &format!("{tokens}/{}", revoked["id"].as_str().unwrap()), "");
    assert!(gone.status < 300, "{}", gone.status);
    assert_eq!(server.build(&tenant, &small_flow("one", None, "a")).status, 201);
    assert!(stream.rest().is_empty(), "revoked");
    assert_eq!(open(&server, list, revoked["token"].as_str().unwrap(), None).status, 401);

    let mut stream = opened(&kept["token"]);
    let operator = server.app.press.keys.operator_token().reveal().to_owned();
    let mut watcher = opened(&json!(operator));
    assert_eq!(server.operator("POST", "/v1/tenants/acme-inc/suspend", "").status, 200);
    assert!(stream.rest().is_empty(), "suspended");
    assert_eq!(open(&server, list, kept["token"].as_str().unwrap(), None).status, 403);
    assert_eq!(watcher.piece().unwrap(), ": ping", "the operator sees suspended tenants");
    assert_eq!(server.operator("POST", "/v1/tenants/acme-inc/resume", "").status, 200);

    let mut stream = opened(&ending["token"]);
    server.clock.advance(2 * DAY);
    assert!(stream.rest().is_empty(), "expired");
}

/// A delivery that runs is not told of to a token that was revoked, either.
#[test]
fn one_builds_stream_ends_with_its_credential() {
    let server = TestServer::with(quick);
    let tenant = server.tenant("acme-inc");
    let (uid, now) = (uid(&server, &tenant), server.app.press.clock.now());
    let key = DeliveryKey::new(now, [7; 10]);
    let track = server.app.press.progress.begin(uid, key, now);
    let mut stream = open(&server, &format!("/v1/builds/{key}/events"), &tenant.api, None);
    assert_eq!(stream.event().unwrap().kind, "accepted");
    assert!(server.operator("DELETE", "/v1/tenants/acme-inc/tokens", "").status < 300);
    track.watch().tell(|| Stage::gated(&[]));
    assert!(stream.rest().is_empty());
}

/// So many for each tenant, so many for all; a place is free again when its reader goes.
#[test]
fn there_are_only_so_many() {
    let server = TestServer::with(|config| {
        quick(config);
        (config.events.streams, config.events.per_tenant) = (2, 1);
    });
    let names = ["one", "two", "three"];
    let tenants = names.map(|slug| server.tenant(slug));
    let ask = |tenant: &TestTenant| {
        open(&server, &format!("/v1/t/{}/builds/events", tenant.slug), &tenant.api, None)
    };
    let (first, second) = (ask(&tenants[0]), ask(&tenants[1]));
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(server.app.streams.count(), 2);
    let (own, all) = (ask(&tenants[0]), ask(&tenants[2]));
    assert_eq!((own.status, own.header("retry-after")), (429, "15"));
    assert_eq!((all.status, all.header("retry-after")), (503, "15"));
    drop(first);
    until("a place", || ask(&tenants[2]).status == 200);
    drop(second);
    until("no stream", || server.app.streams.count() == 0);
    let head = agent().head(format!("{}/v1/t/one/builds/events", server.url));
    let head = head.header("authorization", format!("Bearer {}", tenants[0].api));
    assert_eq!(head.call().unwrap().status(), 200);
    until("HEAD leaves nothing open", || server.app.streams.count() == 0);
}

/// A server that stops does not wait for those who would read for ever.
#[test]
fn a_shutdown_ends_streams_at_once() {
    let patience = Duration::from_mins(2);
    let server = TestServer::with(|config| config.server.drain = Span::seconds(10 * 60));
    let tenant = server.tenant("acme-inc");
    let (uid, now) = (uid(&server, &tenant), server.app.press.clock.now());
    let key = DeliveryKey::new(now, [7; 10]);
    let _track = server.app.press.progress.begin(uid, key, now);
    let mut list = open(&server, "/v1/t/acme-inc/builds/events", &tenant.api, None);
    let mut one = open(&server, &format!("/v1/builds/{key}/events"), &tenant.api, None);
    assert_eq!(list.until("running").data["running"][0]["stage"], "accepted");
    assert_eq!(one.event().unwrap().kind, "accepted");
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() < patience, "it was not waited for");
    assert!(list.rest().is_empty() && one.rest().is_empty(), "ended as they should");
}

/// `colophon builds watch` says what happens while it happens, and ends as the build does.
#[test]
fn the_command_line_follows_a_build_to_its_end() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let lane = server.app.press.store.lane(uid(&server, &tenant));
    let path = begin(&server, &tenant, &small_flow("one", None, "a"));
    let id = path.split('/').nth(3).unwrap();
    let mut child = Command::new(program("colophon"))
        .args(["--json", "builds", "watch", "acme-inc", id, "--data"])
        .arg(server.data())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    for (id, word) in &ALL[..3] {
        let told = next();
        assert_eq!((&told["id"], &told["event"]), (&json!(id.to_string()), &json!(word)));
    }
    drop(lane);
    let (committed, end) = (next(), next());
    assert_eq!((&committed["event"], &end["event"]), (&json!("committed"), &json!("succeeded")));
    assert!(child.wait().unwrap().success());
    let failed = begin(&server, &tenant, b"{}");
    let failed = failed.split('/').nth(3).unwrap();
    let why = refused(&server.data(), &["builds", "watch", "acme-inc", failed]);
    assert_eq!(why, "error: the build failed: invalid-flow\n");
    let unknown = "0".repeat(32);
    let why = refused(&server.data(), &["builds", "watch", "acme-inc", &unknown]);
    assert!(why.contains("there is no such thing here"), "{why}");
}
