//! What the tests of this crate share.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod generated;
pub(crate) mod hello;

use std::process::Command;
use std::sync::LazyLock;

use colophon_compiler::{CodePolicy, Compiled, Compiler, Limits, Plan, Problems};
use colophon_model::{FileSet, FlowId, TenantSlug};
use serde_json::Value;

/// One compiler for all tests of a binary, as in the service.
pub(crate) fn compiler() -> &'static Compiler {
    static COMPILER: LazyLock<Compiler> = LazyLock::new(|| Compiler::new().unwrap());
    &COMPILER
}

/// A flow of `tests/fixtures/flows`.
pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/../tests/fixtures/flows/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn parse(flow: &Value) -> Result<Plan, Problems> {
    compiler().parse(flow.to_string().as_bytes(), CodePolicy::KnownOnly, &Limits::default())
}

/// Compiles a flow that has a slug, for tenant `acme-inc`.
pub(crate) fn compile(flow: &Value) -> Compiled {
    let plan = parse(flow).unwrap();
    let tenant = TenantSlug::new("acme-inc").unwrap();
    let id = plan.slug.clone().unwrap_or_else(|| FlowId::from_name(plan.name.as_str()));
    compiler().compile(&plan, &tenant, &id).unwrap()
}

pub(crate) fn text(files: &FileSet, path: &str) -> String {
    let file = files.get(&path.parse().unwrap()).unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8(file.bytes().to_vec()).unwrap()
}

/// Runs `python3`, which must succeed, and gives its output.
pub(crate) fn python(args: &[&str]) -> String {
    let output = Command::new("python3").args(args).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python3 {args:?}: {shown}");
    String::from_utf8(output.stdout).unwrap()
}
