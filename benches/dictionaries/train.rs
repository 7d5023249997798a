//! Training: from the project's own templates and made-up flows to the files that are shipped.
//!
//! Never from a store: a tenant's text would stay in every release after the tenant is erased.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::corpus::Corpus;

/// What one dictionary is for.
pub(crate) struct Family {
    /// The first part of the file's name; the second is a number that rises.
    pub(crate) name: &'static str,
    /// The kinds of blobs it learns from.
    pub(crate) kinds: &'static [&'static str],
    /// How much of each kind, in bytes, so that none drowns the others. Found by trying.
    share: usize,
}

/// The dictionaries, each with what it learns.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "text",
        kinds: &[
            "flow modules",
            "runners",
            "smoke tests",
            "edge scripts",
            "component sources",
            "runtime files",
            "README, YAML, text",
            "trees",
        ],
        share: 1 << 20,
    },
    Family {
        name: "json",
        kinds: &[
            "canonical flows",
            "tenant manifests",
            "edge manifests",
            "TUF metadata",
            "webhook bodies",
        ],
        share: 512 << 10,
    },
];

/// Size of a dictionary, in bytes.
pub(crate) const SIZE: usize = 16 << 10;
/// How much of a blob is learned from, in bytes. What comes later has the blob itself to refer to.
const HEAD: usize = 8 << 10;

/// A dictionary of `size` bytes for `family`. The same corpus gives the same bytes.
pub(crate) fn train(family: &Family, corpus: &Corpus, size: usize) -> anyhow::Result<Vec<u8>> {
    let samples: Vec<&[u8]> =
        family.kinds.iter().flat_map(|kind| heads(corpus, kind, family.share)).collect();
    zstd::dict::from_samples(&samples, size).context("zstd could not train")
}

/// The beginnings of a kind's blobs, until they are `share` bytes.
fn heads<'a>(corpus: &'a Corpus, kind: &str, share: usize) -> Vec<&'a [u8]> {
    let blobs = corpus.of(kind);
    let heads = blobs.iter().map(|blob| &blob[..blob.len().min(HEAD)]);
    let within = heads.scan(0, |before, head| {
        *before += head.len();
        (*before - head.len() < share).then_some(head)
    });
    within.collect()
}

/// Trains every dictionary and writes those that differ from the newest of their family in `folder`,
/// each under the next number: a file that was shipped is never changed. Says what it did.
#[expect(clippy::print_stdout, reason = "a tool reports on standard output")]
pub(crate) fn write_all(corpus: &Corpus, folder: &Path) -> anyhow::Result<()> {
    for family in FAMILIES {
        let trained = train(family, corpus, SIZE)?;
        let again = train(family, corpus, SIZE)?;
        ensure!(trained == again, "{}: training twice gave two dictionaries", family.name);
        let newest = newest(folder, family.name);
        if newest > 0 && fs::read(file(folder, family.name, newest))? == trained {
            println!("{}-{newest} stands", family.name);
            continue;
        }
        let file = file(folder, family.name, newest + 1);
        fs::write(&file, &trained).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{}-{} is new: give it a codec number", family.name, newest + 1);
    }
    Ok(())
}

/// The highest number of a family's files, 0 for none.
fn newest(folder: &Path, name: &str) -> u32 {
    (1..=u32::MAX).take_while(|number| file(folder, name, *number).exists()).last().unwrap_or(0)
}

fn file(folder: &Path, name: &str, number: u32) -> PathBuf {
    folder.join(format!("{name}-{number}.dict"))
}
