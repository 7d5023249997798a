//! The commands beside check, fetch and apply.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bundles::{Agent, Bundle, DAY, Tenant, bundle, now};
use crate::server::Fault;

/// A Python flow of two segments; `echo` answers its job with its arguments and what `helper` says.
fn flow(seq: u64, word: &str) -> Bundle {
    let script = "import json, sys\nimport helper\njob = json.load(sys.stdin)\n\
        print(json.dumps({'run_id': job['run_id'], 'word': helper.WORD, 'args': sys.argv[1:]}))\n\
        sys.exit(7)\n";
    let manifest = json!({"schema": 1, "slug": "acme", "flow": "order", "runtime": "python",
        "os": ["linux"], "cpu_arch": ["x86_64"], "requirements": [], "env": {},
        "entrypoints": {"echo": "segment_echo.py", "other": "segment_other.py"}});
    let helper = format!("WORD = '{word}'\n");
    bundle(
        seq,
        &[
            ("helper.py", &helper),
            ("manifest.json", &manifest.to_string()),
            ("segment_echo.py", script),
            ("segment_other.py", ""),
        ],
    )
}

fn world() -> (Tenant, Agent) {
    let tenant = Tenant::new();
    tenant.publish(1, &[flow(1, "one")]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    (tenant, agent)
}

/// Runs a job; exit code, standard output and standard error.
fn run(agent: &Agent, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = agent.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that is refused reads nothing.
    let _ = child.stdin.take().unwrap().write_all(b"{\"run_id\": \"r1\"}");
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn active_folder(agent: &Agent) -> std::path::PathBuf {
    agent.home().join("flows/order").join(agent.current().unwrap().trim_end())
}

const ECHO: [&str; 6] = ["run", "order", "--segment", "echo", "--", "--flag"];

#[test]
fn a_segment_is_run_with_its_job_and_ends_as_it_ends() {
    let (_tenant, agent) = world();
    let (code, stdout, stderr) = run(&agent, &ECHO);
    assert_eq!(code, Some(7), "{stderr}");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer, json!({"run_id": "r1", "word": "one", "args": ["--flag"]}));
    assert!(!active_folder(&agent).join("__pycache__").exists());
    let (code, _, stderr) = run(&agent, &["run", "order"]);
    assert_eq!(code, Some(9));
    assert!(stderr.contains("echo, other"), "{stderr}");
    assert_eq!(run(&agent, &["run", "order", "--segment", "none"]).0, Some(9));
    assert_eq!(run(&agent, &["run", "nothing"]).0, Some(4));
}

/// whatever is changed on the disk is not run.
#[test]
fn changed_files_are_not_run() {
    let (_tenant, agent) = world();
    let folder = active_folder(&agent);
    let list = folder.with_extension("tree");
    let refused = |what: &str| {
        let (code, stdout, stderr) = run(&agent, &ECHO);
        assert_eq!((code, stdout.as_str()), (Some(6), ""), "{what}");
        assert!(stderr.contains("--repair"), "{what}: {stderr}");
        assert_eq!(agent.run(&["verify"]).code, 6, "{what}");
    };
    let helper = std::fs::read(folder.join("helper.py")).unwrap();
    std::fs::write(folder.join("helper.py"), "WORD = 'evil'\n").unwrap();
    refused("an edited file");
    std::fs::remove_file(folder.join("helper.py")).unwrap();
    refused("a file that is gone");
    std::fs::write(folder.join("helper.py"), &helper).unwrap();
    std::fs::write(folder.join("json.py"), "def load(_): return {'run_id': 'evil'}\n").unwrap();
    refused("a module in front of Python's own");
    std::fs::remove_file(folder.join("json.py")).unwrap();
    let signed = std::fs::read(&list).unwrap();
    std::fs::write(&list, "colophon tree v1\n").unwrap();
    refused("another list of files");
    std::fs::write(&list, signed).unwrap();

    // What scripts leave behind is no code, and compiled Python is not read.
    std::fs::write(folder.join("notes.txt"), "fine").unwrap();
    std::fs::create_dir(folder.join("__pycache__")).unwrap();
    std::fs::write(folder.join("__pycache__/helper.cpython-311.pyc"), "junk").unwrap();
    assert_eq!(run(&agent, &ECHO).0, Some(7));
}

/// Not even somebody who rewrites the list of files and the state along with it.
#[test]
fn the_signed_metadata_has_the_last_word() {
    let (tenant, agent) = world();
    let flows = agent.home().join("flows");
    let other = Agent::enrolled(&tenant);
    let evil = Tenant::new();
    evil.publish(1, &[flow(1, "evil")]);
    let source = Agent::enrolled(&evil);
    source.expect(&["apply"], 0);
    std::fs::remove_dir_all(&flows).unwrap();
    std::fs::rename(source.home().join("flows"), &flows).unwrap();
    let (code, _, stderr) = run(&agent, &ECHO);
    assert_eq!(code, Some(6), "{stderr}");
    assert!(stderr.contains("another tree was signed"), "{stderr}");
    drop(other);
}

#[test]
fn repair_fetches_what_was_changed() {
    let (_tenant, agent) = world();
    let damage = || std::fs::write(active_folder(&agent).join("helper.py"), "evil").unwrap();
    damage();
    let mut repair = ECHO.to_vec();
    repair.insert(2, "--repair");
    assert_eq!(run(&agent, &repair).0, Some(7));
    assert_eq!(agent.active_file("helper.py"), "WORD = 'one'\n");
    damage();
    agent.expect(&["verify", "--repair"], 0);
    agent.expect(&["verify", "--deep"], 0);
}

#[test]
fn gc_keeps_what_may_be_needed() {
    let (tenant, agent) = world();
    for seq in 2..=6 {
        tenant.publish(seq, &[flow(seq, &seq.to_string())]);
        agent.expect(&["apply"], 0);
    }
    tenant.publish(7, &[flow(7, "seven")]);
    agent.expect(&["apply", "--no-commit"], 0);
    // Pending 7, active 6, previous 5, and one more.
    assert_eq!(agent.expect(&["gc", "--keep", "1"], 0).json[0]["generations"], 3);
    let names = || {
        let entries = std::fs::read_dir(agent.home().join("flows/order")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut seqs: Vec<String> = names
            .filter(|name| name.starts_with("gen-"))
            .map(|name| name.split('-').nth(1).unwrap().to_owned())
            .collect();
        seqs.sort();
        seqs.dedup();
        seqs
    };
    assert_eq!(names(), ["4", "5", "6", "7"]);
    agent.expect(&["gc", "--keep", "0"], 0);
    assert_eq!(names(), ["5", "6", "7"]);
    agent.expect(&["rollback"], 0);
    agent.expect(&["rollback"], 0);
    assert_eq!(agent.active_file("helper.py"), "WORD = '5'\n");
    agent.expect(&["verify"], 0);

    assert!(agent.expect(&["cache", "size"], 0).json[0]["flows"].as_u64().unwrap() > 0);
    agent.expect(&["cache", "clean"], 0);
    assert!(agent.tree("objects").is_empty());
    agent.expect(&["verify", "--deep"], 0);
}

/// A folder carries a tenant's bundles to a machine without a network.
#[test]
fn export_and_import() {
    let (tenant, agent) = world();
    let copy = agent.dir.path().join("copy");
    let copy = copy.to_str().unwrap();
    agent.expect(&["export", "--tuf", copy], 0);
    let offline = Agent::new();
    let enrolled = offline.enroll("http://127.0.0.1:1", "acme", &tenant.root());
    assert_eq!(enrolled.code, 0);
    offline.expect(&["import", copy], 0);
    assert_eq!(offline.active_file("helper.py"), "WORD = 'one'\n");
    assert_eq!(run(&offline, &ECHO).0, Some(7));

    // A copy that was changed on the way is refused as the network would be.
    tenant.publish(2, &[flow(2, "two")]);
    agent.expect(&["export", "--tuf", copy], 0);
    let targets = std::fs::read_dir(format!("{copy}/targets")).unwrap();
    for file in targets {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    offline.expect(&["import", copy], 6);
    assert_eq!(offline.active_file("helper.py"), "WORD = 'one'\n");
    offline.expect(&["import", "/no/such/folder"], 2);
}

#[test]
fn inspect_says_what_things_are() {
    let (_tenant, agent) = world();
    let tree = active_folder(&agent).with_extension("tree");
    let found = agent.expect(&["inspect", tree.to_str().unwrap()], 0).json.remove(0);
    assert_eq!((&found["kind"], found["contents"].as_array().unwrap().len()), (&json!("tree"), 4));
    let digest = found["blake3"].as_str().unwrap();
    let uses = agent.expect(&["inspect", digest], 0).json.remove(0);
    assert_eq!(uses["uses"][0]["whole_tree"], true);
    let helper = found["contents"][0]["blake3"].as_str().unwrap();
    let uses = agent.expect(&["inspect", helper], 0).json.remove(0);
    assert_eq!(uses["uses"][0]["paths"], json!(["helper.py"]));
    agent.expect(&["inspect", &"0".repeat(64)], 4);
    let timestamp = agent.home().join("state/timestamp.json");
    let found = agent.expect(&["inspect", timestamp.to_str().unwrap()], 0).json.remove(0);
    assert_eq!(found["contents"]["type"], "timestamp");
}

#[test]
fn doctor_looks_at_everything() {
    let (tenant, agent) = world();
    let level = |name: &str, run: &crate::bundles::Run| {
        let found = run.json.iter().find(|finding| finding["name"] == name);
        found.map(|finding| finding["level"].as_str().unwrap().to_owned())
    };
    let run = agent.expect(&["doctor"], 0);
    for name in ["folder", "settings", "token", "server", "python", "order"] {
        assert_eq!(level(name, &run).as_deref(), Some("ok"), "{name}: {:?}", run.json);
    }
    tenant.server.fault("timestamp", Fault::Status(401));
    let run = agent.run(&["doctor"]);
    assert_eq!((run.code, level("server", &run).as_deref()), (5, Some("fail")));
    std::fs::write(active_folder(&agent).join("helper.py"), "evil").unwrap();
    assert_eq!(agent.run(&["doctor"]).code, 6);
    assert_eq!(Agent::new().run(&["doctor"]).code, 2);
}

/// the clock steps back, or is far ahead.
#[test]
fn a_clock_that_is_wrong_is_refused() {
    let (tenant, agent) = world();
    let clock = agent.home().join("state/clock");
    assert!(clock.exists());
    // The machine saw a moment in a later year, so it is a year behind now, or ten.
    for years in [1, 10] {
        std::fs::write(&clock, (now().get() + years * 365 * DAY).to_string()).unwrap();
        let run = agent.expect(&["apply"], 7);
        assert!(run.stderr.contains("the clock went back"), "{}", run.stderr);
        assert_eq!(agent.active_file("helper.py"), "WORD = 'one'\n");
    }
    // A few minutes are no reason to stop.
    std::fs::write(&clock, (now().get() + 5 * 60 * 1000).to_string()).unwrap();
    agent.expect(&["apply"], 0);
    // Far ahead, everything has expired, and that moment is not remembered.
    let before = std::fs::read(&clock).unwrap();
    for (version, days) in [(2, 30), (3, 3_653)] {
        let signed = colophon_model::UnixMillis::new(now().get() - days * DAY);
        tenant.publish_at(version, &[flow(2, "two")], signed);
        agent.expect(&["apply"], 7);
        assert_eq!(std::fs::read(&clock).unwrap(), before);
    }
}

/// two at once: the second ends with 12, or waits.
#[test]
fn two_at_once_do_not_meet() {
    let (tenant, agent) = world();
    tenant.publish(2, &[flow(2, "two")]);
    let marker = agent.dir.path().join("started");
    let health = format!("sh {}", agent.dir.path().join("health.sh").display());
    let go = agent.dir.path().join("go");
    let script = format!(
        "touch {}\nwhile [ ! -e {} ]; do sleep 0.05; done\n",
        marker.display(),
        go.display()
    );
    std::fs::write(agent.dir.path().join("health.sh"), script).unwrap();
    let mut first = agent.command(&["apply", "--health", &health]).spawn().unwrap();
    while !marker.exists() {
        assert!(first.try_wait().unwrap().is_none(), "it waits for its health command");
        std::thread::yield_now();
    }
    tenant.server.requests("");
    agent.expect(&["apply"], 12);
    assert!(tenant.server.requests("").is_empty(), "one download");
    let mut second = agent.command(&["--wait", "check"]).spawn().unwrap();
    assert_eq!(run(&agent, &["run", "order", "--segment", "echo"]).0, Some(7), "running is free");
    std::fs::write(go, "").unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(second.wait().unwrap().code(), Some(0));
}

#[test]
fn watch_applies_what_is_new_and_ends_when_told() {
    let (tenant, agent) = world();
    agent.expect(&["watch", "--once"], 0);
    let mut command = agent.command(&["watch", "--interval", "50ms", "--json"]);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut event = |wanted: &str| -> Value {
        loop {
            let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            if line["event"] == wanted {
                return line;
            }
        }
    };
    assert!(event("waiting")["milliseconds"].as_u64().unwrap() <= 60);
    tenant.publish(2, &[flow(2, "two")]);
    assert_eq!(event("applied")["generation"].as_str().unwrap().split('-').nth(1), Some("2"));

    // The server fails, and asks to wait: what is active stays, and the wait is longer.
    tenant.server.fault("timestamp", Fault::Busy(2));
    assert_eq!(event("error")["exit"], 3);
    assert!(event("waiting")["milliseconds"].as_u64().unwrap() >= 2000);
    assert_eq!(agent.active_file("helper.py"), "WORD = 'two'\n");
    // The same when it has no time for a bundle alone.
    tenant.server.fault("/targets/", Fault::Busy(4));
    tenant.publish(3, &[flow(3, "three")]);
    assert_eq!(event("error")["exit"], 3);
    assert!(event("waiting")["milliseconds"].as_u64().unwrap() >= 4000);
    event("applied");

    let pid = watch.id().to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
    event("stopped");
    assert!(watch.wait().unwrap().success());
}

/// nothing that is not signed makes an agent remove anything.
#[test]
fn a_tenant_that_is_not_found_is_not_removed() {
    let (tenant, agent) = world();
    for status in [404, 410] {
        tenant.server.fault("timestamp", Fault::Status(status));
        agent.expect(&["watch", "--once"], 4);
        assert_eq!(run(&agent, &ECHO).0, Some(7));
    }
}

/// an archived tenant's flows go away cleanly, and come back when it is restored.
#[test]
fn a_signed_end_removes_the_flows() {
    let (tenant, agent) = world();
    tenant.archive(2);
    agent.expect(&["check"], 4);
    assert!(agent.current().is_some(), "check removes nothing");
    let run = agent.expect(&["apply"], 4);
    assert!(run.stderr.contains("is archived"), "{}", run.stderr);
    assert!(agent.tree("flows").is_empty() && agent.tree("objects").is_empty());
    agent.expect(&["watch", "--once"], 4);
    agent.expect(&["run", "order"], 4);
    tenant.publish(3, &[flow(3, "back")]);
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("helper.py"), "WORD = 'back'\n");
}
