//! DESIGN §2: who may depend on whom. Any other edge fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The only edges between crates of the workspace, by what depends on what.
const ALLOWED: &[(&str, &[&str])] = &[
    ("colophon-model", &[]),
    ("colophon-trust", &["colophon-model"]),
    ("colophon-store", &["colophon-model"]),
    ("colophon-compiler", &["colophon-model"]),
    ("colophon-gitbridge", &["colophon-model"]),
    ("colophon-edge-fetch", &["colophon-model", "colophon-trust"]),
    (
        "colophon",
        &[
            "colophon-model",
            "colophon-trust",
            "colophon-store",
            "colophon-compiler",
            "colophon-gitbridge",
        ],
    ),
];

/// Crates that a library below the service must not reach: they are sync and know no network.
const ASYNC: &[&str] = &["tokio", "axum", "hyper", "async-std", "futures", "reqwest"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Names of a package's dependencies of one kind (`null` is a normal one).
fn dependencies(package: &Value, kind: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().unwrap();
    let of_kind = all.iter().filter(|d| d["kind"] == *kind);
    of_kind.map(|d| d["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn crates_depend_on_each_other_only_as_designed() {
    let allowed: BTreeMap<&str, BTreeSet<String>> = ALLOWED
        .iter()
        .map(|(name, on)| (*name, on.iter().map(|s| (*s).to_owned()).collect()))
        .collect();
    let packages = packages();
    assert_eq!(packages.len(), ALLOWED.len(), "a crate without a line in ALLOWED");
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let ours = dependencies(package, &Value::Null);
        let ours: BTreeSet<String> =
            ours.into_iter().filter(|d| d.starts_with("colophon")).collect();
        assert_eq!(ours, allowed[name], "edges of {name}");
        let dev = dependencies(package, &"dev".into());
        for dependency in dev.iter().filter(|d| d.starts_with("colophon")) {
            let known = name == "colophon" && dependency == "colophon-edge-fetch";
            assert!(known || allowed[name].contains(dependency), "{name} tests with {dependency}");
        }
    }
}

#[test]
fn libraries_are_sync() {
    for package in packages().iter().filter(|p| p["name"] != "colophon") {
        for dependency in dependencies(package, &Value::Null) {
            assert!(!ASYNC.contains(&dependency.as_str()), "{} uses {dependency}", package["name"]);
        }
    }
}
