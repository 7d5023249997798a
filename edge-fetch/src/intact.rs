//! Whether what is on the disk still is what was signed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use colophon_model::{Digest, FlowId, Tree};

use crate::activation::{Installed, flow_state};
use crate::disk::{self, At};
use crate::generation::Generations;
use crate::refresh;
use crate::{BundleDigest, Cache, Error};

/// A generation whose files are the signed ones.
#[derive(Debug, Clone)]
pub struct Intact {
    /// Which.
    pub installed: Installed,
    /// The folder that holds its files.
    pub path: PathBuf,
}

/// Endings of files that some runtime would take for code. Others that scripts left are no concern.
const CODE: [&str; 13] =
    ["py", "pyc", "pyd", "pth", "so", "dll", "exe", "ahk", "ps1", "psm1", "psd1", "bat", "cmd"];

/// Compares every file of the flow's current generation with the signed list, and that list with
/// the signed metadata where it still names this generation. Takes no lock: a generation is
/// never changed in place.
///
/// # Errors
/// [`Error::Damaged`] with all that was found.
pub fn verify(cache: &Cache, flow: &FlowId) -> Result<Intact, Error> {
    let state = flow_state(cache, flow)?;
    let installed = state.current().ok_or_else(|| Error::NotInstalled { flow: flow.clone() })?;
    whole(cache, flow, installed)
}

/// The generation with this tree, if the flow has it: active, on trial, or where a rollback goes. Others
/// may be on the disk, but nothing here remembers what was signed for them.
pub(crate) fn find(
    cache: &Cache,
    flow: &FlowId,
    digest: &BundleDigest,
) -> Result<Option<Intact>, Error> {
    let state = flow_state(cache, flow)?;
    let installed = state.installed().find(|installed| digest.is_tree(&installed.tree));
    installed.map(|installed| whole(cache, flow, installed)).transpose()
}

fn whole(cache: &Cache, flow: &FlowId, installed: &Installed) -> Result<Intact, Error> {
    let mut found = check(cache, flow, installed)?;
    found.extend(contradiction(cache, flow, installed)?);
    if found.is_empty() {
        let path = Generations::of(cache, flow).path(&installed.generation);
        return Ok(Intact { installed: installed.clone(), path });
    }
    let generation = installed.generation.clone();
    Err(Error::Damaged { flow: flow.clone(), generation, found })
}

/// What is signed for the generation's number, when it is not what was installed under it.
fn contradiction(
    cache: &Cache,
    flow: &FlowId,
    installed: &Installed,
) -> Result<Option<String>, Error> {
    let Some(targets) = refresh::stored(cache)? else { return Ok(None) };
    let signed = targets
        .bundles()
        .values()
        .find(|file| file.custom.flow == *flow && file.custom.seq == installed.generation.seq());
    let other = signed.is_some_and(|file| file.custom.tree != installed.tree);
    Ok(other.then(|| "another tree was signed under this number".to_owned()))
}

/// Everything that is wrong with one generation.
pub(crate) fn check(
    cache: &Cache,
    flow: &FlowId,
    installed: &Installed,
) -> Result<Vec<String>, Error> {
    let generations = Generations::of(cache, flow);
    let list = generations.list(&installed.generation)?.unwrap_or_default();
    let tree = match Tree::decode(&list) {
        Ok(tree) if Digest::of(&list) == installed.tree => tree,
        _ => return Ok(vec!["the list of its files is missing or changed".to_owned()]),
    };
    let folder = generations.path(&installed.generation);
    let mut found = Vec::new();
    let mut signed = BTreeSet::new();
    for entry in tree.entries() {
        let path = folder.join(entry.path.as_str());
        match disk::read(&path)? {
            None => found.push(format!("`{}` is missing", entry.path)),
            Some(bytes) if Digest::of(&bytes) != entry.digest => {
                found.push(format!("`{}` was changed", entry.path));
            }
            Some(_) => {}
        }
        signed.insert(path);
    }
    added_code(&folder, &signed, &mut found)?;
    Ok(found)
}

/// Files that were not signed and that a runtime could load in place of one that was. What is below
/// `__pycache__` is not read by `run`.
fn added_code(
    folder: &Path,
    signed: &BTreeSet<PathBuf>,
    found: &mut Vec<String>,
) -> Result<(), Error> {
    let entries = disk::absent_as_none(fs::read_dir(folder)).at(folder)?;
    for entry in entries.into_iter().flatten() {
        let entry = entry.at(folder)?;
        let path = entry.path();
        let kind = entry.file_type().at(&path)?;
        if kind.is_dir() {
            if entry.file_name() != "__pycache__" {
                added_code(&path, signed, found)?;
            }
        } else if !signed.contains(&path) && (is_code(&path) || !kind.is_file()) {
            found.push(format!("`{}` was added", path.display()));
        }
    }
    Ok(())
}

fn is_code(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| CODE.iter().any(|code| code.eq_ignore_ascii_case(ending)))
}
