//! an agent that requires attestations takes no bundle without one, whatever the reason that it
//! cannot be checked.

use colophon_model::Sha256;
use colophon_trust::Seed;
use colophon_trust::attest::{AttestationKeys, IN_TOTO};
use serde_json::json;

use crate::bundles::{Agent, Bundle, Run, Tenant, bundle};
use crate::server::Fault;

fn keys(seed: u8) -> AttestationKeys {
    AttestationKeys::derive(&Seed::new([seed; 32]))
}

/// What the keys attest about a zip.
fn envelope(keys: &AttestationKeys, zip: &[u8]) -> serde_json::Value {
    let subject = json!([{"name": "x.zip", "digest": {"sha256": Sha256::of(zip).to_string()}}]);
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "subject": subject});
    json!(keys.sign(IN_TOTO, statement.to_string().as_bytes()))
}

/// Publishes version 1 of `order`, whose metadata names `attested`, and serves `served` as that.
fn publish(tenant: &Tenant, version: u64, attested: Option<&[u8]>, served: Option<&[u8]>) {
    let mut one = one();
    one.file.custom.attestation = attested.map(Sha256::of);
    tenant.publish(version, std::slice::from_ref(&one));
    let path = format!("/v1/t/acme/bundles/{}/provenance.json", one.file.sha256);
    let mut files = tenant.server.files();
    files.remove(&path);
    tenant.server.replace_files(files);
    if let Some(bytes) = served {
        tenant.server.put(path, bytes);
    }
}

fn one() -> Bundle {
    bundle(1, &[("main.py", "one")])
}

fn good() -> Vec<u8> {
    envelope(&keys(1), &one().zip).to_string().into_bytes()
}

/// Enrolled with both keys of seed 1.
fn strict(tenant: &Tenant) -> Agent {
    let agent = Agent::new();
    let run = enroll(&agent, tenant, &keys(1).public().map(|key| key.to_pem()));
    assert_eq!(run.code, 0, "{}", run.stderr);
    agent
}

fn enroll(agent: &Agent, tenant: &Tenant, pems: &[String]) -> Run {
    let file = |name: String, bytes: &[u8]| {
        let path = agent.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let root = file("pinned.json".to_owned(), &tenant.root());
    let mut args = ["enroll", "--url", &tenant.server.url, "--tenant", "acme", "--root", &root]
        .map(str::to_owned)
        .to_vec();
    for (n, pem) in pems.iter().enumerate() {
        args.extend(["--attestation-key".to_owned(), file(format!("{n}.pem"), pem.as_bytes())]);
    }
    agent.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Nothing is installed, and nothing of the bundle was even asked for.
#[track_caller]
fn refused(tenant: &Tenant, agent: &Agent, code: i32, why: &str) {
    tenant.server.requests("");
    for command in ["fetch", "apply"] {
        let run = agent.expect(&[command], code);
        assert!(run.stderr.contains(why), "{why}: {}", run.stderr);
    }
    assert!(agent.current().is_none());
    assert!(tenant.server.requests("").iter().all(|r| {
        !["/targets/", "/pack/", "/delta/", "/tree/"].iter().any(|part| r.path.contains(part))
    }));
}

/// The file that the metadata names, the one that is served, and what is said of it.
type Case<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a str);

/// A bundle without one, one that is nowhere, another file than the signed one, and files that are signed
/// by the tenant's metadata and not by the keys that were pinned, or about another zip.
#[test]
fn what_is_not_attested_is_not_taken_and_nothing_is_remembered_against_it() {
    let tenant = Tenant::new();
    let agent = strict(&tenant);
    let text = |value: serde_json::Value| value.to_string().into_bytes();
    let zip = one().zip;
    let mut unsigned = envelope(&keys(1), &zip);
    unsigned["signatures"] = json!([]);
    let mut half = envelope(&keys(1), &zip);
    half["signatures"].as_array_mut().unwrap().pop();
    let mut forged = envelope(&keys(1), &zip);
    forged["signatures"][1]["sig"] = forged["signatures"][0]["sig"].clone();
    let mut retyped = envelope(&keys(1), &zip);
    retyped["payloadType"] = json!("application/json");
    let foreign = text(envelope(&keys(2), &zip));
    let elsewhere = text(envelope(&keys(1), b"another zip"));
    let good = good();
    let all: [Case<'_>; 10] = [
        (None, Some(&good), "without one"),
        (Some(&good), None, "does not have it"),
        (Some(&good), Some(&foreign), "not the one that was signed"),
        (Some(&foreign), Some(&foreign), "0 of the trusted keys"),
        (Some(&elsewhere), Some(&elsewhere), "not about the bundle"),
        (Some(&text(unsigned.clone())), Some(&text(unsigned)), "0 of the trusted keys"),
        (Some(&text(half.clone())), Some(&text(half)), "1 of the trusted keys"),
        (Some(&text(forged.clone())), Some(&text(forged)), "is wrong"),
        (Some(&text(retyped.clone())), Some(&text(retyped)), "application/json"),
        (Some(b"{}"), Some(b"{}"), "not a DSSE envelope"),
    ];
    let last = all.len() as u64 + 1;
    for (version, (attested, served, why)) in (1..).zip(all) {
        publish(&tenant, version, attested, served);
        refused(&tenant, &agent, 6, why);
    }
    // the next run with the right one succeeds.
    publish(&tenant, last, Some(&good), Some(&good));
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "one");
    tenant.server.requests("");
    agent.expect(&["apply"], 0);
    assert!(tenant.server.requests("provenance").is_empty(), "it is asked for once");
}

/// Trouble on the way is trouble on the way: nothing is taken, and trying again is right.
#[test]
fn a_line_that_breaks_takes_nothing_either() {
    let (tenant, good) = (Tenant::new(), good());
    let agent = strict(&tenant);
    publish(&tenant, 1, Some(&good), Some(&good));
    let faults = [
        (Fault::Page, 3),
        (Fault::Status(500), 3),
        (Fault::CutAfter(20), 3),
        (Fault::Status(403), 5),
        (Fault::Endless(2_000_000), 6),
    ];
    for (fault, code) in faults {
        tenant.server.fault("/provenance.json", fault);
        agent.expect(&["apply"], code);
        assert!(agent.current().is_none(), "{fault:?}");
    }
    agent.expect(&["apply"], 0);
}

#[test]
fn the_settings_decide_over_the_enrolment() {
    let tenant = Tenant::new();
    publish(&tenant, 1, None, None);
    let (strict, plain) = (strict(&tenant), Agent::enrolled(&tenant));
    let set = |agent: &Agent, text: &str| {
        std::fs::write(agent.home().join("edge-fetch.toml"), text).unwrap();
    };
    set(&strict, "attestation = 'off'");
    strict.expect(&["fetch"], 0);
    // Required, and nobody to trust: nothing is taken.
    set(&plain, "attestation = 'require'");
    plain.expect(&["fetch"], 2);
    std::fs::write(plain.home().join("keys.pem"), keys(1).public().map(|k| k.to_pem()).concat())
        .unwrap();
    set(&plain, "attestation_keys = ['keys.pem']");
    plain.expect(&["fetch"], 6);
    set(&plain, "attestation_keys = ['missing.pem']");
    plain.expect(&["fetch"], 2);
    set(&plain, "");
    plain.expect(&["fetch"], 0);

    let agent = Agent::new();
    assert_eq!(enroll(&agent, &tenant, &["no key".to_owned()]).code, 2);
    agent.expect(&["status"], 2);
}

/// A copy for a machine without a network has the attestations along.
#[test]
fn an_exported_copy_is_attested() {
    let (tenant, good) = (Tenant::new(), good());
    publish(&tenant, 1, Some(&good), Some(&good));
    let (online, offline) = (strict(&tenant), strict(&tenant));
    let copy = online.dir.path().join("copy");
    online.expect(&["export", "--tuf", copy.to_str().unwrap()], 0);
    offline.expect(&["import", copy.to_str().unwrap()], 0);
    assert_eq!(offline.active_file("main.py"), "one");

    let bare = strict(&tenant);
    std::fs::remove_dir_all(copy.join("bundles")).unwrap();
    bare.expect(&["import", copy.to_str().unwrap()], 6);
    assert!(bare.current().is_none());
}

/// Offline, one that was checked before counts, and one that never came is missing.
#[test]
fn offline_an_attestation_must_be_here() {
    let tenant = Tenant::new();
    publish(&tenant, 1, Some(&good()), Some(&good()));
    let agent = strict(&tenant);
    agent.expect(&["fetch"], 0);
    tenant.server.requests("");
    agent.expect(&["fetch", "--offline"], 0);
    std::fs::remove_dir_all(agent.home().join("state/attested")).unwrap();
    let run = agent.expect(&["fetch", "--offline"], 4);
    assert!(run.stderr.contains("provenance.json` is not here"), "{}", run.stderr);
    assert!(tenant.server.requests("").is_empty());
}
