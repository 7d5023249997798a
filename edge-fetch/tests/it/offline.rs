//! `fetch --offline`: what is here is verified, what is not is named, and nobody is asked.

use colophon_edge_fetch::{Agent as Library, Cache, Exit, Offline, Platform};
use colophon_model::{Sha256, UnixMillis};
use colophon_trust::{EnvFacts, EnvFile, EnvKind, FactsSchema};

use crate::bundles::{Agent, Bundle, DAY, Run, Tenant, bundle, now};

const OFFLINE: [&str; 2] = ["fetch", "--offline"];

fn version(seq: u64, word: &str) -> Bundle {
    bundle(seq, &[("main.py", word), ("lib.py", "")])
}

/// An agent that has fetched version 1.
fn world() -> (Tenant, Agent) {
    let tenant = Tenant::new();
    tenant.publish(1, &[version(1, "one")]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["fetch"], 0);
    tenant.server.requests("");
    (tenant, agent)
}

/// Runs offline, and makes sure that nobody was asked.
#[track_caller]
fn offline(tenant: &Tenant, agent: &Agent, code: i32) -> Run {
    let run = agent.expect(&OFFLINE, code);
    let asked = tenant.server.requests("");
    assert!(asked.is_empty(), "{asked:?}");
    run
}

#[test]
fn what_was_fetched_is_verified_without_a_server() {
    let (tenant, mut agent) = world();
    agent.syncs = true;
    let run = offline(&tenant, &agent, 0);
    assert_eq!((run.json.len(), run.json[0]["via"].as_str()), (1, Some("cache")));
    let digest = run.json[0]["tree"].as_str().unwrap().to_owned();
    // Newer versions are not known here, and neither is a token needed.
    tenant.publish(2, &[version(2, "two")]);
    let mut command = agent.command(&["fetch", "--offline", "--to", &digest]);
    assert!(command.env_remove("EDGE_FETCH_TOKEN").status().unwrap().success());
    let other = format!("blake3:{}", version(2, "two").file.custom.tree);
    agent.expect(&["fetch", "--offline", "--to", &other], 4);
    assert!(tenant.server.requests("").is_empty());
    assert_eq!(agent.current(), None);
}

#[test]
fn what_is_missing_is_named() {
    let (tenant, agent) = world();
    let file = version(1, "one").file.custom.tree;
    let tree = agent.home().join("objects").join(&file.to_string()[..2]).join(file.to_string());
    let objects = agent.tree("objects");
    let a_file = objects.keys().find(|path| **path != tree).unwrap();
    std::fs::remove_file(a_file).unwrap();
    let run = offline(&tenant, &agent, 4);
    assert!(
        run.stderr.contains("bundle `acme.order.python.zip`: 1 of its 2 files"),
        "{}",
        run.stderr
    );
    agent.expect(&["cache", "clean"], 0);
    let run = offline(&tenant, &agent, 4);
    assert!(run.stderr.contains("the list of its files is not here"), "{}", run.stderr);
    assert!(run.stderr.contains("without --offline"), "{}", run.stderr);
}

/// An object that somebody changed counts as missing.
#[test]
fn what_was_changed_is_not_taken() {
    let (tenant, agent) = world();
    for path in agent.tree("objects").keys() {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.push(b' ');
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    offline(&tenant, &agent, 4);
}

/// One flow of which something is missing does not hold up the others.
#[test]
fn every_flow_is_looked_at() {
    let tenant = Tenant::new();
    let mut other = version(1, "other");
    other.file.custom.flow = "pay".parse().unwrap();
    tenant.publish(1, &[version(1, "one"), other]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["fetch", "pay"], 0);
    tenant.server.requests("");
    let run = offline(&tenant, &agent, 4);
    assert_eq!((run.json.len(), run.json[1]["flow"].as_str()), (2, Some("pay")));
}

/// Secrets that are not here are missing like a file, whether or not the bundle is here.
#[test]
fn secrets_that_are_missing_are_named() {
    let (tenant, agent) = world();
    let bytes = b"age".to_vec();
    let custom = EnvFacts {
        schema: FactsSchema,
        kind: EnvKind::Env,
        slug: "acme".parse().unwrap(),
        flow: "order".parse().unwrap(),
        seq: 1,
    };
    let file = EnvFile { length: 3, sha256: Sha256::of(&bytes), custom };
    tenant.publish_env(2, &[version(1, "one")], &[(file, bytes)]);
    agent.expect(&["check"], 10);
    tenant.server.requests("");
    let run = offline(&tenant, &agent, 4);
    assert!(run.stderr.contains("acme.order.env.age` is not here"), "{}", run.stderr);
    agent.expect(&["fetch"], 0);
    tenant.server.requests("");
    offline(&tenant, &agent, 0);
}

#[test]
fn metadata_that_never_came_is_named() {
    let tenant = Tenant::new();
    tenant.publish(1, &[version(1, "one")]);
    let agent = Agent::enrolled(&tenant);
    let run = offline(&tenant, &agent, 4);
    assert!(run.stderr.contains("the newest timestamp.json is not here"), "{}", run.stderr);
}

/// A refresh that was cut short: the snapshot names targets that did not come.
#[test]
fn metadata_of_two_moments_is_not_mixed() {
    let (tenant, agent) = world();
    let path = agent.home().join("state/targets.json");
    let before = std::fs::read(&path).unwrap();
    tenant.publish(2, &[version(2, "two")]);
    agent.expect(&["fetch"], 0);
    std::fs::write(path, before).unwrap();
    tenant.server.requests("");
    let run = offline(&tenant, &agent, 4);
    assert!(run.stderr.contains("the newest targets.json is not here"), "{}", run.stderr);
}

/// Without a server, what is here expires as it does with one.
#[test]
fn stored_metadata_expires() {
    let (_tenant, agent) = world();
    let at = |days: u64| {
        let then = UnixMillis::new(now().get() + days * DAY);
        Library::<Offline>::offline(Cache::new(agent.home()), Platform::current(), then).unwrap()
    };
    assert!(at(6).fetch(None, &mut |_, _| {}).is_ok());
    let error = at(8).fetch(None, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.exit(), Exit::Expired, "{error}");
    assert!(error.hint().unwrap().contains("without --offline"));
}

#[test]
fn stored_metadata_that_was_changed_is_refused() {
    let (tenant, agent) = world();
    let path = agent.home().join("state/timestamp.json");
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"sig\":\"", "\"sig\":\"00", 1);
    std::fs::write(&path, text).unwrap();
    offline(&tenant, &agent, 6);
}

/// Older metadata that somebody put back on the disk lists less than what is active.
#[test]
fn going_back_is_refused_offline_too() {
    let (tenant, agent) = world();
    let before = agent.tree("state");
    agent.expect(&["apply"], 0);
    tenant.publish(2, &[version(2, "two")]);
    agent.expect(&["apply"], 0);
    for (path, bytes) in before {
        std::fs::write(path, bytes).unwrap();
    }
    tenant.server.requests("");
    offline(&tenant, &agent, 8);
}
