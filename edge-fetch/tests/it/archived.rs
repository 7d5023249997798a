//! A tenant that is archived: what is signed about it is done, and nothing else is.

use crate::bundles::{Agent, Tenant, bundle};
use crate::server::Fault;

fn applied() -> (Tenant, Agent) {
    let tenant = Tenant::new();
    tenant.publish(1, &[bundle(1, &[("main.py", "1")])]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    (tenant, agent)
}

/// Only what applies also removes; the pinned root and the enrolment stay, and so does what is
/// needed to refuse an older repository.
#[test]
fn the_flows_of_an_archived_tenant_are_removed() {
    let (tenant, agent) = applied();
    let before = tenant.server.files();
    tenant.archive(2);
    for command in ["check", "fetch"] {
        let run = agent.expect(&[command], 4);
        assert!(run.stderr.contains("tenant `acme` is archived\n"), "{}", run.stderr);
        assert_eq!(agent.active_file("main.py"), "1", "{command} removes nothing");
    }
    assert_eq!(agent.expect(&["status"], 0).json[0]["archived"], true);
    let run = agent.expect(&["apply"], 4);
    assert!(run.stderr.contains("is archived; removed here: order"), "{}", run.stderr);
    assert_eq!(run.json[0]["removed"], serde_json::json!(["order"]));
    for gone in ["flows", "objects", "partial", "tmp"] {
        assert!(agent.tree(gone).is_empty(), "{gone}");
    }
    assert_eq!(agent.expect(&["status"], 0).json.len(), 1);
    assert_eq!(agent.expect(&["apply"], 4).json[0]["removed"], serde_json::json!([]));
    agent.expect(&["gc"], 0);

    tenant.server.replace_files(before);
    agent.expect(&["apply"], 8);
    tenant.publish(3, &[bundle(1, &[("main.py", "1")])]);
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "1");
    tenant.archive(2);
    agent.expect(&["apply"], 8);
    assert_eq!(agent.active_file("main.py"), "1", "an old tombstone is not believed");
    assert_eq!(agent.expect(&["status"], 0).json[0]["archived"], false);
}

/// Anybody on the way can say 404 or 410.
#[test]
fn what_is_only_not_there_removes_nothing() {
    for status in [404, 410] {
        let (tenant, agent) = applied();
        tenant.server.fault("timestamp.json", Fault::Status(status));
        agent.expect(&["apply"], 4);
        tenant.server.fault("timestamp.json", Fault::Status(status));
        agent.expect(&["watch", "--once"], 4);
        assert_eq!(agent.active_file("main.py"), "1");
    }
}

/// A crash in the middle of the removal: the next run finishes it, or the tenant that is back is
/// applied over what is left.
#[test]
fn a_removal_that_was_cut_off_is_finished() {
    for restored in [false, true] {
        let (tenant, agent) = applied();
        let flow = agent.home().join("flows/order");
        for left in ["state.json", "current"] {
            std::fs::remove_file(flow.join(left)).unwrap();
        }
        let mut generations = std::fs::read_dir(&flow).unwrap().map(|entry| entry.unwrap().path());
        let folder = generations.find(|path| path.is_dir()).unwrap();
        std::fs::remove_file(folder.join("main.py")).unwrap();
        if restored {
            tenant.publish(3, &[bundle(1, &[("main.py", "1")])]);
            agent.expect(&["watch", "--once"], 0);
            assert_eq!(agent.active_file("main.py"), "1");
        } else {
            tenant.archive(2);
            agent.expect(&["watch", "--once"], 4);
            assert!(agent.tree("flows").is_empty());
        }
    }
}
