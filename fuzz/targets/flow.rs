//! Real flows with some of their texts replaced by any others: refused with reasons, or code of the
//! shape that templates write. A gate that finds otherwise is a hole in a filter.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use colophon_compiler::{CodePolicy, Compiler, Limits};
use colophon_model::{FlowId, TenantSlug};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// One change: at which value, counted through the flow in order, and what it becomes.
#[derive(Debug, Arbitrary)]
enum Change {
    Text(u16, String),
    Wrap(u16, String),
    Name(u16, String),
    Number(u16, i64),
    Copy(u16, u16),
}

/// Our own flows, and LangFlow's starter projects where the tests have fetched them.
static FLOWS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut flows = Vec::new();
    for folder in ["tests/fixtures/flows", ".cache/langflow-1.13.0"] {
        let Ok(files) = std::fs::read_dir(root.join(folder)) else { continue };
        let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
        paths.sort();
        let read = |path| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
        flows.extend(paths.into_iter().filter_map(read));
    }
    assert!(!flows.is_empty(), "no flows below {}", root.display());
    flows
});

static COMPILER: LazyLock<Compiler> = LazyLock::new(|| Compiler::new().expect("own templates"));

fuzz_target!(|bytes: &[u8]| {
    let mut drawn = Unstructured::new(bytes);
    let (Ok(which), Ok(changes)) = (drawn.arbitrary::<u8>(), drawn.arbitrary::<Vec<Change>>())
    else {
        return;
    };
    let mut flow = FLOWS[usize::from(which) % FLOWS.len()].clone();
    changes.into_iter().take(16).for_each(|change| apply(&mut flow, change));
    let body = serde_json::to_vec(&flow).expect("JSON");
    let Ok(plan) = COMPILER.parse(&body, CodePolicy::AllowCustom, &Limits::default()) else {
        return;
    };
    let tenant = TenantSlug::new("acme").expect("a slug");
    let id = plan.slug.clone().unwrap_or_else(|| FlowId::from_name(plan.name.as_str()));
    if let Err(problems) = COMPILER.compile(&plan, &tenant, &id) {
        let limit = problems.as_slice().iter().all(|problem| problem.code == "E_BUNDLE_TOO_LARGE");
        assert!(limit, "{problems:?}");
    }
});

fn apply(flow: &mut Value, change: Change) {
    let total = count(flow);
    match change {
        Change::Text(at, text) => at_place(flow, at, total, |value| *value = text.into()),
        Change::Wrap(at, text) => at_place(flow, at, total, |value| {
            if let Value::String(old) = value {
                old.push_str(&text);
            }
        }),
        Change::Name(at, name) => at_place(flow, at, total, |value| {
            if let Value::Object(members) = value {
                let first = members.keys().next().cloned();
                let moved = first.and_then(|first| members.remove(&first));
                members.insert(name, moved.unwrap_or_default());
            }
        }),
        Change::Number(at, number) => at_place(flow, at, total, |value| *value = number.into()),
        Change::Copy(from, to) => {
            let mut copied = Value::Null;
            at_place(flow, from, total, |value| copied = value.clone());
            at_place(flow, to, total, |value| *value = copied);
        }
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// Shows the value that comes at `at`, modulo `total`, in the order of writing.
fn at_place(flow: &mut Value, at: u16, total: usize, change: impl FnOnce(&mut Value)) {
    let mut left = usize::from(at) % total;
    if let Some(value) = descend(flow, &mut left) {
        change(value);
    }
}

fn descend<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| descend(item, left)),
        Value::Object(members) => members.values_mut().find_map(|member| descend(member, left)),
        _ => None,
    }
}
