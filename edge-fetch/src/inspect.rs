//! What a file is, and where a digest is used.

use std::fs;
use std::path::Path;

use colophon_model::{Digest, Sha256, Tree};
use serde_json::{Value, json};

use crate::activation::flow_state;
use crate::disk;
use crate::gc::for_each_file;
use crate::generation::Generations;
use crate::{Cache, Error};

/// Describes a zip, a metadata file or a list of files. It says what is there, not that anybody
/// signed it.
///
/// # Errors
/// When the file cannot be read.
pub fn inspect_file(path: &Path) -> Result<Value, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Input { path: path.to_owned(), source })?;
    let mut found = json!({"event": "file", "path": path, "bytes": bytes.len(),
        "sha256": Sha256::of(&bytes), "blake3": Digest::of(&bytes)});
    let (kind, more) = describe(&bytes);
    found["kind"] = kind.into();
    found["contents"] = more;
    Ok(found)
}

fn describe(bytes: &[u8]) -> (&'static str, Value) {
    if let Ok(tree) = Tree::decode(bytes) {
        return ("tree", entries(&tree));
    }
    if let Some(signed) = serde_json::from_slice::<Value>(bytes).ok().and_then(|json| {
        let signed = json.get("signed")?;
        Some(json!({"type": signed.get("_type")?, "version": signed.get("version")?,
            "expires": signed.get("expires")?, "targets": signed.get("targets")}))
    }) {
        return ("metadata", signed);
    }
    match zip::ZipArchive::new(std::io::Cursor::new(bytes)) {
        Ok(archive) => ("zip", archive.file_names().filter_map(Result::ok).collect()),
        Err(_) => ("other", Value::Null),
    }
}

fn entries(tree: &Tree) -> Value {
    let entry =
        |entry: &colophon_model::TreeEntry| json!({"path": entry.path, "blake3": entry.digest});
    tree.entries().iter().map(entry).collect()
}

/// Finds the generations that have a tree or a file with this BLAKE3, and the file's paths there.
///
/// # Errors
/// [`Error::Nowhere`] when nothing here has it.
pub fn inspect_digest(cache: &Cache, digest: &Digest) -> Result<Value, Error> {
    let mut uses = Vec::new();
    for flow in cache.flows()? {
        let current = flow_state(cache, &flow)?.current().map(|now| now.generation.clone());
        let generations = Generations::of(cache, &flow);
        for generation in generations.all()? {
            let list = generations.list(&generation)?.unwrap_or_default();
            let whole = Digest::of(&list) == *digest;
            let Ok(tree) = Tree::decode(&list) else { continue };
            let paths = tree.entries().iter().filter(|entry| whole || entry.digest == *digest);
            let paths: Vec<_> = paths.map(|entry| &entry.path).collect();
            if !paths.is_empty() {
                uses.push(json!({"flow": flow, "generation": generation, "whole_tree": whole,
                    "current": current.as_ref() == Some(&generation), "paths": paths}));
            }
        }
    }
    if uses.is_empty() {
        return Err(Error::Nowhere { digest: *digest });
    }
    Ok(json!({"event": "digest", "blake3": digest, "uses": uses}))
}

/// Reads every download that is kept, and counts those that have the hash in their name and those
/// that do not. With `mend` the latter are removed.
///
/// # Errors
/// When the folder is locked or cannot be read.
pub fn verify_objects(cache: &Cache, mend: bool) -> Result<(u64, u64), Error> {
    let _lock = cache.lock()?;
    let (mut whole, mut damaged) = (0, 0);
    for_each_file(&cache.objects(), &mut |path, _| {
        let bytes = disk::read(path)?.unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let hash = match name.strip_suffix(".zip") {
            Some(_) => format!("{}.zip", Sha256::of(&bytes)),
            None => Digest::of(&bytes).to_string(),
        };
        if hash == name {
            whole += 1;
            return Ok(());
        }
        damaged += 1;
        if mend { disk::remove(path) } else { Ok(()) }
    })?;
    Ok((whole, damaged))
}
