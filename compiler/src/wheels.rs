//! Python wheels that go into edge bundles, unpacked (PyPA, "Binary distribution format").

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::sync::Arc;

use colophon_model::{Artifact, ArtifactPath, FileMode, Sha256};
use zip::ZipArchive;

use crate::bundle::{MAX_FILES, MAX_UNPACKED};

/// The folder of a bundle that wheels are unpacked into.
pub(crate) const FOLDER: &str = "vendor";

/// The wheels that an operator has laid ready, by requirement (`name==version`, the name normalised).
#[derive(Debug, Clone, Default)]
pub struct Wheels(BTreeMap<String, Result<Arc<Wheel>, String>>);

/// A wheel for any system.
#[derive(Debug)]
pub(crate) struct Wheel {
    name: String,
    bytes: Vec<u8>,
    /// SHA-256 of the file.
    pub(crate) sha256: Sha256,
}

impl Wheel {
    /// What it installs, by path in a bundle; or why it cannot be unpacked. Unpacked for each build
    /// that needs it: few do, and packed it takes less memory.
    pub(crate) fn files(&self) -> Result<BTreeMap<ArtifactPath, Artifact>, String> {
        unpack(&self.bytes).map_err(|reason| format!("`{}` {reason}", self.name))
    }
}

/// A requirement and its wheel.
pub(crate) type Pinned = (String, Arc<Wheel>);

impl Wheels {
    /// Takes wheels, by file name. One that cannot be used is remembered with the reason, which a
    /// flow that asks for it is told: a folder of wheels may well hold others.
    pub fn read(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut wheels: BTreeMap<String, Result<Arc<Wheel>, String>> = BTreeMap::new();
        for (name, bytes) in files {
            let Some(file) = FileName::parse(&name) else { continue };
            let wheel = if file.is_for_any_system {
                let sha256 = Sha256::of(&bytes);
                Ok(Arc::new(Wheel { name, bytes, sha256 }))
            } else {
                Err(format!("`{name}` is for one system or Python alone, and a bundle is for all"))
            };
            let known = wheels.get(&file.requirement).is_some_and(Result::is_ok);
            if !known {
                wheels.insert(file.requirement, wheel);
            }
        }
        Self(wheels)
    }

    /// The wheel of `requirement` (`name==version`), or why there is none.
    pub(crate) fn get(&self, requirement: &str) -> Result<&Arc<Wheel>, String> {
        match self.0.get(&normalised(requirement)) {
            Some(Ok(wheel)) => Ok(wheel),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(format!("there is no wheel of `{requirement}`")),
        }
    }
}

/// What the name of a wheel says.
struct FileName {
    requirement: String,
    is_for_any_system: bool,
}

impl FileName {
    /// `{name}-{version}(-{build})?-{python}-{abi}-{platform}.whl`. None for other files.
    fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.strip_suffix(".whl")?.split('-').collect();
        let &[name, version] = parts.first_chunk()?;
        let &[python, abi, platform] = parts.last_chunk()?;
        let fits = (5..=6).contains(&parts.len());
        fits.then(|| Self {
            requirement: normalised(&format!("{name}=={version}")),
            is_for_any_system: python.split('.').any(|tag| tag == "py3")
                && (abi, platform) == ("none", "any"),
        })
    }
}

/// Names are equal without regard to case and to runs of `-`, `_` and `.` (PyPA, "Names and
/// normalization").
fn normalised(requirement: &str) -> String {
    let (name, version) = requirement.split_once("==").unwrap_or((requirement, ""));
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    let name = parts.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    format!("{name}=={version}")
}

fn unpack(bytes: &[u8]) -> Result<BTreeMap<ArtifactPath, Artifact>, String> {
    let broken = |e: zip::result::ZipError| format!("is no wheel: {e}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() as u64 > MAX_FILES {
        return Err(format!("holds more than {MAX_FILES} files"));
    }
    let (mut files, mut left) = (BTreeMap::new(), MAX_UNPACKED);
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(broken)?;
        let name = file.name().map_err(broken)?.into_owned();
        let Some(at) = installed(&name).filter(|_| !file.is_dir()) else { continue };
        let at = ArtifactPath::new(format!("{FOLDER}/{at}"))
            .map_err(|e| format!("holds `{}`: {e}", name.escape_debug()))?;
        let mut content = Vec::new();
        // One byte more than may be: what a header says of the size is not believed.
        let read = file.by_ref().take(left + 1).read_to_end(&mut content);
        let read = read.map_err(|e| format!("is no wheel: {e}"))? as u64;
        left = left.checked_sub(read).ok_or("is too large when it is unpacked")?;
        files.insert(at, Artifact::new(FileMode::Regular, content));
    }
    Ok(files)
}

/// Where a file of a wheel is installed. Of `<name>.data/` only the libraries: programs, headers and
/// data have no place in a bundle.
fn installed(name: &str) -> Option<&str> {
    let (top, rest) = name.split_once('/').unwrap_or((name, ""));
    if top.rsplit_once('.').is_none_or(|(_, kind)| kind != "data") {
        return Some(name);
    }
    rest.strip_prefix("purelib/").or_else(|| rest.strip_prefix("platlib/"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn wheel(files: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn read(name: &str, bytes: Vec<u8>) -> Wheels {
        Wheels::read([(name.to_owned(), bytes)])
    }

    #[test]
    fn wheels_are_found_by_requirement() {
        let bytes = wheel(&[("a/__init__.py", "x = 1\n"), ("a-1.0.data/purelib/b.py", "")]);
        let wheels = read("My_Pkg.Name-1.0-2-py2.py3-none-any.whl", bytes.clone());
        let found = wheels.get("my-pkg.name==1.0").unwrap();
        assert_eq!(found.sha256, Sha256::of(&bytes));
        let files = found.files().unwrap();
        let paths: Vec<_> = files.keys().map(ArtifactPath::as_str).collect();
        assert_eq!(paths, ["vendor/a/__init__.py", "vendor/b.py"]);
        for other in ["my-pkg-name==1.1", "other==1.0"] {
            assert!(wheels.get(other).unwrap_err().contains("there is no wheel"), "{other}");
        }
    }

    /// What cannot go into a bundle is told to the flow that asks for it.
    #[test]
    fn wheels_that_do_not_fit_are_refused_with_the_reason() {
        let good = wheel(&[("a.py", "")]);
        for (name, bytes, said) in [
            ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", good.clone(), "for one system"),
            ("a-1-py2-none-any.whl", good.clone(), "for one system"),
            ("a-1-py3-none-any.whl", b"junk".to_vec(), "is no wheel"),
            ("a-1-py3-none-any.whl", wheel(&[("../x.py", "")]), "holds `../x.py`"),
            ("a-1-py3-none-any.whl", wheel(&[("con.py", "")]), "holds `con.py`"),
        ] {
            let wheels = read(name, bytes);
            let found = wheels.get("a==1").and_then(|wheel| wheel.files()).unwrap_err();
            assert!(found.contains(said), "{name}: {found}");
        }
        for name in ["a-1.tar.gz", "a.whl", "a-1-any.whl"] {
            assert!(read(name, good.clone()).0.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_wheel_that_fits_is_taken_before_one_that_does_not() {
        let good = ("a-1-py3-none-any.whl".to_owned(), wheel(&[("a.py", "")]));
        let other = ("a-1-cp311-cp311-win_amd64.whl".to_owned(), wheel(&[("a.py", "")]));
        for files in [[good.clone(), other.clone()], [other, good]] {
            assert!(Wheels::read(files).get("a==1").is_ok());
        }
    }
}
