//! `--status`: how a folder stands, without a server.

use std::time::{Duration, SystemTime};

use colophon_model::Oid;
use serde::Serialize;

use super::blobs::Blobs;
use super::shelf::Shelf;
use super::{Fault, Folder, Owner, State, VersionName};

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// How a folder stands.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// The commit that readers get.
    pub commit: Oid,
    /// The folder's name below `generations/`.
    pub version: VersionName,
    /// When the commit was made, RFC 3339.
    pub committed_at: String,
    /// Files of the version.
    pub files: usize,
    /// Whether a process works there now.
    pub watched: bool,
    /// Whether every file was read and is what it is named; null when that was not asked for.
    pub verified: Option<bool>,
    /// Other versions that are there.
    pub kept: Vec<VersionName>,
    /// What the last process wrote down.
    #[serde(flatten)]
    pub state: State,
}

/// Looks at the folder. `verify`: also read every file of the version that readers get. `max_age`: how
/// long ago it may have been compared with the branch.
///
/// # Errors
/// [`Fault::Nothing`] without a version, [`Fault::Damaged`], [`Fault::Stale`], or when the disk fails.
pub fn status(folder: &Folder, verify: bool, max_age: Option<Duration>) -> Result<Status, Fault> {
    let nothing = || Fault::Nothing { dir: folder.dir().to_owned() };
    let owner = folder.owner()?.ok_or_else(nothing)?;
    let (shelf, mut blobs) = (Shelf::new(folder), Blobs::new(folder));
    let name = folder.current_version().ok_or_else(nothing)?;
    let version = shelf.read(&name)?.ok_or_else(nothing)?;
    if verify && let Some(found) = shelf.flaw(&name, &version, &mut blobs)? {
        return Err(Fault::Damaged { dir: folder.dir().to_owned(), commit: version.commit, found });
    }
    let state = State::read(folder)?;
    if let Some(most) = max_age {
        let age = state.age().unwrap_or(Duration::MAX);
        if age > most {
            return Err(Fault::Stale(Duration::from_secs(age.as_secs().min(u64::from(u32::MAX)))));
        }
    }
    let mut kept = shelf.all()?;
    kept.retain(|other| *other != name);
    Ok(Status {
        owner,
        commit: version.commit,
        committed_at: written(version.time),
        files: version.files.len(),
        watched: folder.is_locked(),
        verified: verify.then_some(true),
        kept,
        state,
        version: name,
    })
}

/// Seconds since 1970 as RFC 3339, which has four digits for a year: a commit may say anything.
fn written(time: i64) -> String {
    let seconds = u64::try_from(time).unwrap_or(0).min(LAST_SECOND);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A strange commit is no reason for health checks to fail.
    #[test]
    fn times_of_any_commit_can_be_written() {
        let written = [i64::MIN, -1, 0, 1_700_000_000, i64::MAX].map(written);
        let expected = ["1970-01-01T00:00:00Z"; 3];
        assert_eq!(written[..3], expected);
        assert_eq!(written[3..], ["2023-11-14T22:13:20Z", "9999-12-31T23:59:59Z"]);
    }
}
