//! Exports of older releases of LangFlow, back to 1.0, and the test data of lfx.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use colophon_compiler::{CodePolicy, Limits};
use colophon_model::{FlowId, TenantSlug};
use support::compiler;

/// Folders below `.cache`, and how many exports are in each.
const SETS: [(&str, usize); 5] = [
    ("langflow-0.0.96", 10),
    ("langflow-0.1.4", 18),
    ("langflow-0.5.1", 31),
    ("langflow-0.7.3", 33),
    ("lfx-0.1.13", 49),
];

/// All exports that could be fetched. What could not is said.
fn exports() -> Vec<PathBuf> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache");
    let mut found = Vec::new();
    for (name, count) in SETS {
        let folder = cache.join(name);
        if !folder.is_dir() && cache.join(format!("{name}.unavailable")).exists() {
            eprintln!("NOT RUN on the {count} exports of {name}, which could not be fetched");
            continue;
        }
        let before = found.len();
        collect(&folder, &mut found);
        assert_eq!(found.len() - before, count, "{name}: run `make test-setup`");
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("no exports: run `make test-setup`") {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// With custom code allowed, nothing is refused but what carries no code.
#[test]
fn only_exports_without_code_are_refused() {
    let tenant = TenantSlug::new("acme-inc").unwrap();
    let mut refused = Vec::new();
    for path in exports() {
        let body = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match compiler().parse(&body, CodePolicy::AllowCustom, &Limits::default()) {
            Ok(plan) => {
                let compiled = compiler().compile(&plan, &tenant, &FlowId::new("flow").unwrap());
                assert!(compiled.is_ok(), "{name}: {:?}", compiled.err());
            }
            Err(problems) => {
                let codes: BTreeSet<_> = problems.as_slice().iter().map(|p| p.code).collect();
                refused.push((name, codes));
            }
        }
    }
    for (name, codes) in &refused {
        eprintln!("{name}: {codes:?}");
        assert!(codes.contains("E_LF_NO_CODE"), "{name}: {codes:?}");
    }
}
