//! The ways by which a bundle comes, from the cheapest to the one that every server has. Each is tried
//! once; whatever comes is checked against what was signed, so a bad one costs time and nothing else.

use std::error::Error as _;
use std::fmt;

use colophon_model::{Digest, FileSet, Tree};
use colophon_trust::limits::{MAX_FILES, MAX_UNPACKED};
use colophon_trust::{ContentFlaw, Contents, TargetFile, TargetName, delta};

use crate::bucket::{Location, MAX_LOCATION};
use crate::download::{self, Download, Progress, Size, Traffic};
use crate::generation::Generations;
use crate::objects::Objects;
use crate::unpack::unpack;
use crate::{BucketFlaw, BucketUrl, Cache, Error, NetworkError, Transport, transport};

/// A way by which a bundle comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// All of it was here.
    Cache,
    /// One frame, told from a bundle that is here.
    Delta,
    /// The zip, from a bucket that the server knows of.
    Bucket,
    /// One frame.
    Pack,
    /// The list of files, and each file that is not here.
    Blobs,
    /// The zip.
    Zip,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "cache",
            Self::Delta => "delta",
            Self::Bucket => "bucket",
            Self::Pack => "pack",
            Self::Blobs => "blobs",
            Self::Zip => "zip",
        })
    }
}

/// One way that was tried.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Which.
    pub via: Via,
    /// Bytes that came over the network.
    pub bytes: u64,
    /// Why it did not give the bundle, if it did not.
    pub problem: Option<String>,
}

/// How a bundle came.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The way that gave it.
    pub via: Via,
    /// Every way that was tried, in order.
    pub stages: Vec<Stage>,
    /// Bytes that an earlier run had left of it.
    pub resumed_from: u64,
}

impl Fetched {
    /// Bytes that came over the network, by all ways together.
    pub fn downloaded(&self) -> u64 {
        self.stages.iter().map(|stage| stage.bytes).sum()
    }
}

/// Why what was sent for a bundle is not the bundle.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryFlaw {
    /// A delta or pack.
    #[error(transparent)]
    Delta(#[from] delta::DeltaFlaw),
    /// The list of files.
    #[error(transparent)]
    Contents(#[from] ContentFlaw),
    /// A file.
    #[error("the file has another hash")]
    Hash,
    /// A bucket.
    #[error(transparent)]
    Bucket(#[from] BucketFlaw),
}

/// One bundle that is wanted.
pub(crate) struct Fetch<'a, T> {
    pub(crate) cache: &'a Cache,
    pub(crate) transport: &'a T,
    pub(crate) name: &'a TargetName,
    pub(crate) file: &'a TargetFile,
    /// Whether a delta may be asked for.
    pub(crate) delta: bool,
}

impl<T: Transport> Fetch<'_, T> {
    /// The files of the bundle, verified, and kept as objects.
    pub(crate) fn run(&self, progress: &mut Progress<'_>) -> Result<(FileSet, Fetched), Error> {
        if let Some(found) = self.cached()? {
            return Ok(found);
        }
        let mut stages = Vec::new();
        for via in [Via::Delta, Via::Bucket, Via::Pack, Via::Blobs] {
            let mut traffic = Traffic::default();
            match self.attempt(via, &mut traffic, progress) {
                Ok(Some(files)) => return self.keep(files, via, stages, traffic),
                Ok(None) => {}
                Err(error) if ends(via, &error) => return Err(error),
                Err(error) => {
                    let problem = Some(describe(&error));
                    stages.push(Stage { via, bytes: traffic.received, problem });
                }
            }
        }
        let mut traffic = Traffic::default();
        let files = self.zip(None, &mut traffic, progress)?;
        self.keep(files, Via::Zip, stages, traffic)
    }

    /// The same of what is here, and nothing else.
    pub(crate) fn stored(&self) -> Result<(FileSet, Fetched), Error> {
        if let Some(found) = self.cached()? {
            return Ok(found);
        }
        let missing = Objects::of(self.cache).missing(&self.signed())?;
        Err(Error::Absent { what: format!("bundle `{}`: {missing}", self.name) })
    }

    fn cached(&self) -> Result<Option<(FileSet, Fetched)>, Error> {
        self.file.check_limits()?;
        let fetched = Fetched { via: Via::Cache, stages: Vec::new(), resumed_from: 0 };
        let files = Objects::of(self.cache).bundle(&self.signed())?;
        Ok(files.map(|files| (files, fetched)))
    }

    fn keep(
        &self,
        files: FileSet,
        via: Via,
        mut stages: Vec<Stage>,
        traffic: Traffic,
    ) -> Result<(FileSet, Fetched), Error> {
        Objects::of(self.cache).keep_bundle(&files)?;
        if stages.iter().any(|stage| stage.via == Via::Bucket) {
            download::discard(self.cache, &self.bucket_key())?;
        }
        stages.push(Stage { via, bytes: traffic.received, problem: None });
        Ok((files, Fetched { via, stages, resumed_from: traffic.resumed_from }))
    }

    fn signed(&self) -> Contents {
        self.file.custom.contents()
    }

    /// `None` when this way is not open.
    fn attempt(
        &self,
        via: Via,
        traffic: &mut Traffic,
        progress: &mut Progress<'_>,
    ) -> Result<Option<FileSet>, Error> {
        let to = self.signed().tree;
        match via {
            Via::Delta => {
                let Some((from, base)) = self.base()? else { return Ok(None) };
                let path = format!("delta/{from}..{to}");
                self.frame(&path, Some(&base), traffic, progress).map(Some)
            }
            Via::Bucket => {
                let Some(url) = self.location()? else { return Ok(None) };
                self.zip(Some(&url), traffic, progress).map(Some)
            }
            Via::Pack => self.frame(&format!("pack/{to}"), None, traffic, progress).map(Some),
            Via::Blobs => self.blobs(traffic, progress).map(Some),
            Via::Cache | Via::Zip => Ok(None),
        }
    }

    /// Where the bundle lies beside the server, if it says so.
    fn location(&self) -> Result<Option<BucketUrl>, Error> {
        if !self.transport.goes_elsewhere() {
            return Ok(None);
        }
        let path = format!("bundles/{}/location.json", self.file.sha256);
        let json = match transport::read(self.transport, &path, MAX_LOCATION) {
            Ok(json) => json,
            // It has no bucket, or does not know what one is.
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let location = Location::read(&json).map_err(|flaw| refused(&path, flaw))?;
        let url = self.transport.elsewhere(location.url());
        url.map(Some).map_err(|flaw| refused(&path, flaw))
    }

    /// What the beginning of the zip from a bucket is called on the disk: the server's has another ETag.
    fn bucket_key(&self) -> String {
        Digest::of(format!("bucket {}", self.file.sha256).as_bytes()).to_string()
    }

    /// A bundle of the same flow of which every file is here: the active one, else the newest.
    fn base(&self) -> Result<Option<(Digest, FileSet)>, Error> {
        if !self.delta {
            return Ok(None);
        }
        let generations = Generations::of(self.cache, self.name.flow());
        for generation in generations.active()?.into_iter().chain(generations.all()?) {
            let Some(text) = generations.list(&generation)? else { continue };
            let Ok(tree) = Tree::decode(&text) else { continue };
            if tree.entries().len() as u64 > MAX_FILES {
                continue;
            }
            if let Some(files) = Objects::of(self.cache).listed(&tree, MAX_UNPACKED)? {
                return Ok(Some((Digest::of(&text), files)));
            }
        }
        Ok(None)
    }

    fn frame(
        &self,
        path: &str,
        base: Option<&FileSet>,
        traffic: &mut Traffic,
        progress: &mut Progress<'_>,
    ) -> Result<FileSet, Error> {
        let signed = self.signed();
        // Long enough to be of this pair, short enough for every file system.
        let key = Digest::of(path.as_bytes()).to_string();
        let size = Size::AtMost(delta::max_frame(&signed));
        self.download(path.to_owned(), key, size).run(traffic, progress, |frame| {
            delta::decode(frame, base, &signed).map_err(|flaw| refused(path, flaw))
        })
    }

    fn zip(
        &self,
        bucket: Option<&BucketUrl>,
        traffic: &mut Traffic,
        progress: &mut Progress<'_>,
    ) -> Result<FileSet, Error> {
        let TargetFile { sha256, length, custom } = self.file;
        let (path, key) = match bucket {
            Some(url) => (url.to_string(), self.bucket_key()),
            None => (format!("targets/{}", self.name.file_name(sha256)), sha256.to_string()),
        };
        let download = Download { bucket, ..self.download(path, key, Size::Exactly(*length)) };
        let zip = download.run(traffic, progress, |zip| {
            if colophon_model::Sha256::of(zip) == *sha256 {
                Ok(zip.to_vec())
            } else {
                Err(Error::HashMismatch { name: self.name.clone() })
            }
        })?;
        unpack(&zip, custom)
            .map_err(|flaw| Error::Bundle { name: self.name.clone(), source: flaw.into() })
    }

    fn download(&self, path: String, key: String, size: Size) -> Download<'_, T> {
        let Self { cache, transport, name, .. } = self;
        Download { cache, transport, name, path, key, size, bucket: None }
    }

    /// Each file is kept as soon as it is here, so that none comes twice.
    fn blobs(&self, traffic: &mut Traffic, progress: &mut Progress<'_>) -> Result<FileSet, Error> {
        let (signed, objects) = (self.signed(), Objects::of(self.cache));
        let path = format!("tree/{}", signed.tree);
        let text = self.small(&path, signed.max_tree(), traffic)?;
        let tree = signed.read_tree(&text).map_err(|flaw| refused(&path, flaw))?;
        for (done, entry) in tree.entries().iter().enumerate() {
            progress(done as u64, signed.files);
            if objects.read(&entry.digest)?.is_some() {
                continue;
            }
            let path = format!("blob/{}?tree={}", entry.digest, signed.tree);
            let left =
                signed.unpacked.saturating_sub(traffic.received.saturating_sub(text.len() as u64));
            let bytes = self.small(&path, left, traffic)?;
            if Digest::of(&bytes) != entry.digest {
                return Err(refused(&path, DeliveryFlaw::Hash));
            }
            objects.keep(&entry.digest, &bytes)?;
        }
        progress(signed.files, signed.files);
        objects.assemble(&signed, &tree)?.map_err(|flaw| refused(&path, flaw))
    }

    /// A file that is not worth continuing.
    fn small(&self, path: &str, limit: u64, traffic: &mut Traffic) -> Result<Vec<u8>, Error> {
        let answer = self.transport.get(path, None).map_err(|error| error.at(path))?;
        let bytes = answer.expect(path, &[200])?.read_up_to(path, limit)?;
        traffic.received += bytes.len() as u64;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { name: self.name.clone(), limit });
        }
        Ok(bytes)
    }
}

fn refused(path: &str, flaw: impl Into<DeliveryFlaw>) -> Error {
    Error::Delivery { path: path.to_owned(), source: Box::new(flaw.into()) }
}

/// Whether the next way would fail alike, or would throw away what is worth continuing.
fn ends(via: Via, error: &Error) -> bool {
    match error {
        Error::Auth { .. }
        | Error::Disk { .. }
        | Error::Network { source: NetworkError::Busy { .. }, .. } => true,
        // What came of a single file is not kept; and in place of a bucket there is somebody else to ask.
        Error::Network { source: NetworkError::Cut { received: 1.., .. }, .. } => {
            !matches!(via, Via::Blobs | Via::Bucket)
        }
        _ => false,
    }
}

/// The error with its causes.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
