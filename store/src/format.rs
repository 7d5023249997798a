//! The file `FORMAT`: which versions of the format this program opens, and which it writes.
//!
//! A format is raised when an older program would misread what a newer one writes. Version 2 added
//! codecs with dictionaries and the tables that maintenance keeps.

use std::io;

use crate::disk::{read_small, write_atomic};
use crate::{Disk, Error};

const FILE: &str = "FORMAT";
/// What this program writes.
const NEWEST: u32 = 3;

/// Checks the format of the store on `disk`, makes a new store's, and raises an older one.
pub(crate) fn check(disk: &dyn Disk) -> Result<(), Error> {
    let found = read_small(disk, FILE).map_err(in_file)?;
    let version = found.as_deref().and_then(version);
    match (found, version) {
        (_, Some(NEWEST)) => Ok(()),
        (_, Some(_)) => write(disk),
        // FORMAT is the first file of a store, so metadata without it is not a new one.
        (None, _) if is_used(disk)? => Err(refused("none".to_owned())),
        (None, _) => write(disk),
        (Some(text), None) => Err(refused(first_line(&text))),
    }
}

/// Checks the format of a store that is only read.
pub(crate) fn require(disk: &dyn Disk) -> Result<(), Error> {
    let found = read_small(disk, FILE).map_err(in_file)?.unwrap_or_default();
    if version(&found).is_some() { Ok(()) } else { Err(refused(first_line(&found))) }
}

/// Makes the store one of the newest format. Nothing of an older one is rewritten: every version
/// reads all before it. What changes is what may be added from now on.
pub(crate) fn write(disk: &dyn Disk) -> Result<(), Error> {
    write_atomic(disk, FILE, format!("colophon store {NEWEST}\n").as_bytes()).map_err(in_file)
}

/// The version that `text` names, if this program opens it.
fn version(text: &[u8]) -> Option<u32> {
    let line = str::from_utf8(text).ok()?.strip_prefix("colophon store ")?.strip_suffix('\n')?;
    let version: u32 = line.parse().ok()?;
    ((1..=NEWEST).contains(&version) && version.to_string() == line).then_some(version)
}

fn is_used(disk: &dyn Disk) -> Result<bool, Error> {
    Ok(disk.list("").map_err(in_file)?.iter().any(|name| name == "CURRENT"))
}

fn first_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).lines().next().unwrap_or_default().chars().take(80).collect()
}

fn refused(found: String) -> Error {
    Error::Format { found, newest: NEWEST }
}

fn in_file(source: io::Error) -> Error {
    Error::File { path: FILE.into(), source }
}
