//! When events are sent: again, later, in which order, and when no more.

use serde_json::{Value, json};

use colophon::units::Span;

use crate::outbound::{World, ask, body, endpoint};
use crate::support::collector::Received;
use crate::support::receiver::{Receiver, Reply};
use crate::support::small_flow;
use crate::support::upstream::until;

const ALL: &[&str] = &["build.succeeded", "build.failed"];
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// What an endpoint does not take is sent again by the published schedule: the same id, the same bytes, signed
/// anew.
#[test]
fn an_event_is_sent_until_it_is_taken() {
    let (world, receiver) = (World::new(), Receiver::start());
    receiver.replies(&[Reply::Status(500, ""), Reply::Status(302, "Location: /x\r\n")]);
    let (id, _) = world.endpoint(&receiver.url, ALL);
    world.build("one", "x");
    let mut told = receiver.take(1);
    until("it is written down", || world.attempts(&id).len() == 1);
    world.worker_looks();
    assert_eq!(receiver.count(), 0, "not before it is due");
    // By chance a wait is longer by up to a fifth.
    for wait in [6_000, 6 * MINUTE] {
        world.server.clock.advance(wait);
        told.extend(receiver.take(1));
        let count = told.len();
        until("it is written down", || world.attempts(&id).len() == count);
    }
    world.settled();
    let id_of = |told: &Received| told.headers["webhook-id"].clone();
    assert!(told.iter().all(|one| id_of(one) == id_of(&told[0])));
    assert!(told.iter().all(|one| one.body == told[0].body));
    assert_ne!(told[0].headers["webhook-timestamp"], told[2].headers["webhook-timestamp"]);
    let log = world.attempts(&id);
    let facts: Vec<[&Value; 3]> =
        log.iter().map(|a| [&a["number"], &a["status"], &a["outcome"]]).collect();
    assert_eq!(facts[0], [&json!(1), &json!(500), &json!("failed")]);
    assert_eq!(facts[1], [&json!(2), &json!(302), &json!("failed")]);
    assert_eq!(facts[2], [&json!(3), &json!(204), &json!("delivered")]);
    assert_eq!(world.show(&id)["phase"], "active");
}

/// After the last wait of the schedule there is none more.
#[test]
fn an_event_is_given_up_at_last() {
    let world = World::with(|config| config.outbound.disable_after = Span::days(90));
    let receiver = Receiver::always(Reply::Status(503, ""));
    let (id, _) = world.endpoint(&receiver.url, ALL);
    world.build("one", "x");
    for number in 1..=10 {
        receiver.take(1);
        until("it is written down", || world.attempts(&id).len() == number);
        world.server.clock.advance(29 * HOUR);
    }
    world.settled();
    let log = world.attempts(&id);
    assert_eq!((&log[8]["outcome"], &log[9]["outcome"]), (&json!("failed"), &json!("gave-up")));
    world.worker_looks();
    assert_eq!(receiver.count(), 0);
}

/// `Retry-After` is about the endpoint: nothing is sent to it before.
#[test]
fn an_endpoint_that_asks_for_time_gets_it() {
    let (world, receiver) = (World::new(), Receiver::start());
    receiver.replies(&[Reply::Status(429, "Retry-After: 600\r\n")]);
    let (id, _) = world.endpoint(&receiver.url, ALL);
    world.build("one", "x");
    receiver.take(1);
    until("it is written down", || world.attempts(&id).len() == 1);
    world.build("two", "x");
    world.server.clock.advance(9 * MINUTE);
    world.worker_looks();
    assert_eq!(receiver.count(), 0);
    world.server.clock.advance(MINUTE);
    assert_eq!(receiver.take(2).len(), 2);
    world.settled();
}

/// 410 ends it: said in the audit log and on the admin listener, and undone by whoever enables it again.
#[test]
fn an_endpoint_that_is_gone_is_disabled() {
    let admin = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let world = World::with(|config| config.admin.listen = Some(admin));
    let receiver = Receiver::start();
    receiver.replies(&[Reply::Status(410, "")]);
    let (id, _) = world.endpoint(&receiver.url, ALL);
    let since = world.show(&id)["created"].clone();
    world.build("one", "x");
    receiver.take(1);
    until("it is disabled", || world.show(&id)["phase"] == "disabled");
    assert_eq!(world.show(&id)["disabled_why"], "gone");
    world.build("two", "x");
    assert_eq!(world.waiting(), 0, "nothing waits for it");
    let audit = world.server.operator("GET", "/v1/t/acme-inc/audit?limit=100", "").json();
    let entry = audit["entries"].as_array().unwrap().iter();
    let entry = entry.map(Value::to_string).find(|line| line.contains("endpoint.disable")).unwrap();
    assert!(entry.contains(&id) && entry.contains("gone") && entry.contains("notify"), "{entry}");
    let metrics = || {
        let told = world.server.get(&format!("{}/metrics", world.server.admin), &[]);
        String::from_utf8(told.bytes).unwrap()
    };
    for line in [
        "colophon_webhook_endpoints{phase=\"disabled\"} 1",
        "colophon_webhook_endpoints_disabled_total{why=\"gone\"} 1",
        "colophon_webhook_attempts_total{outcome=\"gave-up\"} 1",
    ] {
        until(line, || metrics().contains(line));
    }

    let test = world.ask("POST", &format!("endpoints/{id}/test"), &Value::Null);
    assert_eq!(test.code(), "endpoint-disabled");
    let enabled = world.ask("PUT", &format!("endpoints/{id}"), &json!({ "url": receiver.url }));
    assert_eq!(enabled.json()["phase"], "active");
    // Of what happened while it was disabled no event was written: nobody wanted to know.
    let replay = format!("endpoints/{id}/replay");
    let queued = world.ask("POST", &replay, &json!({ "since": since })).json();
    assert_eq!(queued["queued"], 1);
    assert_eq!(body(&receiver.take(1)[0])["data"]["flow"], "one");
}

/// Days of failing end it too.
#[test]
fn an_endpoint_that_fails_for_days_is_disabled() {
    let world = World::new();
    let receiver = Receiver::always(Reply::Status(500, ""));
    let (id, _) = world.endpoint(&receiver.url, ALL);
    for day in 0..5 {
        assert_eq!(world.show(&id)["phase"], if day == 0 { "active" } else { "failing" });
        world.build(&format!("flow{day}"), "x");
        receiver.take(1);
        until("what is due has failed", || {
            world.attempts(&id).len() > day
                && world.show(&id)["failures"].as_u64() > Some(day as u64)
        });
        world.server.clock.advance(24 * HOUR);
    }
    until("it is disabled", || world.show(&id)["phase"] == "disabled");
    assert_eq!(world.show(&id)["disabled_why"], "failing");
    assert_eq!(world.waiting(), 0);
}

/// Events of one flow come in the order of its builds, as long as an outage is short; other flows do not wait.
#[test]
fn later_events_of_a_flow_wait_for_earlier_ones() {
    let (world, receiver) = (World::new(), Receiver::start());
    receiver.replies(&[Reply::Status(500, "")]);
    let (id, _) = world.endpoint(&receiver.url, ALL);
    world.build("one", "first");
    receiver.take(1);
    until("it is written down", || world.attempts(&id).len() == 1);
    world.build("one", "second");
    world.build("two", "x");
    let other = receiver.take(1);
    assert_eq!(body(&other[0])["data"]["flow"], "two");
    world.worker_looks();
    assert_eq!(receiver.count(), 0, "the second waits for the first");
    world.server.clock.advance(6_000);
    let numbers: Vec<u64> =
        receiver.take(2).iter().map(|one| body(one)["data"]["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    world.settled();
}

/// One that is never taken does not keep the newer ones for ever.
#[test]
fn a_poisoned_event_is_overtaken() {
    let (world, receiver) = (World::new(), Receiver::start());
    let (id, _) = world.endpoint(&receiver.url, ALL);
    receiver.replies(&[Reply::Status(500, ""); 4]);
    world.build("one", "first");
    for (number, wait) in [(1, 6_000), (2, 6 * MINUTE), (3, 36 * MINUTE), (4, 0)] {
        receiver.take(1);
        until("it is written down", || world.attempts(&id).len() == number);
        if number == 3 {
            world.build("one", "second");
            world.worker_looks();
            assert_eq!(receiver.count(), 0, "after three failures it still waits");
        }
        world.server.clock.advance(wait);
    }
    let told = receiver.take(1);
    assert_eq!(body(&told[0])["data"]["number"], 2, "after four it goes on");
    until("the first alone is still to come", || world.waiting() == 1);
}

/// Endpoints that hang keep nobody else's events waiting.
#[test]
fn a_tenant_whose_endpoints_hang_delays_no_other() {
    let hanging = Receiver::always(Reply::Hang);
    let world = World::with(|config| {
        config.outbound.workers = 2;
        config.outbound.per_tenant = 1;
        // Longer than what follows takes: one that is given up makes room for the next.
        config.outbound.timeout = Span::seconds(60);
    });
    for _ in 0..3 {
        world.endpoint(&hanging.url, ALL);
    }
    world.build("one", "x");
    hanging.take(1);
    let (other, receiver) = (world.server.tenant("other"), Receiver::start());
    endpoint(&world.server, &other, &receiver.url, ALL);
    let built = world.server.build(&other, &small_flow("two", None, "x"));
    assert_eq!(built.status, 201);
    assert_eq!(receiver.take(1).len(), 1);
    assert_eq!(hanging.count(), 0, "one tenant has one place here");
    assert!(world.waiting() >= 3, "the answer of the first is still waited for");
    drop(hanging); // so that the server can end
}

/// What was erased is not sent, and a suspended tenant's events wait.
#[test]
fn nothing_is_sent_of_a_tenant_that_is_gone_or_suspended() {
    let (world, receiver) = (World::new(), Receiver::start());
    receiver.replies(&[Reply::Status(500, "")]);
    let (id, _) = world.endpoint(&receiver.url, ALL);
    world.build("one", "x");
    receiver.take(1);
    until("it is written down", || world.attempts(&id).len() == 1);
    let tenant = "/v1/tenants/acme-inc";
    assert_eq!(world.server.operator("POST", &format!("{tenant}/suspend"), "").status, 200);
    world.server.clock.advance(HOUR);
    world.worker_looks();
    assert_eq!(receiver.count(), 0);
    until("its event alone still waits", || world.waiting() == 1);
    assert_eq!(world.server.operator("POST", &format!("{tenant}/resume"), "").status, 200);
    receiver.take(1);
    world.settled();
    let path = format!("{tenant}?confirm=acme-inc");
    assert_eq!(world.server.operator("DELETE", &path, "").status, 200);
    let gone = ask(&world.server, &world.tenant, "GET", "endpoints", &Value::Null);
    assert_eq!(gone.status, 401);
    let bytes = std::fs::read_dir(world.server.data()).unwrap().flatten();
    for file in bytes.filter(|f| f.file_name().to_string_lossy().starts_with("meta.")) {
        let bytes = std::fs::read(file.path()).unwrap();
        let url = receiver.url.as_bytes();
        assert!(!bytes.windows(url.len()).any(|part| part == url), "no byte of it is left");
    }
}
