//! New keys. The server cannot rotate yet, so the metadata is forged, and the agent runs as a
//! library at the forger's time.

use colophon_edge_fetch::{
    Agent, Cache, Config, Error, Exit, HttpTransport, Network, Offer, Platform, enroll,
};
use colophon_trust::Error as Trust;
use serde_json::{Value, json};

use crate::forge::{Forge, NOW, key};
use crate::server::Server;

struct Fixture {
    server: Server,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new(forge: &Forge) -> Self {
        let fixture = Self { server: Server::start(), dir: tempfile::tempdir().unwrap() };
        enroll(&fixture.cache(), fixture.config(), &forge.root_bytes(1)).unwrap();
        fixture
    }

    fn cache(&self) -> Cache {
        Cache::new(self.dir.path())
    }

    fn config(&self) -> Config {
        let (url, tenant) = (self.server.url.parse().unwrap(), "acme".parse().unwrap());
        Config { url, tenant, token_file: None, device: None, name: None }
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.server.put(format!("/v1/t/acme/tuf/{name}"), bytes);
    }

    /// Serves a version of which the files have the given numbers.
    fn publish(&self, forge: &Forge, timestamp: u64, snapshot: u64) {
        self.publish_targets(forge, &json!({}), (timestamp, snapshot));
    }

    fn publish_targets(&self, forge: &Forge, targets: &Value, (timestamp, snapshot): (u64, u64)) {
        let targets_bytes = forge.targets_bytes(snapshot, targets);
        let snapshot_bytes = forge.snapshot_bytes(snapshot, snapshot, &targets_bytes);
        let timestamp_bytes = forge.timestamp_bytes(timestamp, snapshot, &snapshot_bytes);
        self.put(&format!("{snapshot}.targets.json"), targets_bytes);
        self.put(&format!("{snapshot}.snapshot.json"), snapshot_bytes);
        self.put("timestamp.json", timestamp_bytes);
    }

    fn check(&self) -> Result<Vec<Offer>, Error> {
        let transport = HttpTransport::new(&self.config(), &Network::default(), None)?;
        Agent::open(self.cache(), transport, Platform::current(), NOW)?.check()
    }
}

/// Somebody had the snapshot key and raised its version to the sky. A new key brings it down, and
/// the old one is worth nothing any more.
#[test]
fn a_new_snapshot_key_undoes_a_fast_forward() {
    let old = Forge::new("acme");
    let fixture = Fixture::new(&old);
    fixture.publish(&old, 5, 1_000_000_000);
    fixture.check().unwrap();
    fixture.publish(&old, 6, 3);
    let result = fixture.check();
    assert!(matches!(result, Err(Error::Trust(Trust::Rollback { .. }))), "{result:?}");

    let mut new = Forge::new("acme");
    new.snapshot = key(15);
    fixture.put("2.root.json", new.root_bytes(2));
    fixture.publish(&new, 6, 3);
    fixture.check().unwrap();
    assert_eq!(
        std::fs::read(fixture.dir.path().join("state/root.json")).unwrap(),
        new.root_bytes(2)
    );

    fixture.publish(&old, 7, 4);
    let result = fixture.check();
    assert!(matches!(result, Err(Error::Trust(Trust::Threshold { .. }))), "{result:?}");
}

/// New root keys are believed because the old ones signed for them, and only then.
#[test]
fn root_keys_hand_over() {
    let old = Forge::new("acme");
    let fixture = Fixture::new(&old);
    fixture.publish(&old, 1, 1);
    let mut new = Forge::new("acme");
    new.root = [key(11), key(12), key(13)];
    fixture.put("2.root.json", new.root_bytes(2));
    let result = fixture.check();
    assert!(matches!(result, Err(Error::Trust(Trust::Threshold { .. }))), "{result:?}");

    let [a, b, _] = &old.root;
    let [c, d, _] = &new.root;
    fixture.put("2.root.json", crate::forge::sign(&new.root_value(2), &[a, b, c, d]));
    fixture.put("3.root.json", new.root_bytes(3));
    fixture.check().unwrap();
    let asked: Vec<_> = fixture.server.requests("root.json").into_iter().map(|r| r.path).collect();
    assert_eq!(asked.last().unwrap(), "/v1/t/acme/tuf/4.root.json");
    fixture.check().unwrap();
    let asked = fixture.server.requests("root.json");
    assert_eq!(asked.len(), 1, "the next run starts from the newest root");
}

/// what the tenant has signed under the name of one flow and is another's bundle is nobody's.
#[test]
fn a_bundle_of_another_flow_under_this_name() {
    let forge = Forge::new("acme");
    let fixture = Fixture::new(&forge);
    let file = crate::forge::bundle("acme", "pay", 1, b"zip");
    let entry = json!({
        "length": file.length, "hashes": {"sha256": file.sha256},
        "custom": {"colophon": file.custom},
    });
    let all = [("acme.refund.python.zip", Exit::Verification), ("acme.pay.python.zip", Exit::Ok)];
    for (version, (name, exit)) in (1..).zip(all) {
        fixture.publish_targets(&forge, &json!({name: entry.clone()}), (version, version));
        let result = fixture.check();
        assert_eq!(result.as_ref().map_or_else(Error::exit, |_| Exit::Ok), exit, "{result:?}");
    }
}
