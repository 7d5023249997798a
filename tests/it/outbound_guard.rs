//! Where the server does not let itself be sent: an attack list against the guard of endpoints, over HTTP.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::outbound::World;
use crate::support::receiver::Receiver;
use crate::support::upstream::until;

/// What would reach a machine inside, a cloud's metadata, or another service. None of it becomes an endpoint.
const REFUSED: &[&str] = &[
    "http://hooks.example/x",
    "https://127.0.0.1/",
    "https://127.255.255.254/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://0.0.0.0/",
    "https://255.255.255.255/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://198.18.0.1/",
    "https://[::]/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[ff02::1]/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.1./",
    "https://\u{ff11}27.0.0.1/",
    "https://user:pass@hooks.example/",
    "https://hooks.example@127.0.0.1/",
    "https://hooks.example#@127.0.0.1/",
    "https://127.0.0.1\\@hooks.example/",
    "https://8.8.8.8:22/",
    "https://8.8.8.8:6379/",
    "https://8.8.8.8:0/",
    "https://8.8.8.8:99999/",
    "file:///etc/passwd",
    "gopher://8.8.8.8/",
    "//8.8.8.8/",
    "https:///x",
    "",
];

#[test]
fn no_url_that_leads_inside_becomes_an_endpoint() {
    let world = World::with(|config| config.outbound = colophon::config::Outbound::default());
    for url in REFUSED {
        let refused = world.ask("POST", "endpoints", &json!({ "url": url }));
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-endpoint"), "{url}");
    }
    let list = world.ask("GET", "endpoints", &Value::Null).json();
    assert_eq!(list["endpoints"], json!([]));
    let good = json!({ "url": "https://hooks.example:8443/x?y=z" });
    assert_eq!(world.ask("POST", "endpoints", &good).status, 201);
}

/// A name is good as a URL and leads inside: it is refused when it is sent to, the log says why, and not a
/// byte goes there. The port of the machine inside is not told to be open or closed.
#[test]
fn a_name_that_leads_inside_is_not_sent_to() {
    let world = World::with(|config| config.outbound.allow.clear());
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    let mut words = Vec::new();
    for port in [port, 1_023] {
        let (id, _) = world.endpoint(&format!("http://localhost:{port}/"), &["build.succeeded"]);
        assert_eq!(world.ask("POST", &format!("endpoints/{id}/test"), &Value::Null).status, 202);
        until("it is tried", || !world.attempts(&id).is_empty());
        let attempt = world.attempts(&id).remove(0);
        assert_eq!((&attempt["status"], &attempt["outcome"]), (&Value::Null, &json!("failed")));
        words.push(attempt["error"].as_str().unwrap().replace("::1", "127.0.0.1"));
    }
    assert!(words[0].contains("`127.0.0.1` is not a public address"), "{words:?}");
    assert_eq!(words[0], words[1], "open and closed ports are told apart by nothing");
    assert!(inside.accept().is_err(), "nobody has connected");
}

/// The operator lets in one network, or one name, and nothing beside it.
#[test]
fn the_operator_lets_a_runner_in() {
    let receiver = Receiver::start();
    let port = receiver.address.port();
    let world = World::with(|config| config.outbound.allow = vec!["localhost".parse().unwrap()]);
    let literal = json!({ "url": receiver.url });
    assert_eq!(world.ask("POST", "endpoints", &literal).code(), "invalid-endpoint");
    let (id, _) = world.endpoint(&format!("http://localhost:{port}/"), &["build.succeeded"]);
    assert_eq!(world.ask("POST", &format!("endpoints/{id}/test"), &Value::Null).status, 202);
    assert_eq!(receiver.take(1).len(), 1);
    let settings = "[outbound]\nallow = [\"10.0.0.0/33\"]";
    assert!(toml::from_str::<colophon::config::Config>(settings).is_err());
}
