//! Files planted in a tenant's branch when the tenant is created.

use std::collections::BTreeMap;

use colophon_model::{Artifact, FileMode, FileSet, TenantSlug};

use crate::module::path;
use crate::templates::{Source, Templates};

/// Files that are the same for every tenant, by path on the branch.
pub(crate) const FILES: &[Source<'static>] = &[
    (".github/changed.py", include_str!("../../templates/bootstrap/changed.py")),
    (".github/workflows/ci.yml", include_str!("../../templates/bootstrap/ci.yml")),
    ("README.md", include_str!("../../templates/bootstrap/README.md")),
    ("app/__init__.py", ""),
    (
        "app/colophon_rt/__init__.py",
        include_str!("../../templates/runtime/colophon_rt/__init__.py"),
    ),
    ("app/flows/__init__.py", ""),
    ("app/runners/__init__.py", ""),
    ("compose/docker-compose.yml", include_str!("../../templates/bootstrap/docker-compose.yml")),
];

/// The files of a new tenant. `manifest.json` is not among them: it is written with every build.
pub(crate) fn files(tenant: &TenantSlug, templates: &Templates) -> FileSet {
    let file = |(at, text): &Source<'static>| {
        let text = templates.replaced(&path(*at)).unwrap_or(text);
        let text = match *at {
            "README.md" => format!("# Flows of {tenant}\n\n{text}"),
            _ => text.to_owned(),
        };
        (path(*at), Artifact::new(FileMode::Regular, text.into_bytes()))
    };
    let files: BTreeMap<_, _> = FILES.iter().map(file).collect();
    FileSet::new(files).expect("the paths are distinct")
}
