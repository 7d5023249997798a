//! Where on the branch a flow may put files.

use colophon_model::{ArtifactPath, FileSet};

use crate::problem::{Findings, Pointer, Problems};

/// The folders that flows have. What is outside of them is planted with the tenant (`.github/`, the
/// README) or written with every build (`manifest.json`), and is no flow's to say.
const PLACES: [&str; 3] = ["app/", "tests/smoke/", "edge_scripts/"];

/// Refuses files outside of the flows' folders, and any whose path has a part that begins with a
/// dot: that is where programs look for instructions (`.github`, `.gitea`, `.vscode`, `.envrc`).
pub(crate) fn check(files: &FileSet) -> Result<(), Problems> {
    let mut findings = Findings::default();
    for (path, _) in files.iter().filter(|(path, _)| !is_flows(path)) {
        findings.add("E_PATH", &Pointer::root(), format!("`{path}` is not a flow's to write"));
    }
    findings.finish().map(drop)
}

fn is_flows(path: &ArtifactPath) -> bool {
    PLACES.iter().any(|place| path.as_str().starts_with(place))
        && !path.components().any(|name| name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use colophon_model::{Artifact, FileMode};

    use super::*;

    fn problems(path: &str) -> usize {
        let file = Artifact::new(FileMode::Regular, b"on: push".to_vec());
        let files = BTreeMap::from([(path.parse().unwrap(), file)]);
        check(&FileSet::new(files).unwrap()).map_or_else(|p| p.as_slice().len(), |()| 0)
    }

    /// A workflow on the branch runs with the forge's token.
    #[test]
    fn no_flow_writes_what_a_forge_or_an_editor_obeys() {
        for path in [
            ".github/workflows/ci.yml",
            ".GitHub/workflows/x.yml",
            ".gitlab-ci.yml",
            "app/.github/workflows/x.yml",
            "app/.envrc",
            "README.md",
            "manifest.json",
            "compose/docker-compose.yml",
            "Makefile",
            "conftest.py",
            "tests/conftest.py",
            "application/x.py",
            "App/x.py",
        ] {
            assert_eq!(problems(path), 1, "{path}");
        }
    }

    #[test]
    fn flows_write_in_their_own_folders() {
        for path in [
            "app/flows/acme/flow_a.py",
            "app/colophon_rt/values.py",
            "tests/smoke/test_a.py",
            "edge_scripts/a/manifest.json",
        ] {
            assert_eq!(problems(path), 0, "{path}");
        }
    }
}
