//! An operator's folder of wheels for edge bundles, read once at start.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use colophon_compiler::{MAX_ZIP, Wheels};

/// Most bytes of all wheels, which stay in memory.
const MOST: u64 = 256 << 20;

/// The wheels in `dir`, as `pip download --only-binary=:all:` leaves them there. One that is larger
/// than any bundle may be is left out, and so is every other kind of file.
pub fn read(dir: Option<&Path>) -> anyhow::Result<Wheels> {
    let Some(dir) = dir else { return Ok(Wheels::default()) };
    let unread = || format!("cannot read the wheels in `{}`", dir.display());
    let (mut files, mut left) = (Vec::new(), MOST);
    for entry in fs::read_dir(dir).with_context(unread)? {
        let path = entry.with_context(unread)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_wheel = path.extension().is_some_and(|extension| extension == "whl");
        if !is_wheel {
            continue;
        }
        let length = fs::metadata(&path).with_context(unread)?.len();
        if length > MAX_ZIP {
            continue;
        }
        let Some(rest) = left.checked_sub(length) else {
            bail!("the wheels in `{}` have more than {} MiB", dir.display(), MOST >> 20);
        };
        left = rest;
        files.push((name.to_owned(), fs::read(&path).with_context(unread)?));
    }
    files.sort();
    Ok(Wheels::read(files))
}
