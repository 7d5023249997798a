//! `fetch --to`: one very bundle, by its digest, and only when something that was signed says that it is
//! one.

use crate::bundles::{Agent, Bundle, Tenant, bundle};

fn version(seq: u64, word: &str) -> Bundle {
    bundle(seq, &[("main.py", word)])
}

fn tree(bundle: &Bundle) -> String {
    format!("blake3:{}", bundle.file.custom.tree)
}

fn zip(bundle: &Bundle) -> String {
    format!("sha256:{}", bundle.file.sha256)
}

/// What was asked for beside metadata.
fn downloads(tenant: &Tenant) -> Vec<String> {
    let asked = tenant.server.requests("").into_iter().map(|request| request.path);
    asked.filter(|path| !path.contains("/tuf/")).collect()
}

/// What the tenant offers now is named by either digest, with the name of the algorithm or without.
#[test]
fn the_bundle_that_is_offered_is_fetched_by_its_digest() {
    let tenant = Tenant::new();
    let one = version(1, "one");
    tenant.publish(1, std::slice::from_ref(&one));
    let bare = |text: String| text.split_once(':').unwrap().1.to_owned();
    for digest in [tree(&one), zip(&one), bare(tree(&one)), bare(zip(&one))] {
        let agent = Agent::enrolled(&tenant);
        let run = agent.expect(&["fetch", "--to", &digest], 0);
        assert_eq!((run.json.len(), run.json[0]["tree"].as_str()), (1, Some(&*tree(&one))));
        assert_eq!(agent.tree("objects").len(), 2);
        assert_eq!(agent.current(), None, "nothing is activated");
    }
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["fetch", "order", "--to", &tree(&one)], 0);
    agent.expect(&["fetch", "pay", "--to", &tree(&one)], 4);
}

/// Other flows are left alone, also when they have news.
#[test]
fn one_of_several_is_fetched() {
    let tenant = Tenant::new();
    let one = version(1, "one");
    let mut other = version(1, "other");
    other.file.custom.flow = "pay".parse().unwrap();
    tenant.publish(1, &[one, other.clone()]);
    let agent = Agent::enrolled(&tenant);
    let run = agent.expect(&["fetch", "--to", &tree(&other)], 0);
    assert_eq!((run.json.len(), run.json[0]["flow"].as_str()), (1, Some("pay")));
}

/// A digest proves nothing by itself: the server would give these bytes, and nobody asks for them.
#[test]
fn what_is_not_signed_is_not_fetched() {
    let tenant = Tenant::new();
    let (one, two) = (version(1, "one"), version(2, "two"));
    let unsigned = version(3, "evil");
    tenant.publish(1, std::slice::from_ref(&one));
    tenant.publish(2, std::slice::from_ref(&two));
    let name = unsigned.file.custom.target_name().file_name(&unsigned.file.sha256);
    tenant.server.put(format!("/v1/t/acme/targets/{name}"), unsigned.zip.clone());
    let agent = Agent::enrolled(&tenant);
    // Of `one`, which was signed once, this agent has seen nothing.
    for digest in [tree(&unsigned), zip(&unsigned), tree(&one), zip(&one)] {
        let run = agent.expect(&["fetch", "--to", &digest], 4);
        assert!(run.stderr.contains(&digest), "{}", run.stderr);
        assert!(downloads(&tenant).is_empty());
    }
    assert!(agent.tree("objects").is_empty());
    for bad in ["", "blake3:", "sha1:00", "gen-1-00000000"] {
        agent.expect(&["fetch", "--to", bad], 2);
    }
}

/// What was verified when it was installed is still vouched for, while the flow has it; nothing is
/// downloaded, and its files are compared.
#[test]
fn what_is_installed_is_found_and_compared() {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    let versions = [version(1, "one"), version(2, "two"), version(3, "three")];
    for (version, number) in versions.iter().zip(1..) {
        tenant.publish(number, std::slice::from_ref(version));
        agent.expect(&["apply"], 0);
    }
    let [one, two, three] = versions;
    tenant.server.requests("");
    let run = agent.expect(&["fetch", "--to", &tree(&two)], 0);
    assert_eq!(run.json[0]["event"], "verified");
    assert!(downloads(&tenant).is_empty());
    // It is on the disk still, but nothing says any more that it was signed.
    agent.expect(&["fetch", "--to", &tree(&one)], 4);
    agent.expect(&["fetch", "--to", &zip(&two)], 4);
    assert_eq!(agent.active_file("main.py"), "three");
    let status = agent.expect(&["status"], 0);
    assert_eq!(status.json[1]["tree"], tree(&three));

    let folder = std::path::PathBuf::from(run.json[0]["path"].as_str().unwrap());
    std::fs::write(folder.join("main.py"), "evil").unwrap();
    agent.expect(&["fetch", "--to", &tree(&two)], 6);
}

/// Naming an old bundle does not make old metadata good.
#[test]
fn a_digest_does_not_excuse_a_replay() {
    let tenant = Tenant::new();
    let one = version(1, "one");
    tenant.publish(1, std::slice::from_ref(&one));
    let replayed = tenant.server.files();
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    tenant.publish(2, &[version(2, "two")]);
    agent.expect(&["apply"], 0);
    tenant.server.replace_files(replayed);
    agent.expect(&["fetch", "--to", &tree(&one)], 8);
}

#[test]
fn a_bundle_for_other_machines_is_not_fetched() {
    let tenant = Tenant::new();
    let mut one = version(1, "one");
    one.file.custom.os = vec!["plan9".to_owned()];
    tenant.publish(1, std::slice::from_ref(&one));
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["fetch", "--to", &tree(&one)], 9);
    assert!(downloads(&tenant).is_empty());
}
