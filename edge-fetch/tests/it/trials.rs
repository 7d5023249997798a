//! New generations on trial: health commands, commit, rollback, what failed, and what is forbidden.

use crate::bundles::{Agent, Bundle, Tenant, bundle};

/// A health command of two words that passes when `main.py` does not say `bad`.
const CHECK: &str = "[flows.order]\nhealth = ['grep', '-qv', 'bad', 'main.py']\n";

fn version(seq: u64, text: &str) -> Bundle {
    bundle(seq, &[("main.py", text)])
}

fn world(settings: &str) -> (Tenant, Agent) {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    std::fs::write(agent.home().join("edge-fetch.toml"), settings).unwrap();
    tenant.publish(1, &[version(1, "one")]);
    agent.expect(&["apply"], 0);
    (tenant, agent)
}

fn state(agent: &Agent) -> serde_json::Value {
    let path = agent.home().join("flows/order/state.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_bundle_that_fails_its_health_command_is_rolled_back_and_not_taken_again() {
    let (tenant, agent) = world(CHECK);
    tenant.publish(2, &[version(2, "bad")]);
    let run = agent.expect(&["apply"], 13);
    assert!(run.stderr.contains("the health command ended with"), "{}", run.stderr);
    assert_eq!(agent.active_file("main.py"), "one");
    // Not again by itself, also when the machine did not know of it before.
    tenant.server.requests("");
    assert!(agent.expect(&["apply"], 13).stderr.contains("--again"));
    assert!(tenant.server.requests("/targets/").is_empty(), "nothing is downloaded for it");
    assert_eq!(agent.expect(&["check"], 0).json[0]["standing"], "refused");
    agent.expect(&["apply", "--again"], 13);

    // A higher number is taken, even with the same files when they pass.
    tenant.publish(3, &[version(3, "good")]);
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "good");
    let what: Vec<_> = agent.expect(&["history"], 0).json;
    let what: Vec<&str> = what.iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    let failed = ["pending", "rolled_back"];
    let passed = ["pending", "committed"];
    assert_eq!(what, [&passed[..], &failed, &failed, &passed].concat());
}

#[test]
fn a_first_bundle_that_fails_leaves_nothing_active() {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    tenant.publish(1, &[version(1, "one")]);
    agent.expect(&["apply", "--health", "false"], 13);
    assert_eq!(agent.current(), None);
    agent.expect(&["apply", "--health", "true", "--again"], 0);
    assert_eq!(agent.active_file("main.py"), "one");
}

#[test]
fn a_health_command_that_hangs_or_is_not_there_fails() {
    let (tenant, agent) = world("");
    tenant.publish(2, &[version(2, "two")]);
    let run = agent.expect(&["apply", "--health", "sleep 600", "--health-timeout", "100ms"], 13);
    assert!(run.stderr.contains("did not end"), "{}", run.stderr);
    let run = agent.expect(&["apply", "--again", "--health", "/no/such/program"], 13);
    assert!(run.stderr.contains("cannot be started"), "{}", run.stderr);
    assert_eq!(agent.active_file("main.py"), "one");
}

#[test]
fn commit_and_rollback_by_hand() {
    let (tenant, agent) = world("");
    tenant.publish(2, &[version(2, "two")]);
    assert_eq!(agent.expect(&["apply", "--no-commit"], 0).json[0]["pending"], true);
    assert_eq!(agent.active_file("main.py"), "two");
    assert_eq!(agent.expect(&["apply"], 0).json[0]["pending"], true, "apply does not decide");
    agent.expect(&["rollback", "--reason", "no good"], 0);
    assert_eq!(agent.active_file("main.py"), "one");
    assert_eq!(state(&agent)["bad"][0]["reason"], "no good");

    agent.expect(&["apply", "--no-commit", "--again"], 0);
    assert_eq!(agent.expect(&["commit", "order"], 0).json[0]["changed"], true);
    assert_eq!(agent.expect(&["commit"], 0).json[0]["changed"], false);
    assert_eq!(state(&agent)["bad"].as_array().unwrap().len(), 0);

    // Back from a committed one, and no further than that.
    agent.expect(&["rollback"], 0);
    assert_eq!(agent.active_file("main.py"), "one");
    agent.expect(&["rollback"], 4);
    agent.expect(&["rollback", "other"], 4);
    assert_eq!(agent.active_file("main.py"), "one");
}

/// below the signed floor nobody goes, by hand or by a failed trial.
#[test]
fn nothing_below_the_signed_floor_comes_back() {
    let (tenant, agent) = world("");
    let mut floor = version(2, "two");
    floor.file.custom.min_seq = Some(2);
    tenant.publish(2, &[floor]);
    agent.expect(&["apply"], 0);
    agent.expect(&["rollback"], 8);
    assert_eq!(agent.active_file("main.py"), "two");
    // The floor stays when later bundles do not repeat it.
    tenant.publish(3, &[version(3, "three")]);
    agent.expect(&["apply"], 0);
    agent.expect(&["rollback"], 0);
    assert_eq!(agent.active_file("main.py"), "two");
    agent.expect(&["rollback"], 4);
}

/// After a local rollback an older offer is still a rollback of the server's.
#[test]
fn going_back_here_does_not_open_the_way_for_the_server() {
    let (tenant, agent) = world("");
    tenant.publish(5, &[version(5, "five")]);
    agent.expect(&["apply"], 0);
    agent.expect(&["rollback"], 0);
    tenant.publish(6, &[version(4, "four")]);
    agent.expect(&["apply"], 8);
    tenant.publish(7, &[version(5, "another five")]);
    agent.expect(&["apply"], 6);
    assert_eq!(agent.active_file("main.py"), "one");
}

/// The process died while the health command ran: the next run asks it again, and after three that
/// were cut off gives up.
#[test]
fn a_trial_that_was_cut_off_is_decided_by_the_next_run() {
    let (tenant, agent) = world(CHECK);
    tenant.publish(2, &[version(2, "two")]);
    agent.expect(&["apply", "--no-commit"], 0);
    let cut_off = |trials: u64| {
        let mut state = state(&agent);
        state["pending"]["trials"] = trials.into();
        let path = agent.home().join("flows/order/state.json");
        std::fs::write(path, state.to_string()).unwrap();
    };
    let trial = std::fs::read(agent.home().join("flows/order/state.json")).unwrap();
    cut_off(1);
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "two");
    assert!(state(&agent)["pending"].is_null(), "committed");

    std::fs::write(agent.home().join("flows/order/state.json"), trial).unwrap();
    cut_off(3);
    let run = agent.expect(&["apply"], 13);
    assert!(run.stderr.contains("cut off"), "{}", run.stderr);
    assert_eq!(agent.active_file("main.py"), "one");
}
