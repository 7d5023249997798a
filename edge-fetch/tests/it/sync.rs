//! One request for all: what comes ahead is verified like everything else, and whatever is wrong with
//! it, the files are asked for one by one.

use colophon_edge_fetch::{Agent as Library, Cache, HttpTransport, Network, Platform};
use colophon_model::{Artifact, FileMode, FileSet, UnixMillis};
use colophon_trust::delta;
use colophon_trust::sync::{Answer, Answers};
use serde_json::Value;

use crate::bundles::{Agent, Bundle, DAY, Tenant, bundle, now};
use crate::server::Fault;

const SYNC: &str = "/v1/t/acme/edge/sync";

fn files(word: &str) -> FileSet {
    let artifact = Artifact::new(FileMode::Regular, word.as_bytes().to_vec());
    FileSet::new([("main.py".parse().unwrap(), artifact)].into()).unwrap()
}

fn version(seq: u64, word: &str) -> Bundle {
    bundle(seq, &[("main.py", word)])
}

/// An agent that asks for all at once, with version 1 active.
fn world() -> (Tenant, Agent) {
    let tenant = Tenant::new();
    tenant.publish(1, &[version(1, "one")]);
    let mut agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    agent.syncs = true;
    tenant.server.requests("");
    (tenant, agent)
}

/// What a server would send to an agent on `held` once `next` is published.
fn frame(tenant: &Tenant, held: &Bundle, next: u64, with: Option<&Bundle>) -> Vec<u8> {
    let served = tenant.server.files();
    let mut answers = Answers::default();
    assert!(answers.add("tuf/2.root.json", Answer::Missing));
    for name in [
        "timestamp.json".to_owned(),
        format!("{next}.snapshot.json"),
        format!("{next}.targets.json"),
    ] {
        let file = served[&format!("/v1/t/acme/tuf/{name}")].clone();
        assert!(answers.add(&format!("tuf/{name}"), Answer::File(file)));
    }
    if let Some(with) = with {
        let frame = delta::encode(Some(&files("one")), &files("two")).unwrap();
        let path = format!("delta/{}..{}", held.file.custom.tree, with.file.custom.tree);
        assert!(answers.add(&path, Answer::File(frame)));
    }
    answers.encode(Some(&served["/v1/t/acme/tuf/1.targets.json"])).unwrap()
}

/// Publishes version 2, with a frame that tells all of it.
fn updated() -> (Tenant, Agent) {
    let (tenant, agent) = world();
    let (one, two) = (version(1, "one"), version(2, "two"));
    tenant.publish(2, std::slice::from_ref(&two));
    tenant.server.put(SYNC, frame(&tenant, &one, 2, Some(&two)));
    (tenant, agent)
}

fn asked(tenant: &Tenant) -> Vec<String> {
    let requests = tenant.server.requests("").into_iter().map(|request| request.path);
    requests.map(|path| path.trim_start_matches("/v1/t/acme/").to_owned()).collect()
}

#[test]
fn an_update_is_one_request() {
    let (tenant, agent) = updated();
    let run = agent.expect(&["apply"], 0);
    assert_eq!((run.json.len(), &run.json[0]["via"]), (1, &Value::from("delta")));
    assert_eq!(agent.active_file("main.py"), "two");
    let [question] = &asked(&tenant)[..] else { panic!("one request") };
    let tree = version(1, "one").file.custom.tree.to_string();
    assert!(question.starts_with("edge/sync?root=1&timestamp=1&snapshot=1&targets="), "{question}");
    assert!(question.ends_with(&format!("&with=env&trees={}", &tree[..8])), "{question}");
}

/// Without deltas the server is not told what is here; without the whole, it is asked file by file.
#[test]
fn it_can_be_turned_off() {
    let (tenant, agent) = updated();
    agent.expect(&["apply", "--no-sync"], 0);
    let all =
        ["tuf/2.root.json", "tuf/timestamp.json", "tuf/2.snapshot.json", "tuf/2.targets.json"];
    assert_eq!(asked(&tenant)[..4], all);
    let (tenant, agent) = updated();
    agent.expect(&["apply", "--no-delta"], 0);
    assert!(!asked(&tenant)[0].contains("trees"));
}

/// A poll without news is one request without a body.
#[test]
fn nothing_new_is_one_request() {
    let (tenant, agent) = world();
    for command in [["check"].as_slice(), &["apply"], &["watch", "--once"]] {
        tenant.server.fault("edge/sync", Fault::Status(204));
        agent.expect(command, 0);
        assert_eq!(asked(&tenant).len(), 1, "{command:?}");
    }
}

/// Somebody says for a week that nothing is new: what is here expires all the same.
#[test]
fn nothing_new_is_not_believed_for_ever() {
    let (tenant, agent) = world();
    for (days, fresh) in [(6, true), (8, false)] {
        tenant.server.fault("edge/sync", Fault::Status(204));
        let cache = Cache::new(agent.home());
        let transport =
            HttpTransport::new(&cache.config().unwrap(), &Network::default(), None).unwrap();
        let then = UnixMillis::new(now().get() + days * DAY);
        let later = Library::open(cache, transport, Platform::current(), then).unwrap();
        let result = later.check();
        assert_eq!(result.is_ok(), fresh, "{result:?}");
        assert_eq!((asked(&tenant).len(), later.sync_problem()), (1, None));
    }
}

/// Every kind of bad answer: the same result, by ordinary requests, and a line that says so.
#[test]
fn whatever_is_wrong_the_files_are_asked_for() {
    let (tenant, _) = updated();
    let good = tenant.server.files()[SYNC].clone();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let bomb = zstd::bulk::compress(&vec![0; 50_000_000], 1).unwrap();
    let other = Answers::default().encode(None).unwrap();
    let bad = [
        &good[1..],
        &good[..good.len() - 1],
        &flipped,
        &bomb,
        b"",
        b"garbage",
        &[&good[..], &good].concat(),
    ];
    let check = |tenant: &Tenant, agent: &Agent, why: &str| {
        let run = agent.expect(&["apply"], 0);
        assert_eq!(
            (&run.json[0]["event"], &run.json[0]["sync"]),
            (&"sync".into(), &false.into()),
            "{why}"
        );
        assert_eq!(agent.active_file("main.py"), "two");
        let asked = asked(tenant);
        assert_eq!(asked.iter().filter(|path| path.starts_with("edge/")).count(), 1, "{asked:?}");
        assert!(asked.contains(&"tuf/timestamp.json".to_owned()), "{asked:?}");
    };
    for bytes in bad {
        let (tenant, agent) = updated();
        tenant.server.put(SYNC, bytes);
        check(&tenant, &agent, "bytes");
    }
    for fault in [
        Fault::Status(404),
        Fault::Status(400),
        Fault::Status(401),
        Fault::Status(500),
        Fault::Status(302),
        Fault::Busy(1),
        Fault::Page,
        Fault::Garbage,
        Fault::CutAfter(10),
        Fault::Endless(10_000_000),
    ] {
        let (tenant, agent) = updated();
        tenant.server.fault("edge/sync", fault);
        check(&tenant, &agent, &format!("{fault:?}"));
    }
    // An answer without what is needed is no failure.
    let (tenant, agent) = updated();
    tenant.server.put(SYNC, other);
    assert_eq!(agent.expect(&["apply"], 0).json[0]["event"], "applied");
}

/// What comes in a frame is verified as ever: an older timestamp is a rollback, a forged one is refused,
/// and nothing changes.
#[test]
fn frames_are_not_believed() {
    let (tenant, agent) = world();
    let replayed = tenant.server.files();
    tenant.publish(2, &[version(2, "two")]);
    agent.expect(&["apply", "--no-sync"], 0);
    let answer = |name: &str, bytes: Vec<u8>| {
        let mut answers = Answers::default();
        assert!(answers.add(name, Answer::File(bytes)));
        answers.encode(None).unwrap()
    };
    let timestamp = replayed["/v1/t/acme/tuf/timestamp.json"].clone();
    tenant.server.put(SYNC, answer("tuf/timestamp.json", timestamp));
    agent.expect(&["apply"], 8);
    let forged = String::from_utf8(tenant.server.files()["/v1/t/acme/tuf/timestamp.json"].clone());
    let forged = forged.unwrap().replace("\"version\":2", "\"version\":3");
    tenant.server.put(SYNC, answer("tuf/timestamp.json", forged.into_bytes()));
    agent.expect(&["apply"], 6);
    tenant.server.put(SYNC, answer("tuf/2.root.json", b"{}".to_vec()));
    agent.expect(&["apply"], 6);
    assert_eq!(agent.active_file("main.py"), "two");
}

/// A delta in a frame that is not the right one costs nothing but the next way.
#[test]
fn bad_deltas_ahead_are_replaced() {
    let (tenant, agent) = updated();
    let (one, two) = (version(1, "one"), version(2, "two"));
    let mut answers = Answers::decode(
        &tenant.server.files()[SYNC],
        Some(&tenant.server.files()["/v1/t/acme/tuf/1.targets.json"]),
    )
    .unwrap();
    let path = format!("delta/{}..{}", one.file.custom.tree, two.file.custom.tree);
    answers.take(&path).unwrap();
    assert!(answers.add(&path, Answer::File(b"not a delta".to_vec())));
    tenant.server.put(SYNC, answers.encode(None).unwrap());
    tenant.server.put(
        format!("/v1/t/acme/pack/{}", two.file.custom.tree),
        delta::encode(None, &files("two")).unwrap(),
    );
    assert_eq!(agent.expect(&["apply"], 0).json[0]["via"], "pack");
}

/// Files that were changed on the disk are not what the agent holds: a server that says that nothing is
/// newer would keep it from ever working again.
#[test]
fn damaged_metadata_is_not_said_to_be_held() {
    let (tenant, agent) = world();
    let path = agent.home().join("state/timestamp.json");
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"sig\":\"", "\"sig\":\"00", 1);
    std::fs::write(&path, text).unwrap();
    agent.expect(&["apply"], 0);
    assert_eq!(asked(&tenant)[0], "edge/sync?root=1");
    tenant.server.fault("edge/sync", Fault::Status(204));
    let path = agent.home().join("state/snapshot.json");
    std::fs::remove_file(path).unwrap();
    agent.expect(&["apply"], 0);
}

/// What an update costs is asked for, where the server says it.
#[test]
fn check_tells_how_much_an_update_is() {
    let (tenant, agent) = updated();
    let run = agent.expect(&["check"], 10);
    assert_eq!(run.json[0].get("to_fetch"), None, "this server knows only zips");
    let (one, two) = (version(1, "one"), version(2, "two"));
    let path = format!("/v1/t/acme/delta/{}..{}", one.file.custom.tree, two.file.custom.tree);
    tenant.server.put(path, vec![0; 321]);
    let estimate = || agent.expect(&["check"], 10).json.pop().unwrap()["to_fetch"].clone();
    assert_eq!(estimate(), 321);
    agent.expect(&["fetch"], 0);
    assert_eq!(estimate(), 0);
}
