//! The commands about deliveries, beside a running server and without one.

use serde_json::Value;

use crate::support::process::{colophon, refused, told};
use crate::support::sign::plain;
use crate::support::{TestServer, small_flow};

/// The same commands, whoever holds the data.
#[test]
fn commands_work_beside_a_server_and_without_one() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    let data = server.data();
    let run = |args: &[&str]| colophon(&data, args);

    let made = run(&["webhook", "secret", "rotate", "acme-inc", "--overlap", "1h"]);
    let secret = made["secret"].as_str().unwrap();
    let body = small_flow("one", None, "a");
    assert_eq!(server.deliver("acme-inc", &plain(secret, &body), &body).status, 201);
    server.clock.advance(1000); // deliveries of one millisecond are in no order
    let set = run(&["webhook", "set", "acme-inc", "--repeats", "allow"]);
    assert_eq!(set["repeats"], true);
    let revoked = run(&["webhook", "secret", "revoke", "acme-inc", "1"]);
    assert_eq!(revoked["secrets"][1]["state"], "revoked");
    assert_eq!(server.build(&tenant, &body).status, 401);

    let hook = run(&["hook", "create", "acme-inc", "--scheme", "legacy", "--label", "ci"]);
    let path = hook["path"].as_str().unwrap();
    assert_eq!(server.send(path, &plain(secret, b"{}"), b"{}").status, 422);
    assert_eq!(run(&["hook", "list", "acme-inc"])["hooks"][0]["id"], hook["id"]);

    server.clock.advance(1000);

    let beside = run(&["delivery", "list", "acme-inc"]);
    assert_eq!(beside["deliveries"].as_array().unwrap().len(), 2);
    let bad = beside["deliveries"][0]["delivery"].as_str().unwrap();
    let some = run(&["delivery", "list", "acme-inc", "--outcome", "built", "--flow", "one"]);
    assert_eq!(some["deliveries"].as_array().unwrap().len(), 1);
    let shown = run(&["delivery", "show", "acme-inc", bad]);
    assert_eq!((&shown["code"], &shown["replayable"]), (&"invalid-flow".into(), &true.into()));
    let again = run(&["delivery", "replay", "acme-inc", bad]);
    assert_eq!((&again["by"], &again["replay_of"]), (&"operator".into(), &bad.into()));

    let mut server = server;
    let kept = std::mem::replace(&mut server.dir, tempfile::tempdir().unwrap());
    drop(server);
    let run = |args: &[&str]| colophon(&data, args);
    let without: Value = run(&["delivery", "list", "acme-inc"]);
    assert_eq!(without["deliveries"].as_array().unwrap().len(), 3);
    assert_eq!(without["deliveries"][1], beside["deliveries"][0], "the same, whoever reads it");
    assert_eq!(run(&["delivery", "replay", "acme-inc", bad])["code"], "invalid-flow");
    assert_eq!(run(&["webhook", "secret", "list", "acme-inc"])["secrets"], revoked["secrets"]);
    assert_eq!(run(&["hook", "delete", "acme-inc", hook["id"].as_str().unwrap()])["deleted"], true);
    assert_eq!(told(&data, &["hook", "list", "acme-inc"]), "no hooks\n");
    let text = told(&data, &["delivery", "show", "acme-inc", bad]);
    assert!(text.contains("refused (422, invalid-flow)"), "{text}");
    let unknown = "0".repeat(32);
    let error = refused(&data, &["delivery", "show", "acme-inc", &unknown]);
    assert!(error.contains("no such delivery"), "{error}");
    let error = refused(&data, &["hook", "create", "acme-inc", "--scheme", "url"]);
    assert!(error.contains("proves nothing"), "{error}");
    let error = refused(&data, &["webhook", "secret", "revoke", "acme-inc", "9"]);
    assert!(error.contains("no secret of generation 9 is good"), "{error}");
    drop(kept);
}
