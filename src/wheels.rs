//! An operator's folder of wheels for edge bundles, read once at start.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use colophon_compiler::{MAX_ZIP, Wheels};

/// Most wheels.
const MOST: usize = 1_000;

/// The wheels in `dir`, as `pip download --only-binary=:all:` leaves them there. One that is larger
/// than any bundle may be is left out, and so is every other kind of file.
pub fn read(dir: Option<&Path>) -> anyhow::Result<Wheels> {
    let Some(dir) = dir else { return Ok(Wheels::default()) };
    let unread = || format!("cannot read the wheels in `{}`", dir.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(unread)? {
        let path = entry.with_context(unread)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_wheel = path.extension().is_some_and(|extension| extension == "whl");
        if !is_wheel || fs::metadata(&path).with_context(unread)?.len() > MAX_ZIP {
            continue;
        }
        if files.len() == MOST {
            bail!("`{}` holds more than {MOST} wheels", dir.display());
        }
        files.push((name.to_owned(), fs::read(&path).with_context(unread)?));
    }
    files.sort();
    Ok(Wheels::read(files))
}
