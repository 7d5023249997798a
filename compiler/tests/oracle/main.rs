//! Generated modules beside lfx, the engine that LangFlow runs flows with.
//!
//! Both run the same flow in processes of their own, and every output of every component must be the
//! same, but for ids and times. Flows that ask a model ask one on loopback, which answers with a hash
//! of the whole prompt. `make test` runs a sample; `make test-oracle` sets `COLOPHON_ORACLE=all`.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod outcome;
mod peer;

use std::path::PathBuf;

use outcome::Outcome;
use peer::{Peer, repository};
use serde_json::json;

/// Flows that `tests/oracle/drawn.py` draws. The first three are the sample.
const DRAWN: [&str; 13] = [
    "if_else_taken",
    "nested_loops",
    "resources",
    "if_else_not_taken",
    "if_else_regex",
    "nested_routers",
    "loop",
    "group",
    "nested_groups",
    "two_entries",
    "values",
    "router_in_a_loop",
    "data_router",
];

/// Exports that others drew, below `.cache`.
const EXPORTS: [&str; 23] = [
    "lfx-0.1.13/SimpleAPITest.json",
    "lfx-0.1.13/WebhookTest.json",
    "lfx-0.1.13/env_variable_test.json",
    "lfx-0.1.13/simple_chat_no_llm.json",
    "lfx-0.1.13/MemoryChatbotNoLLM.json",
    "langflow-0.1.4/Basic Prompting.json",
    "langflow-0.1.4/Basic Prompt Chaining.json",
    "langflow-0.1.4/Memory Chatbot.json",
    "langflow-0.1.4/SEO Keyword Generator.json",
    "langflow-0.1.4/Twitter Thread Generator.json",
    "langflow-0.5.1/Basic Prompting.json",
    "langflow-0.5.1/Basic Prompt Chaining.json",
    "langflow-0.5.1/Memory Chatbot.json",
    "langflow-0.5.1/SEO Keyword Generator.json",
    "langflow-0.5.1/Twitter Thread Generator.json",
    "langflow-1.13.0/Basic Prompting.json",
    "langflow-1.13.0/Image Sentiment Analysis.json",
    "langflow-1.13.0/Multi Agent Flow.json",
    "langflow-1.13.0/Price Deal Finder.json",
    "langflow-1.13.0/Research Translation Loop.json",
    "langflow-1.13.0/Simple Agent.json",
    "langflow-1.13.0/Travel Planning Agents.json",
    "langflow-1.13.0/Blog Writer.json",
];

/// What `COLOPHON_ORACLE` asks for: `all`, or the flows with this in their name.
fn wanted(flow: &str) -> bool {
    std::env::var("COLOPHON_ORACLE").is_ok_and(|word| word == "all" || flow.contains(&word))
}

fn compare(flows: &[PathBuf], peer: &mut Peer) {
    let mut failed = Vec::new();
    for path in flows {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let outcome = Outcome::of(path, peer);
        let mut differences = match &outcome.plan {
            Ok(_) => outcome.differences(),
            Err(problems) => vec![problems.to_string()],
        };
        differences.extend(outcome.gates.err());
        let policy = if outcome.is_known { "known-only" } else { "allow-custom" };
        let result = if differences.is_empty() { "equal" } else { "DIFFERS" };
        eprintln!("{name} ({policy}): {result}");
        failed.extend(differences.into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed.join("\n"));
}

/// Routers, joins, loops, groups, tools and entries run as lfx runs them.
#[test]
fn flows_of_our_own_run_as_in_lfx() {
    let Some(mut peer) = Peer::start() else { return };
    let folder = peer.folder().join("drawn");
    peer.run(&json!({"do": "draw", "folder": folder})).unwrap();
    let sample = std::env::var_os("COLOPHON_ORACLE").is_none();
    let names = DRAWN.iter().enumerate().filter(|(at, name)| sample && *at < 3 || wanted(name));
    let flows: Vec<_> = names.map(|(_, name)| folder.join(format!("{name}.json"))).collect();
    compare(&flows, &mut peer);
}

/// A run that is killed after any of its steps goes on in another process, from checkpoints that hold
/// tagged JSON, and ends as if nothing had been: with a data frame, messages, and tools in between.
#[test]
fn a_killed_run_goes_on_from_its_checkpoint() {
    let Some(mut peer) = Peer::start() else { return };
    let folder = peer.folder().join("drawn");
    peer.run(&json!({"do": "draw", "folder": folder})).unwrap();
    for name in ["loop", "resources"] {
        let flow = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        let root = tempfile::tempdir().unwrap();
        outcome::write(&outcome::compile(&outcome::parse(&flow).unwrap()), root.path());
        let whole = peer.generated(root.path()).unwrap();
        for enough in 2..=4 {
            let store = root.path().join(format!("{enough}.checkpoints"));
            let killed = peer.with_checkpoints(root.path(), &store, Some(enough));
            assert!(killed.is_err(), "{name} was not killed after {enough} steps");
            let resumed = peer.with_checkpoints(root.path(), &store, None);
            assert_eq!(resumed.unwrap(), whole, "{name}, killed after {enough} steps");
        }
    }
}

/// A flow with two entries begins at its webhook as it does when LangFlow's server gets a request.
#[test]
fn the_webhook_is_an_entry_of_its_own() {
    let Some(mut peer) = Peer::start() else { return };
    let folder = peer.folder().join("drawn");
    peer.run(&json!({"do": "draw", "folder": folder})).unwrap();
    let path = folder.join("two_entries.json");
    let flow = std::fs::read(&path).unwrap();
    let root = tempfile::tempdir().unwrap();
    outcome::write(&outcome::compile(&outcome::parse(&flow).unwrap()), root.path());
    let mut job = json!({"entry": "webhook", "input": "{\"a\": 1}", "session": "s", "flow": path,
        "root": root.path(), "module": "app.flows.acme_inc.flow_flow"});
    job["do"] = "lfx".into();
    let lfx = peer.run(&job).unwrap();
    job["do"] = "generated".into();
    assert_eq!(peer.run(&job).unwrap(), lfx);
    assert!(lfx["Webhook-1"]["output_data"]["Data"]["a"] == 1, "{lfx}");
}

/// Messages, data and tables come out of a run's state as they went in; what cannot is refused.
#[test]
fn values_survive_a_checkpoint() {
    let Some(peer) = Peer::start() else { return };
    let flow =
        std::fs::read(repository().join("tests/fixtures/flows/hello_langflow.json")).unwrap();
    outcome::write(&outcome::compile(&outcome::parse(&flow).unwrap()), peer.folder());
    peer.script("packed.py");
}

/// Real exports run as lfx runs them.
#[test]
fn exports_run_as_in_lfx() {
    let cache = repository().join(".cache");
    let names = EXPORTS.iter().filter(|name| wanted(name));
    let flows: Vec<_> = names.map(|name| cache.join(name)).filter(|path| path.exists()).collect();
    if flows.len() < EXPORTS.len() {
        let left = EXPORTS.len() - flows.len();
        eprintln!("NOT RUN on {left} exports of {}; see `make test-oracle`", EXPORTS.len());
    }
    if flows.is_empty() {
        return;
    }
    let Some(mut peer) = Peer::start() else { return };
    compare(&flows, &mut peer);
}
