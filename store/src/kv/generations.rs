//! Rows in the file `meta.<generation>.redb` that `CURRENT` names, so that the file can be rewritten
//! whole.

use std::io;

use super::redb::RedbFile;
use super::{Batch, Conflict, KeyRange, Kv, Order, Snapshot, Usage};
use crate::disk::{read_small, remove_if_present, write_atomic};
use crate::space::is_full;
use crate::sync::{Arc, PoisonError, RwLock};
use crate::{Disk, DiskFile, Durability, Table};

const CURRENT: &str = "CURRENT";
/// Page cache while a copy is made, in bytes.
const COPY_CACHE: usize = 64 << 20;

/// Rows in a redb database on a disk.
pub struct RedbKv {
    disk: Arc<dyn Disk>,
    durability: Durability,
    cache_bytes: usize,
    current: RwLock<Current>,
}

struct Current {
    generation: u64,
    file: Arc<RedbFile>,
}

impl RedbKv {
    /// Opens the database that `CURRENT` names, or makes one, with a page cache of `cache_bytes`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when the file that `CURRENT` names is gone.
    pub fn open(
        disk: Arc<dyn Disk>,
        durability: Durability,
        cache_bytes: usize,
    ) -> io::Result<Self> {
        let current = if let Some(text) = read_small(&*disk, CURRENT)? {
            let generation = parse_current(&text)?;
            let file = settled(&*disk, generation)?;
            remove_others(&*disk, generation)?; // left by a crash during a rewrite
            let file = Arc::new(RedbFile::open(file, durability, cache_bytes)?);
            Current { generation, file }
        } else {
            refuse_if_used(&*disk)?;
            make(&*disk, 1, durability, cache_bytes, None)?
        };
        Ok(Self { disk, durability, cache_bytes, current: RwLock::new(current) })
    }

    /// Makes a database on an empty `disk` with the rows of `from`. Until [`Self::finish_copy`] it is
    /// nobody's.
    pub(crate) fn begin_copy(disk: &dyn Disk, from: &dyn Snapshot) -> io::Result<()> {
        let file = disk.create(&name(1))?;
        RedbFile::open(file, Durability::Full, COPY_CACHE)?.fill(from)
    }

    /// Makes the database of [`Self::begin_copy`] current.
    pub(crate) fn finish_copy(disk: &dyn Disk) -> io::Result<()> {
        disk.sync_dir("")?;
        write_atomic(disk, CURRENT, format!("{}\n", name(1)).as_bytes())
    }

    fn current(&self) -> (u64, Arc<RedbFile>) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.generation, Arc::clone(&current.file))
    }
}

/// The file that `CURRENT` names.
fn settled(disk: &dyn Disk, generation: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open(&name(generation))?;
    disk.settle(&name(generation))?;
    if file.is_empty()? {
        // An empty file would be taken for a new database, and hide that rows are lost.
        return Err(invalid("the metadata file is empty"));
    }
    Ok(file)
}

/// Makes the database `generation` with the rows of `from`. It becomes current once it is whole.
fn make(
    disk: &dyn Disk,
    generation: u64,
    durability: Durability,
    cache_bytes: usize,
    from: Option<&dyn Snapshot>,
) -> io::Result<Current> {
    let name = name(generation);
    remove_if_present(disk, &name)?; // left by a crash before it became current
    let file = RedbFile::open(disk.create(&name)?, durability, cache_bytes)?;
    from.map_or(Ok(()), |from| file.fill(from))?;
    disk.sync_dir("")?; // the file's name must not be lost when `CURRENT` names it
    write_atomic(disk, CURRENT, format!("{name}\n").as_bytes())?;
    Ok(Current { generation, file: Arc::new(file) })
}

impl Kv for RedbKv {
    fn snapshot(&self) -> io::Result<Box<dyn Snapshot>> {
        Ok(Box::new(self.current().1.snapshot()?))
    }

    fn commit(&self, batches: &[&Batch]) -> io::Result<Vec<Result<(), Conflict>>> {
        self.current().1.commit(batches)
    }

    fn usage(&self) -> io::Result<Usage> {
        let (generation, file) = self.current();
        let total = self.disk.open(&name(generation))?.len()?;
        Ok(Usage { total, live: file.live_bytes()? })
    }

    fn rewrite(&self) -> io::Result<()> {
        let (generation, old) = self.current();
        let snapshot = old.snapshot()?;
        let next = generation + 1;
        let new = make(&*self.disk, next, self.durability, self.cache_bytes, Some(&snapshot));
        let new = new.inspect_err(|error| {
            // Gives its space back at once. After another error `CURRENT` may name it.
            if is_full(error) {
                let _ = remove_if_present(&*self.disk, &name(next));
            }
        })?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        // Readers that hold it open keep it; its space is free when the last of them is gone.
        remove_if_present(&*self.disk, &name(generation))?;
        self.disk.sync_dir("")
    }
}

fn name(generation: u64) -> String {
    format!("meta.{generation}.redb")
}

fn generation(name: &str) -> Option<u64> {
    name.strip_prefix("meta.")?.strip_suffix(".redb")?.parse().ok()
}

/// Reads the generation from the text of `CURRENT`.
fn parse_current(text: &[u8]) -> io::Result<u64> {
    let line = str::from_utf8(text).ok().and_then(|text| text.strip_suffix('\n'));
    line.and_then(generation).ok_or_else(|| invalid("`CURRENT` names no metadata file"))
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Without `CURRENT` there is nothing, or the first database half made, or a store that lost the
/// file: that one must not be made anew.
fn refuse_if_used(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list("")? {
        let used = match generation(&name) {
            None => false,
            Some(1) => has_rows(disk, &name),
            Some(_) => true,
        };
        if used {
            let text = format!("`CURRENT` is lost; a line `{name}` in it brings the store back");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    }
    Ok(())
}

/// Whether a database opens and holds anything. One that was cut while it was made does not open.
fn has_rows(disk: &dyn Disk, name: &str) -> bool {
    let any = || -> io::Result<bool> {
        let file = disk.open(name)?;
        if file.is_empty()? {
            return Ok(false);
        }
        let snapshot = Arc::new(RedbFile::open_checked(file, COPY_CACHE)?).snapshot()?;
        let all = KeyRange::prefix(b"");
        let any_in =
            |table: &Table| Ok(!snapshot.range(*table, &all, Order::Ascending, 1)?.is_empty());
        Table::ALL.iter().map(any_in).try_fold(false, |any, one: io::Result<bool>| Ok(any | one?))
    };
    any().unwrap_or(false)
}

fn remove_others(disk: &dyn Disk, current: u64) -> io::Result<()> {
    for other in disk.list("")?.iter().filter_map(|name| generation(name)) {
        if other != current {
            remove_if_present(disk, &name(other))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_metadata_names_are_followed() {
        assert_eq!(parse_current(b"meta.12.redb\n").unwrap(), 12);
        for bad in
            ["", "meta.1.redb", "meta..redb\n", "meta.x.redb\n", "../meta.1.redb\n", "meta.1/..\n"]
        {
            assert!(parse_current(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
