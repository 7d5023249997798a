//! What the server is told, and that nothing depends on it.

use serde_json::Value;

use crate::bundles::{Agent, Tenant, bundle};
use crate::server::Fault;

fn reports(tenant: &Tenant) -> Vec<Value> {
    let requests = tenant.server.requests("/v1/t/acme/edge/report");
    requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

#[test]
fn the_server_is_told_what_runs_here_when_that_changes() {
    let tenant = Tenant::new();
    let agent = Agent { reports: true, ..Agent::enrolled(&tenant) };
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    agent.expect(&["apply"], 0);
    let first = reports(&tenant).remove(0);
    assert_eq!((&first["flows"][0]["seq"], &first["error"]), (&1.into(), &Value::Null));
    assert_eq!(first["flows"][0]["state"], "active");
    assert_eq!(first["device"].as_str().unwrap().len(), 32);
    assert!(!first["name"].as_str().unwrap().is_empty());
    agent.expect(&["apply"], 0);
    assert!(reports(&tenant).is_empty(), "nothing is new within the hour");

    tenant.publish(2, &[bundle(2, &[("main.py", "two")])]);
    agent.expect(&["apply", "--health", "false"], 13);
    let report = reports(&tenant).remove(0);
    assert_eq!(report["flows"][0]["state"], "rolled_back");
    assert!(report["error"].as_str().unwrap().contains("health command"), "{report}");
    assert_eq!(report["device"], first["device"]);

    tenant.publish(3, &[bundle(3, &[("main.py", "three")])]);
    agent.expect(&["apply", "--no-commit"], 0);
    assert_eq!(reports(&tenant)[0]["flows"][0]["state"], "pending");
    agent.expect(&["rollback"], 0);
    assert_eq!(reports(&tenant)[0]["flows"][0]["state"], "rolled_back");
}

#[test]
fn nobody_is_told_who_does_not_want_it() {
    let tenant = Tenant::new();
    let agent = Agent { reports: true, ..Agent::enrolled(&tenant) };
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    agent.expect(&["apply", "--no-report"], 0);
    std::fs::write(agent.home().join("edge-fetch.toml"), "no_report = true").unwrap();
    agent.expect(&["watch", "--once"], 0);
    assert!(reports(&tenant).is_empty());
}

/// A report that fails changes nothing: not what is active, not the exit code, not the next run.
#[test]
fn a_failed_report_is_no_failure() {
    let tenant = Tenant::new();
    let agent = Agent { reports: true, ..Agent::enrolled(&tenant) };
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    for fault in [Fault::Status(500), Fault::Status(401), Fault::CutAfter(0)] {
        tenant.server.fault("edge/report", fault);
        let run = agent.run(&["apply"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stderr.contains("warning: no report was sent") || run.stderr.is_empty());
        assert_eq!(agent.active_file("main.py"), "one");
    }
    reports(&tenant);
    tenant.server.fault("edge/report", Fault::Status(404));
    std::fs::remove_file(agent.home().join("state/reported")).ok();
    assert!(agent.run(&["apply"]).stderr.is_empty(), "an older server takes no reports");
    agent.expect(&["apply"], 0);
    assert_eq!(reports(&tenant).len(), 2, "it is tried again");
}
