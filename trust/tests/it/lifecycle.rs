//! A repository over its life: parts signed anew, keys replaced, roots renewed, the tenant archived.

use std::collections::BTreeMap;

use colophon_model::{TenantSlug, TenantUid, UnixMillis};
use colophon_trust::{
    Error, Generations, Listing, Published, RootChain, Seed, TenantKeys, TrustedTargets, Versions,
    initial_root, next_root, sign_all, sign_snapshot, sign_timestamp,
};

use crate::forge::{DAY, NOW, bundle, version};

/// What a server holds: every file by name.
#[derive(Default)]
struct Server(BTreeMap<String, Vec<u8>>);

impl Server {
    fn put(&mut self, published: Published) {
        self.0.extend(published.files);
    }

    fn get(&self, name: &str) -> &[u8] {
        &self.0[name]
    }
}

/// What an agent stores.
#[derive(Default)]
struct Agent {
    timestamp: Option<Vec<u8>>,
    snapshot: Option<Vec<u8>>,
}

impl Agent {
    fn refresh(&mut self, server: &Server, now: UnixMillis) -> Result<TrustedTargets, Error> {
        let mut chain = RootChain::pinned(server.get("1.root.json"), &slug())?;
        while let Some(root) = server.0.get(&chain.next_name()) {
            chain.update(root)?;
        }
        if chain.reset() {
            *self = Self::default();
        }
        let root = chain.finish(now)?;
        let stored = self.timestamp.as_deref();
        let timestamp = root.timestamp(server.get("timestamp.json"), stored, now)?;
        let stored = self.snapshot.as_deref();
        let snapshot = timestamp.snapshot(server.get(&timestamp.snapshot_name()), stored, now)?;
        let targets = snapshot.targets(server.get(&snapshot.targets_name()), now)?;
        self.timestamp = Some(timestamp.bytes().to_vec());
        self.snapshot = Some(snapshot.bytes().to_vec());
        Ok(targets)
    }
}

fn slug() -> TenantSlug {
    "acme-inc".parse().unwrap()
}

fn keys_at(generations: Generations) -> TenantKeys {
    TenantKeys::derive_at(&Seed::new([7; 32]), TenantUid::from_bytes([9; 16]), generations)
}

fn versions(targets: u64, snapshot: u64, timestamp: u64) -> Versions {
    Versions {
        targets: version(targets),
        snapshot: version(snapshot),
        timestamp: version(timestamp),
    }
}

/// A server with one bundle, every file in version 1.
fn server(keys: &TenantKeys) -> Server {
    let mut server = Server::default();
    server.0.insert("1.root.json".to_owned(), initial_root(keys, &slug(), NOW));
    server.put(signed(keys, versions(1, 1, 1), NOW));
    server
}

fn signed(keys: &TenantKeys, versions: Versions, now: UnixMillis) -> Published {
    let file = bundle("acme-inc", "pay", 1, b"zip");
    let bundles = BTreeMap::from([(file.custom.target_name(), file)]);
    sign_all(
        keys.online(),
        versions,
        Listing::Current { bundles: &bundles, envs: &BTreeMap::new() },
        now,
    )
    .unwrap()
}

/// A timestamp signed daily, and a snapshot now and then, keep agents going while nothing is built;
/// what is signed anew names the very files that are there.
#[test]
fn each_role_is_signed_anew_by_itself() {
    let keys = keys_at(Generations::default());
    let (mut server, mut agent) = (server(&keys), Agent::default());
    assert_eq!(agent.refresh(&server, NOW).unwrap().bundles().len(), 1);
    let later = NOW.plus(8 * DAY);
    assert!(matches!(agent.refresh(&server, later), Err(Error::Expired { .. })));

    let snapshot = server.get("1.snapshot.json").to_vec();
    let again = sign_timestamp(keys.online(), versions(1, 1, 2), &snapshot, later).unwrap();
    assert_eq!(again.files.len(), 1);
    server.put(again);
    assert_eq!(agent.refresh(&server, later).unwrap().bundles().len(), 1);

    let later = NOW.plus(31 * DAY);
    let targets = server.get("1.targets.json").to_vec();
    let again = sign_snapshot(keys.online(), versions(1, 2, 3), &targets, later).unwrap();
    let names: Vec<&str> = again.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["2.snapshot.json", "timestamp.json"]);
    server.put(again);
    assert_eq!(agent.refresh(&server, later).unwrap().bundles().len(), 1);
}

/// Whoever had the timestamp and snapshot keys raised both versions to 1e9; new keys bring them down.
#[test]
fn new_keys_recover_from_a_fast_forward() {
    for role in ["timestamp", "snapshot"] {
        let keys = keys_at(Generations::default());
        let (mut server, mut agent) = (server(&keys), Agent::default());
        let (root, honest) = (server.get("1.root.json").to_vec(), versions(2, 2, 2));
        let raised = versions(1, 1_000_000_000, 1_000_000_000);
        let targets = server.get("1.targets.json").to_vec();
        server.put(sign_snapshot(keys.online(), raised, &targets, NOW).unwrap());
        agent.refresh(&server, NOW).unwrap();
        server.put(signed(&keys, honest, NOW));
        let refused = agent.refresh(&server, NOW);
        assert!(matches!(refused, Err(Error::Rollback { .. })), "{refused:?}");

        let new = keys_at(match role {
            "timestamp" => Generations { timestamp: 1, ..Generations::default() },
            _ => Generations { snapshot: 1, ..Generations::default() },
        });
        server.0.insert("2.root.json".to_owned(), next_root(&new, &root, NOW).unwrap());
        let stale = agent.refresh(&server, NOW);
        assert!(matches!(stale, Err(Error::Threshold { .. })), "{stale:?}");
        server.put(signed(&new, versions(3, 3, 3), NOW));
        assert_eq!(agent.refresh(&server, NOW).unwrap().bundles().len(), 1, "{role}");
    }
}

/// What was signed with a key that was replaced counts no more.
#[test]
fn a_stolen_targets_key_is_worth_nothing_after_its_rotation() {
    let old = keys_at(Generations::default());
    let new = keys_at(Generations { targets: 1, ..Generations::default() });
    let (mut server, mut agent) = (server(&old), Agent::default());
    let root = next_root(&new, server.get("1.root.json"), NOW).unwrap();
    server.0.insert("2.root.json".to_owned(), root);
    server.put(signed(&new, versions(2, 2, 2), NOW));
    agent.refresh(&server, NOW).unwrap();
    server.put(signed(&old, versions(3, 3, 3), NOW));
    let refused = agent.refresh(&server, NOW);
    assert!(matches!(refused, Err(Error::Threshold { .. })), "{refused:?}");
}

/// A renewed root is followed by agents that pinned the first one, past its end.
#[test]
fn a_renewed_root_outlives_the_first() {
    let keys = keys_at(Generations::default());
    let (mut server, mut agent) = (server(&keys), Agent::default());
    let renewal = NOW.plus(183 * DAY);
    let root = next_root(&keys, server.get("1.root.json"), renewal).unwrap();
    let later = NOW.plus(400 * DAY);
    server.put(signed(&keys, versions(2, 2, 2), later));
    let ended = agent.refresh(&server, later);
    assert!(matches!(ended, Err(Error::Expired { .. })), "{ended:?}");
    server.0.insert("2.root.json".to_owned(), root);
    assert!(agent.refresh(&server, later).is_ok());
}

#[test]
fn other_keys_make_no_next_root() {
    let mine = initial_root(&keys_at(Generations::default()), &slug(), NOW);
    let uid = TenantUid::from_bytes([9; 16]);
    let other = TenantKeys::derive(&Seed::new([8; 32]), uid);
    assert!(matches!(next_root(&other, &mine, NOW), Err(Error::Threshold { .. })));
}

/// The tombstone is signed like everything else, and a higher version undoes it.
#[test]
fn a_tenant_is_archived_and_restored() {
    let keys = keys_at(Generations::default());
    let (mut server, mut agent) = (server(&keys), Agent::default());
    assert!(!agent.refresh(&server, NOW).unwrap().is_archived());
    let archived = sign_all(keys.online(), versions(2, 2, 2), Listing::Archived, NOW).unwrap();
    assert!(
        String::from_utf8_lossy(&archived.files[0].1).contains(r#""x-colophon-status":"archived""#)
    );
    server.put(archived);
    let targets = agent.refresh(&server, NOW).unwrap();
    assert!(targets.is_archived() && targets.bundles().is_empty());
    server.put(signed(&keys, versions(3, 3, 3), NOW));
    let targets = agent.refresh(&server, NOW).unwrap();
    assert!(!targets.is_archived() && targets.bundles().len() == 1);
}
