//! Paths that are let through, against those who will meet them: gix's checks, git's, a checkout.

use std::collections::BTreeMap;

use colophon_gitbridge::Error;
use colophon_model::ArtifactPath;
use gix_object::bstr::ByteSlice as _;
use gix_validate::path::component::{Mode, Options};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::support::tenant::{Edit, put, remove};
use crate::support::{Git, Tenant};

/// Names near what clients treat in a special way: its parts, in any order.
const PIECES: &str = "(\\.|\\.git|\\.gitmodules|git|GIT|Git|modules|attributes|ignore|mailmap|~|[0-9]|con|CON|aux|nul|prn|\
    com|lpt|conin\\$|clock\\$| |:|::\\$INDEX_ALLOCATION|\\\\|/|\\.\\.|gi7eba|gitmod|-|a|Z|\u{200c}|\
    \u{e9}|\u{b2}|\u{1}|\\*|\\?|\"|<|>|\\|)";

fn hostile() -> impl Strategy<Value = String> {
    proptest::collection::vec(PIECES, 1..7).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    /// Whatever gix refuses with every protection on, we refuse too.
    #[test]
    fn gix_accepts_what_we_accept(text in hostile()) {
        if let Ok(path) = ArtifactPath::new(text) {
            for name in path.components() {
                let all = Options { protect_windows: true, protect_hfs: true, protect_ntfs: true };
                for mode in [None, Some(Mode::Symlink)] {
                    let checked = gix_validate::path::component(name.as_bytes().as_bstr(), mode, all);
                    prop_assert!(checked.is_ok(), "{name:?}: {checked:?}");
                }
            }
        }
    }
}

/// Some hundred accepted paths, none of which stands in the way of another.
fn accepted() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let mut paths = BTreeMap::new();
    while paths.len() < 400 {
        let text = hostile().new_tree(&mut runner).unwrap().current();
        if let Ok(path) = ArtifactPath::new(format!("{}/{text}", paths.len())) {
            paths.insert(path.case_folded(), path.to_string());
        }
    }
    paths.into_values().collect()
}

/// The oracle: git's own checks, and a checkout with those of Windows and macOS turned on.
#[test]
fn git_accepts_and_checks_out_what_we_accept() {
    let paths = accepted();
    let mut tenant = Tenant::default();
    let edits: Vec<Edit> = paths.iter().map(|path| put(path, "x")).collect();
    tenant.commit(&edits).unwrap();
    let mut git = Git::new(2);
    for protection in ["core.protectNTFS=true", "core.protectHFS=true", "core.longpaths=true"] {
        git.set(protection);
    }
    let server = crate::support::Server::start(tenant);
    git.run("", &["clone", "-q", &server.url, "r"]);
    git.run("r", &["-c", "transfer.fsckObjects=true", "fsck", "--strict", "--full"]);
    assert_eq!(git.run("r", &["ls-files"]).lines().count(), paths.len());
    assert_eq!(git.run("r", &["status", "--porcelain"]), "", "every file is there");
}

/// A directory that no forge shows and few tools list.
#[test]
fn a_folder_has_three_thousand_entries_at_most() {
    let mut tenant = Tenant::default();
    let many: Vec<Edit> = (0..3_000).map(|n| put(&format!("many/{n}"), "x")).collect();
    tenant.commit(&many).unwrap();
    let refused = tenant.prepare(&[put("many/one-more", "x")]).unwrap_err();
    assert!(matches!(refused, Error::Path { .. }), "{refused}");
    assert!(refused.to_string().contains("3,000 entries"), "{refused}");
    tenant.prepare(&[put("many/7", "changed")]).unwrap();
    tenant.prepare(&[put("many/one-more", "x"), remove("many/7")]).unwrap();
    tenant.prepare(&[put("other/one-more", "x")]).unwrap();
}
