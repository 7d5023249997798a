//! Everything that must be refused, with its exit code, and that nothing changes by it.

use colophon_model::{TenantUid, UnixMillis};
use colophon_trust::{Seed, TenantKeys};

use crate::bundles::{Agent, Bundle, DAY, Tenant, bundle, now};
use crate::server::Fault;

/// A tenant whose bundle 1 is active on an agent.
fn active() -> (Tenant, Agent) {
    let tenant = Tenant::new();
    tenant.publish(1, &[one()]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    tenant.server.requests("");
    (tenant, agent)
}

fn one() -> Bundle {
    bundle(1, &[("main.py", "one")])
}

fn two() -> Bundle {
    bundle(2, &[("main.py", "two")])
}

/// `apply` ends with `code`, and what was active still is.
#[track_caller]
fn refused(agent: &Agent, code: i32) {
    let before = agent.tree("flows");
    let run = agent.expect(&["apply"], code);
    assert_eq!(run.json.last().unwrap()["exit"], code);
    assert_eq!(agent.tree("flows"), before);
    assert_eq!(agent.active_file("main.py"), "one");
}

#[test]
fn a_tampered_zip_of_the_same_length() {
    let (tenant, agent) = active();
    let two = two();
    tenant.publish(2, std::slice::from_ref(&two));
    let name = two.file.custom.target_name().file_name(&two.file.sha256);
    let mut tampered = two.zip;
    tampered[40] ^= 1;
    tenant.server.put(format!("/v1/t/acme/targets/{name}"), tampered);
    for command in ["apply", "fetch"] {
        let run = agent.expect(&[command], 6);
        assert!(run.stderr.contains("does not have the signed hash"), "{}", run.stderr);
        assert!(agent.tree("partial").is_empty(), "the part is deleted");
        assert_eq!(agent.tree("objects").len(), 2, "and nothing of it is kept");
        assert_eq!(tenant.server.requests("/targets/").len(), 1, "nor fetched twice");
    }
    refused(&agent, 6);
}

#[test]
fn metadata_of_another_tenant() {
    let (tenant, agent) = active();
    // Another tenant's keys.
    let mut other = Tenant::new();
    other.keys = TenantKeys::derive(&Seed::new([7; 32]), TenantUid::from_bytes([1; 16]));
    other.publish(2, &[two()]);
    tenant.server.replace_files(other.server.files());
    refused(&agent, 6);
    // The right keys, and a bundle of somebody else.
    let mut foreign = two();
    foreign.file.custom.slug = "evil".parse().unwrap();
    tenant.publish(3, &[foreign]);
    refused(&agent, 6);
}

#[test]
fn a_root_of_another_tenant_is_not_pinned() {
    let tenant = Tenant::new();
    let agent = Agent::new();
    assert_eq!(agent.enroll(&tenant.server.url, "other", &tenant.root()).code, 6);
    assert_eq!(agent.enroll(&tenant.server.url, "acme", b"{}").code, 6);
    agent.expect(&["status"], 2);
    assert_eq!(agent.enroll(&tenant.server.url, "acme", &tenant.root()).code, 0);
    let again = agent.enroll(&tenant.server.url, "acme", &tenant.root());
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("hint: "));
}

#[test]
fn expired_metadata() {
    let (tenant, agent) = active();
    tenant.publish_at(2, &[two()], UnixMillis::new(now().get() - 8 * DAY));
    refused(&agent, 7);
    tenant.publish(3, &[two()]);
    agent.expect(&["apply"], 0);
}

#[test]
fn metadata_from_the_past() {
    let (tenant, agent) = active();
    let past = tenant.server.files();
    tenant.publish(2, &[one()]);
    agent.expect(&["check"], 0);
    tenant.server.replace_files(past);
    refused(&agent, 8);
}

#[test]
fn a_lower_sequence_number_in_newer_metadata() {
    let (tenant, agent) = active();
    let mut two = two();
    two.file.custom.seq = 0;
    two.file.custom.version = "9.9.9".to_owned();
    tenant.publish(2, &[two]);
    refused(&agent, 8);
    agent.expect(&["check"], 8);
}

#[test]
fn other_files_under_the_same_sequence_number() {
    let (tenant, agent) = active();
    let mut two = two();
    two.file.custom.seq = 1;
    tenant.publish(2, &[two]);
    refused(&agent, 6);
}

#[test]
fn another_architecture_or_system() {
    let (tenant, agent) = active();
    for (os, arch) in [(std::env::consts::OS, "riscv128"), ("plan9", std::env::consts::ARCH)] {
        let mut two = two();
        two.file.custom.os = vec![os.to_owned()];
        two.file.custom.cpu_arch = vec![arch.to_owned()];
        let version = 2 + tenant.server.files().len() as u64;
        tenant.publish(version, &[two]);
        refused(&agent, 9);
        agent.expect(&["fetch", "order"], 9);
        assert_eq!(agent.expect(&["check"], 0).json[0]["standing"], "unsupported");
    }
    assert!(tenant.server.requests("/targets/").is_empty(), "and nothing is downloaded");
}

#[test]
fn a_second_process() {
    let (_, agent) = active();
    let held = std::fs::File::open(agent.home().join("lock")).unwrap();
    held.lock().unwrap();
    refused(&agent, 12);
    agent.expect(&["check"], 12);
    agent.expect(&["status"], 0);
    held.unlock().unwrap();
    agent.expect(&["check"], 0);
}

#[test]
fn a_refused_token() {
    let (tenant, agent) = active();
    for status in [401, 403] {
        for part in ["root.json", "timestamp.json"] {
            tenant.server.fault(part, Fault::Status(status));
            refused(&agent, 5);
        }
    }
    tenant.publish(2, &[two()]);
    tenant.server.fault("/targets/", Fault::Status(403));
    refused(&agent, 5);
}

#[test]
fn what_is_not_there() {
    let (tenant, agent) = active();
    agent.expect(&["apply", "unknown"], 4);
    tenant.server.fault("timestamp.json", Fault::Status(410));
    refused(&agent, 4);
    tenant.server.replace_files(std::collections::BTreeMap::new());
    refused(&agent, 4);
}

#[test]
fn what_is_in_the_way() {
    let (tenant, agent) = active();
    for fault in [Fault::Page, Fault::Status(302), Fault::Status(429), Fault::Status(503)] {
        for part in ["root.json", "timestamp.json"] {
            tenant.server.fault(part, fault);
            refused(&agent, 3);
        }
    }
    tenant.server.fault("timestamp.json", Fault::CutAfter(20));
    refused(&agent, 3);
    tenant.server.fault("timestamp.json", Fault::Garbage);
    refused(&agent, 6);
    tenant.publish(2, &[two()]);
    tenant.server.fault("/targets/", Fault::Page);
    refused(&agent, 3);
    tenant.server.fault("timestamp.json", Fault::Endless(100_000));
    refused(&agent, 11);
    agent.expect(&["apply"], 0);
}

#[test]
fn a_server_that_is_not_there() {
    let agent = Agent::new();
    let tenant = Tenant::new();
    // Port 1 is never given to a test's server, and nothing listens there.
    assert_eq!(agent.enroll("http://127.0.0.1:1", "acme", &tenant.root()).code, 0);
    let run = agent.expect(&["check"], 3);
    assert!(run.stderr.contains("hint: run the command again"), "{}", run.stderr);
}

#[test]
fn wrong_arguments() {
    let tenant = Tenant::new();
    let agent = Agent::new();
    for url in ["ftp://edge.example", "edge.example", "http://u:p@edge.example"] {
        assert_eq!(agent.enroll_raw(url, "acme", &tenant.root()), 2);
    }
    assert_eq!(agent.enroll_raw(&tenant.server.url, "../etc", &tenant.root()), 2);
    for args in [&["apply", "../etc"][..], &["fetch", "a", "b"], &["frobnicate"], &[]] {
        assert_eq!(agent.command(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}

impl Agent {
    /// The exit code of an enrolment that the command line itself may refuse.
    fn enroll_raw(&self, url: &str, tenant: &str, root: &[u8]) -> i32 {
        let file = self.dir.path().join("pinned.json");
        std::fs::write(&file, root).unwrap();
        let mut command = self.command(&["enroll", "--url", url, "--tenant", tenant, "--root"]);
        command.arg(file).output().unwrap().status.code().unwrap()
    }
}
