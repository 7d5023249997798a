//! The flows: one of 20 nodes, and the starter projects of a LangFlow release.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

/// Name of the flow of 20 nodes.
pub(crate) const TWENTY: &str = "Builder, 20 nodes";

/// A flow on both sides.
pub(crate) struct Flow {
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
    /// Where the peer reads it.
    pub(crate) path: PathBuf,
}

/// The flow of 20 nodes, written below `dir`, and every starter project.
pub(crate) fn all(dir: &Path, starters: &Path) -> anyhow::Result<Vec<Flow>> {
    let path = dir.join("twenty.json");
    let body = serde_json::to_vec(&twenty("twenty", 1))?;
    std::fs::write(&path, &body)?;
    let mut flows = vec![Flow { name: TWENTY.to_owned(), body, path }];
    let listed = std::fs::read_dir(starters).with_context(|| {
        format!("no starter projects in {}; run tests/setup.sh", starters.display())
    })?;
    let mut paths: Vec<PathBuf> =
        listed.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        flows.push(Flow { name, body: std::fs::read(&path)?, path });
    }
    Ok(flows)
}

/// A Builder flow of 20 nodes: six times a request, a prompt and what is made of both.
pub(crate) fn twenty(slug: &str, number: u64) -> Value {
    let mut nodes = vec![json!({"id": "start", "kind": "trigger.webhook"})];
    let mut edges = Vec::new();
    let mut before = "start".to_owned();
    for n in 0..6 {
        let (fetch, ask, answer) =
            (format!("fetch_{n}"), format!("ask_{n}"), format!("answer_{n}"));
        nodes.push(json!({
            "id": fetch, "kind": "http.request", "method": "GET", "retry": 2, "timeout_ms": 10_000,
            "url": format!("https://crm.example.com/api/{number}/{n}/{{{{input.customer}}}}"),
            "headers": {"Authorization": "Bearer {{credential.crm}}", "Accept": "application/json"},
        }));
        nodes.push(json!({
            "id": ask, "kind": "llm.chat", "model": "gpt-4o-mini",
            "system": "You read orders. Answer with the article's number only, or with NONE.",
            "prompt": format!("Customer: {{{{{fetch}.body.name}}}}\nMail:\n{{{{input.message}}}}"),
        }));
        nodes.push(json!({
            "id": answer, "kind": "data.map",
            "fields": {"text": format!("Order {{{{{ask}.text}}}} of {{{{{fetch}.body.name}}}}"), "n": n},
        }));
        for to in [fetch, ask, answer] {
            edges.push(json!({"from": before, "to": to}));
            before = to;
        }
    }
    nodes.push(json!({"id": "last", "kind": "data.map", "fields": {"text": "{{answer_5.text}}"}}));
    edges.push(json!({"from": before, "to": "last"}));
    json!({
        "schema_version": "1.0", "id": format!("native-{slug}"), "slug": slug, "name": slug,
        "inputs": {"customer": {"required": true}, "message": {"required": true}},
        "credentials": ["crm"], "nodes": nodes, "edges": edges,
    })
}
