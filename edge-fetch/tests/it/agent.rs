//! The way things should go.

use crate::bundles::{Agent, TOKEN, Tenant, bundle, large_bundle};

#[test]
fn enroll_check_fetch_apply_status() {
    let tenant = Tenant::new();
    tenant.publish(1, &[bundle(1, &[("main.py", "one"), ("lib/a.py", "a")])]);
    let agent = Agent::new();
    agent.expect(&["check"], 2);
    let run = agent.enroll(&tenant.server.url, "acme", &tenant.root());
    assert_eq!((run.code, run.json[0]["roots"].as_str()), (0, Some("server")));

    let run = agent.expect(&["check"], 10);
    assert_eq!(run.json[0]["target"], "acme.order.python.zip");
    assert_eq!(run.json[0]["standing"], "update");
    assert!(run.json[0]["active_seq"].is_null());

    let run = agent.expect(&["fetch"], 0);
    assert_eq!((run.json[0]["via"].as_str(), agent.tree("objects").len()), (Some("zip"), 3));
    assert_eq!(agent.current(), None, "fetch activates nothing");

    let run = agent.expect(&["apply", "order"], 0);
    assert_eq!(run.json[0]["changed"], true);
    assert_eq!(
        (agent.active_file("main.py"), agent.active_file("lib/a.py")),
        ("one".into(), "a".into())
    );
    assert_eq!(tenant.server.requests("/targets/").len(), 1, "apply used what fetch had verified");

    agent.expect(&["check"], 0);
    let run = agent.expect(&["apply"], 0);
    assert_eq!(run.json[0]["changed"], false);

    let run = agent.expect(&["status"], 0);
    assert_eq!(run.json[0]["tenant"], "acme");
    assert_eq!(run.json[1]["seq"], 1);
    assert_eq!(run.json[1]["flow"], "order");
}

#[test]
fn an_update_is_applied_beside_the_old_generation() {
    let tenant = Tenant::new();
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    let old = agent.current().unwrap();
    tenant.publish(2, &[bundle(2, &[("main.py", "two")])]);
    assert_eq!(agent.expect(&["check"], 10).json[0]["active_seq"], 1);
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "two");
    let before = agent.home().join("flows/order").join(old.trim_end()).join("main.py");
    assert_eq!(std::fs::read_to_string(before).unwrap(), "one", "kept for going back");
}

/// An operator goes back by publishing the old files under a higher number.
#[test]
fn old_files_under_a_higher_number_are_an_update() {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    for (seq, text) in [(1, "one"), (2, "two"), (3, "one")] {
        tenant.publish(seq, &[bundle(seq, &[("main.py", text)])]);
        agent.expect(&["apply"], 0);
        assert_eq!(agent.active_file("main.py"), text);
    }
}

/// Metadata that did not change is not fetched again.
#[test]
fn nothing_new_costs_two_requests() {
    let tenant = Tenant::new();
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    tenant.server.requests("");
    agent.expect(&["check"], 0);
    let asked: Vec<String> = tenant.server.requests("").into_iter().map(|r| r.path).collect();
    assert_eq!(asked, ["/v1/t/acme/tuf/2.root.json", "/v1/t/acme/tuf/timestamp.json"]);
}

#[test]
fn the_token_is_sent_and_never_shown() {
    let tenant = Tenant::new();
    tenant.publish(1, &[large_bundle(1)]);
    let agent = Agent::enrolled(&tenant);
    let file = agent.dir.path().join("token");
    std::fs::write(&file, "from-file\n").unwrap();
    for (args, sent) in [
        (vec!["apply"], TOKEN),
        (vec!["check", "--token-file", file.to_str().unwrap()], "from-file"),
    ] {
        let output = agent.command(&args).output().unwrap();
        let requests = tenant.server.requests("");
        let bearer = format!("Bearer {sent}");
        assert!(requests.iter().all(|r| r.authorization.as_deref() == Some(&bearer)));
        assert!(requests.iter().all(|r| !r.path.contains(sent)));
        let shown = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&shown).contains(sent));
    }
    let kept = agent.tree("");
    assert!(kept.values().all(|bytes| !bytes.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes())));
}

/// Enrolment remembers where the token is, so that a scheduled run needs no environment.
#[test]
fn a_token_file_is_remembered() {
    let tenant = Tenant::new();
    tenant.publish(1, &[]);
    let agent = Agent::new();
    let (root, token) = (agent.dir.path().join("root.json"), agent.dir.path().join("token"));
    std::fs::write(&root, tenant.root()).unwrap();
    std::fs::write(&token, "remembered").unwrap();
    let enroll = ["enroll", "--url", &tenant.server.url, "--tenant", "acme", "--root"];
    let mut command = agent.command(&enroll);
    assert!(command.arg(&root).arg("--token-file").arg(&token).output().unwrap().status.success());
    let mut check = agent.command(&["check"]);
    assert!(check.env_remove("EDGE_FETCH_TOKEN").output().unwrap().status.success());
    let requests = tenant.server.requests("");
    assert!(requests.iter().all(|r| r.authorization.as_deref() == Some("Bearer remembered")));
    assert_eq!(requests.len(), 4);
}

#[test]
fn people_get_text() {
    let tenant = Tenant::new();
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    let agent = Agent::enrolled(&tenant);
    let output = agent.command(&["apply"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("acme.order.python.zip 1.0.1: now active, in "), "{text}");
    assert!(output.stderr.is_empty(), "no progress bar where there is no terminal");
    let text = String::from_utf8(agent.command(&["status"]).output().unwrap().stdout).unwrap();
    assert!(text.contains("(root keys made on the server)"), "{text}");
}

/// One flow's broken bundle does not keep the others from being updated.
#[test]
fn one_bad_bundle_does_not_hold_up_the_others() {
    let tenant = Tenant::new();
    let bad = bundle(1, &[("main.py", "bad")]);
    let mut good = bundle(1, &[("main.py", "good")]);
    good.file.custom.flow = "pay".parse().unwrap();
    tenant.publish(1, &[bad.clone(), good]);
    let name = bad.file.custom.target_name().file_name(&bad.file.sha256);
    tenant.server.put(format!("/v1/t/acme/targets/{name}"), vec![0; bad.zip.len()]);
    let agent = Agent::enrolled(&tenant);
    let run = agent.expect(&["apply"], 6);
    assert_eq!(run.json[0]["exit"], 6);
    assert_eq!(run.json[1]["flow"], "pay");
    assert!(agent.home().join("flows/pay/current").exists());
    assert_eq!(agent.current(), None);
}
