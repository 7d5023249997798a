//! The ways by which a bundle comes: the cheapest that works, each tried once, and whatever a server
//! sends, the files are those that were signed.

use colophon_model::{Artifact, Digest, FileMode, FileSet};
use colophon_trust::delta;
use serde_json::Value;

use crate::bundles::{Agent, Bundle, Run, Tenant, bundle};
use crate::server::Fault;

/// A bundle with everything that a server has of it.
struct Version {
    bundle: Bundle,
    files: FileSet,
}

/// A few files, of which `main.py` says which version it is.
fn version(seq: u64) -> Version {
    let line = |n: u32| format!("def step_{n}(job): return job['{}']\n", n * 7919);
    let library: String = (0..2_000).map(line).collect();
    let main = format!("print({seq})\n");
    let list = [("lib/steps.py", library.as_str()), ("main.py", &main), ("same.py", &main)];
    let artifact = |text: &str| Artifact::new(FileMode::Regular, text.as_bytes().to_vec());
    let files = list.iter().map(|(path, text)| (path.parse().unwrap(), artifact(text)));
    Version { bundle: bundle(seq, &list), files: FileSet::new(files.collect()).unwrap() }
}

impl Version {
    fn tree(&self) -> Digest {
        self.bundle.file.custom.tree
    }

    fn pack_path(&self) -> String {
        format!("/v1/t/acme/pack/{}", self.tree())
    }

    fn delta_path(&self, from: &Self) -> String {
        format!("/v1/t/acme/delta/{}..{}", from.tree(), self.tree())
    }

    fn blob_path(&self, digest: &Digest) -> String {
        format!("/v1/t/acme/blob/{digest}?tree={}", self.tree())
    }

    fn main(&self) -> Artifact {
        self.files.get(&"main.py".parse().unwrap()).unwrap().clone()
    }

    fn delta(&self, from: &Self) -> Vec<u8> {
        delta::encode(Some(&from.files), &self.files).unwrap()
    }

    fn pack(&self) -> Vec<u8> {
        delta::encode(None, &self.files).unwrap()
    }
}

/// Publishes a version with its tree, blobs and pack.
fn publish(tenant: &Tenant, version: &Version) {
    let seq = version.bundle.file.custom.seq;
    tenant.publish(seq, std::slice::from_ref(&version.bundle));
    let server = &tenant.server;
    server.put(format!("/v1/t/acme/tree/{}", version.tree()), version.files.tree().encode());
    server.put(version.pack_path(), version.pack());
    for (_, artifact) in version.files.iter() {
        server.put(version.blob_path(&artifact.digest()), artifact.bytes().to_vec());
    }
}

/// An agent on which version 1 is active, and version 2 that can be had in every way.
fn updating() -> (Tenant, Agent, Version, Version) {
    let (tenant, one, two) = (Tenant::new(), version(1), version(2));
    publish(&tenant, &one);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    publish(&tenant, &two);
    tenant.server.put(two.delta_path(&one), two.delta(&one));
    tenant.server.requests("");
    (tenant, agent, one, two)
}

/// What was asked for besides metadata and where a bucket is, in order, by the first word of its path.
fn asked(tenant: &Tenant) -> Vec<String> {
    let requests = tenant.server.requests("").into_iter().map(|request| request.path);
    let words = requests.filter_map(|path| Some(path.strip_prefix("/v1/t/acme/")?.to_owned()));
    let words = words.map(|path| path.split('/').next().unwrap().to_owned());
    words.filter(|word| word != "tuf" && word != "bundles").collect()
}

fn stages(run: &Run) -> Vec<(String, bool)> {
    let stage =
        |stage: &Value| (stage["via"].as_str().unwrap().to_owned(), stage.get("problem").is_none());
    run.json[0]["stages"].as_array().unwrap().iter().map(stage).collect()
}

/// Applies, and checks by which ways, each once, and that the files are those of `wanted`.
#[track_caller]
fn comes_by(tenant: &Tenant, agent: &Agent, wanted: &Version, ways: &[&str]) {
    let run = agent.expect(&["apply"], 0);
    let (last, failed) = ways.split_last().unwrap();
    assert_eq!(run.json[0]["via"], *last, "{:#}", run.json[0]);
    let expected: Vec<_> = failed.iter().map(|way| ((*way).to_owned(), false)).collect();
    assert_eq!(stages(&run), [expected, vec![((*last).to_owned(), true)]].concat());
    let mut requests = asked(tenant);
    requests.dedup();
    let words: Vec<_> = ways
        .iter()
        .flat_map(|way| match *way {
            "zip" => vec!["targets"],
            "blobs" => vec!["tree", "blob"],
            way => vec![way],
        })
        .collect();
    assert_eq!(requests, words);
    for (path, artifact) in wanted.files.iter() {
        assert_eq!(agent.active_file(path.as_str()).as_bytes(), artifact.bytes());
    }
}

#[test]
fn an_update_is_one_small_request() {
    let (tenant, agent, one, two) = updating();
    let run = agent.expect(&["fetch"], 0);
    assert_eq!(run.json[0]["via"], "delta");
    assert_eq!(run.json[0]["downloaded"], two.delta(&one).len());
    assert!(two.delta(&one).len() < 400 && two.pack().len() > 4_000);
    assert_eq!(asked(&tenant), ["delta"]);
    // What was fetched is not fetched again.
    let run = agent.expect(&["apply"], 0);
    assert_eq!(run.json[0]["via"], "cache");
    assert!(asked(&tenant).is_empty());
    assert_eq!(agent.active_file("main.py"), "print(2)\n");
}

#[test]
fn a_first_install_is_one_pack() {
    let (tenant, one) = (Tenant::new(), version(1));
    publish(&tenant, &one);
    comes_by(&tenant, &Agent::enrolled(&tenant), &one, &["pack"]);
}

#[test]
fn without_deltas_when_told() {
    let (tenant, agent, ..) = updating();
    assert_eq!(agent.expect(&["apply", "--no-delta"], 0).json[0]["via"], "pack");
    assert_eq!(asked(&tenant), ["pack"]);
}

/// A server that knows nothing but zips.
#[test]
fn servers_without_any_of_it() {
    let (tenant, agent, _, two) = updating();
    let mut files = tenant.server.files();
    files.retain(|path, _| path.contains("/tuf/") || path.contains("/targets/"));
    tenant.server.replace_files(files);
    let run = agent.expect(&["apply"], 0);
    assert_eq!(run.json[0]["downloaded"], two.bundle.zip.len());
    assert_eq!(asked(&tenant), ["delta", "pack", "tree", "targets"]);
}

/// A delta for another base or bundle, damaged, with more in it than belongs there, or a bomb.
#[test]
fn bad_deltas_cost_one_request_each() {
    let other = version(3);
    let bomb = zstd::bulk::compress(&vec![0; 100_000_000], 1).unwrap();
    let (_, _, one, two) = updating();
    let good = two.delta(&one);
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bad in [
        two.delta(&other),
        other.delta(&one),
        one.delta(&two),
        flipped,
        good[..good.len() - 1].to_vec(),
        [&good[..], &good].concat(),
        [&good[..], b"more"].concat(),
        Vec::new(),
        bomb.clone(),
        b"<html>Sign in</html>".to_vec(),
    ] {
        let (tenant, agent, one, two) = updating();
        tenant.server.put(two.delta_path(&one), bad);
        comes_by(&tenant, &agent, &two, &["delta", "pack"]);
    }
    for fault in [
        Fault::Page,
        Fault::Status(500),
        Fault::Status(302),
        Fault::Status(404),
        Fault::Garbage,
        Fault::Endless(5_000_000),
        Fault::CutAfter(0),
    ] {
        let (tenant, agent, _, two) = updating();
        tenant.server.fault("/delta/", fault);
        comes_by(&tenant, &agent, &two, &["delta", "pack"]);
    }
}

/// The same further down the chain; single files come only as far as they are not here.
#[test]
fn bad_packs_and_files_fall_through_to_the_zip() {
    let bad = |tenant: &Tenant, path: String| tenant.server.put(path, *b"not this");
    let (tenant, agent, one, two) = updating();
    bad(&tenant, two.delta_path(&one));
    bad(&tenant, two.pack_path());
    let run = agent.expect(&["fetch"], 0);
    assert_eq!(run.json[0]["via"], "blobs");
    let requests = asked(&tenant);
    assert_eq!(requests, ["delta", "pack", "tree", "blob"], "one of three files is new");

    let (tenant, agent, one, two) = updating();
    bad(&tenant, two.delta_path(&one));
    bad(&tenant, two.pack_path());
    bad(&tenant, two.blob_path(&two.main().digest()));
    comes_by(&tenant, &agent, &two, &["delta", "pack", "blobs", "zip"]);

    let (tenant, agent, one, two) = updating();
    bad(&tenant, two.delta_path(&one));
    bad(&tenant, two.pack_path());
    bad(&tenant, format!("/v1/t/acme/tree/{}", two.tree()));
    let name = two.bundle.file.custom.target_name().file_name(&two.bundle.file.sha256);
    let mut zip = two.bundle.zip.clone();
    zip[40] ^= 1;
    tenant.server.put(format!("/v1/t/acme/targets/{name}"), zip);
    let before = agent.tree("flows");
    agent.expect(&["apply"], 6);
    assert_eq!(asked(&tenant), ["delta", "pack", "tree", "targets"], "each once");
    assert_eq!(agent.tree("flows"), before, "and what was active still is");
}

/// A refused token is not tried four times, and a server with too much to do is not given more.
#[test]
fn what_ends_the_chain() {
    let (tenant, agent, ..) = updating();
    for (fault, code) in [(Fault::Status(403), 5), (Fault::Busy(1), 3), (Fault::CutAfter(10), 3)] {
        tenant.server.fault("/delta/", fault);
        agent.expect(&["apply"], code);
        assert_eq!(asked(&tenant), ["delta"], "{fault:?}");
    }
    assert_eq!(agent.expect(&["apply"], 0).json[0]["resumed_from"], 10);
}

/// A file that is cut is not continued; the zip would be.
#[test]
fn a_cut_file_is_followed_by_the_zip() {
    let (tenant, agent, one, two) = updating();
    tenant.server.put(two.delta_path(&one), *b"not this");
    tenant.server.put(two.pack_path(), *b"not this");
    tenant.server.fault("/blob/", Fault::CutAfter(3));
    comes_by(&tenant, &agent, &two, &["delta", "pack", "blobs", "zip"]);
}

/// a file with five megabytes too many is not read to its end, and nothing of it is kept.
#[test]
fn a_file_that_is_too_long_is_followed_by_the_zip() {
    let (tenant, agent, one, two) = updating();
    tenant.server.put(two.delta_path(&one), *b"not this");
    tenant.server.put(two.pack_path(), *b"not this");
    tenant.server.fault("/blob/", Fault::Endless(5_000_000));
    comes_by(&tenant, &agent, &two, &["delta", "pack", "blobs", "zip"]);
    let largest = agent.tree("objects").into_values().map(|bytes| bytes.len()).max().unwrap();
    assert!(largest < 1_000_000);
}

/// A pack over a bad line goes on where it stopped, rather than coming again as something else.
#[test]
fn a_cut_pack_continues() {
    let (tenant, one) = (Tenant::new(), version(1));
    publish(&tenant, &one);
    let agent = Agent::enrolled(&tenant);
    tenant.server.fault("/pack/", Fault::CutAfter(1000));
    agent.expect(&["apply"], 3);
    assert_eq!(asked(&tenant), ["pack"]);
    let run = agent.expect(&["fetch"], 0);
    assert_eq!(run.json[0]["resumed_from"], 1000);
    assert_eq!(run.json[0]["downloaded"], one.pack().len() - 1000);
    let requests = tenant.server.requests("/pack/");
    assert_eq!((requests.len(), requests[0].range.as_deref()), (1, Some("bytes=1000-")));
    assert!(agent.tree("partial").is_empty());

    // The beginning was damaged on the disk: once more from the start, then the next way.
    let agent = Agent::enrolled(&tenant);
    tenant.server.fault("/pack/", Fault::CutAfter(1000));
    agent.expect(&["apply"], 3);
    let parts = agent.tree("partial").into_keys();
    let part = parts.into_iter().find(|path| path.extension().unwrap() == "part").unwrap();
    std::fs::write(&part, vec![0; 1000]).unwrap();
    asked(&tenant);
    agent.expect(&["apply"], 0);
    assert_eq!(asked(&tenant), ["pack", "pack"]);
}

/// Objects that somebody changed are noticed, not used as a base, not unpacked, and replaced.
#[test]
fn poisoned_objects_are_not_believed() {
    let (tenant, agent, _, two) = updating();
    let poison = || {
        for path in agent.tree("objects").into_keys() {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "evil").unwrap();
        }
    };
    poison();
    comes_by(&tenant, &agent, &two, &["pack"]);
    poison();
    comes_by(&tenant, &agent, &two, &["pack"]);
    comes_by_cache(&tenant, &agent);
    for (path, bytes) in agent.tree("objects") {
        let digest = Digest::of(&bytes).to_string();
        if bytes != b"evil" {
            assert!(path.ends_with(&digest), "{}", path.display());
        }
    }
}

#[track_caller]
fn comes_by_cache(tenant: &Tenant, agent: &Agent) {
    assert_eq!(agent.expect(&["apply"], 0).json[0]["via"], "cache");
    assert!(asked(tenant).is_empty());
}

/// Objects are read-only, each once, whatever the number of its names; old zips go.
#[test]
fn what_is_kept() {
    let (tenant, agent, _, two) = updating();
    let old = agent.home().join(format!("objects/{}.zip", "0".repeat(64)));
    std::fs::write(&old, "a zip of an earlier program").unwrap();
    comes_by(&tenant, &agent, &two, &["delta"]);
    assert!(!old.exists());
    let objects = agent.tree("objects");
    // Two lists, two versions of the small file, one of the large.
    assert_eq!(objects.len(), 5);
    #[cfg(unix)]
    for path in objects.keys() {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444, "{}", path.display());
    }
}
