//! Encrypted environments: fetched beside bundles, decrypted in memory only, never taken for what they are
//! not.

use std::process::{Command, Stdio};

use age::x25519;
use colophon_model::Sha256;
use colophon_trust::{EnvFacts, EnvFile, EnvKind, EnvName, FactsSchema};
use serde_json::json;

use crate::bundles::{Agent, Bundle, Tenant, bundle};

const SECRET: &str = "hunter2-in-clear";
const VALUES: &str = r#"{"ERP_PASSWORD":"hunter2-in-clear","PATH":"/nowhere","UNUSED":"x"}"#;

/// A flow that tells what its environment holds, and its job's `env` is not asked for.
fn flow(seq: u64) -> Bundle {
    let script = "import json, os, sys\n\
        names = ['ERP_PASSWORD', 'UNUSED']\n\
        print(json.dumps([[os.environ.get(n) for n in names], os.environ['PATH'], sys.orig_argv]))\n";
    let manifest = json!({"schema": 1, "slug": "acme", "flow": "order", "runtime": "python",
        "os": ["linux"], "cpu_arch": ["x86_64"], "requirements": [],
        "env": {"ERP_PASSWORD": "erp.password", "ERP_USER": "erp.user"},
        "entrypoints": {"tell": "segment_tell.py"}});
    bundle(seq, &[("manifest.json", &manifest.to_string()), ("segment_tell.py", script)])
}

fn recipient(agent: &Agent) -> x25519::Recipient {
    let run = agent.expect(&["recipient"], 0);
    run.json[0]["recipient"].as_str().unwrap().parse().unwrap()
}

/// What is signed about a ciphertext for flow `order`, with its bytes.
fn env(seq: u64, ciphertext: Vec<u8>) -> (EnvFile, Vec<u8>) {
    let (slug, flow) = ("acme".parse().unwrap(), "order".parse().unwrap());
    let custom = EnvFacts { schema: FactsSchema, kind: EnvKind::Env, slug, flow, seq };
    let (length, sha256) = (ciphertext.len() as u64, Sha256::of(&ciphertext));
    (EnvFile { length, sha256, custom }, ciphertext)
}

fn sealed(recipient: &x25519::Recipient, seq: u64, json: &str) -> (EnvFile, Vec<u8>) {
    env(seq, age::encrypt(recipient, json.as_bytes()).unwrap())
}

fn path(file: &EnvFile) -> String {
    let name: EnvName = "acme.order.env.age".parse().unwrap();
    format!("/v1/t/acme/targets/{}", name.file_name(&file.sha256))
}

fn told(agent: &Agent) -> serde_json::Value {
    let output = agent.command(&["run", "order"]).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains(SECRET), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The script has what the manifest names, and nothing else of it; the disk and the arguments have none.
#[test]
fn a_flow_runs_with_its_secrets_and_nobody_else_sees_them() {
    let tenant = Tenant::new();
    tenant.publish(1, &[flow(1)]);
    let agent = Agent::enrolled(&tenant);
    tenant.publish_env(2, &[flow(1)], &[sealed(&recipient(&agent), 1, VALUES)]);
    assert_eq!(agent.expect(&["check"], 10).json[0]["env_seq"], 1);
    agent.expect(&["apply"], 0);
    let told = told(&agent);
    assert_eq!(told[0], json!([SECRET, null]));
    assert_ne!(told[1], "/nowhere");
    assert!(!told[2].to_string().contains(SECRET), "{}", told[2]);
    let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
    assert!(agent.tree("").values().all(|bytes| !holds(bytes)));
    assert!(
        agent
            .expect(&["doctor"], 0)
            .json
            .iter()
            .any(|f| f["detail"].to_string().contains("decrypted"))
    );
}

/// New secrets are an update of their own: the generation stays, and no bundle is asked for.
#[test]
fn rotating_a_secret_makes_no_generation() {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    let to = recipient(&agent);
    tenant.publish_env(1, &[flow(1)], &[sealed(&to, 1, VALUES)]);
    let first = agent.expect(&["apply"], 0);
    assert_eq!(
        (&first.json[0]["changed"], &first.json[0]["env_changed"]),
        (&true.into(), &true.into())
    );
    let (generation, flows) = (agent.current(), agent.tree("flows"));
    tenant.publish_env(2, &[flow(1)], &[sealed(&to, 2, r#"{"ERP_PASSWORD":"new"}"#)]);
    assert_eq!(agent.expect(&["check"], 10).json[0]["standing"], "current");
    tenant.server.requests("");
    agent.expect(&["fetch"], 0);
    assert_eq!(told(&agent)[0][0], SECRET, "fetched and not applied");
    agent.expect(&["gc"], 0);
    let run = agent.expect(&["apply"], 0);
    assert_eq!(
        (&run.json[0]["changed"], &run.json[0]["env_changed"]),
        (&false.into(), &true.into())
    );
    assert_eq!(tenant.server.requests("/targets/").len(), 1, "the ciphertext, once");
    assert_eq!((agent.current(), told(&agent)[0][0].as_str()), (generation, Some("new")));
    let mut now = agent.tree("flows");
    let mut before = flows;
    for tree in [&mut now, &mut before] {
        tree.retain(|path, _| !path.ends_with("env.json"));
    }
    assert_eq!(now, before);
    agent.expect(&["check"], 0);

    // And taken away, they are gone.
    tenant.publish(3, &[flow(1)]);
    agent.expect(&["check"], 10);
    agent.expect(&["apply"], 0);
    assert_eq!(told(&agent)[0][0], json!(null));
}

/// A-28: for another device, for none, or without this device's key: 15 and what to do.
#[test]
fn what_cannot_be_decrypted_is_15() {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    let stranger = x25519::Identity::generate().to_public();
    for (seq, file) in [
        sealed(&stranger, 1, VALUES),
        env(2, b"ERP_PASSWORD=hunter2-in-clear".to_vec()),
        sealed(&recipient(&agent), 3, r#"{"erp":"hunter2-in-clear"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        tenant.publish_env(seq as u64 + 1, &[flow(1)], &[file]);
        agent.expect(&["apply"], 0);
        let run = agent.expect(&["run", "order"], 15);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
        assert!(!run.stderr.contains(SECRET), "{}", run.stderr);
    }
    let to = recipient(&agent);
    tenant.publish_env(4, &[flow(1)], &[sealed(&to, 4, VALUES)]);
    agent.expect(&["apply"], 0);
    let key = agent.home().join("device.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::write(&key, "nonsense").unwrap();
    agent.expect(&["run", "order"], 15);
    std::fs::remove_file(&key).unwrap();
    agent.expect(&["run", "order"], 15);
    assert_ne!(recipient(&agent).to_string(), to.to_string(), "a new key, which opens nothing old");
    agent.expect(&["run", "order"], 15);
    std::fs::write(&key, kept).unwrap();
    told(&agent);
}

/// Other bytes than those that were signed are not taken, and those on the disk are checked again.
#[test]
fn a_ciphertext_in_the_place_of_another_is_6() {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    let to = recipient(&agent);
    tenant.publish_env(1, &[flow(1)], &[sealed(&to, 1, VALUES)]);
    agent.expect(&["apply"], 0);

    // What the server sends: another one for this very device, shorter, and longer.
    let good = sealed(&to, 2, VALUES);
    let other = sealed(&to, 2, VALUES).1;
    tenant.publish_env(2, &[flow(1)], &[good.clone()]);
    for bad in [other.clone(), good.1[..9].to_vec(), [&good.1[..], b"x"].concat()] {
        tenant.server.put(path(&good.0), bad);
        let run = agent.expect(&["apply"], 6);
        assert!(run.stderr.contains("signed length and hash"), "{}", run.stderr);
        assert_eq!(told(&agent)[0][0], SECRET, "the one before is still used");
    }
    tenant.server.put(path(&good.0), good.1.clone());
    agent.expect(&["apply"], 0);

    // What is on the disk.
    let object = agent.tree("objects").into_iter().find(|(_, bytes)| *bytes == good.1).unwrap().0;
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, &other).unwrap();
    agent.expect(&["run", "order"], 6);
    let repaired =
        agent.command(&["run", "order", "--repair"]).stdin(Stdio::null()).output().unwrap();
    assert!(repaired.status.success());

    // Back to an older one, and two under one number.
    tenant.publish_env(3, &[flow(1)], &[sealed(&to, 1, VALUES)]);
    agent.expect(&["apply"], 8);
    tenant.publish_env(4, &[flow(1)], &[sealed(&to, 2, VALUES)]);
    agent.expect(&["apply"], 6);
}

/// Without a network the secrets come along.
#[test]
fn an_export_carries_the_ciphertext() {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    let to = recipient(&agent);
    tenant.publish_env(1, &[flow(1)], &[sealed(&to, 1, VALUES)]);
    let folder = agent.dir.path().join("air");
    agent.expect(&["export", "--tuf", folder.to_str().unwrap()], 0);
    agent.expect(&["import", folder.to_str().unwrap()], 0);
    assert_eq!(told(&agent)[0][0], SECRET);
}

/// A stock `age` opens what is for the device's key, and what it makes is run.
#[test]
fn stock_age_and_the_agent_open_each_others_files() {
    let there = Command::new("age").arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        let marker = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/age.unavailable");
        assert!(std::path::Path::new(marker).exists(), "`age` is missing: run `make test-setup`");
        eprintln!("NOT RUN: `age` is missing");
        return;
    }
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    let to = recipient(&agent);
    let plain = agent.dir.path().join("plain.json");
    std::fs::write(&plain, VALUES).unwrap();
    for (seq, armor) in [(1, None), (2, Some("-a"))] {
        let mut age = Command::new("age");
        let made = age.args(armor).args(["-r", &to.to_string()]).arg(&plain).output().unwrap();
        assert!(made.status.success());
        tenant.publish_env(seq, &[flow(1)], &[env(seq, made.stdout)]);
        agent.expect(&["apply"], 0);
        assert_eq!(told(&agent)[0][0], SECRET);
    }
    let file = agent.dir.path().join("sealed.age");
    std::fs::write(&file, sealed(&to, 3, VALUES).1).unwrap();
    let mut age = Command::new("age");
    let opened = age.args(["-d", "-i"]).arg(agent.home().join("device.key")).arg(&file).output();
    assert_eq!(String::from_utf8_lossy(&opened.unwrap().stdout), VALUES);
}
