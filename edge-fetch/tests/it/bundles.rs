//! A tenant on a test server, its bundles, and an agent that runs the real program.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::Command;

use colophon_model::{
    Artifact, Digest, EdgeRuntime, FileMode, FileSet, Sha256, TenantSlug, TenantUid, UnixMillis,
};
use colophon_trust::{
    BundleFacts, Channel, EnvFile, EnvName, FactsSchema, Listing, Seed, TargetFile, TenantKeys,
    Versions, initial_root, sign_all,
};
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::server::Server;

pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;
pub(crate) const TOKEN: &str = "clp_edge_test";

/// The machine's time: the program under test reads it too.
#[expect(clippy::disallowed_methods, reason = "the program under test reads the machine's clock")]
pub(crate) fn now() -> UnixMillis {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis::new(u64::try_from(now.as_millis()).unwrap())
}

/// A zip and what is signed about it.
#[derive(Clone)]
pub(crate) struct Bundle {
    pub(crate) zip: Vec<u8>,
    pub(crate) file: TargetFile,
}

/// A bundle of flow `order` of tenant `acme` that runs on this machine.
pub(crate) fn bundle(seq: u64, files: &[(&str, &str)]) -> Bundle {
    let artifacts = files.iter().map(|(path, text)| {
        (path.parse().unwrap(), Artifact::new(FileMode::Regular, text.as_bytes().to_vec()))
    });
    let set = FileSet::new(artifacts.collect()).unwrap();
    let zip = zip_of(files);
    describe(seq, zip, files.len() as u64, set.total_size(), set.tree().digest())
}

/// A bundle whose signed facts are those given, whatever is in the zip.
pub(crate) fn describe(seq: u64, zip: Vec<u8>, files: u64, unpacked: u64, tree: Digest) -> Bundle {
    let custom = BundleFacts {
        schema: FactsSchema,
        slug: "acme".parse().unwrap(),
        flow: "order".parse().unwrap(),
        channel: Channel::Stable,
        version: format!("1.0.{seq}"),
        seq,
        runtime: EdgeRuntime::Python,
        os: vec![std::env::consts::OS.to_owned()],
        cpu_arch: vec![std::env::consts::ARCH.to_owned()],
        requirements: vec![],
        tree,
        unpacked,
        files,
        min_seq: None,
        attestation: None,
    };
    let file = TargetFile { length: zip.len() as u64, sha256: Sha256::of(&zip), custom };
    Bundle { zip, file }
}

pub(crate) fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in files {
        writer.start_file(*path, SimpleFileOptions::default().unix_permissions(0o644)).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A bundle large enough to be cut in the middle: its zip has about 100 kB.
pub(crate) fn large_bundle(seq: u64) -> Bundle {
    let noise: String =
        (0..3_200u32).map(|n| Digest::of(&(n + seq as u32).to_le_bytes()).to_string()).collect();
    bundle(seq, &[("main.py", "print('hello')\n"), ("data/noise.txt", &noise)])
}

/// A tenant's repository on a server.
pub(crate) struct Tenant {
    pub(crate) server: Server,
    pub(crate) keys: TenantKeys,
    pub(crate) slug: TenantSlug,
}

impl Tenant {
    pub(crate) fn new() -> Self {
        let keys = TenantKeys::derive(&Seed::new([7; 32]), TenantUid::from_bytes([9; 16]));
        Self { server: Server::start(), keys, slug: "acme".parse().unwrap() }
    }

    pub(crate) fn root(&self) -> Vec<u8> {
        initial_root(&self.keys, &self.slug, now())
    }

    pub(crate) fn publish(&self, version: u64, bundles: &[Bundle]) {
        self.publish_at(version, bundles, now());
    }

    /// The same with encrypted environments of flow `order` and their bytes.
    pub(crate) fn publish_env(
        &self,
        version: u64,
        bundles: &[Bundle],
        envs: &[(EnvFile, Vec<u8>)],
    ) {
        let named = envs.iter().map(|(file, bytes)| {
            let custom = &file.custom;
            let name = EnvName::new(custom.slug.clone(), custom.flow.clone());
            let path = format!("/v1/t/acme/targets/{}", name.file_name(&file.sha256));
            self.server.put(path, bytes.clone());
            (name, file.clone())
        });
        self.sign(version, bundles, &named.collect(), now());
    }

    /// Signs and serves a version that says that the tenant is archived.
    pub(crate) fn archive(&self, version: u64) {
        let versions = Versions::all(NonZeroU64::new(version).unwrap());
        let signed = sign_all(self.keys.online(), versions, Listing::Archived, now());
        for (name, bytes) in signed.unwrap().files {
            self.server.put(format!("/v1/t/acme/tuf/{name}"), bytes);
        }
    }

    /// Signs and serves a version; files of earlier versions stay.
    pub(crate) fn publish_at(&self, version: u64, bundles: &[Bundle], now: UnixMillis) {
        self.sign(version, bundles, &BTreeMap::new(), now);
    }

    fn sign(
        &self,
        version: u64,
        bundles: &[Bundle],
        envs: &BTreeMap<EnvName, EnvFile>,
        now: UnixMillis,
    ) {
        let mut targets = BTreeMap::new();
        for Bundle { zip, file } in bundles {
            let name = file.custom.target_name();
            let path = format!("/v1/t/acme/targets/{}", name.file_name(&file.sha256));
            self.server.put(path, zip.clone());
            targets.insert(name, file.clone());
        }
        let versions = Versions::all(NonZeroU64::new(version).unwrap());
        let listing = Listing::Current { bundles: &targets, envs };
        let signed = sign_all(self.keys.online(), versions, listing, now);
        for (name, bytes) in signed.unwrap().files {
            self.server.put(format!("/v1/t/acme/tuf/{name}"), bytes);
        }
    }
}

/// The program with a folder of its own.
pub(crate) struct Agent {
    pub(crate) dir: tempfile::TempDir,
    /// Whether it tells the server what it runs.
    pub(crate) reports: bool,
    /// Whether it asks for all in one request.
    pub(crate) syncs: bool,
}

/// How a run of the program ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) json: Vec<Value>,
    pub(crate) stderr: String,
}

impl Agent {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), reports: false, syncs: false }
    }

    pub(crate) fn enrolled(tenant: &Tenant) -> Self {
        let agent = Self::new();
        let run = agent.enroll(&tenant.server.url, "acme", &tenant.root());
        assert_eq!(run.code, 0, "{}", run.stderr);
        agent
    }

    pub(crate) fn enroll(&self, url: &str, tenant: &str, root: &[u8]) -> Run {
        let file = self.dir.path().join("pinned.json");
        std::fs::write(&file, root).unwrap();
        let file = file.to_str().unwrap();
        self.run(&["enroll", "--url", url, "--tenant", tenant, "--root", file])
    }

    /// The agent's folder.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-fetch"));
        command.arg("--dir").arg(self.home()).args(args);
        command.env("EDGE_FETCH_TOKEN", TOKEN).env("NO_PROXY", "*");
        // Reports and one request for all have tests of their own.
        command.env("EDGE_FETCH_NO_REPORT", (!self.reports).to_string());
        command.env("EDGE_FETCH_NO_SYNC", (!self.syncs).to_string());
        command
    }

    /// Runs with `--json`.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let output = self.command(args).arg("--json").output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Run {
            code: output.status.code().unwrap(),
            json: stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs, and checks the exit code.
    #[track_caller]
    pub(crate) fn expect(&self, args: &[&str], code: i32) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, code, "{args:?}: {}", run.stderr);
        assert_eq!(run.stderr.contains("error: "), !matches!(code, 0 | 10), "{}", run.stderr);
        run
    }

    /// What the pointer of flow `order` says.
    pub(crate) fn current(&self) -> Option<String> {
        std::fs::read_to_string(self.home().join("flows/order/current")).ok()
    }

    /// A file of the active generation of flow `order`.
    pub(crate) fn active_file(&self, path: &str) -> String {
        let generation = self.current().expect("something is active");
        let folder = self.home().join("flows/order").join(generation.trim_end());
        std::fs::read_to_string(folder.join(path)).unwrap()
    }

    /// Every file below `part` of the folder, by path.
    pub(crate) fn tree(&self, part: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.home().join(part)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        found
    }
}
