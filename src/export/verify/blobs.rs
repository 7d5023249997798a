//! The blobs that bags name: there, unaltered, and the files that they are named as. None is in memory whole.

use std::collections::BTreeSet;

use colophon_model::Sha256;
use colophon_store::{MAX_BLOB_LEN, Progress, Report};
use futures_util::StreamExt as _;

use super::{Check, Named, TOO_LARGE, VerifyOptions};
use crate::export::envelope::Opener;
use crate::export::error::ExportError;
use crate::export::layout;
use crate::export::object::{How, Object};
use crate::keys::random_bytes;

/// Largest object that can be a blob, in bytes, with room for what encryption adds.
const LARGEST: u64 = MAX_BLOB_LEN as u64 + (1 << 20);

impl Check<'_> {
    /// Reads blobs, or some of them, and makes sure that the others are there.
    pub(super) async fn read_blobs(
        &mut self,
        options: &VerifyOptions,
        report: Report<'_>,
    ) -> Result<(), ExportError> {
        let wanted = self.wanted(options.percent).await?;
        self.found.blobs = self.blobs.len() as u64;
        let total = Some(wanted.len() as u64);
        let (carrier, opener) = (self.carrier, self.opener);
        let reads = wanted.into_iter().map(|(sha256, named)| async move {
            let key = carrier.key(&layout::blob(&sha256));
            let read = match carrier.object(&key, named.how(opener)).await {
                Err(error) if error.code() == TOO_LARGE => Ok(Seen::Other { length: 0 }),
                read => read.map(|object| Seen::of(object, &sha256, &named)),
            };
            (read, sha256)
        });
        let mut reads = futures_util::stream::iter(reads).buffer_unordered(options.concurrency);
        while let Some((seen, sha256)) = reads.next().await {
            self.found.blobs_read += 1;
            report(Progress { stage: "reading blobs", done: self.found.blobs_read, total });
            let problem = match seen? {
                Seen::Missing => "is not there",
                Seen::Other { length } => {
                    self.found.bytes += length;
                    "was changed"
                }
                Seen::Whole { length, holds } => {
                    self.found.bytes += length;
                    match holds {
                        Some(true) => continue,
                        None => {
                            self.found.unopened += 1;
                            continue;
                        }
                        Some(false) => "is not the file that its list names",
                    }
                }
            };
            self.found.wrong(layout::blob(&sha256), problem);
        }
        Ok(())
    }

    /// Which are read, of those that are there. The others are findings.
    async fn wanted(&mut self, percent: u8) -> Result<Vec<(Sha256, Named)>, ExportError> {
        let carrier = self.carrier;
        let key = carrier.key(layout::BLOBS);
        let there = carrier.again(async || carrier.place.list(&key).await).await;
        let there = there.map_err(|failure| failure.into_trouble(layout::BLOBS))?;
        let there: BTreeSet<&str> =
            there.iter().filter_map(|name| name.rsplit('/').next()).collect();
        let salt = random_bytes::<8>().unwrap_or_default();
        let drawn = |sha256: &Sha256| {
            let mix = Sha256::of(&[salt.as_slice(), sha256.as_bytes()].concat());
            let [high, low, ..] = *mix.as_bytes();
            u16::from_be_bytes([high, low]) < share(percent)
        };
        let mut wanted = Vec::new();
        for (sha256, named) in &self.blobs {
            if !there.contains(sha256.to_string().as_str()) {
                self.found.wrong(layout::blob(sha256), "is not there");
            } else if percent >= 100 || drawn(sha256) {
                wanted.push((*sha256, *named));
            }
        }
        Ok(wanted)
    }
}

/// What a blob was seen to be.
enum Seen {
    Missing,
    /// Something else.
    Other {
        length: u64,
    },
    /// The object of that name. Whether it holds the file that is named; `None` when that cannot be told without its key.
    Whole {
        length: u64,
        holds: Option<bool>,
    },
}

impl Seen {
    fn of(object: Option<Object>, sha256: &Sha256, named: &Named) -> Self {
        let Some(Object { sha256: found, length, inside, opened }) = object else {
            return Self::Missing;
        };
        if found != *sha256 || length != named.size {
            return Self::Other { length };
        }
        let holds = named.digest.map(|digest| opened.is_ok() && inside.digest == digest);
        Self::Whole { length, holds }
    }
}

impl Named {
    /// It is opened where it is known what is to be in it. No more is read than it may have: a size that lies costs nothing.
    fn how(self, opener: &Opener) -> How<'_> {
        let opener = (self.sealed && self.digest.is_some()).then_some(opener);
        How { most: self.size.min(LARGEST), keep: 0, opener }
    }
}

/// Of 65,536, so many.
const fn share(percent: u8) -> u16 {
    (percent as u32 * 65_535 / 100) as u16
}
