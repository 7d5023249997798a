//! A bundle as one zstd frame, told from another bundle or from nothing.
//!
//! The frame (RFC 8878) has its content size in it, and a raw prefix before it: every object of the
//! base, which is its tree and then each distinct blob in the order of the tree. Without a base the
//! prefix is empty, and any zstd program unpacks the frame. Its content:
//!
//! ```text
//! colophon delta v1
//! tree <length> <blake3>
//! blob <length> <blake3>      for each blob that the base lacks, in the order of the tree
//!                             (an empty line)
//! <the bytes of each, in the same order>
//! ```
//!
//! Nothing about a frame is trusted: it must hold exactly the signed tree and what the base lacks of
//! it, so a frame for another base, or one that was changed, is an error.

use std::collections::{BTreeMap, HashSet};

use colophon_model::{Digest, FileSet, Tree};
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, ErrorCode, compress_bound, find_frame_compressed_size, get_error_name,
    get_frame_content_size,
};

use crate::{ContentFlaw, Contents};

/// Why a frame could not be made.
#[derive(Debug, thiserror::Error)]
#[error("zstd could not encode a bundle: {0}")]
pub struct EncodeError(&'static str);

/// Why a frame does not give the signed bundle.
#[derive(Debug, thiserror::Error)]
pub enum DeltaFlaw {
    /// Not exactly one zstd frame that says how large its content is, or one that was damaged.
    #[error("not a whole zstd frame: {0}")]
    Frame(&'static str),
    /// The content is larger than that of any honest frame for the signed bundle.
    #[error("the frame unpacks to more than {limit} bytes")]
    TooLarge {
        /// The most that the signed bundle can need, in bytes.
        limit: u64,
    },
    /// The content is not a list of objects and then their bytes. A frame made for another base looks
    /// like this too.
    #[error("not a `colophon delta v1`")]
    Malformed,
    /// The list has other objects than the base lacks, or in another order.
    #[error("object {0} of the frame is not the one that belongs there")]
    Object(usize),
    /// The files together are not those that were signed.
    #[error(transparent)]
    Contents(#[from] ContentFlaw),
}

const MAGIC: &str = "colophon delta v1\n";
/// Longest line of the list: kind, length of up to eight digits, digest, two spaces, end.
const LINE: u64 = 4 + 8 + 64 + 3;
/// Level 3 makes a tenth of the work and frames that are a quarter larger; level 19 makes twenty times
/// the work for another eighth.
const LEVEL: i32 = 9;
/// The window must reach from the end of the content to the start of the prefix: 2^27 bytes are
/// enough for two bundles of the largest size.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 10..=27;
/// From here on the tables of the level do not hold the whole prefix.
const LONG_PREFIX: usize = 8 << 20;

/// Tells `target` from `base`, or from nothing.
///
/// # Errors
/// When zstd has no memory.
pub fn encode(base: Option<&FileSet>, target: &FileSet) -> Result<Vec<u8>, EncodeError> {
    let prefix = base.map(prefix).unwrap_or_default();
    let held: HashSet<Digest> =
        base.iter().flat_map(|b| b.iter()).map(|(_, a)| a.digest()).collect();
    let content = content(&held, target);
    compress(&prefix, &content).map_err(|code| EncodeError(get_error_name(code)))
}

/// The files that `frame` and `base` give, when they are those that were signed.
///
/// Memory is bounded by what was signed: the caller has checked that against its limits.
///
/// # Errors
/// [`DeltaFlaw`] for every other frame or base.
pub fn decode(
    frame: &[u8],
    base: Option<&FileSet>,
    signed: &Contents,
) -> Result<FileSet, DeltaFlaw> {
    let prefix = base.map(prefix).unwrap_or_default();
    let content = decompress(frame, &prefix, max_content(signed))?;
    drop(prefix);
    let (lengths, body) = read_list(&content, signed.files)?;
    let mut objects = Objects { lengths: lengths.into_iter().enumerate(), body };
    let tree = signed.read_tree(objects.next(&signed.tree)?)?;
    let mut blobs: BTreeMap<Digest, &[u8]> = BTreeMap::new();
    for (_, artifact) in base.iter().flat_map(|base| base.iter()) {
        blobs.insert(artifact.digest(), artifact.bytes());
    }
    let held: HashSet<Digest> = blobs.keys().copied().collect();
    for digest in missing(&held, &tree) {
        blobs.insert(digest, objects.next(&digest)?);
    }
    objects.finish()?;
    Ok(signed.assemble(&tree, |digest| blobs.get(digest).map(|bytes| bytes.to_vec()))?)
}

/// The most bytes that a frame of the signed bundle can have: what zstd adds at worst included.
pub fn max_frame(signed: &Contents) -> u64 {
    compress_bound(max_content(signed) as usize) as u64
}

fn max_content(signed: &Contents) -> u64 {
    let list = MAGIC.len() as u64 + 1 + signed.files.saturating_add(1).saturating_mul(LINE);
    list.saturating_add(signed.max_tree()).saturating_add(signed.unpacked)
}

/// What the decoder has before it sees the frame.
fn prefix(base: &FileSet) -> Vec<u8> {
    let mut prefix = base.tree().encode();
    let mut seen = HashSet::new();
    for (_, artifact) in base.iter().filter(|(_, artifact)| seen.insert(artifact.digest())) {
        prefix.extend_from_slice(artifact.bytes());
    }
    prefix
}

/// The distinct blobs of `tree` that are not `held`, in the order of the tree.
fn missing(held: &HashSet<Digest>, tree: &Tree) -> Vec<Digest> {
    let mut seen = HashSet::new();
    let digests = tree.entries().iter().map(|entry| entry.digest);
    digests.filter(|digest| !held.contains(digest) && seen.insert(*digest)).collect()
}

fn content(held: &HashSet<Digest>, target: &FileSet) -> Vec<u8> {
    let tree = target.tree();
    let text = tree.encode();
    let by_digest: BTreeMap<_, _> = target.iter().map(|(_, a)| (a.digest(), a.bytes())).collect();
    let missing = missing(held, &tree);
    let blobs: Vec<&[u8]> = missing.iter().filter_map(|d| by_digest.get(d).copied()).collect();
    let line = |kind: &str, bytes: &[u8]| format!("{kind} {} {}\n", bytes.len(), Digest::of(bytes));
    let lines: String = blobs.iter().map(|bytes| line("blob", bytes)).collect();
    let list = format!("{MAGIC}{}{lines}\n", line("tree", &text));
    [&[list.as_bytes(), &text], blobs.as_slice()].concat().concat()
}

/// What one line of the list says.
type Listed = (u64, Digest);

/// The list, of at most a tree and `files` blobs, and the bytes after it.
fn read_list(content: &[u8], files: u64) -> Result<(Vec<Listed>, &[u8]), DeltaFlaw> {
    let mut rest = content.strip_prefix(MAGIC.as_bytes()).ok_or(DeltaFlaw::Malformed)?;
    let mut listed = Vec::new();
    while listed.len() as u64 <= files + 1 {
        let end = rest.iter().position(|&b| b == b'\n').ok_or(DeltaFlaw::Malformed)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Ok((listed, rest));
        }
        let kind = if listed.is_empty() { "tree" } else { "blob" };
        listed.push(read_line(line, kind).ok_or(DeltaFlaw::Malformed)?);
    }
    Err(DeltaFlaw::Malformed)
}

/// A length has one spelling, so that there is one frame content for a bundle and a base.
fn read_line(line: &[u8], kind: &str) -> Option<Listed> {
    let (length, digest) =
        std::str::from_utf8(line).ok()?.strip_prefix(kind)?.strip_prefix(' ')?.split_once(' ')?;
    let number: u64 = length.parse().ok()?;
    (number.to_string() == length).then_some((number, digest.parse().ok()?))
}

/// The objects of a frame, taken in order.
struct Objects<'a> {
    lengths: std::iter::Enumerate<std::vec::IntoIter<Listed>>,
    body: &'a [u8],
}

impl<'a> Objects<'a> {
    /// The next one, which must be the one with this digest by its line. The bytes are hashed when
    /// the files are put together.
    fn next(&mut self, expected: &Digest) -> Result<&'a [u8], DeltaFlaw> {
        let (number, (length, digest)) = self.lengths.next().ok_or(DeltaFlaw::Malformed)?;
        let wrong = || DeltaFlaw::Object(number);
        let length = usize::try_from(length).map_err(|_| wrong())?;
        let (bytes, rest) = self.body.split_at_checked(length).ok_or_else(wrong)?;
        self.body = rest;
        if digest == *expected { Ok(bytes) } else { Err(wrong()) }
    }

    /// Nothing may be left over.
    fn finish(mut self) -> Result<(), DeltaFlaw> {
        match self.lengths.next() {
            Some((number, _)) => Err(DeltaFlaw::Object(number)),
            None if self.body.is_empty() => Ok(()),
            None => Err(DeltaFlaw::Malformed),
        }
    }
}

fn compress(prefix: &[u8], content: &[u8]) -> Result<Vec<u8>, ErrorCode> {
    let total = prefix.len().saturating_add(content.len()).max(1);
    let window = total.next_power_of_two().ilog2();
    let window = window.clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
    let mut encoder = CCtx::create();
    encoder.set_parameter(CParameter::CompressionLevel(LEVEL))?;
    encoder.set_parameter(CParameter::WindowLog(window))?;
    encoder.set_parameter(CParameter::EnableLongDistanceMatching(prefix.len() > LONG_PREFIX))?;
    encoder.ref_prefix(prefix)?;
    let mut frame = Vec::with_capacity(compress_bound(content.len()));
    encoder.compress2(&mut frame, content)?;
    Ok(frame)
}

/// Unpacks in one go into memory of the announced size: zstd writes no byte past it, whatever the
/// frame says, and needs no window.
fn decompress(frame: &[u8], prefix: &[u8], limit: u64) -> Result<Vec<u8>, DeltaFlaw> {
    let flaw = |code| DeltaFlaw::Frame(get_error_name(code));
    if find_frame_compressed_size(frame).map_err(flaw)? != frame.len() {
        return Err(DeltaFlaw::Frame("there is something after it"));
    }
    let announced = get_frame_content_size(frame).ok().flatten();
    let announced = announced.ok_or(DeltaFlaw::Frame("its content size is missing"))?;
    if announced > limit {
        return Err(DeltaFlaw::TooLarge { limit });
    }
    let mut content = Vec::with_capacity(announced as usize);
    let mut decoder = DCtx::create();
    decoder.ref_prefix(prefix).map_err(flaw)?;
    decoder.decompress(&mut content, frame).map_err(flaw)?;
    Ok(content)
}
