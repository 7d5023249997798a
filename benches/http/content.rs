//! What is delivered.

use std::path::Path;

use anyhow::{Context as _, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::place::Tenant;

/// A Builder flow of 20 nodes, about 8 KB; a different number gives different code.
pub(crate) fn flow(slug: &str, number: u64) -> Vec<u8> {
    let mut nodes = vec![json!({"id": "start", "kind": "trigger.webhook"})];
    let mut edges = Vec::new();
    let mut before = "start".to_owned();
    for n in 1..20 {
        let id = format!("step_{n}");
        let text =
            format!("number {number}, step {n}: {}", "the quick brown fox jumps. ".repeat(11));
        nodes.push(json!({"id": id, "kind": "data.map", "fields": {"text": text}}));
        edges.push(json!({"from": before, "to": id}));
        before = id;
    }
    let flow = json!({
        "schema_version": "1.0", "id": slug, "slug": slug, "name": slug, "revision": number,
        "nodes": nodes, "edges": edges,
    });
    serde_json::to_vec(&flow).expect("a flow is JSON")
}

/// An export of LangFlow whose last node can be moved.
pub(crate) struct Export {
    /// Up to the place of the node.
    before: Vec<u8>,
    /// What closes everything.
    after: &'static [u8],
}

impl Export {
    /// The starter project `Simple Agent`, 210 KB with the sources of its components.
    pub(crate) fn read(starters: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(starters.join("Simple Agent.json"))
            .context("no starter projects; run tests/setup.sh bench-http")?;
        let mut export: Map<String, Value> = serde_json::from_slice(&text)?;
        let mut data = object(export.remove("data"))?;
        let nodes = data.remove("nodes").context("no nodes")?;
        let mut nodes = nodes.as_array().context("no list of nodes")?.clone();
        let mut last = object(nodes.pop())?;
        last.remove("position");
        // What is moved stands last, so that most of a body need not be signed anew for each move.
        let (export, data, last) = (open(&export)?, open(&data)?, open(&last)?);
        let nodes: Vec<String> = nodes.iter().map(Value::to_string).collect();
        let nodes = nodes.join(",");
        let before =
            format!("{export},\"data\":{data},\"nodes\":[{nodes},{last},\"position\":{{\"x\":");
        Ok(Self { before: before.into_bytes(), after: b",\"y\":0}}]}}" })
    }

    /// The export with its last node at `x`.
    pub(crate) fn at(&self, x: u64) -> Vec<u8> {
        [&self.before, x.to_string().as_bytes(), self.after].concat()
    }

    /// Deliveries of the export by a tenant, each with the node elsewhere.
    pub(crate) fn by<'a>(&'a self, tenant: &'a Tenant) -> Moving<'a> {
        let mut mac = Hmac::new_from_slice(tenant.secret.as_bytes()).expect("any key will do");
        mac.update(&self.before);
        Moving { export: self, tenant, mac }
    }
}

/// Signs what does not move once.
pub(crate) struct Moving<'a> {
    export: &'a Export,
    tenant: &'a Tenant,
    mac: Hmac<Sha256>,
}

impl Moving<'_> {
    /// The delivery with the node at `x`.
    pub(crate) fn request(&self, x: u64, into: &mut Vec<u8>) {
        let (export, number) = (self.export, x.to_string());
        let mut mac = self.mac.clone();
        mac.update(number.as_bytes());
        mac.update(export.after);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let length = export.before.len() + number.len() + export.after.len();
        into.clear();
        self.tenant.head(&signature, length, into);
        for part in [&export.before, number.as_bytes(), export.after] {
            into.extend_from_slice(part);
        }
    }
}

fn object(value: Option<Value>) -> anyhow::Result<Map<String, Value>> {
    match value {
        Some(Value::Object(members)) => Ok(members),
        _ => bail!("no object"),
    }
}

/// An object as text that goes on with another member.
fn open(members: &Map<String, Value>) -> anyhow::Result<String> {
    let text = serde_json::to_string(members)?;
    Ok(text.strip_suffix('}').context("no object")?.to_owned())
}
