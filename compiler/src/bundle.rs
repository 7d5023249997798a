//! The reproducible zip of an edge bundle.

use std::io::{Cursor, Write as _};

use colophon_model::FileSet;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// Makes the bytes of a zip from the files of a tree. Another library, level or layout is another
/// renderer with a name of its own. Old ones stay for ever: zips are not stored, and signed hashes
/// name their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renderer {
    /// Names in byte order, the time 1980-01-01 00:00:00, Unix attributes `0644`, no extra fields,
    /// deflate level 6 of zlib-rs.
    ZipV1ZlibRsL6,
}

impl Renderer {
    /// The one that new bundles are made with.
    pub const CURRENT: Self = Self::ZipV1ZlibRsL6;

    /// The name under which builds remember it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZipV1ZlibRsL6 => "zip-v1/zlib-rs/L6",
        }
    }

    /// The renderer of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::ZipV1ZlibRsL6].into_iter().find(|one| one.name() == name)
    }

    /// The zip of `files`: equal files give equal bytes.
    pub fn render(self, files: &FileSet) -> Result<Vec<u8>, BundleError> {
        match self {
            Self::ZipV1ZlibRsL6 => zip_v1(files),
        }
    }
}

/// Largest zip, in bytes.
pub const MAX_ZIP: u64 = colophon_model::MAX_BUNDLE_ZIP;

/// Largest sum of the files in a bundle, in bytes.
pub const MAX_UNPACKED: u64 = colophon_model::MAX_BUNDLE_UNPACKED;

/// Most files in a bundle.
pub const MAX_FILES: u64 = colophon_model::MAX_BUNDLE_FILES;

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A limit is passed.
    #[error("{what}: {is}, and at most {limit} are allowed")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How much there is.
        is: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The zip writer failed; in memory that means a bug.
    #[error("the zip could not be written")]
    Zip(#[from] zip::result::ZipError),
    /// As above.
    #[error("the zip could not be written")]
    Io(#[from] std::io::Error),
}

/// One thread, one file after the other: in parallel, entries would stand in the order in which
/// threads end.
fn zip_v1(files: &FileSet) -> Result<Vec<u8>, BundleError> {
    check("files in the bundle", files.len() as u64, MAX_FILES)?;
    check("bytes in the bundle, unpacked", files.total_size(), MAX_UNPACKED)?;
    let options = SimpleFileOptions::default()
        .system(System::Unix)
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::DEFAULT)
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn files(list: &[(&str, &[u8])]) -> FileSet {
        let file = |(path, bytes): &(&str, &[u8])| {
            (path.parse().unwrap(), Artifact::new(FileMode::Regular, bytes.to_vec()))
        };
        FileSet::new(list.iter().map(file).collect::<BTreeMap<_, _>>()).unwrap()
    }

    /// Text with matches everywhere, of which a level that searches longer finds better ones.
    fn mazes() -> Vec<u8> {
        let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let draws = std::iter::successors(Some(1_u32), next).take(40_000);
        draws.map(|x| b'a' + ((x >> 16) % 5) as u8).collect()
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
        let zip = render(&list);
        assert_eq!(
            Sha256::of(&zip).to_string(),
            "07fff37533a2f3e48f34fc497a104c471ec997ad9af9761dde233b0738182d1f"
        );
    }

    fn render(list: &[(&str, &[u8])]) -> Vec<u8> {
        Renderer::ZipV1ZlibRsL6.render(&files(list)).unwrap()
    }

    /// What is not stored must be made again, so a renderer's name is never taken from it.
    #[test]
    fn every_renderer_is_found_by_its_name() {
        assert_eq!(Renderer::named("zip-v1/zlib-rs/L6"), Some(Renderer::ZipV1ZlibRsL6));
        assert_eq!(Renderer::named(Renderer::CURRENT.name()), Some(Renderer::CURRENT));
        assert_eq!(Renderer::named("zip-v1/miniz/L6"), None);
    }

    /// The crate's feature `time` makes the present the default, and with it other bytes every two
    /// seconds.
    #[test]
    fn every_entry_is_of_1980() {
        let zip = render(&[("a.py", b"a"), ("b.py", b"b")]);
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        for index in 0..archive.len() {
            let time = archive.by_index(index).unwrap().last_modified().unwrap();
            let date = (time.year(), time.month(), time.day());
            assert_eq!((date, time.hour(), time.minute(), time.second()), ((1980, 1, 1), 0, 0, 0));
        }
    }

    /// Packing in parallel gives entries in the order in which threads end: the large first file would
    /// come last.
    #[test]
    fn entries_stand_in_the_order_of_their_names() {
        let large = words().repeat(200);
        let zip = render(&[("a.py", &large), ("Z.py", b"b"), ("b/a.py", b""), ("b.py", b"c")]);
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        let starts =
            |at| archive.by_index(at).map(|f| (f.name().unwrap().into_owned(), f.header_start()));
        let entries: Vec<_> = (0..4).map(starts).collect::<Result<_, _>>().unwrap();
        let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Z.py", "a.py", "b.py", "b/a.py"]);
        assert!(entries.is_sorted_by_key(|(_, start)| *start), "{entries:?}");
    }

    /// Deflate leaves the choice of matches to the library: another one, or another level, gives other
    /// bytes that unpack to the same. This is zlib-rs at level 6.
    #[test]
    fn the_deflate_of_the_renderer_is_pinned() {
        let zip = render(&[("a", &mazes())]);
        let mut archive = zip::ZipArchive::new(Cursor::new(&zip)).unwrap();
        let file = archive.by_index(0).unwrap();
        let from = usize::try_from(file.data_start().unwrap()).unwrap();
        let deflated = &zip[from..from + usize::try_from(file.compressed_size()).unwrap()];
        assert_eq!(
            (deflated.len(), Sha256::of(deflated).to_string().as_str()),
            (14_218, "33191bc0a0b74720f71bf2b74f7507af2747d3ce5ccc5673d33e0218ed75f9ed")
        );
    }

    /// Paths as bundles have them, a folder deep at most, so that none is a folder of another.
    fn any_files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
        let path = "(d[a-z]{0,3}/)?f[a-z0-9_]{0,8}(\\.[a-z]{1,3})?";
        let repeated = (any::<u8>(), 0..70_000_usize).prop_map(|(byte, times)| vec![byte; times]);
        let bytes = prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), repeated];
        proptest::collection::btree_map(path, bytes, 0..12)
    }

    proptest! {
        /// Whatever is in a bundle comes out of its zip, and nothing else, by a reader that believes the
        /// directory at the end; and the tree alone decides the bytes.
        #[test]
        fn what_is_in_a_zip_is_what_was_put_there(wanted in any_files()) {
            let list: Vec<(&str, &[u8])> =
                wanted.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
            let zip = render(&list);
            let reversed: Vec<_> = list.iter().rev().copied().collect();
            prop_assert_eq!(&zip, &render(&reversed));
            let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
            let mut found = BTreeMap::new();
            for index in 0..archive.len() {
                let mut file = archive.by_index(index).unwrap();
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
                prop_assert_eq!(file.unix_mode(), Some(0o100_644));
                found.insert(file.name().unwrap().into_owned(), bytes);
            }
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn limits_are_enforced() {
        let zeros = vec![0; usize::try_from(MAX_UNPACKED).unwrap() + 1];
        let too_large = Renderer::CURRENT.render(&files(&[("a", &zeros)]));
        assert!(matches!(too_large, Err(BundleError::TooLarge { .. })));
    }
}
