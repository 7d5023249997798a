//! A disk in memory that remembers all that was done to it, and can lose what was not synced.
//!
//! It is as unkind as a real one may be: an unsynced write may be there, be gone or be torn, whatever
//! came before or after it; a name is no more durable than its directory; a failed sync drops what it
//! should have made durable, goes on showing it, and the next one says that all is well; space is
//! counted in blocks. Nothing in it is random.

pub(crate) mod crashes;
mod image;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use colophon_model::Digest;
use colophon_store::{Disk, DiskFile};

use self::image::{Image, Moment};

/// What was done to the disk.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create {
        name: String,
        file: Inode,
    },
    Rename {
        from: String,
        to: String,
        file: Inode,
    },
    Remove {
        name: String,
        file: Inode,
    },
    MakeDir {
        dir: String,
    },
    SyncDir {
        dir: String,
    },
    Write {
        file: Inode,
        offset: usize,
        bytes: Arc<[u8]>,
    },
    SetLen {
        file: Inode,
        len: usize,
    },
    /// Blocks are set aside, and the file has their length.
    Allocate {
        file: Inode,
        len: usize,
    },
    Sync {
        file: Inode,
    },
    /// A sync, after which only what is durable is seen.
    Settle {
        file: Inode,
    },
    /// A sync that failed: what was not durable may be so now or be lost, for good.
    FailedSync {
        file: Inode,
    },
    FailedSyncDir {
        dir: String,
    },
}

impl Op {
    pub(crate) fn is_sync(&self) -> bool {
        self.is_file_sync() || matches!(self, Self::SyncDir { .. })
    }

    pub(crate) fn is_file_sync(&self) -> bool {
        matches!(self, Self::Sync { .. } | Self::Settle { .. })
    }
}

/// A file, whatever it is called now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inode {
    number: usize,
    /// The name it was made under.
    pub(crate) born: Arc<str>,
}

/// What becomes of an operation that was not synced when the disk crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Kept,
    /// The first bytes of a write are kept, so many. What is atomic is kept whole.
    Torn(usize),
}

/// A disk in memory. Cloning gives another handle to the same one.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

/// EIO, as an error of the system.
pub(crate) const EIO: i32 = 5;
/// ENOSPC, as an error of the system.
pub(crate) const ENOSPC: i32 = 28;

/// Decides which operations fail, and with which error of the system.
type Fault = Box<dyn FnMut(&Op) -> Option<i32> + Send>;

#[derive(Default)]
struct State {
    /// What the log begins with.
    base: Moment,
    /// Operations before the log.
    forgotten: usize,
    log: Vec<Op>,
    /// What `base` and the log lead to.
    now: Moment,
    files: usize,
    /// Open handles. A file without a name takes up space until the last is gone.
    handles: BTreeMap<Inode, usize>,
    capacity: Option<u64>,
    fault: Option<Fault>,
    unreadable: bool,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a disk after {} operations", self.operations())
    }
}

impl SimDisk {
    pub(crate) fn new() -> Self {
        Self::of(Moment::settled(Image::empty()), 0, 0)
    }

    fn of(moment: Moment, operations: usize, files: usize) -> Self {
        let state = State {
            base: moment.clone(),
            forgotten: operations,
            now: moment,
            files,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// How many operations were done so far.
    pub(crate) fn operations(&self) -> usize {
        self.state().operations()
    }

    /// The operations so far that are not forgotten, in order.
    pub(crate) fn log(&self) -> Vec<Op> {
        self.state().log.clone()
    }

    /// Forgets how it came to what it is, but not what is durable: from now on it can crash at this
    /// moment or later.
    pub(crate) fn forget(&self) {
        let state = &mut *self.state();
        state.base = state.now.clone();
        state.forgotten += std::mem::take(&mut state.log).len();
    }

    /// The moments at which it can crash.
    pub(crate) fn moments(&self) -> RangeInclusive<usize> {
        let state = self.state();
        state.forgotten..=state.operations()
    }

    /// The disk after a crash before operation `at`: all that was durable by then, and what `fate`
    /// leaves of the rest. It is given the number of each operation.
    pub(crate) fn crashed(&self, at: usize, fate: impl FnMut(usize, &Op) -> Fate) -> Self {
        let state = self.state();
        Self::of(Moment::settled(state.at(at).survive(fate)), 0, state.files)
    }

    /// The disk after its user was killed before operation `at` and the machine went on: everything
    /// is there, and what was not synced may still be lost later.
    pub(crate) fn killed(&self, at: usize) -> Self {
        let state = self.state();
        Self::of(state.at(at), at, state.files)
    }

    /// A digest of all names and bytes.
    pub(crate) fn fingerprint(&self) -> Digest {
        self.state().now.live.fingerprint()
    }

    /// Every file by name, as whoever uses the disk sees it.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().now.live.contents()
    }

    /// From now on the disk holds so many bytes, or any number.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// How many bytes it holds, if not any number.
    pub(crate) fn capacity(&self) -> Option<u64> {
        self.state().capacity
    }

    /// Bytes taken up, in whole blocks.
    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    /// Lets every operation fail for which `fault` answers an error of the system: half of a write is
    /// done, and half of what was to be synced is lost for good, though it can still be read.
    pub(crate) fn fail_when(&self, fault: impl FnMut(&Op) -> Option<i32> + Send + 'static) {
        self.state().fault = Some(Box::new(fault));
    }

    /// Lets no operation fail any more.
    pub(crate) fn stop_failing(&self) {
        self.state().fault = None;
    }

    /// Whether reads of segments fail.
    pub(crate) fn set_unreadable(&self, unreadable: bool) {
        self.state().unreadable = unreadable;
    }

    fn handle(&self, state: &mut State, file: Inode) -> Arc<dyn DiskFile> {
        *state.handles.entry(file.clone()).or_default() += 1;
        Arc::new(SimFile { disk: self.clone(), file })
    }
}

impl State {
    fn operations(&self) -> usize {
        self.forgotten + self.log.len()
    }

    /// The disk before operation `at`.
    fn at(&self, at: usize) -> Moment {
        if at == self.operations() {
            return self.now.clone();
        }
        let mut moment = self.base.clone();
        let log = (self.forgotten..at).zip(&self.log);
        log.for_each(|(n, op)| moment.step(n, op));
        moment
    }

    /// Does an operation, or lets it fail.
    fn act(&mut self, op: Op) -> io::Result<()> {
        if let Some(error) = self.fault.as_mut().and_then(|fault| fault(&op)) {
            if let Some(half) = half_done(op) {
                self.record(half);
            }
            return Err(io::Error::from_raw_os_error(error));
        }
        self.record(op);
        Ok(())
    }

    fn record(&mut self, op: Op) {
        self.now.step(self.operations(), &op);
        self.log.push(op);
    }

    fn make(&mut self, name: &str) -> io::Result<Inode> {
        if self.now.live.find(name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Inode { number: self.files, born: name.into() };
        self.files += 1;
        self.act(Op::Create { name: name.to_owned(), file: file.clone() })?;
        Ok(file)
    }

    fn find(&self, name: &str) -> io::Result<Inode> {
        self.now.live.find(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        self.now.live.used(|file| self.handles.contains_key(file))
    }

    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    /// Writes as much as there is room for.
    fn write(&mut self, file: &Inode, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let room = self.now.live.room(file, offset, bytes.len(), self.free());
        if room > 0 || bytes.is_empty() {
            self.act(Op::Write { file: file.clone(), offset, bytes: bytes[..room].into() })?;
        }
        if room < bytes.len() { Err(full()) } else { Ok(()) }
    }
}

/// What a failed operation does all the same.
fn half_done(op: Op) -> Option<Op> {
    match op {
        Op::Write { file, offset, bytes } => {
            Some(Op::Write { file, offset, bytes: bytes[..bytes.len() / 2].into() })
        }
        Op::Sync { file } | Op::Settle { file } => Some(Op::FailedSync { file }),
        Op::SyncDir { dir } => Some(Op::FailedSyncDir { dir }),
        _ => None,
    }
}

fn full() -> io::Error {
    io::Error::from_raw_os_error(ENOSPC)
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let file = state.find(name)?;
        Ok(self.handle(&mut state, file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let file = state.make(name)?;
        Ok(self.handle(&mut state, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.find(from)?;
        state.act(Op::Rename { from: from.to_owned(), to: to.to_owned(), file })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.find(name)?;
        state.act(Op::Remove { name: name.to_owned(), file })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.state().now.live.list(dir).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.now.live.list(dir).is_some() {
            return Ok(());
        }
        state.act(Op::MakeDir { dir: dir.to_owned() })
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.state().act(Op::SyncDir { dir: dir.to_owned() })
    }

    fn settle(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.find(name)?;
        state.act(Op::Settle { file })
    }

    fn reserve(&self, name: &str, len: u64) -> io::Result<()> {
        let mut state = self.state();
        let file = state.make(name)?;
        if len > state.free() {
            return Err(full());
        }
        state.act(Op::Allocate { file, len: len.try_into().unwrap() })
    }

    fn free(&self) -> io::Result<u64> {
        Ok(self.state().free())
    }
}

struct SimFile {
    disk: SimDisk,
    file: Inode,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in memory", self.file.born)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        let last = state.handles.get_mut(&self.file).is_some_and(|handles| {
            *handles -= 1;
            *handles == 0
        });
        if last {
            state.handles.remove(&self.file);
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().now.live.len(&self.file) as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        if state.unreadable && self.file.born.starts_with("segments/") {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let read =
            usize::try_from(offset).ok().and_then(|at| state.now.live.read(&self.file, at, out));
        read.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.state().write(&self.file, offset.try_into().unwrap(), bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = len.try_into().unwrap();
        self.disk.state().act(Op::SetLen { file: self.file.clone(), len })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().act(Op::Sync { file: self.file.clone() })
    }
}
