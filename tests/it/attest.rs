//! What is written about a bundle, verified by tools that are not ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use colophon_store::rows::TenantRow;
use serde_json::Value;

use crate::support::programs::{cache, must_be_marked_unavailable, program};
use crate::support::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

/// A bundle and all that is served about it, as files.
struct Served {
    server: TestServer,
    tenant: TestTenant,
    edge: Value,
    zip: String,
}

impl Served {
    fn new() -> Self {
        let server = TestServer::start();
        let tenant = server.tenant("acme-inc");
        let edge = server.build(&tenant, ORDER_INTAKE).json()["outputs"][1]["edge"].clone();
        let text = |name: &str| edge[name].as_str().unwrap().to_owned();
        let zip = format!("{}.{}", text("edge_sha256"), text("target"));
        let all = Self { server, tenant, edge, zip };
        all.save(&format!("targets/{}", all.zip), &all.zip);
        for file in ["SHA256SUMS", &format!("{}.minisig", all.zip)] {
            all.save(&format!("targets/{file}"), file);
        }
        all.save("edge/order_intake/provenance.json", "provenance.json");
        all.save("edge/order_intake/sbom.json", "sbom.json");
        for file in ["ed25519.pem", "p256.pem", "minisign.pub"] {
            let key = all.server.get(&format!("/v1/keys/attestation/{file}"), &[]);
            assert_eq!(key.status, 200);
            std::fs::write(all.path(file), key.bytes).unwrap();
        }
        let keys = all.server.get("/v1/keys/attestation", &[]);
        std::fs::write(all.path("keys.json"), keys.bytes).unwrap();
        all
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let answer = self.server.get_with(&format!("/v1/t/acme-inc/{path}"), &self.tenant.edge);
        assert_eq!(answer.status, 200, "{path}");
        answer.bytes
    }

    fn save(&self, path: &str, name: &str) {
        std::fs::write(self.path(name), self.get(path)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.server.path(name)
    }

    fn run(&self, program: &Path, args: &[&str]) -> Output {
        Command::new(program).args(args).current_dir(self.server.dir.path()).output().unwrap()
    }

    /// Runs a stock tool of the distribution; `None`, loudly, when it is not to be had.
    fn stock(&self, program: &str, args: &[&str]) -> Option<Output> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if std::env::split_paths(&paths).any(|dir| dir.join(program).is_file()) {
            return Some(self.run(Path::new(program), args));
        }
        eprintln!("NOT RUN: `{program}` is missing");
        must_be_marked_unavailable(program);
        None
    }

    fn python(&self, args: &[&str]) -> Option<Output> {
        let python = cache().join("attest/bin/python");
        if !python.exists() {
            eprintln!("NOT RUN: the Python environment that verifies bundles is missing");
            must_be_marked_unavailable("attest");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/attest.py");
        Some(self.run(&python, &[&[script], args].concat()))
    }

    fn statement(&self) -> Value {
        let envelope: Value =
            serde_json::from_slice(&self.get("edge/order_intake/provenance.json")).unwrap();
        let payload = envelope["payload"].as_str().unwrap();
        let payload = data_encoding::BASE64.decode(payload.as_bytes()).unwrap();
        serde_json::from_slice(&payload).unwrap()
    }
}

fn succeeds(output: Option<Output>) -> Option<String> {
    let output = output?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    Some(text(&output.stdout))
}

fn fails(output: Option<Output>) {
    if let Some(output) = output {
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Changes one byte in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn sha256sum_unzip_and_minisign_accept_the_zip_and_no_other() {
    let served = Served::new();
    let sums = || served.stock("sha256sum", &["-c", "SHA256SUMS"]);
    let minisig = || served.stock("minisign", &["-Vm", &served.zip, "-p", "minisign.pub"]);
    succeeds(sums());
    succeeds(served.stock("unzip", &["-t", &served.zip]));
    if let Some(said) = succeeds(minisig()) {
        let (sha256, target) = (&served.edge["edge_sha256"], &served.edge["target"]);
        let comment = format!(
            "Trusted comment: colophon v1 tenant:acme-inc flow:order_intake target:{} \
             version:1.0.1 seq:1 sha256:{}",
            target.as_str().unwrap(),
            sha256.as_str().unwrap()
        );
        assert!(said.contains(&comment), "{said}");
    }
    damage(&served.path(&served.zip));
    fails(sums());
    fails(minisig());
}

/// The trusted comment is signed too: another version cannot be written into it.
#[test]
fn minisign_refuses_a_changed_comment() {
    let served = Served::new();
    let file = served.path(&format!("{}.minisig", served.zip));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("seq:1 ", "seq:9 ")).unwrap();
    fails(served.stock("minisign", &["-Vm", &served.zip, "-p", "minisign.pub"]));
}

#[test]
fn openssl_verifies_both_signatures_over_the_encoding() {
    let served = Served::new();
    let envelope: Value =
        serde_json::from_slice(&std::fs::read(served.path("provenance.json")).unwrap()).unwrap();
    let decode =
        |text: &Value| data_encoding::BASE64.decode(text.as_str().unwrap().as_bytes()).unwrap();
    let payload = decode(&envelope["payload"]);
    let head = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len());
    std::fs::write(served.path("pae"), [head.as_bytes(), &payload].concat()).unwrap();
    for (at, name) in [(0, "ed25519.sig"), (1, "p256.sig")] {
        std::fs::write(served.path(name), decode(&envelope["signatures"][at]["sig"])).unwrap();
    }
    let ed25519: Vec<&str> =
        "pkeyutl -verify -rawin -pubin -inkey ed25519.pem -in pae -sigfile ed25519.sig"
            .split(' ')
            .collect();
    let p256: Vec<&str> =
        "dgst -sha256 -verify p256.pem -signature p256.sig pae".split(' ').collect();
    succeeds(served.stock("openssl", &ed25519));
    succeeds(served.stock("openssl", &p256));
    damage(&served.path("pae"));
    fails(served.stock("openssl", &ed25519));
    fails(served.stock("openssl", &p256));
}

#[test]
fn securesystemslib_verifies_the_envelope() {
    let served = Served::new();
    let verify = || served.python(&["dsse", "provenance.json", "keys.json"]);
    if let Some(told) = succeeds(verify()) {
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["type"], "application/vnd.in-toto+json");
        let statement: Value = serde_json::from_str(told["payload"].as_str().unwrap()).unwrap();
        assert_eq!(statement, served.statement());
    }
    let mut envelope: Value =
        serde_json::from_slice(&served.get("edge/order_intake/provenance.json")).unwrap();
    envelope["payloadType"] = "application/json".into();
    std::fs::write(served.path("provenance.json"), envelope.to_string()).unwrap();
    fails(verify());
}

#[test]
fn the_bill_of_materials_is_valid_and_complete() {
    let served = Served::new();
    succeeds(served.python(&["sbom", "sbom.json"]));
    let bill: Value = serde_json::from_slice(&served.get("edge/order_intake/sbom.json")).unwrap();
    let refs: Vec<&str> = bill["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["bom-ref"].as_str().unwrap())
        .collect();
    for part in
        ["flow", "pkg:pypi/playwright@1.65.2", "file/manifest.json", "file/colophon_edge.py"]
    {
        assert!(refs.contains(&part), "{part}: {refs:?}");
    }
    assert!(bill["metadata"].get("timestamp").is_none());
}

/// The statement says who made what from what, with facts of the build's record and nothing else.
#[test]
fn the_statement_is_about_the_zip_and_names_what_went_in() {
    let served = Served::new();
    let statement = served.statement();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], served.edge["edge_sha256"]);
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let definition = &statement["predicate"]["buildDefinition"];
    assert_eq!(definition["externalParameters"]["tenant"], "acme-inc");
    assert_eq!(definition["externalParameters"]["flow"], "order_intake");
    let body = colophon_model::Sha256::of(ORDER_INTAKE).to_string();
    assert_eq!(definition["resolvedDependencies"][0]["digest"]["sha256"], body.as_str());
    let targets = String::from_utf8(served.get("tuf/2.targets.json")).unwrap_or_default();
    let attestation = colophon_model::Sha256::of(&served.get("edge/order_intake/provenance.json"));
    let signed = format!("\"attestation\":\"sha256:{attestation}\"");
    assert!(targets.contains(&signed), "named in the signed metadata: {targets}");
}

/// A build that leaves the bundle as it was leaves everything about it as it was.
#[test]
fn an_unchanged_bundle_keeps_what_was_written_about_it() {
    let served = Served::new();
    let all = || {
        ["edge/order_intake/provenance.json", "edge/order_intake/sbom.json", "tuf/timestamp.json"]
            .map(|path| served.get(path))
    };
    let before = all();
    served.server.clock.advance(60_000);
    let flow = String::from_utf8(ORDER_INTAKE.to_vec()).unwrap();
    let mut flow: Value =
        serde_json::from_str(&flow.replace("You extract orders.", "You find orders.")).unwrap();
    flow["revision"] = 99.into();
    let built = served.server.build(&served.tenant, flow.to_string().as_bytes());
    assert_eq!(built.status, 201, "{:#}", built.json());
    assert_eq!(built.json()["outputs"][1]["edge"]["edge_sha256"], served.edge["edge_sha256"]);
    assert!(all() == before);

    let changed = String::from_utf8(ORDER_INTAKE.to_vec()).unwrap().replace("#order", "#order-b");
    let mut changed: Value = serde_json::from_str(&changed).unwrap();
    changed["revision"] = 100.into();
    assert_eq!(served.server.build(&served.tenant, changed.to_string().as_bytes()).status, 201);
    let after = all();
    assert!(before.iter().zip(&after).all(|(before, after)| before != after));
    let sha256 = served.edge["edge_sha256"].as_str().unwrap();
    assert_eq!(served.get(&format!("bundles/{sha256}/provenance.json")), before[0], "by checksum");
    assert_eq!(served.get(&format!("bundles/{sha256}/sbom.json")), before[1]);
}

/// An operator's rollback gives the old zip a new number, which its signature names. Who made it from what
/// stays as it was.
#[test]
fn a_rollback_is_signed_under_its_new_number() {
    let served = Served::new();
    let provenance = served.get("edge/order_intake/provenance.json");
    let changed = String::from_utf8(ORDER_INTAKE.to_vec()).unwrap().replace("#order", "#order-b");
    let mut changed: Value = serde_json::from_str(&changed).unwrap();
    changed["revision"] = 100.into();
    assert_eq!(served.server.build(&served.tenant, changed.to_string().as_bytes()).status, 201);
    let press = &served.server.app.press;
    let row = press.store.view().unwrap().get::<TenantRow>(&"acme-inc".parse().unwrap());
    let row = row.unwrap().unwrap();
    press.roll_back(&row, &"order_intake".parse().unwrap(), None).unwrap();
    assert_eq!(served.get("edge/order_intake/provenance.json"), provenance);
    let minisig = format!("{}.minisig", served.zip);
    served.save(&format!("targets/{minisig}"), &minisig);
    let said = served.stock("minisign", &["-Vm", &served.zip, "-p", "minisign.pub"]);
    if let Some(said) = succeeds(said) {
        assert!(said.contains("version:1.0.3 seq:3 "), "{said}");
    }
}

/// The command line tells the same keys as the server, beside it.
#[test]
fn the_command_line_shows_the_keys() {
    let served = Served::new();
    let data = served.server.data();
    let args = ["keys", "show", "--data", data.to_str().unwrap(), "--json"];
    let told = succeeds(Some(served.run(&program("colophon"), &args))).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    for (member, file) in
        [("ed25519", "ed25519.pem"), ("p256", "p256.pem"), ("minisign", "minisign.pub")]
    {
        let key = std::fs::read_to_string(served.path(file)).unwrap();
        assert_eq!(told[member], key.as_str());
    }
}

#[test]
fn what_is_written_about_a_bundle_is_the_tenants_alone() {
    let served = Served::new();
    let thief = served.server.tenant("thief");
    let sha256 = served.edge["edge_sha256"].as_str().unwrap();
    let zeros = "0".repeat(64);
    for path in [
        format!("bundles/{sha256}/provenance.json"),
        format!("bundles/{zeros}/provenance.json"),
        format!("bundles/{sha256}/other.json"),
        format!("targets/{}.minisig", served.zip),
        "edge/order_intake/sbom.json".to_owned(),
    ] {
        for slug in ["thief", "acme-inc"] {
            let answer = served.server.get_with(&format!("/v1/t/{slug}/{path}"), &thief.edge);
            assert_eq!(answer.status, 404, "{slug} {path}");
        }
    }
    assert_eq!(served.server.get("/v1/keys/attestation/other.pem", &[]).status, 404);
    let nothing = small_flow("no_edge", None, "x");
    assert_eq!(served.server.build(&thief, &nothing).status, 201);
    let sums = served.server.get_with("/v1/t/thief/targets/SHA256SUMS", &thief.edge);
    assert_eq!((sums.status, sums.bytes.len()), (200, 0));
}

/// The published manifest: in the seeds' shape, with a tag that stays while the bundle does.
#[test]
fn the_published_manifest_is_complete_and_revalidated() {
    let served = Served::new();
    let path = "/v1/t/acme-inc/edge/order_intake/manifest.json";
    let bearer = format!("Bearer {}", served.tenant.edge);
    let answer = served.server.get(path, &[("authorization", &bearer)]);
    let manifest = answer.json();
    for member in ["slug", "version", "sha256", "url", "runtime", "requirements", "cpu_arch"] {
        assert!(!manifest[member].is_null(), "{member}");
    }
    assert_eq!(manifest["sha256"], served.edge["edge_sha256"]);
    let zip = served.server.get(manifest["url"].as_str().unwrap(), &[]);
    assert_eq!(zip.status, 200);
    let tag = answer.header("etag");
    let again = [("authorization", bearer.as_str()), ("if-none-match", tag)];
    let again = served.server.get(path, &again);
    assert_eq!((again.status, again.bytes.len()), (304, 0));

    // Inside of the bundle: without what changes while the files do not.
    succeeds(served.stock("unzip", &["-q", &served.zip, "manifest.json", "-d", "unzipped"]));
    let Ok(inside) = std::fs::read(served.path("unzipped/manifest.json")) else { return };
    let inside: Value = serde_json::from_slice(&inside).unwrap();
    for member in ["slug", "runtime", "requirements", "cpu_arch"] {
        assert_eq!(inside[member], manifest[member], "{member}");
    }
    for member in ["sha256", "url", "version", "seq", "tree", "length"] {
        assert!(inside[member].is_null(), "{member}");
    }
}

/// A-25 and A-26 with the agent's own command: 0 for what is signed, 6 for anything else, 2 for a key
/// that is none.
#[test]
fn edge_fetch_verifies_attestations() {
    let served = Served::new();
    let fetch = program("edge-fetch");
    let verify = |args: &[&str]| {
        let args = [&["attest", "verify", "provenance.json", "--json"], args].concat();
        let output = served.run(&fetch, &args);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let both = ["--key", "ed25519.pem", "--key", "p256.pem", "--bundle", &served.zip];
    let (code, told) = verify(&both);
    assert_eq!(code, Some(0), "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["statement"], served.statement());
    assert_eq!(verify(&["--key", "p256.pem"]).0, Some(0));
    assert_eq!(verify(&["--key", "p256.pem", "--threshold", "2"]).0, Some(2));
    assert_eq!(verify(&["--key", "sbom.json"]).0, Some(2));
    assert_eq!(verify(&["--key", "p256.pem", "--bundle", "sbom.json"]).0, Some(6), "another file");
    let stranger = TestServer::start().get("/v1/keys/attestation/p256.pem", &[]).bytes;
    std::fs::write(served.path("stranger.pem"), stranger).unwrap();
    assert_eq!(verify(&["--key", "p256.pem", "--key", "stranger.pem"]).0, Some(6));
    std::fs::write(served.path("provenance.json"), "<html>").unwrap();
    assert_eq!(verify(&both).0, Some(6));
}

/// The guide's commands, as they stand there.
#[test]
fn the_guide_works_as_it_is_written() {
    let served = Served::new();
    for tool in ["curl", "jq", "minisign"] {
        if served.stock(tool, &["--help"]).is_none() {
            return;
        }
    }
    let guide = include_str!("../../docs/guides/verify-with-stock-tools.md");
    let blocks = |language: &str| -> String {
        let fence = format!("```{language}\n");
        guide.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
    };
    let shell = blocks("sh").replace("https://colophon.example", &served.server.url);
    let shell = format!("set -euo pipefail\nmkdir guide && cd guide\n{shell}");
    let here = program("edge-fetch").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .args(["-c", &shell])
        .current_dir(served.server.dir.path())
        .env("TOKEN", &served.tenant.edge)
        .env("PATH", format!("{}:{path}", here.display()))
        .output()
        .unwrap();
    let said = succeeds(Some(output)).unwrap_or_default();
    for line in ["OK", "Signature Verified Successfully", "Verified OK", "true", "playwright"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let python = cache().join("attest/bin/python");
    if python.exists() {
        let output = Command::new(python)
            .args(["-c", &blocks("python")])
            .current_dir(served.path("guide"))
            .output()
            .unwrap();
        succeeds(Some(output));
    }
}
