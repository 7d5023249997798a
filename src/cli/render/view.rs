//! What is said of a rendered flow.

use std::path::Path;
use std::time::Duration;

use colophon_compiler::{Compiled, Problem};
use colophon_model::{BuildKey, FlowId, Sha256, Target, TenantSlug};
use serde::Serialize;

use crate::cli::job::count;

/// A flow and the files that it compiles to.
#[derive(Debug, Serialize)]
pub(super) struct Rendered {
    tenant: TenantSlug,
    flow: FlowId,
    key: BuildKey,
    files: Vec<File>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<Edge>,
    warnings: Vec<Finding>,
    /// Milliseconds of parsing, rendering and gates.
    took_ms: f64,
}

#[derive(Debug, Serialize)]
struct File {
    target: Target,
    /// Path on the tenant's branch.
    path: String,
    text: String,
}

/// The bundle as agents would get it.
#[derive(Debug, Serialize)]
struct Edge {
    sha256: Sha256,
    length: usize,
}

/// A problem of a flow.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    code: &'static str,
    pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    detail: String,
}

impl From<&Problem> for Finding {
    fn from(problem: &Problem) -> Self {
        Self {
            code: problem.code,
            pointer: problem.pointer.to_string(),
            node: problem.node.clone(),
            detail: problem.detail.clone(),
        }
    }
}

impl Rendered {
    pub(super) fn new(
        tenant: &TenantSlug,
        flow: FlowId,
        key: BuildKey,
        compiled: Compiled,
        warnings: &[Problem],
        took: Duration,
    ) -> Self {
        let Compiled { cloud, edge, .. } = compiled;
        let cloud = cloud.into_inner().into_iter().map(|(path, file)| (Target::Cloud, path, file));
        let (bundled, edge) = match edge {
            Some(bundle) => {
                let told = Edge { sha256: bundle.sha256, length: bundle.zip.len() };
                (bundle.branch_files.into_inner(), Some(told))
            }
            None => Default::default(),
        };
        let bundled = bundled.into_iter().map(|(path, file)| (Target::Edge, path, file));
        let file = |(target, path, file): (
            Target,
            colophon_model::ArtifactPath,
            colophon_model::Artifact,
        )| File {
            target,
            path: path.to_string(),
            text: String::from_utf8_lossy(file.bytes()).into_owned(),
        };
        Self {
            tenant: tenant.clone(),
            flow,
            key,
            files: cloud.chain(bundled).map(file).collect(),
            edge,
            warnings: warnings.iter().map(Finding::from).collect(),
            took_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
        }
    }

    /// The files themselves, or what was written to `dir`.
    pub(super) fn text(&self, dir: Option<&Path>) -> String {
        let mut lines: Vec<String> = self
            .warnings
            .iter()
            .map(|w| format!("warning: {} at `{}`: {}", w.code, w.pointer, w.detail))
            .collect();
        match dir {
            None => {
                lines.extend(self.files.iter().map(|f| format!("==> {} <==\n{}", f.path, f.text)));
            }
            Some(_) => lines.extend(self.files.iter().map(|f| format!("  file  {}", f.path))),
        }
        let files = count(self.files.len() as u64, "file");
        let place = dir.map_or_else(String::new, |dir| format!(" in `{}`", dir.display()));
        lines.push(format!("{}: {files}{place}, {} ms", self.flow, self.took_ms));
        lines.join("\n")
    }
}
