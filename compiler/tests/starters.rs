//! Real exports: the 27 starter projects that LangFlow 1.13.0 ships.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use colophon_compiler::{CodePolicy, Compiled, Compiler, Limits, Plan, Problems};
use colophon_model::{FlowId, TenantSlug};
use serde_json::Value;

/// The exports by name, or nothing on a machine on which they could not be fetched.
fn starters() -> Option<BTreeMap<String, Vec<u8>>> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache");
    let folder = cache.join("langflow-1.13.0");
    if !folder.is_dir() && cache.join("langflow-1.13.0.unavailable").exists() {
        eprintln!("NOT RUN: the LangFlow 1.13.0 starter projects could not be fetched");
        return None;
    }
    let entries = fs::read_dir(&folder).expect("no starter projects: run `make test-setup`");
    let paths = entries.map(|entry| entry.unwrap().path());
    let flows = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
    let read = |path: PathBuf| {
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
    };
    Some(flows.map(read).collect())
}

fn parse(body: &[u8], policy: CodePolicy) -> Result<Plan, Problems> {
    Compiler::new().unwrap().parse(body, policy, &Limits::default())
}

fn compile(plan: &Plan) -> Compiled {
    let flow = FlowId::from_name(plan.name.as_str());
    let tenant = TenantSlug::new("acme-inc").unwrap();
    Compiler::new().unwrap().compile(plan, &tenant, &flow).unwrap()
}

/// Every starter compiles, and Python itself accepts every module made of it. A flow whose sources
/// are not all known is refused at first, for that reason alone, and compiles where custom code is
/// allowed.
#[test]
fn all_27_starters_compile_to_python() {
    let Some(starters) = starters() else { return };
    assert_eq!(starters.len(), 27);
    let out = tempfile::tempdir().unwrap();
    for (name, body) in &starters {
        let plan = parse(body, CodePolicy::KnownOnly).or_else(|problems| {
            for problem in problems.as_slice() {
                assert!(
                    matches!(problem.code, "E_LF_UNTRUSTED_CODE" | "W_UNREACHABLE"),
                    "{name}: {problem}"
                );
            }
            eprintln!("{name}: needs `allow-custom`: {problems}");
            parse(body, CodePolicy::AllowCustom)
        });
        let plan = plan.unwrap_or_else(|problems| panic!("{name}: {problems}"));
        write(&compile(&plan), &out.path().join(name));
    }
    byte_compile(out.path());
}

fn write(compiled: &Compiled, folder: &Path) {
    for (path, file) in compiled.cloud.iter() {
        let path = folder.join(path.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.bytes()).unwrap();
    }
}

/// `python3 -m py_compile` over all modules, in one process.
fn byte_compile(folder: &Path) {
    let mut modules = Vec::new();
    collect(folder, &mut modules);
    assert!(modules.len() > 27 * 8, "{} modules", modules.len());
    let compile = Command::new("python3").args(["-m", "py_compile"]).args(&modules).output();
    let compile = compile.expect("python3 is needed to check generated modules");
    assert!(compile.status.success(), "{}", String::from_utf8_lossy(&compile.stderr));
}

fn collect(folder: &Path, modules: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, modules);
        } else if path.extension().is_some_and(|e| e == "py") {
            modules.push(path);
        }
    }
}

/// The same flow gives the same files, whatever the order in which the editor kept its nodes.
#[test]
fn outputs_do_not_depend_on_the_order_of_nodes() {
    let Some(starters) = starters() else { return };
    for body in starters.values() {
        let mut flow: Value = serde_json::from_slice(body).unwrap();
        flow["data"]["nodes"].as_array_mut().unwrap().reverse();
        let turned = parse(&serde_json::to_vec(&flow).unwrap(), CodePolicy::AllowCustom).unwrap();
        let plan = parse(body, CodePolicy::AllowCustom).unwrap();
        assert_eq!(turned.digest(), plan.digest());
        assert_eq!(compile(&turned), compile(&plan));
    }
}

/// What decides a no-op: layout does not count, a value does.
#[test]
fn layout_is_no_change_and_a_value_is() {
    let Some(starters) = starters() else { return };
    for (name, body) in &starters {
        let digest = |flow: &Value| {
            parse(&serde_json::to_vec(flow).unwrap(), CodePolicy::AllowCustom).unwrap().digest()
        };
        let flow: Value = serde_json::from_slice(body).unwrap();
        let mut moved = flow.clone();
        move_everything(&mut moved);
        assert_eq!(digest(&moved), digest(&flow), "{name}");

        let mut changed = flow.clone();
        let nodes = changed["data"]["nodes"].as_array_mut().unwrap();
        let field = nodes.iter_mut().find_map(|node| {
            let template = node.pointer_mut("/data/node/template")?.as_object_mut()?;
            template.values_mut().find(|field| field["type"] == "bool")
        });
        let value = &mut field.unwrap()["value"];
        *value = Value::Bool(value != &Value::Bool(true));
        assert_ne!(digest(&changed), digest(&flow), "{name}");
    }
}

/// All that a person changes by moving, selecting and commenting, and the editor by saving.
fn move_everything(flow: &mut Value) {
    flow["updated_at"] = "2031-01-01T00:00:00Z".into();
    flow["icon"] = "Sparkles".into();
    let data = &mut flow["data"];
    data["viewport"] = serde_json::json!({"x": 17, "y": 4, "zoom": 0.25});
    for node in data["nodes"].as_array_mut().unwrap() {
        node["position"] = serde_json::json!({"x": 1.5, "y": -2});
        node["selected"] = true.into();
        node["dragging"] = true.into();
        node["data"]["showNode"] = false.into();
        if node["type"] == "genericNode" {
            node["data"]["node"]["last_updated"] = "2031-01-01T00:00:00Z".into();
        } else {
            node["data"]["node"]["description"] = "another note".into();
        }
    }
    for edge in data["edges"].as_array_mut().unwrap() {
        edge["selected"] = true.into();
        edge["id"] = "another".into();
        edge["sourceHandle"] = "another".into();
    }
}
