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

    /// Small ones, plain and compressed, and such as go to segments.
    fn make(n: u8) -> Self {
        let seed = u64::from(n);
        let bytes = match n % 4 {
            0 => noise(seed, 100),
            1 => (0..4).map(|i| Digest::of(&[n, i]).to_string()).collect::<String>().into_bytes(),
            _ => noise(seed, 4200 + 300 * usize::from(n)),
        };
        let prepared = blob(&bytes);
        let payload = prepared.frame().payload();
        let middle = payload.len() / 2;
        let trace = payload[middle..middle + 24].to_vec();
        Self { digest: Digest::of(&bytes), bytes, trace }
    }
}
