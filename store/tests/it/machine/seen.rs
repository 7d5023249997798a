//! What the rows of a store say, read from below.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::{Digest, TenantUid, UnixMillis};
use colophon_store::rows::{
    BundleAlias, Document, QuotaStamp, RefRow, SlugOf, TenantHead, TenantRow, TufFile,
};
use colophon_store::{InvalidRow, KeyPart, Row, Store, Table, View};

use super::aside::Aside;
use super::damage::Rests;
use super::model::{Rows, State};

/// A row of the store's own, as `docs/store-format.md` describes it.
macro_rules! raw_row {
    ($(#[$doc:meta])* $row:ident, $table:ident, $key:ty) => {
        $(#[$doc])*
        pub(super) struct $row(pub(super) Vec<u8>);

        impl Row for $row {
            const TABLE: Table = Table::$table;
            type Key = $key;

            fn encode(&self) -> Vec<u8> {
                self.0.clone()
            }

            fn decode(bytes: &[u8]) -> Result<Self, InvalidRow> {
                Ok(Self(bytes.to_vec()))
            }
        }
    };
}

raw_row!(RawMember, Member, (Digest, TenantUid));
raw_row!(RawSentence, Condemned, (Digest, TenantUid));
raw_row!(RawBlob, Blob, Digest);
raw_row!(
    /// The bytes of a small blob.
    RawInline,
    Inline,
    u64
);
raw_row!(RawQuarantine, Quarantine, Digest);
raw_row!(RawRests, Rests, (Digest, Digest));

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Inline(u64),
    Segment { generation: u64, offset: u64, length: u64 },
}

impl RawBlob {
    fn place(&self) -> Place {
        let number = |at: usize| u64::from_be_bytes(self.0[at..at + 8].try_into().unwrap());
        match self.0[5] {
            0 => Place::Inline(number(6)),
            _ => Place::Segment {
                generation: number(6),
                offset: number(14),
                length: u32::from_be_bytes(self.0[22..26].try_into().unwrap()).into(),
            },
        }
    }
}

/// All that there is to see.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) state: State,
    pub(super) places: BTreeMap<Digest, Place>,
    pub(super) quarantine: BTreeSet<Digest>,
    pub(super) rests: Rests,
    /// Rows that say that something rests on another, and it does not.
    strays: Rests,
    /// Codecs, which say how many blobs lie below one.
    pub(super) codecs: BTreeMap<Digest, u8>,
    /// Who has rows and is no tenant, with the blobs that are still theirs.
    pub(super) others: BTreeMap<TenantUid, BTreeSet<Digest>>,
}

impl Seen {
    pub(super) fn look(store: &Store) -> Self {
        let (view, mut seen) = (store.view().unwrap(), Self::default());
        seen.tenants(&view);
        seen.rows(&view);
        seen.blobs(&view);
        seen
    }

    /// Each tenant has its three rows or none of them.
    fn tenants(&mut self, view: &View) {
        for (_, row) in all::<TenantRow>(view) {
            self.state.tenants.insert(row.uid, Rows::default());
        }
        let slugs: BTreeSet<TenantUid> = all::<SlugOf>(view).map(|(uid, _)| uid).collect();
        let heads: BTreeMap<TenantUid, TenantHead> = all::<TenantHead>(view).collect();
        assert!(slugs.iter().eq(self.state.tenants.keys()), "half a tenant");
        assert!(heads.keys().eq(self.state.tenants.keys()), "half a tenant");
        for (rows, head) in self.state.tenants.values_mut().zip(heads.values()) {
            rows.builds = head.builds;
        }
    }

    fn rows(&mut self, view: &View) {
        for ((uid, name), row) in all::<TufFile>(view) {
            self.of(uid, |rows| rows.tuf.insert(name, row.digest));
        }
        for ((uid, sha256), row) in all::<BundleAlias>(view) {
            self.of(uid, |rows| {
                let provenance = row.documents[&Document::Provenance];
                rows.bundles.insert(sha256, (row.tree, provenance))
            });
        }
        for ((uid, name), row) in all::<RefRow>(view) {
            self.of(uid, |rows| row.peeled.map(|_| rows.tags.insert(name)));
        }
        for (uid, aside) in Aside::seen(view) {
            self.of(uid, |rows| rows.aside = aside);
        }
        for ((uid, _, number), _) in all::<QuotaStamp>(view) {
            self.of(uid, |rows| rows.stamps.insert(number));
        }
    }

    fn of<T>(&mut self, uid: TenantUid, add: impl FnOnce(&mut Rows) -> T) {
        match self.state.tenants.get_mut(&uid) {
            Some(rows) => drop(add(rows)),
            None => drop(self.others.entry(uid).or_default()),
        }
    }

    fn blobs(&mut self, view: &View) {
        self.places = all::<RawBlob>(view).map(|(digest, row)| (digest, row.place())).collect();
        self.codecs = all::<RawBlob>(view).map(|(digest, row)| (digest, row.0[0])).collect();
        let is_resting = |(_, blob): &(_, Digest)| self.codecs.get(blob).is_some_and(|c| *c >= 16);
        let pairs = all::<RawRests>(view).map(|(key, _)| key);
        (self.rests, self.strays) = pairs.partition(is_resting);
        self.quarantine = all::<RawQuarantine>(view).map(|(digest, _)| digest).collect();
        let mut sentences: BTreeMap<_, _> = all::<RawSentence>(view)
            .map(|(key, row)| (key, u64::from_be_bytes(row.0.try_into().unwrap())))
            .collect();
        for (key, _) in all::<RawMember>(view) {
            let sentence = sentences.remove(&key).map(UnixMillis::new);
            if self.state.tenants.contains_key(&key.1) {
                self.state.members.insert(key, sentence);
            } else {
                self.others.entry(key.1).or_default().insert(key.0);
            }
            assert!(self.places.contains_key(&key.0), "a blob of {} is gone: {}", key.1, key.0);
        }
        let strays = sentences.keys().find(|(_, uid)| self.state.tenants.contains_key(uid));
        assert_eq!(strays, None, "a sentence over what nobody has");
    }

    /// The blobs that anybody has.
    pub(super) fn owned(&self) -> BTreeSet<Digest> {
        let members = self.state.members.keys().map(|(digest, _)| *digest);
        members.chain(self.others.values().flatten().copied()).collect()
    }

    /// What rests on another has more below it than that, and is all that has. Such rows may be left over
    /// from what was damaged.
    pub(super) fn check_rests(&self, leaks: bool) {
        let resting = self.codecs.iter().filter(|(_, codec)| **codec >= 16);
        let said = |blob: &Digest| self.rests.iter().any(|(_, above)| above == blob);
        let unsaid = resting.map(|(blob, _)| blob).find(|blob| !said(blob));
        assert!(leaks || unsaid.is_none(), "{unsaid:?} rests on something");
        assert!(leaks || self.strays.is_empty(), "{:?} rest on nothing", self.strays);
        for (base, blob) in self.rests.iter().filter(|_| !leaks) {
            let (below, above) = (self.codecs.get(base), self.codecs.get(blob));
            assert!(below.is_some() && below < above, "{blob} rests on {base}");
        }
    }

    /// Blobs that something damaged rests on, which nobody may have.
    pub(super) fn kept_for(&self, is_damaged: impl Fn(&Digest) -> bool) -> BTreeSet<Digest> {
        let mut kept = BTreeSet::new();
        let mut above: Vec<Digest> =
            self.places.keys().filter(|d| is_damaged(d)).copied().collect();
        while let Some(blob) = above.pop() {
            let below = self.rests.iter().filter(|(_, resting)| *resting == blob);
            above.extend(below.map(|(base, _)| *base).filter(|base| kept.insert(*base)));
        }
        kept
    }

    /// Bytes that rows name in segments.
    pub(super) fn live_bytes(&self) -> u64 {
        let length = |place: &Place| match place {
            Place::Inline(_) => 0,
            Place::Segment { length, .. } => *length,
        };
        self.places.values().map(length).sum()
    }
}

fn all<R: Row>(view: &View) -> impl Iterator<Item = (R::Key, R)>
where
    R::Key: KeyPart,
{
    view.scan::<R>(&()).map(Result::unwrap)
}
