//! Which blobs are damaged, and what the store must know of it.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::Digest;

/// What the store must know of a damaged blob. It may know more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    Nothing,
    /// This process knows.
    Reported,
    /// The next one will.
    Recorded,
}

/// What a put does to a damaged blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heals {
    Yes,
    /// Nobody has noticed that it is damaged.
    No,
    Maybe,
}

/// What rests on what: (base, blob).
pub(super) type Rests = BTreeSet<(Digest, Digest)>;

/// All that rests on the blob.
pub(super) fn above(digest: Digest, rests: &Rests) -> BTreeSet<Digest> {
    let (mut found, mut bases) = (BTreeSet::new(), vec![digest]);
    while let Some(base) = bases.pop() {
        let next = rests.iter().filter(|(below, _)| *below == base).map(|(_, blob)| *blob);
        bases.extend(next.filter(|blob| found.insert(*blob)));
    }
    found
}

/// What is damaged now and was before.
#[derive(Default)]
pub(super) struct Damage {
    now: BTreeMap<Digest, Notice>,
    /// Those of them whose own bytes are; the others rest on one that is damaged.
    own: BTreeSet<Digest>,
    ever: BTreeSet<Digest>,
    /// Whether bytes may lie about that no blob names any more.
    pub(super) leaks: bool,
}

impl Damage {
    pub(super) fn is(&self, digest: &Digest) -> bool {
        self.now.contains_key(digest)
    }

    /// Whether it is damaged, or was once.
    pub(super) fn ever(&self, digest: &Digest) -> bool {
        self.ever.contains(digest)
    }

    pub(super) fn all(&self) -> BTreeSet<Digest> {
        self.now.keys().copied().collect()
    }

    /// The blob's own bytes are damaged, and with them those of the blobs above it that need what is wrong in
    /// them, which are `harmed`.
    pub(super) fn harm(&mut self, digest: Digest, harmed: BTreeSet<Digest>) {
        self.own.insert(digest);
        self.leaks = true;
        for digest in harmed.into_iter().chain([digest]) {
            self.now.entry(digest).or_insert(Notice::Nothing);
            self.ever.insert(digest);
        }
    }

    /// Its bytes were written anew.
    pub(super) fn heal(&mut self, digest: &Digest) {
        self.own.remove(digest);
        self.now.remove(digest);
    }

    fn is_on_damage(&self, blob: &Digest, rests: &Rests) -> bool {
        let mut bases = rests.iter().filter(|(_, above)| above == blob);
        bases.any(|(base, _)| self.now.contains_key(base))
    }

    /// What only rested on damaged blobs is whole when none of them is left.
    pub(super) fn settle(&mut self, rests: &Rests) {
        loop {
            let is_whole =
                |blob: &&Digest| !self.own.contains(*blob) && !self.is_on_damage(blob, rests);
            let whole: Vec<Digest> = self.now.keys().filter(is_whole).copied().collect();
            if whole.is_empty() {
                return;
            }
            self.now.retain(|digest, _| !whole.contains(digest));
        }
    }

    /// A read was refused for it.
    pub(super) fn report(&mut self, digest: &Digest) {
        if let Some(notice @ Notice::Nothing) = self.now.get_mut(digest) {
            *notice = Notice::Reported;
        }
    }

    /// A change was committed, and reports with it.
    pub(super) fn record(&mut self) {
        let reported = self.now.values_mut().filter(|notice| **notice == Notice::Reported);
        reported.for_each(|notice| *notice = Notice::Recorded);
    }

    /// Another process has the store, and knows what was recorded.
    pub(super) fn forget_reports(&mut self, recorded: &BTreeSet<Digest>) {
        let wrong = recorded.iter().find(|digest| !self.is(digest));
        assert_eq!(wrong, None, "in quarantine and whole");
        for (digest, notice) in &mut self.now {
            if recorded.contains(digest) {
                *notice = Notice::Recorded;
            } else {
                assert!(*notice != Notice::Recorded, "damage of {digest} is forgotten");
                *notice = Notice::Nothing;
            }
        }
    }

    /// What a put of it does, when the store says that it `is_good` or does not say.
    /// The writer looks at what rests on a blob that it finds damaged.
    pub(super) fn heals(&self, digest: &Digest, is_good: Option<bool>, rests: &Rests) -> Heals {
        match (self.now[digest], is_good) {
            (Notice::Nothing, Some(true)) if self.is_on_damage(digest, rests) => Heals::Maybe,
            (Notice::Nothing, Some(true)) => Heals::No,
            (Notice::Nothing, None) => Heals::Maybe,
            (_, Some(true)) => panic!("damage of {digest} was reported and is not known"),
            _ => Heals::Yes,
        }
    }

    /// Only these blobs are left.
    pub(super) fn keep(&mut self, blobs: impl Fn(&Digest) -> bool) {
        self.now.retain(|digest, _| blobs(digest));
        self.own.retain(|digest| blobs(digest));
    }
}
