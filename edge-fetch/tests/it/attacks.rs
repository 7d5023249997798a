//! What is left of the attacks of docs/edge-attacks.md, against the real program: each ends with its exit
//! code, and what was active still is.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};

use colophon_model::{Digest, TenantUid, UnixMillis};
use colophon_trust::{Seed, TenantKeys, Versions, next_root, sign_timestamp};

use crate::bundles::{Agent, Bundle, DAY, Tenant, bundle, describe, large_bundle, now, zip_of};
use crate::forge::{Forge, id, public, sign_as};
use crate::server::Fault;

const TUF: &str = "/v1/t/acme/tuf";

/// A tenant whose bundle 1 is active on an agent, and whose bundle 2 is published.
fn behind() -> (Tenant, Agent) {
    let tenant = Tenant::new();
    tenant.publish(1, &[one()]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    tenant.publish(2, &[two()]);
    (tenant, agent)
}

fn one() -> Bundle {
    bundle(1, &[("main.py", "one")])
}

fn two() -> Bundle {
    bundle(2, &[("main.py", "two")])
}

#[track_caller]
fn refused(agent: &Agent, code: i32) {
    let before = agent.tree("flows");
    agent.expect(&["apply"], code);
    assert_eq!(agent.tree("flows"), before);
    assert_eq!(agent.active_file("main.py"), "one");
}

/// Serves the file `from` of the repository as `to`.
fn serve_as(tenant: &Tenant, from: &str, to: &str) {
    let bytes = tenant.server.files()[&format!("{TUF}/{from}")].clone();
    tenant.server.put(format!("{TUF}/{to}"), bytes);
}

/// the old timestamp alone, which names the same snapshot as the one that was signed after it.
#[test]
fn an_old_timestamp_alone() {
    let (tenant, agent) = behind();
    let old = tenant.server.files();
    let snapshot = &old[&format!("{TUF}/2.snapshot.json")];
    let versions = Versions::all(NonZeroU64::new(2).unwrap());
    let versions = Versions { timestamp: NonZeroU64::new(3).unwrap(), ..versions };
    let signed = sign_timestamp(tenant.keys.online(), versions, snapshot, now()).unwrap();
    for (name, bytes) in signed.files {
        tenant.server.put(format!("{TUF}/{name}"), bytes);
    }
    agent.expect(&["check"], 10);
    tenant.server.replace_files(old);
    refused(&agent, 8);
    refused(&agent, 8); // It was not kept either.
}

/// signed files of two moments, each good for itself.
#[test]
fn old_files_under_new_names() {
    for file in ["targets.json", "snapshot.json"] {
        let (tenant, agent) = behind();
        serve_as(&tenant, &format!("1.{file}"), &format!("2.{file}"));
        refused(&agent, 6);
        tenant.publish(3, &[two()]);
        agent.expect(&["apply"], 0);
    }
}

/// a timestamp that is withheld looks like a tenant that is not there (4), or like a bad line (3);
/// what is active runs on.
#[test]
fn a_withheld_timestamp() {
    let (tenant, agent) = behind();
    for (fault, code) in [(Fault::Status(404), 4), (Fault::Status(500), 3), (Fault::CutAfter(0), 3)]
    {
        tenant.server.fault("timestamp.json", fault);
        refused(&agent, code);
        agent.expect(&["status"], 0);
        agent.expect(&["verify"], 0);
    }
    agent.expect(&["apply"], 0);
}

/// a body that stops coming, without an end, is given up and continued later.
#[test]
fn a_body_that_stalls_is_given_up_and_continued() {
    let tenant = Tenant::new();
    let bundle = large_bundle(1);
    tenant.publish(1, std::slice::from_ref(&bundle));
    let agent = Agent::enrolled(&tenant);
    tenant.server.fault("/targets/", Fault::StallAfter(30_000));
    let begun = Instant::now();
    let run = agent.expect(&["fetch", "--stall-timeout", "300ms"], 3);
    assert!(run.stderr.contains("broke off after 30000 bytes"), "{}", run.stderr);
    std::fs::write(agent.home().join("edge-fetch.toml"), "stall_timeout = '300ms'").unwrap();
    tenant.server.fault("timestamp.json", Fault::StallAfter(0));
    agent.expect(&["fetch"], 3);
    assert!(begun.elapsed() < Duration::from_mins(2), "both waits are those that were set");
    assert_eq!(agent.expect(&["fetch"], 0).json[0]["resumed_from"], 30_000);
}

/// a root that the pinned keys did not sign, one version too high, and more than one run follows.
#[test]
fn roots_that_do_not_follow() {
    let (tenant, agent) = behind();
    let pinned = tenant.root();
    let next = |keys: &TenantKeys, before: &[u8]| next_root(keys, before, now()).unwrap();
    let second = next(&tenant.keys, &pinned);
    let third = next(&tenant.keys, &second);
    let other = Tenant {
        keys: TenantKeys::derive(&Seed::new([8; 32]), TenantUid::from_bytes([9; 16])),
        ..Tenant::new()
    };
    let foreign = next(&other.keys, &other.root());
    for bad in [foreign, third] {
        tenant.server.put(format!("{TUF}/2.root.json"), bad);
        refused(&agent, 6);
    }
    let mut root = pinned;
    for number in 2..=300 {
        root = next(&tenant.keys, &root);
        tenant.server.put(format!("{TUF}/{number}.root.json"), root.clone());
    }
    tenant.server.requests("");
    refused(&agent, 6);
    assert_eq!(tenant.server.requests("root.json").len(), 257, "256 are followed");
    // They were good, so the next run goes on behind them.
    agent.expect(&["apply"], 0);
}

/// one key that signs under two ids is one key.
#[test]
fn one_root_key_under_two_ids() {
    let (tenant, forge, agent) = (Tenant::new(), Forge::new("acme"), Agent::new());
    let mut value = forge.root_value(1);
    value["keys"]["other-name"] = public(&forge.root[0]);
    value["roles"]["root"]["keyids"].as_array_mut().unwrap().push("other-name".into());
    let twice = [(id(&forge.root[0]), &forge.root[0]), ("other-name".to_owned(), &forge.root[0])];
    let run = agent.enroll(&tenant.server.url, "acme", &sign_as(&value, &twice));
    assert_eq!(run.code, 6, "{}", run.stderr);
    agent.expect(&["status"], 2);
}

/// one architecture under its other names is taken; a bundle for none, or for an unknown one, is not.
#[test]
fn other_names_of_an_architecture() {
    let named: &[&str] = match std::env::consts::ARCH {
        "x86_64" => &["amd64", "x64", "x86_64"],
        "aarch64" => &["arm64", "aarch64"],
        other => panic!("no other names of {other} are known"),
    };
    for arch in named {
        let (tenant, agent) = behind();
        for (version, archs, code) in
            [(3, vec![], 9), (4, vec!["z80".to_owned()], 9), (5, vec![(*arch).to_owned()], 0)]
        {
            let mut two = two();
            two.file.custom.cpu_arch = archs;
            tenant.publish(version, &[two]);
            assert_eq!(agent.run(&["apply"]).code, code, "{arch}");
        }
        assert_eq!(agent.active_file("main.py"), "two");
    }
}

/// two bundles under one number: both signed files are kept, and the first pair is not overwritten.
#[test]
fn both_sides_of_a_fork_are_kept() {
    let tenant = Tenant::new();
    tenant.publish(1, &[one()]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    let signed = |n: u64| tenant.server.files()[&format!("{TUF}/{n}.targets.json")].clone();
    for version in [2, 3] {
        let mut other = bundle(1, &[("main.py", "two")]);
        other.file.custom.version = format!("9.{version}");
        tenant.publish(version, &[other]);
        refused(&agent, 6);
    }
    let kept = agent.tree("state/forks");
    let of = |name: &str| kept.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
    assert_eq!((kept.len(), of("known.json"), of("offered.json")), (2, &signed(1), &signed(2)));
}

/// paths that lead elsewhere on some platform, in a signed list of files: neither as a pack, nor as
/// a list, nor as a zip is anything of them written.
#[test]
fn bad_paths_in_a_signed_list() {
    let lists: [&[&str]; 12] = [
        &["../evil"],
        &["/evil"],
        &["a/../../evil"],
        &["a\\evil"],
        &["C:evil"],
        &["evil:stream"],
        &["CON"],
        &["lib/nul.py"],
        &["evil."],
        &["evil "],
        &["evil.py", "Evil.py"],
        &["evil", "evil/evil"],
    ];
    for names in lists {
        let (tenant, agent) = behind();
        let version = publish_list(&tenant, names);
        tenant.server.requests("");
        refused(&agent, 6);
        let asked = tenant.server.requests(&version.to_string());
        let words: Vec<_> = asked.iter().map(|r| r.path.split('/').nth(4).unwrap()).collect();
        assert_eq!(words, ["delta", "pack", "tree"], "{names:?}");
        assert!(!below(agent.dir.path()).iter().any(|path| path.contains("evil")), "{names:?}");
    }
    // The lists are bad for nothing but the names.
    let (tenant, agent) = behind();
    publish_list(&tenant, &["good.py", "lib/good.py"]);
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("lib/good.py"), "evil");
}

/// Publishes a bundle whose signed list has these names, in every way that it can come; returns the
/// list's digest.
fn publish_list(tenant: &Tenant, names: &[&str]) -> Digest {
    let (word, mut names) = ("evil", names.to_vec());
    names.sort_unstable();
    let blob = Digest::of(word.as_bytes());
    let lines = names.iter().map(|name| format!("100644 {blob} {name}\n"));
    let text = format!("colophon tree v1\n{}", lines.collect::<String>());
    let tree = Digest::of(text.as_bytes());
    let files: Vec<_> = names.iter().map(|name| (*name, word)).collect();
    let (count, size) = (names.len() as u64, (names.len() * word.len()) as u64);
    tenant.publish(3, &[describe(3, zip_of(&files), count, size, tree)]);
    let (length, word_length) = (text.len(), word.len());
    let pack = format!(
        "colophon delta v1\ntree {length} {tree}\nblob {word_length} {blob}\n\n{text}{word}"
    );
    let server = &tenant.server;
    server
        .put(format!("/v1/t/acme/pack/{tree}"), zstd::bulk::compress(pack.as_bytes(), 1).unwrap());
    server.put(format!("/v1/t/acme/tree/{tree}"), text);
    server.put(format!("/v1/t/acme/blob/{blob}?tree={tree}"), word);
    tree
}

/// Every name below a folder.
fn below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        if path.is_dir() {
            names.extend(below(&path));
        }
    }
    names
}

/// a bad answer is not remembered: once the server has the right file, the next run takes it.
#[test]
fn a_bad_answer_is_not_remembered() {
    for part in ["timestamp.json", "2.snapshot.json", "2.targets.json"] {
        let (tenant, agent) = behind();
        let good = tenant.server.files();
        let path = format!("{TUF}/{part}");
        let mut bad = good[&path].clone();
        let at = bad.len() / 2;
        bad[at] ^= 1;
        tenant.server.put(path, bad);
        refused(&agent, 6);
        tenant.server.replace_files(good);
        agent.expect(&["apply"], 0);
        assert_eq!(agent.active_file("main.py"), "two");
    }
}

/// what a proxy or a sign-in page makes of an answer is trouble on the way (3), whatever was asked
/// for and however long it is; it is never told as an attack.
#[test]
fn what_is_made_of_an_answer_on_the_way() {
    let (tenant, agent) = behind();
    let zip = two().zip.len();
    for fault in [Fault::Gzip, Fault::PageOf(3), Fault::PageOf(zip), Fault::PageOf(200_000)] {
        for part in
            ["root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "/targets/"]
        {
            let (tenant, agent) = behind();
            if part == "root.json" {
                serve_as(&tenant, "timestamp.json", "2.root.json");
            }
            tenant.server.fault(part, fault);
            refused(&agent, 3);
            assert!(agent.tree("partial").is_empty(), "{fault:?} for {part}");
        }
    }
    agent.expect(&["apply"], 0);
    drop(tenant);
}

/// metadata from ten years behind, by the clock of who signed.
#[test]
fn a_signer_whose_clock_is_ten_years_off() {
    let (tenant, agent) = behind();
    tenant.publish_at(3, &[two()], UnixMillis::new(now().get() - 3_653 * DAY));
    refused(&agent, 7);
}

/// metadata from ten years ahead is taken, for TUF knows no time before which it is not good. It moves
/// nobody's clock, so that what is signed after the mistake is taken as well.
#[test]
fn a_signer_ten_years_ahead_locks_nobody_out() {
    let (tenant, agent) = behind();
    let clock = || {
        let text = std::fs::read_to_string(agent.home().join("state/clock")).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    let before = clock();
    tenant.publish_at(3, &[two()], UnixMillis::new(now().get() + 3_653 * DAY));
    agent.expect(&["apply"], 0);
    assert!(clock() < before + DAY, "from {before} to {}", clock());
    tenant.publish(4, &[bundle(3, &[("main.py", "three")])]);
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "three");
}
