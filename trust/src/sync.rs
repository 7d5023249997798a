//! The files that an agent would ask for next, in one zstd frame.
//!
//! An agent says what it holds, and the server answers with what it would answer to the requests that
//! follow. The frame (RFC 8878) has its content size and a checksum in it, and before it, as a raw
//! prefix, the targets file that the agent holds, if the server still has that. Its content:
//!
//! ```text
//! colophon sync v1
//! <status> <length> <path>    for each answer; <path> is relative to the tenant's URL
//!                             (an empty line)
//! <the bytes of each, in the same order>
//! ```
//!
//! Nothing about a frame is trusted, and nothing needs to be: each answer is verified as if it had come
//! alone.

use std::collections::BTreeMap;

use colophon_model::{Digest, Sha256};
use serde::Deserialize;
use serde_json::Value;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, ErrorCode, compress_bound, find_frame_compressed_size, get_error_name,
    get_frame_content_size,
};

use crate::limits::MAX_METADATA;
use crate::metadata::Targets;
use crate::{EnvFile, EnvName, TargetFile, TargetName};

/// Most bytes of a frame's content: a targets file of the largest size, the most of deltas, and the
/// rest.
pub const MAX_CONTENT: u64 = MAX_METADATA + 2 * 1024 * 1024;
/// Most answers in a frame.
pub const MAX_ANSWERS: usize = 1024;
/// Most bytes of a path in a frame.
pub const MAX_PATH: usize = 256;
/// Most trees that an agent names.
pub const MAX_TREES: usize = 256;

const MAGIC: &str = "colophon sync v1\n";
/// The content is small, or seldom asked for: a higher level gains nothing on hashes and signatures.
const LEVEL: i32 = 9;

/// A frame could not be made: zstd has no memory.
#[derive(Debug, thiserror::Error)]
#[error("zstd could not encode the answers: {0}")]
pub struct EncodeError(&'static str);

/// Why a frame gives no answers.
#[derive(Debug, thiserror::Error)]
pub enum SyncFlaw {
    /// Not exactly one zstd frame that says how large its content is, one that was damaged, or one
    /// that was made over other targets.
    #[error("not a whole zstd frame: {0}")]
    Frame(&'static str),
    /// The content is larger than [`MAX_CONTENT`].
    #[error("the frame announces more than {MAX_CONTENT} bytes")]
    TooLarge,
    /// The list in the content is not as it should be, or does not cover the bytes.
    #[error("the content is malformed")]
    Malformed,
}

/// What the server would answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These bytes, with status 200.
    File(Vec<u8>),
    /// There is nothing, status 404.
    Missing,
}

/// Answers by path. The bounds of a frame hold for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    by_path: BTreeMap<String, Answer>,
    bytes: usize,
}

impl Answers {
    /// Adds one; false when there is no room, when the path is none, or when it is there already.
    #[must_use]
    pub fn add(&mut self, path: &str, answer: Answer) -> bool {
        let bytes = self.bytes + line(path, &answer).len() + answer.bytes().len();
        let room = MAX_CONTENT as usize - MAGIC.len() - 1;
        let fits = self.by_path.len() < MAX_ANSWERS && bytes <= room;
        if !fits || !is_path(path) || self.by_path.contains_key(path) {
            return false;
        }
        self.by_path.insert(path.to_owned(), answer);
        self.bytes = bytes;
        true
    }

    /// Takes the answer for `path` out.
    pub fn take(&mut self, path: &str) -> Option<Answer> {
        let answer = self.by_path.remove(path)?;
        self.bytes -= line(path, &answer).len() + answer.bytes().len();
        Some(answer)
    }

    /// The answers, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Answer)> {
        self.by_path.iter().map(|(path, answer)| (path.as_str(), answer))
    }

    /// The frame, told from the targets file that the agent holds, or from nothing.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn encode(&self, held: Option<&[u8]>) -> Result<Vec<u8>, EncodeError> {
        let lines: String = self.iter().map(|(path, answer)| line(path, answer)).collect();
        let mut content = format!("{MAGIC}{lines}\n").into_bytes();
        self.iter().for_each(|(_, answer)| content.extend_from_slice(answer.bytes()));
        compress(held.unwrap_or_default(), &content)
            .map_err(|code| EncodeError(get_error_name(code)))
    }

    /// The answers in `frame`. Takes at most [`MAX_CONTENT`] bytes twice, whatever the frame says.
    ///
    /// # Errors
    /// [`SyncFlaw`] for everything that [`Self::encode`] does not make of the same `held`.
    pub fn decode(frame: &[u8], held: Option<&[u8]>) -> Result<Self, SyncFlaw> {
        let content = decompress(frame, held.unwrap_or_default())?;
        let rest = content.strip_prefix(MAGIC.as_bytes()).ok_or(SyncFlaw::Malformed)?;
        Self::read(rest).ok_or(SyncFlaw::Malformed)
    }

    fn read(mut rest: &[u8]) -> Option<Self> {
        let mut listed = Vec::new();
        loop {
            let end = rest.iter().position(|&b| b == b'\n')?;
            let text = std::str::from_utf8(&rest[..end]).ok()?;
            rest = &rest[end + 1..];
            if text.is_empty() {
                break;
            }
            if listed.len() == MAX_ANSWERS {
                return None;
            }
            listed.push(read_line(text)?);
        }
        let mut answers = Self::default();
        for (status, length, path) in listed {
            let (bytes, after) = rest.split_at_checked(length)?;
            rest = after;
            let answer = match status {
                "200" => Answer::File(bytes.to_vec()),
                "404" if length == 0 => Answer::Missing,
                _ => return None,
            };
            answers.add(path, answer).then_some(())?;
        }
        rest.is_empty().then_some(answers)
    }
}

impl Answer {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Missing => &[],
        }
    }
}

/// The most bytes that a frame can have.
pub fn max_frame() -> u64 {
    compress_bound(MAX_CONTENT as usize) as u64
}

/// Graphic ASCII, so that a line is a line.
fn is_path(path: &str) -> bool {
    (1..=MAX_PATH).contains(&path.len()) && path.bytes().all(|byte| byte.is_ascii_graphic())
}

fn line(path: &str, answer: &Answer) -> String {
    let status = match answer {
        Answer::File(_) => 200,
        Answer::Missing => 404,
    };
    format!("{status} {} {path}\n", answer.bytes().len())
}

/// A length has one spelling, so that there is one content for the same answers.
fn read_line(text: &str) -> Option<(&str, usize, &str)> {
    let (status, rest) = text.split_once(' ')?;
    let (length, path) = rest.split_once(' ')?;
    let number: usize = length.parse().ok()?;
    (number.to_string() == length).then_some((status, number, path))
}

/// What became of a bundle from one targets file to another that both list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its tree before.
    pub from: Digest,
    /// Its tree now, which may be the same.
    pub to: Digest,
    /// The environment beside it, when it is another one now.
    pub env: Option<(EnvName, Sha256)>,
    /// Its zip, when another envelope says now who made it from what.
    pub attested: Option<Sha256>,
}

/// What changed from the targets file `held` to `current`, by name. Both files are of the server's own
/// making; of anything else nothing is known.
pub fn changed(held: &[u8], current: &[u8]) -> Vec<Changed> {
    let (held, current) = (Listed::read(held), Listed::read(current));
    let pairs = held.bundles.iter().filter_map(|(name, file)| {
        let (now, env) = (current.bundles.get(name)?, EnvName::beside(name));
        let sum = |listed: &Listed| listed.envs.get(&env).map(|file| file.sha256);
        let other_env = sum(&current).filter(|now| sum(&held) != Some(*now));
        let (before, after) = (file.custom.attestation, now.custom.attestation);
        Some(Changed {
            from: file.custom.tree,
            to: now.custom.tree,
            env: other_env.map(|sha256| (env, sha256)),
            attested: after.filter(|_| before != after).map(|_| now.sha256),
        })
    });
    pairs.filter(|one| one.from != one.to || one.env.is_some() || one.attested.is_some()).collect()
}

/// What a targets file lists of the kinds that agents fetch.
#[derive(Default)]
struct Listed {
    bundles: BTreeMap<TargetName, TargetFile>,
    envs: BTreeMap<EnvName, EnvFile>,
}

impl Listed {
    fn read(targets: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct File {
            signed: Targets<Value>,
        }
        let mut listed = Self::default();
        let Ok(file) = serde_json::from_slice::<File>(targets) else { return listed };
        for (name, json) in file.signed.targets {
            if let Ok(name) = name.parse::<TargetName>() {
                listed.bundles.extend(TargetFile::from_json(json).ok().map(|file| (name, file)));
            } else if let Ok(name) = name.parse::<EnvName>() {
                listed.envs.extend(EnvFile::from_json(json).ok().map(|file| (name, file)));
            }
        }
        listed
    }
}

fn compress(prefix: &[u8], content: &[u8]) -> Result<Vec<u8>, ErrorCode> {
    let total = prefix.len().saturating_add(content.len()).max(1);
    // The window must reach from the end of the content to the start of the prefix.
    let window = total.next_power_of_two().ilog2().clamp(10, 24);
    let mut encoder = CCtx::create();
    encoder.set_parameter(CParameter::CompressionLevel(LEVEL))?;
    encoder.set_parameter(CParameter::WindowLog(window))?;
    encoder.set_parameter(CParameter::ChecksumFlag(true))?;
    encoder.ref_prefix(prefix)?;
    let mut frame = Vec::with_capacity(compress_bound(content.len()));
    encoder.compress2(&mut frame, content)?;
    Ok(frame)
}

/// Unpacks in one go into memory of the announced size: zstd writes no byte past it, whatever the
/// frame says, and needs no window.
fn decompress(frame: &[u8], prefix: &[u8]) -> Result<Vec<u8>, SyncFlaw> {
    let flaw = |code| SyncFlaw::Frame(get_error_name(code));
    if find_frame_compressed_size(frame).map_err(flaw)? != frame.len() {
        return Err(SyncFlaw::Frame("there is something after it"));
    }
    let announced = get_frame_content_size(frame).ok().flatten();
    let announced = announced.ok_or(SyncFlaw::Frame("its content size is missing"))?;
    if announced > MAX_CONTENT {
        return Err(SyncFlaw::TooLarge);
    }
    let mut content = Vec::with_capacity(announced as usize);
    let mut decoder = DCtx::create();
    decoder.ref_prefix(prefix).map_err(flaw)?;
    decoder.decompress(&mut content, frame).map_err(flaw)?;
    Ok(content)
}
