//! Steps on the disk that a crash cannot leave half-done, or that leave nothing that is looked at.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use colophon_model::FileMode;

use super::Fault;
use super::fault::At as _;
#[cfg(test)]
use super::faults::step;

/// Where tests let the process die or the disk fill up. `grows`: the step needs space.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails")]
const fn step(_grows: bool) -> io::Result<()> {
    Ok(())
}

/// The contents of a file, or `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    absent_as_none(fs::read(path)).at(path)
}

pub(super) fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names in a folder, in order; none when it is not there.
pub(super) fn names(path: &Path) -> Result<Vec<String>, Fault> {
    let Some(entries) = absent_as_none(fs::read_dir(path)).at(path)? else { return Ok(Vec::new()) };
    let name =
        |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names = entries.map(name).collect::<io::Result<Vec<_>>>().at(path)?;
    names.sort();
    Ok(names)
}

/// Makes a folder and those above it.
pub(super) fn make_folders(path: &Path) -> Result<(), Fault> {
    step(true).at(path)?;
    fs::create_dir_all(path).at(path)
}

/// Makes one folder that is not there.
pub(super) fn make_folder(path: &Path) -> Result<(), Fault> {
    step(true).at(path)?;
    fs::create_dir(path).at(path)
}

/// Writes a file that is not there yet and that nobody may write to, synced if asked for.
pub(super) fn create(path: &Path, mode: FileMode, bytes: &[u8], sync: bool) -> Result<(), Fault> {
    let mode = match mode {
        FileMode::Regular => 0o444,
        FileMode::Executable => 0o555,
    };
    step(true).at(path)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.at(path)?;
    // The mode of a version is not the umask's.
    file.set_permissions(fs::Permissions::from_mode(mode)).at(path)?;
    grow(&mut file, bytes).at(path)?;
    if sync {
        step(true).at(path)?;
        file.sync_all().at(path)?;
    }
    Ok(())
}

/// Writes in two halves, since a death or a full disk may come in the middle.
fn grow(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let (start, rest) = bytes.split_at(bytes.len() / 2);
    file.write_all(start)?;
    step(true)?;
    file.write_all(rest)
}

/// Replaces a file as a whole: after a crash it has the old bytes or the new ones. Synced if asked for.
pub(super) fn replace(path: &Path, bytes: &[u8], sync: bool) -> Result<(), Fault> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    step(true).at(&temporary)?;
    let mut file = File::create(&temporary).at(&temporary)?;
    grow(&mut file, bytes).at(&temporary)?;
    if sync {
        step(true).at(&temporary)?;
        file.sync_all().at(&temporary)?;
    }
    drop(file);
    rename(&temporary, path)?;
    if sync { path.parent().map_or(Ok(()), sync_folder) } else { Ok(()) }
}

/// Gives a file a second name; where the file system has no links, or no more for this file, its bytes
/// are copied.
pub(super) fn link(from: &Path, to: &Path, sync: bool) -> Result<(), Fault> {
    step(true).at(to)?;
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    step(true).at(to)?;
    fs::copy(from, to).at(to)?;
    if sync { File::open(to).and_then(|file| file.sync_all()).at(to) } else { Ok(()) }
}

/// Makes a symbolic link that is not there.
pub(super) fn point(link: &Path, target: &Path) -> Result<(), Fault> {
    step(true).at(link)?;
    symlink(target, link).at(link)
}

/// Moves a file, folder or link; in the place of one that is there, where that is possible.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Fault> {
    step(false).at(to)?;
    fs::rename(from, to).at(to)
}

/// Removes a file; that it is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), Fault> {
    step(false).at(path)?;
    absent_as_none(fs::remove_file(path)).map(drop).at(path)
}

/// Removes a folder and all in it; that it is not there is fine.
pub(super) fn remove_folder(path: &Path) -> Result<(), Fault> {
    step(false).at(path)?;
    absent_as_none(fs::remove_dir_all(path)).map(drop).at(path)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), Fault> {
    step(false).at(path)?;
    File::open(path).and_then(|folder| folder.sync_all()).at(path)
}

/// Makes everything durable that was written to the file system of `path`.
pub(super) fn sync_all(path: &Path) -> Result<(), Fault> {
    step(false).at(path)?;
    #[cfg(test)]
    super::faults::synced_all();
    #[cfg(target_os = "linux")]
    {
        let folder = File::open(path).at(path)?;
        rustix::fs::syncfs(&folder).map_err(io::Error::from).at(path)
    }
    #[cfg(not(target_os = "linux"))]
    {
        rustix::fs::sync();
        Ok(())
    }
}
