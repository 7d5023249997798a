//! The reproducible zip of an edge bundle.

use std::io::{Cursor, Write as _};

use colophon_model::FileSet;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// Names the bytes that the compiler makes from a tree. Another library, level or layout is another
/// renderer with a name of its own; old ones stay, because signed hashes name their output.
pub const RENDER: &str = "zip-v1/zlib-rs/L6";

/// Largest zip, in bytes.
pub const MAX_ZIP: u64 = colophon_model::MAX_BUNDLE_ZIP;

/// Largest sum of the files in a bundle, in bytes.
pub const MAX_UNPACKED: u64 = colophon_model::MAX_BUNDLE_UNPACKED;

/// Most files in a bundle.
pub const MAX_FILES: u64 = colophon_model::MAX_BUNDLE_FILES;

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    /// A limit is passed.
    #[error("{what}: {is}, and at most {limit} are allowed")]
    TooLarge { what: &'static str, is: u64, limit: u64 },
    /// The zip writer failed; in memory that means a bug.
    #[error("the zip could not be written")]
    Zip(#[from] zip::result::ZipError),
    /// As above.
    #[error("the zip could not be written")]
    Io(#[from] std::io::Error),
}

/// Packs `files` so that equal files give equal bytes: names in byte order, the time 1980-01-01
/// 00:00:00, Unix attributes `0644`, deflate level 6, no extra fields.
pub(crate) fn zip(files: &FileSet) -> Result<Vec<u8>, BundleError> {
    check("files in the bundle", files.len() as u64, MAX_FILES)?;
    check("bytes in the bundle, unpacked", files.total_size(), MAX_UNPACKED)?;
    let options = SimpleFileOptions::default()
        .system(System::Unix)
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, file) in files.iter() {
        writer.start_file(path.as_str(), options)?;
        writer.write_all(file.bytes())?;
    }
    let zip = writer.finish()?.into_inner();
    check("bytes in the bundle, zipped", zip.len() as u64, MAX_ZIP)?;
    Ok(zip)
}

const fn check(what: &'static str, is: u64, limit: u64) -> Result<(), BundleError> {
    if is > limit { Err(BundleError::TooLarge { what, is, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{Artifact, FileMode, Sha256};
    use std::collections::BTreeMap;

    fn files(list: &[(&str, &[u8])]) -> FileSet {
        let file = |(path, bytes): &(&str, &[u8])| {
            (path.parse().unwrap(), Artifact::new(FileMode::Regular, bytes.to_vec()))
        };
        FileSet::new(list.iter().map(file).collect::<BTreeMap<_, _>>()).unwrap()
    }

    /// Text that levels of deflate compress differently: words drawn by a fixed recurrence.
    fn words() -> Vec<u8> {
        let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let draws = std::iter::successors(Some(1_u32), next).take(4000);
        draws.flat_map(|x| format!("{:x} ", (x >> 16) % 300).into_bytes()).collect()
    }

    /// Signed metadata names the hash of the zip: other bytes for the same tree would make every
    /// published bundle unverifiable. If this fails, give the renderer a new name.
    #[test]
    fn bytes_are_pinned() {
        let list = [("b/c.py", &words()[..]), ("a.py", b""), ("manifest.json", b"{}")];
        let zip = zip(&files(&list)).unwrap();
        assert_eq!(
            Sha256::of(&zip).to_string(),
            "07fff37533a2f3e48f34fc497a104c471ec997ad9af9761dde233b0738182d1f"
        );
    }

    #[test]
    fn limits_are_enforced() {
        let zeros = vec![0; usize::try_from(MAX_UNPACKED).unwrap() + 1];
        let too_large = zip(&files(&[("a", &zeros)]));
        assert!(matches!(too_large, Err(BundleError::TooLarge { .. })));
    }
}
