//! The compiler itself: the stages in order.

use std::collections::BTreeMap;

use colophon_model::{
    Artifact, ArtifactPath, BuildInputs, BuildKey, Digest, EdgeManifest, EdgeRuntime, FileMode,
    FileSet, FlowId, GateResult, Sha256, Target, TenantSlug,
};
use rayon::prelude::*;
use serde_json::Value;

use crate::bundle::{BundleError, Renderer};
use crate::module::{Content, Module, Names, path};
use crate::overrides::TemplateFiles;
use crate::plan::builder::BuilderGraph;
use crate::plan::{Graph, Plan};
use crate::policy::{CodePolicy, Limits};
use crate::problem::{Findings, Pointer, Problems};
use crate::templates::Templates;
use crate::wheels::{self, Pinned, Wheels};
use crate::{
    Error, activepieces, bootstrap, builder, cloud, edge, gate, json, langflow, place, script_gate,
    secrets,
};

/// So many generated modules are rendered on the thread at hand.
const FEW: usize = 4;

/// Compiles flows. Holds the parsed templates and the wheels of an operator; share one between threads.
pub struct Compiler {
    templates: Templates,
    wheels: Wheels,
    pause: fn(),
}

/// What one flow compiles to. A function of plan, tenant and flow id.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// Files of target `cloud`, by path on the branch, the flow as committed among them.
    pub cloud: FileSet,
    /// The edge part, for a flow that has one.
    pub edge: Option<EdgeBundle>,
    /// The gates that every generated module passed.
    pub gates: Vec<GateResult>,
}

/// The edge part of a compiled flow.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeBundle {
    /// Language of the scripts.
    pub runtime: EdgeRuntime,
    /// What the bundle says of itself; also `manifest.json` among its files.
    pub manifest: EdgeManifest,
    /// The files, by path inside the bundle.
    pub files: FileSet,
    /// The same files by path on the branch: the manifest at `edge_scripts/<flow>/manifest.json`,
    /// the others below `edge_scripts/<flow>/<runtime>/`.
    pub branch_files: FileSet,
    /// The zip of `files`.
    pub zip: Vec<u8>,
    /// SHA-256 of `zip`.
    pub sha256: Sha256,
    /// What made `zip` from `files`.
    pub render: Renderer,
}

impl Compiler {
    /// Raised whenever the same plan and templates may give other outputs.
    pub const VERSION: &'static str = "2";

    /// Parses the built-in templates.
    pub fn new() -> Result<Self, Error> {
        Self::with_templates(&TemplateFiles::new())
    }

    /// Parses the built-in templates with an operator's files in the place of some, or beside them.
    /// All that is wrong with those is told at once.
    pub fn with_templates(files: &TemplateFiles) -> Result<Self, Error> {
        Ok(Self { templates: Templates::new(files)?, wheels: Wheels::default(), pause: || {} })
    }

    /// The same with wheels for edge bundles.
    #[must_use]
    pub fn with_wheels(self, wheels: Wheels) -> Self {
        Self { wheels, ..self }
    }

    /// Calls `pause` between pieces of its work, each some tenths of a millisecond long, on the thread that does it: to
    /// let others go first there, say.
    #[must_use]
    pub fn with_pauses(self, pause: fn()) -> Self {
        Self { pause, ..self }
    }

    /// Digest of the template set, with the runtime files.
    pub const fn templates(&self) -> Digest {
        self.templates.digest()
    }

    /// Reads a flow. The source shows in its shape: `schema_version` is the Builder's, `data.nodes`
    /// LangFlow's, a tree below `trigger` ActivePieces'. The policy is for code that a flow carries. A
    /// flow that holds what looks like a secret is refused before anything else is said of it: other
    /// messages quote the flow.
    pub fn parse(
        &self,
        body: &[u8],
        policy: CodePolicy,
        limits: &Limits,
    ) -> Result<Plan, Problems> {
        let flow = json::parse(body, limits)?;
        (self.pause)();
        secrets::check(&flow)?;
        if flow.get("schema_version").is_some() {
            return builder::parse(&flow, policy, limits);
        }
        if flow.get("data").and_then(|data| data.get("nodes")).is_some_and(Value::is_array) {
            return langflow::parse(flow, policy, limits);
        }
        if activepieces::is_flow(&flow) {
            return activepieces::parse(flow, policy, limits);
        }
        let detail = "neither a Builder flow (`schema_version`), a LangFlow export (`data.nodes`), nor \
                      an ActivePieces flow version or template (`trigger`)";
        Err(Problems::one("E_SCHEMA", Pointer::root(), detail))
    }

    /// The key of the build of `plan`, wheels by their hashes: equal keys, equal outputs for one tenant and flow id.
    pub fn key(&self, plan: &Plan) -> BuildKey {
        self.key_of(plan, plan.digest())
    }

    /// The same for a plan whose digest is known to be `digest`.
    pub fn key_of(&self, plan: &Plan, digest: Digest) -> BuildKey {
        let wheels = match &plan.graph {
            Graph::Builder(graph) => edge::wheels(graph, &self.wheels).unwrap_or_default(),
            Graph::Langflow(_) | Graph::Activepieces(_) => Vec::new(),
        };
        let named = |(one, wheel): &Pinned| format!("{one} {}\n", wheel.sha256);
        let options: String = wheels.iter().map(named).collect();
        self.derive_key(digest, plan.targets(), options.as_bytes())
    }

    /// Whether `key` is the one that a plan with this digest would get now: then compiling it again
    /// would change nothing. Of a flow with wheels in its bundle that is not told.
    pub fn is_current(&self, plan: Digest, key: &BuildKey) -> bool {
        let targets: [&[Target]; 2] = [&[Target::Cloud], &Target::ALL];
        targets.into_iter().any(|targets| self.derive_key(plan, targets, b"") == *key)
    }

    fn derive_key(&self, plan: Digest, targets: &[Target], options: &[u8]) -> BuildKey {
        BuildKey::derive(&BuildInputs {
            plan,
            templates: self.templates(),
            compiler: Self::VERSION,
            targets,
            options,
        })
    }

    /// Renders `plan` as the flow `flow` of `tenant`, puts every module through the gates, and
    /// packs the edge bundle. Problems name the file they are in, not a place in the flow.
    pub fn compile(
        &self,
        plan: &Plan,
        tenant: &TenantSlug,
        flow: &FlowId,
    ) -> Result<Compiled, Problems> {
        let names = Names { tenant, flow };
        (self.pause)();
        let mut modules = match &plan.graph {
            Graph::Builder(graph) => cloud::modules(plan, graph, names),
            Graph::Langflow(graph) => langflow::modules(plan, graph, names),
            Graph::Activepieces(graph) => activepieces::modules(plan, graph, names),
        };
        modules.push(Module::verbatim(names.canonical_flow(), plan.canonical.as_bytes()));
        modules.extend(names.packages().map(|path| Module::verbatim(path, "")));
        (self.pause)();
        let bundle = match &plan.graph {
            Graph::Builder(graph) if graph.has_edge_part() => Some(self.bundle(graph, names)?),
            Graph::Builder(_) | Graph::Langflow(_) | Graph::Activepieces(_) => None,
        };
        let cloud = self.render_all(modules)?;
        let branch_files = bundle.as_ref().map(|bundle| &bundle.branch_files);
        [&cloud].into_iter().chain(branch_files).try_for_each(place::check)?;
        Ok(Compiled { cloud, edge: bundle, gates: gate::passed() })
    }

    /// The files that are planted when `tenant` is created, but for `manifest.json`.
    pub fn bootstrap(&self, tenant: &TenantSlug) -> FileSet {
        bootstrap::files(tenant, &self.templates)
    }

    fn bundle(&self, graph: &BuilderGraph, names: Names<'_>) -> Result<EdgeBundle, Problems> {
        let wheels = edge::wheels(graph, &self.wheels)?;
        let manifest = edge::manifest(graph, names, &wheels);
        let mut text = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
        text.push(b'\n');
        let mut modules = edge::modules(graph);
        modules.push(Module::verbatim(path("manifest.json"), text));
        let mut files = self.render_all(modules)?;
        if !wheels.is_empty() {
            files = with_wheels(&files, &wheels)?;
        }
        let zip = Renderer::CURRENT.render(&files).map_err(|error| refuse_bundle(&error))?;
        Ok(EdgeBundle {
            runtime: manifest.runtime,
            branch_files: on_branch(&files, names, manifest.runtime),
            manifest,
            sha256: Sha256::of(&zip),
            files,
            zip,
            render: Renderer::CURRENT,
        })
    }

    /// Renders many in parallel; the result does not depend on the order of the threads. Of a few, one has most of
    /// the text, and other threads would be woken for nothing.
    fn render_all(&self, modules: Vec<Module>) -> Result<FileSet, Problems> {
        let generated = modules.iter().filter(|module| module.is_generated()).count();
        let rendered: Vec<_> = if generated > FEW {
            modules.into_par_iter().map(|module| self.render(module)).collect()
        } else {
            modules.into_iter().map(|module| self.render(module)).collect()
        };
        let mut findings = Findings::default();
        let mut files = BTreeMap::new();
        for result in rendered {
            match result {
                Ok((path, artifact)) => {
                    files.insert(path, artifact);
                }
                Err((code, detail)) => findings.add(code, &Pointer::root(), detail),
            }
        }
        findings.finish()?;
        FileSet::new(files).map_err(|e| Problems::one("E_RENDER", Pointer::root(), e.to_string()))
    }

    fn render(&self, module: Module) -> Result<(ArtifactPath, Artifact), (&'static str, String)> {
        let Module { path, content } = module;
        let fault = |template, code, detail: &str| {
            (code, format!("`{path}`: {}{detail}", self.templates.blame(template)))
        };
        let bytes = match content {
            Content::Verbatim(bytes) => bytes,
            Content::Copy(text) => {
                let copy = self.templates.copy(&path, text);
                return Ok((path, copy));
            }
            Content::Python { template, context, shape } => {
                let rendered = self.templates.render(template, &context);
                let rendered = rendered.map_err(|e| fault(template, "E_RENDER", &e))?;
                (self.pause)();
                let formatted = gate::python(&rendered, shape, self.pause)
                    .map_err(|e| fault(template, e.code, &e.detail))?;
                formatted.into_bytes()
            }
            Content::Script { template, context, language } => {
                let rendered = self.templates.render(template, &context);
                let rendered = rendered.map_err(|e| fault(template, "E_RENDER", &e))?;
                let checked = script_gate::check(&rendered.source, language, rendered.passed);
                checked.map_err(|e| fault(template, e.code, &e.detail))?;
                rendered.source.into_bytes()
            }
        };
        (self.pause)();
        Ok((path, Artifact::new(FileMode::Regular, bytes)))
    }
}

/// The files of a bundle with those of its wheels.
fn with_wheels(files: &FileSet, wheels: &[Pinned]) -> Result<FileSet, Problems> {
    let mut all: BTreeMap<_, _> = files.iter().map(|(at, f)| (at.clone(), f.clone())).collect();
    let refuse = |detail: String| Problems::one("E_EDGE_WHEEL", Pointer::root(), detail);
    for (requirement, wheel) in wheels {
        for (at, file) in wheel.files().map_err(refuse)? {
            if all.insert(at.clone(), file).is_some() {
                let detail = format!("`{at}` is in the wheel of `{requirement}` and in another");
                return Err(refuse(detail));
            }
        }
    }
    FileSet::new(all).map_err(|e| refuse(e.to_string()))
}

fn on_branch(files: &FileSet, names: Names<'_>, runtime: EdgeRuntime) -> FileSet {
    let place = |at: &ArtifactPath| match at.as_str() {
        "manifest.json" => path(format!("edge_scripts/{}/manifest.json", names.flow)),
        other => path(format!("edge_scripts/{}/{}/{other}", names.flow, runtime.as_str())),
    };
    let is_ours = |at: &ArtifactPath| at.as_str().split('/').next() != Some(wheels::FOLDER);
    let ours = files.iter().filter(|(at, _)| is_ours(at));
    let files = ours.map(|(at, file)| (place(at), file.clone())).collect();
    FileSet::new(files).expect("a common folder adds no collision")
}

fn refuse_bundle(error: &BundleError) -> Problems {
    let code = match error {
        BundleError::TooLarge { .. } => "E_BUNDLE_TOO_LARGE",
        BundleError::Zip(_) | BundleError::Io(_) => "E_RENDER",
    };
    Problems::one(code, Pointer::root(), format!("target {}: {error}", Target::Edge))
}
