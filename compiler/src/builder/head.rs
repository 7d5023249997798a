//! Reading what a flow says of itself: everything but nodes and edges.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::{EdgeRuntime, FlowId, NativeFlowId};
use serde_json::Value;

use super::expr::credential_only;
use super::object::Object;
use super::refs::Declared;
use super::secrets;
use crate::plan::builder::{CredentialRef, Input};
use crate::plan::{FlowName, Ident};
use crate::policy::Limits;
use crate::problem::Findings;

/// The top of a flow. What is missing was reported.
pub(super) struct Head<'a> {
    pub(super) native: Option<NativeFlowId>,
    pub(super) slug: Option<FlowId>,
    pub(super) name: Option<FlowName>,
    pub(super) revision: Option<u64>,
    /// `cloud`, `edge` or `dual`.
    pub(super) target: &'static str,
    /// The language of the edge scripts, when the flow says one.
    pub(super) runtime: Option<EdgeRuntime>,
    pub(super) requirements: Requirements,
    pub(super) declared: Declared,
    pub(super) nodes: &'a [Value],
    pub(super) edges: &'a [Value],
}

/// Packages that the edge scripts need, as `name==version`, sorted.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    pub(super) all: Vec<String>,
    /// Those of them whose wheels go into the bundle.
    pub(super) bundled: Vec<String>,
}

/// Reads the top of a flow. None when its version is not known or it has too many parts: nothing
/// below is then looked at.
pub(super) fn read<'a>(
    flow: &'a Value,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<Head<'a>> {
    let mut object = Object::read(flow, crate::problem::Pointer::root(), None, findings)?;
    if object.required("schema_version").and_then(Value::as_str) != Some("1.0") {
        object.report("E_SCHEMA_VERSION", "schema_version", "the only known version is \"1.0\"");
        return None;
    }
    let head = Head {
        native: read_native(&mut object),
        slug: read_slug(&mut object),
        name: read_name(&mut object),
        revision: object.integer("revision", 0..=(1 << 53) - 1),
        target: object.word("target", &["cloud", "edge", "dual"]),
        runtime: None,
        requirements: read_requirements(&mut object),
        declared: Declared {
            inputs: read_inputs(&mut object),
            credentials: read_credentials(&mut object),
            edge_env: BTreeMap::new(),
        },
        nodes: object.list("nodes"),
        edges: object.list("edges"),
    };
    let edge_env = read_edge_env(&mut object, &head.declared.credentials);
    let runtime = read_runtime(&mut object);
    object.optional("viewport");
    let fits = is_small_enough(&mut object, &head, limits);
    object.finish();
    let declared = Declared { edge_env, ..head.declared };
    fits.then_some(Head { runtime, declared, ..head })
}

fn read_native(object: &mut Object<'_, '_>) -> Option<NativeFlowId> {
    let id = NativeFlowId::new(object.text("id")?).ok();
    if id.is_none() {
        object.report("E_SCHEMA", "id", "1 to 128 printable ASCII characters are expected");
    }
    id
}

fn read_slug(object: &mut Object<'_, '_>) -> Option<FlowId> {
    match FlowId::new(object.text("slug")?) {
        Ok(slug) => Some(slug),
        Err(error) => {
            object.report("E_SLUG", "slug", error.to_string());
            None
        }
    }
}

fn read_name(object: &mut Object<'_, '_>) -> Option<FlowName> {
    let text = object.text("name")?;
    let name = FlowName::new(text);
    if name.is_none() {
        object.line("name", text, 200);
        if text.trim().is_empty() {
            object.report("E_SCHEMA", "name", "a name is not empty");
        }
    }
    name
}

fn read_runtime(object: &mut Object<'_, '_>) -> Option<EdgeRuntime> {
    let text = object.optional_text("edge_runtime")?;
    let known = [EdgeRuntime::Python, EdgeRuntime::Ahk, EdgeRuntime::Ps1];
    let runtime = known.into_iter().find(|known| known.as_str() == text);
    if runtime.is_none() {
        object.report("E_EDGE_RUNTIME", "edge_runtime", "one of python, ahk, ps1 is expected");
    }
    runtime
}

fn read_requirements(object: &mut Object<'_, '_>) -> Requirements {
    let values = match object.optional("edge_requirements") {
        Some(Value::Array(values)) if values.len() <= 32 => values.as_slice(),
        None => &[],
        Some(_) => {
            object.report("E_SCHEMA", "edge_requirements", "a list of at most 32 is expected");
            &[]
        }
    };
    let place = object.place().key("edge_requirements");
    let (mut list, mut bundled) = (BTreeSet::new(), BTreeSet::new());
    for (index, value) in values.iter().enumerate() {
        let Some(mut one) = Object::read(value, place.index(index), None, object.findings()) else {
            continue;
        };
        let (name, version) = (one.text("name"), one.text("version"));
        let good_name = |name: &str| is_package(name);
        let good_version = |version: &str| is_version(version);
        if !name.is_none_or(good_name) || !version.is_none_or(good_version) {
            one.report("E_SCHEMA", "version", "a package name and one exact version are expected");
        }
        if let (Some(name), Some(version)) = (name, version) {
            let requirement = format!("{name}=={version}");
            if is_bundled(&mut one) {
                bundled.insert(requirement.clone());
            }
            list.insert(requirement);
        }
        one.finish();
    }
    Requirements { all: list.into_iter().collect(), bundled: bundled.into_iter().collect() }
}

/// Whether the wheel of a requirement is to be in the bundle.
fn is_bundled(requirement: &mut Object<'_, '_>) -> bool {
    match requirement.optional("bundled") {
        None => false,
        Some(Value::Bool(bundled)) => *bundled,
        Some(_) => {
            requirement.report("E_SCHEMA", "bundled", "true or false is expected");
            false
        }
    }
}

fn is_package(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= 64
        && edge(name.chars().next())
        && edge(name.chars().next_back())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_version(version: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    version.len() <= 64
        && version.starts_with(|c: char| c.is_ascii_digit())
        && version.split('.').all(part)
}

fn read_inputs(object: &mut Object<'_, '_>) -> BTreeMap<String, Input> {
    let place = object.place().key("inputs");
    let mut inputs = BTreeMap::new();
    for (name, value) in object.pairs("inputs") {
        let here = place.key(name);
        if Ident::new(name).is_none() {
            object.findings().add("E_IDENT", &here, "an input is named like a node");
        }
        let Some(mut one) = Object::read(value, here, None, object.findings()) else { continue };
        let required = one.optional("required").map_or(Some(false), Value::as_bool);
        if required.is_none() {
            one.report("E_SCHEMA", "required", "true or false is expected");
        }
        let description = one.optional_text("description");
        description.inspect(|text| one.line("description", text, 500));
        let default = one.optional("default").cloned().unwrap_or_default();
        let given = default.as_str().is_some_and(|text| !text.is_empty());
        let written_out = given && secrets::is_secret_name(name);
        if written_out {
            one.report(
                "E_PLAINTEXT_SECRET",
                "default",
                "a secret has no default; use a credential",
            );
        }
        one.finish();
        inputs.insert(name.clone(), Input { required: required.unwrap_or(false), default });
    }
    inputs
}

fn read_credentials(object: &mut Object<'_, '_>) -> BTreeSet<String> {
    let values = match object.optional("credentials") {
        Some(Value::Array(values)) => values.as_slice(),
        None => &[],
        Some(_) => {
            object.report("E_SCHEMA", "credentials", "a list of names is expected");
            &[]
        }
    };
    let place = object.place().key("credentials");
    let mut names = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        if let Some(name) = value.as_str().and_then(Ident::new) {
            names.insert(name.to_string());
        } else {
            let detail = "a credential is named like a node; its value is kept elsewhere";
            object.findings().add("E_IDENT", &place.index(index), detail);
        }
    }
    names
}

fn read_edge_env(
    object: &mut Object<'_, '_>,
    credentials: &BTreeSet<String>,
) -> BTreeMap<String, CredentialRef> {
    let place = object.place().key("edge_env");
    let mut variables = BTreeMap::new();
    for (name, value) in object.pairs("edge_env") {
        let good = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let starts = name.starts_with(|c: char| c.is_ascii_uppercase());
        if !starts || name.len() > 64 || !name.bytes().all(good) {
            let detail = "a variable is 1 to 64 capitals, digits and underscores";
            object.findings().add("E_IDENT", &place.key(name), detail);
        }
        let Some(text) = value.as_str() else {
            object.findings().add("E_SCHEMA", &place.key(name), "a text is expected here");
            continue;
        };
        let Some(credential) = credential_only(text) else {
            let detail = "a secret is never written out; use {{credential.<name>}}";
            object.findings().add("E_PLAINTEXT_SECRET", &place.key(name), detail);
            continue;
        };
        if !credentials.contains(&credential.name) {
            let detail = format!("`credentials` does not list `{}`", credential.name);
            object.findings().add("E_CREDENTIAL_UNDECLARED", &place.key(name), detail);
        }
        variables.insert(name.clone(), credential);
    }
    variables
}

fn is_small_enough(object: &mut Object<'_, '_>, head: &Head<'_>, limits: &Limits) -> bool {
    let counts =
        [("nodes", head.nodes.len(), limits.nodes), ("edges", head.edges.len(), limits.edges)];
    for (name, count, limit) in counts {
        if count > limit {
            let detail = format!("{count} {name}; at most {limit} are read");
            object.report("E_TOO_LARGE", name, detail);
        }
    }
    counts.iter().all(|(_, count, limit)| count <= limit)
}
