//! Backup of a running store, and the way back. A backup is a store: the same files, in a directory
//! of its own.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::committer::Committer;
use crate::disk::Disk;
use crate::fsck::{FsckOptions, FsckReport};
use crate::kv::generations::RedbKv;
use crate::progress::{Progress, Report};
use crate::segments::files::segment_name;
use crate::{
    Error, Location, Options, OsDisk, Pace, SegmentInfo, Segments, Snapshot, Store, format,
};

/// Bytes copied at a time.
const CHUNK: u64 = 1 << 20;

/// What a backup or a restored store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Bytes of the metadata.
    pub metadata_bytes: u64,
}

/// What came of restoring a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// What was copied.
    pub copied: BackupReport,
    /// Whether the copy is whole.
    pub check: FsckReport,
}

impl Store {
    /// Copies the store, as it is at one moment, to the directory `dir`, which must be absent or
    /// empty. Builds go on meanwhile. The server's keys are not the store's and are not copied.
    ///
    /// An interrupted backup has no `FORMAT`, so that it is not taken for a store.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] when there is something in `dir`.
    pub fn backup(&self, dir: &Path, report: Report<'_>) -> Result<BackupReport, Error> {
        let _turn = self.maintenance()?;
        let to = empty(dir)?;
        let in_dir = |source| Error::File { path: dir.to_owned(), source };
        // The lease keeps the segments' files; the snapshot is given up as soon as it is copied.
        let _lease = self.lease();
        let (segments, snapshot) = self.writer().alone(moment)?;
        report(Progress::begin("copying metadata"));
        RedbKv::begin_copy(&to, &*snapshot).map_err(in_dir)?;
        drop(snapshot);
        let mut done = BackupReport { segments: segments.len() as u64, ..BackupReport::default() };
        let total = segments.iter().map(|segment| segment.length).sum();
        to.make_dir("segments").map_err(in_dir)?;
        for segment in segments {
            copy_segment(self.frames(), &to, segment).map_err(in_dir)?;
            done.segment_bytes += segment.length;
            report(Progress::new("copying segments", done.segment_bytes, total));
        }
        to.sync_dir("segments").map_err(in_dir)?;
        RedbKv::finish_copy(&to).map_err(in_dir)?;
        format::write(&to)?;
        done.metadata_bytes = metadata_len(&to).map_err(in_dir)?;
        Ok(done)
    }
}

/// Rows and segments that belong together: no change is half written now.
fn moment(committer: &mut Committer) -> io::Result<(Vec<SegmentInfo>, Box<dyn Snapshot>)> {
    Ok((committer.segments.list()?, committer.kv.snapshot()?))
}

fn copy_segment(from: &dyn Segments, to: &dyn Disk, segment: SegmentInfo) -> io::Result<()> {
    let file = to.create(&segment_name(segment.generation))?;
    let mut offset = 0;
    while offset < segment.length {
        let length = (segment.length - offset).min(CHUNK) as u32;
        let part = Location { segment: segment.generation, offset, length };
        file.write_at(offset, &from.read(&part)?)?;
        offset += u64::from(length);
    }
    file.sync()
}

/// Copies the backup in `from` to `to`, which must be absent or empty, and reads all of the copy.
///
/// # Errors
/// [`Error::Locked`] when someone uses the backup as a store, [`Error::Format`] when it is not whole,
/// [`Error::NotEmpty`] when there is something in `to`.
pub fn restore(from: &Path, to: &Path, report: Report<'_>) -> Result<RestoreReport, Error> {
    if !from.join("FORMAT").exists() {
        return Err(Error::NoBackup { path: from.to_owned() });
    }
    let source = OsDisk::open(from, "restore")?;
    format::require(&source)?;
    let target = empty(to)?;
    let copied = copy(&source, &target, report)
        .map_err(|source| Error::File { path: to.to_owned(), source })?;
    format::write(&target)?;
    drop(target);
    let store = Store::open(to, &Options { owner: "restore".to_owned(), ..Options::default() })?;
    let options = FsckOptions { read_blobs: true, repair: false, pace: Pace::FULL };
    Ok(RestoreReport { copied, check: store.fsck(&options, None, report)? })
}

/// Copies the files of a store, `FORMAT` not among them: without it they are nobody's.
fn copy(from: &dyn Disk, to: &dyn Disk, report: Report<'_>) -> io::Result<BackupReport> {
    let mut done = BackupReport::default();
    for name in from.list("")? {
        if name == "CURRENT" || is_metadata(&name) {
            let bytes = copy_file(from, to, &name)?;
            done.metadata_bytes += if is_metadata(&name) { bytes } else { 0 };
        }
    }
    to.make_dir("segments")?;
    for name in from.list("segments")? {
        done.segment_bytes += copy_file(from, to, &format!("segments/{name}"))?;
        done.segments += 1;
        report(Progress { stage: "copying segments", done: done.segment_bytes, total: None });
    }
    to.sync_dir("segments")?;
    to.sync_dir("")?;
    Ok(done)
}

fn copy_file(from: &dyn Disk, to: &dyn Disk, name: &str) -> io::Result<u64> {
    let (from, to) = (from.open(name)?, to.create(name)?);
    let (len, mut offset) = (from.len()?, 0);
    while offset < len {
        let mut part = vec![0; (len - offset).min(CHUNK) as usize];
        from.read_at(offset, &mut part)?;
        to.write_at(offset, &part)?;
        offset += part.len() as u64;
    }
    to.sync()?;
    Ok(len)
}

fn is_metadata(name: &str) -> bool {
    name.strip_prefix("meta.").is_some_and(|rest| rest.strip_suffix(".redb").is_some())
}

fn metadata_len(disk: &dyn Disk) -> io::Result<u64> {
    let names = disk.list("")?;
    names.iter().filter(|name| is_metadata(name)).map(|name| disk.open(name)?.len()).sum()
}

/// A directory that holds nothing yet but a lock.
fn empty(dir: &Path) -> Result<OsDisk, Error> {
    let in_dir = |source| Error::File { path: dir.to_owned(), source };
    if dir.exists() && dir.read_dir().map_err(in_dir)?.next().is_some() {
        return Err(Error::NotEmpty { path: dir.to_owned() });
    }
    OsDisk::open(dir, "backup")
}
