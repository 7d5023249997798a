//! One request for all that would be asked for next.
//!
//! What comes is kept as answers to the requests that follow, which are then made as ever: nothing is
//! believed here, and whatever goes wrong, the network is asked instead.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::io::Cursor;

use colophon_model::{Digest, Sha256};
use colophon_trust::sync::{Answer, Answers, MAX_TREES, max_frame};
use colophon_trust::{Role, TrustedRoot, TrustedTargets};
use serde::Deserialize;

use crate::transport::{NetworkError, Response, Resume};
use crate::{BucketFlaw, BucketUrl, Cache, Error, Transport, refresh};

/// A network, and answers that came ahead of their questions.
pub(crate) struct Ahead<T> {
    network: T,
    answers: RefCell<Answers>,
    problem: RefCell<Option<String>>,
    /// What the last answer said of a bucket. It is believed only in that nobody is asked in vain.
    bucket: Cell<Option<bool>>,
}

impl<T: Transport> Transport for Ahead<T> {
    /// Each answer is given once: who asks again wants another.
    fn get(&self, path: &str, resume: Option<&Resume>) -> Result<Response, NetworkError> {
        let known = if resume.is_none() { self.answers.borrow_mut().take(path) } else { None };
        known.map_or_else(|| self.network.get(path, resume), |answer| Ok(response(answer)))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, NetworkError> {
        self.network.size(path)
    }

    fn goes_elsewhere(&self) -> bool {
        self.network.goes_elsewhere() && self.bucket.get() != Some(false)
    }

    fn elsewhere(&self, url: &str) -> Result<BucketUrl, BucketFlaw> {
        self.network.elsewhere(url)
    }

    fn get_elsewhere(
        &self,
        url: &BucketUrl,
        resume: Option<&Resume>,
    ) -> Result<Response, NetworkError> {
        self.network.get_elsewhere(url, resume)
    }
}

fn response(answer: Answer) -> Response {
    let (status, bytes) = match answer {
        Answer::File(bytes) => (200, bytes),
        Answer::Missing => (404, Vec::new()),
    };
    Response {
        status,
        etag: None,
        content_type: None,
        content_length: Some(bytes.len() as u64),
        retry_after: None,
        range_start: None,
        bucket: None,
        body: Box::new(Cursor::new(bytes)),
    }
}

impl<T: Transport> Ahead<T> {
    pub(crate) fn of(network: T) -> Self {
        Self {
            network,
            answers: RefCell::default(),
            problem: RefCell::default(),
            bucket: Cell::default(),
        }
    }

    pub(crate) fn into_network(self) -> T {
        self.network
    }

    /// Asks for all at once, with the trees that bundles may be told from; with `attested`, for what is
    /// attested about these too. Without a usable answer there is none for the requests that follow.
    pub(crate) fn ask(&self, cache: &Cache, trees: &[Digest], attested: bool) {
        self.bucket.set(None);
        let (answers, problem) = match self.answers(cache, trees, attested) {
            Ok(answers) => (answers, None),
            Err(problem) => (Answers::default(), Some(problem)),
        };
        self.answers.replace(answers);
        self.problem.replace(problem);
    }

    /// Why the last request of all at once gave nothing.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }

    fn answers(&self, cache: &Cache, trees: &[Digest], attested: bool) -> Result<Answers, String> {
        let held = Held::of(cache).map_err(|error| error.to_string())?;
        let path = held.question(trees, attested);
        let answer = self.network.get(&path, None).map_err(|error| error.to_string())?;
        if matches!(answer.status, 200 | 204) {
            self.bucket.set(answer.bucket);
        }
        if answer.status == 204 {
            return held.newest().ok_or_else(|| "204 for who holds nothing".to_owned());
        }
        let frame = answer.expect(&path, &[200]).and_then(|ok| ok.read_up_to(&path, max_frame()));
        let frame = frame.map_err(|error| with_cause(&error))?;
        let prefix = held.stored.as_ref().map(|(_, targets)| targets.bytes());
        Answers::decode(&frame, prefix).map_err(|flaw| flaw.to_string())
    }
}

fn with_cause(error: &Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// What is held here. Files that do not stand up to verification count as not there: the server would
/// otherwise say that there is nothing newer.
struct Held {
    root: u64,
    stored: Option<(Stored, TrustedTargets)>,
}

/// Of the stored metadata.
struct Stored {
    timestamp: u64,
    snapshot: u64,
    timestamp_bytes: Vec<u8>,
}

impl Held {
    fn of(cache: &Cache) -> Result<Self, Error> {
        let read = |role| Ok::<_, Error>(cache.metadata(role)?.unwrap_or_default());
        let root = version(&read(Role::Root)?);
        let Some(targets) = refresh::stored(cache)? else { return Ok(Self { root, stored: None }) };
        let timestamp_bytes = read(Role::Timestamp)?;
        let (timestamp, snapshot) = (version(&timestamp_bytes), version(&read(Role::Snapshot)?));
        let stored = Stored { timestamp, snapshot, timestamp_bytes };
        Ok(Self { root, stored: Some((stored, targets)) })
    }

    /// The path that asks. The server knows trees by the targets file that is held.
    fn question(&self, trees: &[Digest], attested: bool) -> String {
        let path = format!("edge/sync?root={}", self.root);
        let Some((Stored { timestamp, snapshot, .. }, targets)) = &self.stored else { return path };
        let listed: Vec<Digest> = targets.bundles().values().map(|file| file.custom.tree).collect();
        let known = trees.iter().filter(|tree| listed.contains(tree)).take(MAX_TREES);
        let known: Vec<String> = known.map(|tree| tree.to_string()[..8].to_owned()).collect();
        let sum = Sha256::of(targets.bytes());
        let path = format!("{path}&timestamp={timestamp}&snapshot={snapshot}&targets={sum}");
        if known.is_empty() {
            return path;
        }
        // Servers that do not know `with` leave it alone, and what it asks for out.
        let with = if attested { "env,provenance" } else { "env" };
        format!("{path}&with={with}&trees={}", known.join(","))
    }

    /// The answers when there is nothing newer: no root after this one, and the timestamp that is here.
    fn newest(self) -> Option<Answers> {
        let (Stored { timestamp_bytes, .. }, _) = self.stored?;
        let mut answers = Answers::default();
        let next = self.root.saturating_add(1);
        let added = answers.add(&format!("tuf/{next}.root.json"), Answer::Missing)
            && answers
                .add(&format!("tuf/{}", TrustedRoot::TIMESTAMP), Answer::File(timestamp_bytes));
        added.then_some(answers)
    }
}

/// The version in metadata; 0 when there is none.
fn version(metadata: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct File {
        signed: Signed,
    }
    #[derive(Deserialize)]
    struct Signed {
        version: u64,
    }
    serde_json::from_slice::<File>(metadata).map_or(0, |file| file.signed.version)
}
