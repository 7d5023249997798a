//! What the rows should say. Nothing here asks the store.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::{Digest, Sha256, Stamp, TenantUid, UnixMillis};
use colophon_store::PurgeReport;

use super::aside::{Aside, Single};
use crate::world::{Built, Tenant};

const HOUR: u64 = 60 * 60 * 1000;
pub(super) const DAY: u64 = 24 * HOUR;
/// Versions of a tenant's TUF metadata that a purge leaves.
const TUF_VERSIONS: u64 = 16;

/// The rows of a tenant, as far as they tell one state from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) builds: u64,
    pub(super) tuf: BTreeMap<String, Digest>,
    pub(super) bundles: BTreeMap<Sha256, (Digest, Digest)>,
    pub(super) tags: BTreeSet<String>,
    pub(super) stamps: BTreeSet<u64>,
    pub(super) aside: Aside,
}

/// Tenants, and who may read which blob, with the sentence over it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) tenants: BTreeMap<TenantUid, Rows>,
    pub(super) members: BTreeMap<(Digest, TenantUid), Option<UnixMillis>>,
}

impl State {
    pub(super) fn has(&self, uid: TenantUid, digest: &Digest) -> bool {
        self.members.contains_key(&(*digest, uid))
    }

    pub(super) fn blobs_of(&self, uid: TenantUid) -> impl Iterator<Item = Digest> {
        self.members.keys().filter(move |(_, owner)| *owner == uid).map(|(digest, _)| *digest)
    }

    fn rows(&mut self, uid: TenantUid) -> &mut Rows {
        self.tenants.get_mut(&uid).unwrap()
    }

    fn give(&mut self, uid: TenantUid, blobs: impl IntoIterator<Item = Digest>) {
        self.members.extend(blobs.into_iter().map(|digest| ((digest, uid), None)));
    }

    /// What is not the same, in words.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let tenants = self.tenants.keys().chain(other.tenants.keys()).collect::<BTreeSet<_>>();
        let members = self.members.keys().chain(other.members.keys()).collect::<BTreeSet<_>>();
        let rows = tenants.into_iter().filter_map(|uid| {
            let (a, b) = (self.tenants.get(uid), other.tenants.get(uid));
            (a != b).then(|| format!("{uid}: {a:?} / {b:?}"))
        });
        let members = members.into_iter().filter_map(|key| {
            let (a, b) = (self.members.get(key), other.members.get(key));
            (a != b).then(|| format!("{key:?}: {a:?} / {b:?}"))
        });
        rows.chain(members).collect()
    }
}

/// A tenant and what it built.
pub(super) struct Client {
    pub(super) tenant: Tenant,
    pub(super) made: Vec<(Built, Stamp)>,
}

impl Client {
    /// Every blob that rows of the tenant name.
    fn names(&self, rows: &Rows) -> BTreeSet<Digest> {
        let mut names = BTreeSet::from([Digest::of(&self.tenant.readme())]);
        names.extend(rows.tuf.values());
        names.extend(rows.aside.bodies.values());
        names.extend(rows.bundles.values().flat_map(|(tree, provenance)| [*tree, *provenance]));
        names.extend(self.made.iter().flat_map(|(built, _)| built.lasting()));
        names
    }
}

impl Client {
    /// Texts that only rows of this tenant hold.
    pub(super) fn texts(&self) -> Vec<Vec<u8>> {
        let (uid, slug) = (self.tenant.uid, self.tenant.slug.as_str());
        let words = ["label", "bundle", "flow"].map(|what| self.tenant.words(what).into_bytes());
        let uid = [uid.as_bytes().to_vec(), uid.to_string().into_bytes()];
        uid.into_iter().chain(words).chain([slug.as_bytes().to_vec()]).collect()
    }
}

/// What a collection counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Collected {
    pub(super) condemned: u64,
    pub(super) resurrected: u64,
    pub(super) waiting: u64,
    pub(super) released: u64,
    pub(super) deferred: u64,
    pub(super) held_tenants: u64,
}

/// What is known of the store.
pub(super) struct Model {
    pub(super) now: UnixMillis,
    pub(super) state: State,
    pub(super) clients: BTreeMap<TenantUid, Client>,
    /// Tenants whose erasure is not finished, with the blobs they still have.
    pub(super) dying: BTreeMap<TenantUid, BTreeSet<Digest>>,
}

impl Model {
    pub(super) fn new() -> Self {
        let (state, clients, dying) = Default::default();
        Self { now: UnixMillis::new(1_800_000_000_000), state, clients, dying }
    }

    pub(super) fn tick(&mut self, hours: i64) {
        let moved = self.now.get().saturating_add_signed(hours * HOUR.cast_signed());
        self.now = UnixMillis::new(moved);
    }

    pub(super) fn created(&self, tenant: &Tenant) -> State {
        let mut after = self.state.clone();
        let (name, root) = tenant.root();
        let tuf = BTreeMap::from([(name, Digest::of(&root))]);
        after.tenants.insert(tenant.uid, Rows { tuf, ..Rows::default() });
        after.give(tenant.uid, [Digest::of(&root), Digest::of(&tenant.readme())]);
        after
    }

    pub(super) fn named(&self, uid: TenantUid, name: &str, digest: Digest) -> State {
        let mut after = self.state.clone();
        after.rows(uid).tuf.insert(name.to_owned(), digest);
        after.give(uid, [digest]);
        after
    }

    pub(super) fn unnamed(&self, uid: TenantUid, name: &str) -> State {
        let mut after = self.state.clone();
        after.rows(uid).tuf.remove(name);
        after
    }

    pub(super) fn refused(&self, uid: TenantUid, n: u8, body: Digest) -> State {
        let mut after = self.state.clone();
        after.rows(uid).aside.refuse(self.now, n, body);
        after.give(uid, [body]);
        after
    }

    pub(super) fn told(&self, uid: TenantUid, n: u8) -> State {
        let mut after = self.state.clone();
        after.rows(uid).aside.tell(self.now, n);
        after
    }

    pub(super) fn toggled(&self, uid: TenantUid, single: Single) -> State {
        let mut after = self.state.clone();
        after.rows(uid).aside.toggle(single);
        after
    }

    pub(super) fn next_stamp(&self, uid: TenantUid) -> Stamp {
        let last = self.clients[&uid].made.last().map(|(_, stamp)| *stamp);
        Stamp::after(last, self.now)
    }

    pub(super) fn built(&self, uid: TenantUid, built: &Built) -> State {
        let mut after = self.state.clone();
        let tenant = &self.clients[&uid].tenant;
        let rows = after.rows(uid);
        rows.stamps.insert(rows.builds);
        rows.builds += 1;
        let files = tenant.metadata(rows.builds).map(|(name, file)| (name, Digest::of(&file)));
        rows.tuf.extend(files.clone());
        rows.bundles.insert(built.sha256, (built.tree, built.provenance));
        rows.tags.insert(tenant.tag(self.next_stamp(uid)).full_name());
        after.give(uid, files.map(|(_, digest)| digest));
        after.give(uid, built.lasting().into_iter().chain([built.provenance]));
        after
    }

    /// Every membership of `state` that a row names.
    pub(super) fn named_members(&self, state: &State) -> BTreeSet<(Digest, TenantUid)> {
        let names = |(uid, rows): (&TenantUid, &Rows)| {
            let (uid, names) = (*uid, self.clients[uid].names(rows));
            names.into_iter().map(move |digest| (digest, uid))
        };
        state.tenants.iter().flat_map(names).collect()
    }

    /// A collection of `before`. It leaves alone what the `mute` have, and deletes nothing while
    /// somebody reads.
    pub(super) fn collected(
        &self,
        before: &State,
        grace: u64,
        mute: &BTreeSet<TenantUid>,
        is_read: bool,
    ) -> (State, Collected) {
        let (names, mut after, mut counts) =
            (self.named_members(before), before.clone(), Collected::default());
        let owners: BTreeSet<TenantUid> = before.members.keys().map(|(_, uid)| *uid).collect();
        let dying = self.dying.values().filter(|blobs| !blobs.is_empty()).count();
        counts.held_tenants = (owners.intersection(mute).count() + dying) as u64;
        let told = before.members.iter().filter(|((_, uid), _)| !mute.contains(uid));
        for (key, sentence) in told {
            let is_over = |at: UnixMillis| at.plus(grace) <= self.now && at <= self.now;
            let (count, verdict) = match (names.contains(key), sentence) {
                (true, None) => continue,
                (true, Some(_)) => (&mut counts.resurrected, Some(None)),
                (false, Some(at)) if is_over(*at) && is_read => {
                    (&mut counts.deferred, Some(*sentence))
                }
                (false, Some(at)) if is_over(*at) => (&mut counts.released, None),
                (false, Some(at)) if *at <= self.now => (&mut counts.waiting, Some(*sentence)),
                (false, _) => (&mut counts.condemned, Some(Some(self.now))),
            };
            *count += 1;
            match verdict {
                None => after.members.remove(key),
                Some(sentence) => after.members.insert(*key, sentence),
            };
        }
        (after, counts)
    }

    pub(super) fn purged(&self, uid: TenantUid, keep: u64, window: u64) -> (State, PurgeReport) {
        let mut after = self.state.clone();
        let client = &self.clients[&uid];
        let rows = after.rows(uid);
        let is_young = |stamp: Stamp| stamp.time().plus(keep) > self.now;
        let young = || client.made.iter().filter(|(_, stamp)| is_young(*stamp));
        let tags: BTreeSet<String> =
            young().map(|(_, stamp)| client.tenant.tag(*stamp).full_name()).collect();
        rows.tags.retain(|tag| tags.contains(tag));
        let current = client.made.last().map(|(built, _)| built.sha256);
        let bundles: BTreeSet<Sha256> =
            young().map(|(built, _)| built.sha256).chain(current).collect();
        rows.bundles.retain(|sha256, _| bundles.contains(sha256));
        let oldest = rows.builds.saturating_sub(TUF_VERSIONS);
        rows.tuf.retain(|name, _| version(name).is_none_or(|version| version >= oldest));
        let times: Vec<UnixMillis> = client.made.iter().map(|(_, stamp)| stamp.time()).collect();
        rows.stamps.retain(|n| times[*n as usize].plus(2 * window) > self.now);
        let beside = rows.aside.purge(self.now, DAY);
        let before = &self.state.tenants[&uid];
        let report = PurgeReport {
            tags: (before.tags.len() - rows.tags.len()) as u64,
            bundles: (before.bundles.len() - rows.bundles.len()) as u64,
            tuf_files: (before.tuf.len() - rows.tuf.len()) as u64,
            quota_stamps: (before.stamps.len() - rows.stamps.len()) as u64,
            ..beside
        };
        (after, report)
    }

    pub(super) fn erased(&self, uid: TenantUid) -> State {
        let mut after = self.state.clone();
        after.tenants.remove(&uid);
        after.members.retain(|(_, owner), _| *owner != uid);
        after
    }

    /// Takes over what the store was seen to hold, and forgets builds that did not happen.
    pub(super) fn adopt(&mut self, state: State) {
        self.state = state;
        self.clients.retain(|uid, _| self.state.tenants.contains_key(uid));
        for (uid, rows) in &self.state.tenants {
            if let Some(client) = self.clients.get_mut(uid) {
                client.made.truncate(rows.builds as usize);
            }
        }
    }
}

/// The version of a snapshot.
fn version(name: &str) -> Option<u64> {
    name.strip_suffix(".snapshot.json")?.parse().ok()
}
