//! The few contents that all tenants draw from, so that they meet in the same blobs.

use std::sync::LazyLock;

use colophon_model::Digest;

use crate::support::{blob, noise};

/// How many there are.
pub(super) const CONTENTS: u8 = 12;

/// Bytes that a blob is made of.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
    /// Some bytes of it as it lies on disk.
    pub(super) trace: Vec<u8>,
}

static ALL: LazyLock<Vec<Content>> = LazyLock::new(|| (0..CONTENTS).map(Content::make).collect());

impl Content {
    pub(super) fn get(n: u8) -> &'static Self {
        &ALL[usize::from(n)]
    }

    pub(super) fn all() -> &'static [Self] {
        &ALL
    }

    /// Small ones, plain and compressed, and versions of one another: some that stay in the metadata by
    /// themselves and such as go to segments. What sets one apart is at its end.
    fn make(n: u8) -> Self {
        let seed = u64::from(n);
        // One of them is long enough for a segment also as what differs.
        let own = noise(seed, if n == 6 { 4300 } else { 160 + usize::from(n) });
        let bytes = match n % 4 {
            0 => noise(seed, 100),
            1 => (0..4).map(|i| Digest::of(&[n, i]).to_string()).collect::<String>().into_bytes(),
            2 => [noise(200, 4200), own].concat(),
            _ => [noise(201, 900), own].concat(),
        };
        let prepared = blob(&bytes);
        let payload = prepared.frame().payload();
        let at = if n % 4 < 2 { payload.len() / 2 } else { payload.len() - 80 };
        let trace = payload[at..at + 24].to_vec();
        Self { digest: Digest::of(&bytes), bytes, trace }
    }
}
