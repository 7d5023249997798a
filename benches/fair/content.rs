//! What is asked, by the quiet tenant and by the storm.

use std::fmt::Write as _;

use colophon::intake::legacy_signature;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A flow of 20 nodes, about 8 KB, that was never posted before.
    Cold,
    /// A flow that is built already.
    NoOp,
    /// A clone of the tenant's repository (protocol version 2, all objects).
    Clone,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Cold, Self::NoOp, Self::Clone];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold builds",
            Self::NoOp => "no-ops",
            Self::Clone => "clones",
        }
    }

    pub(crate) const fn status(self) -> u16 {
        if matches!(self, Self::Cold) { 201 } else { 200 }
    }
}

/// A tenant and what its people hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) slug: String,
    pub(crate) secret: String,
    pub(crate) git: String,
    /// The commit that is cloned.
    pub(crate) tip: String,
}

impl Tenant {
    /// The bytes of a request. `flow` and `number` are for cold builds.
    pub(crate) fn request(&self, kind: Kind, flow_name: &str, number: u64) -> Vec<u8> {
        match kind {
            Kind::Cold => self.delivery(&flow(flow_name, number)),
            Kind::NoOp => self.delivery(&flow("steady", 1)),
            Kind::Clone => self.clone(),
        }
    }

    pub(crate) fn delivery(&self, body: &[u8]) -> Vec<u8> {
        let signature = legacy_signature(&self.secret, body);
        let head = format!("X-Tenant-Slug: {}\r\nX-Ap-Signature: {signature}\r\n", self.slug);
        post("/build", &head, body)
    }

    fn clone(&self) -> Vec<u8> {
        let lines = ["command=fetch", "0001", "ofs-delta", "no-progress"];
        let mut body = String::new();
        for line in lines.into_iter().chain([format!("want {}", self.tip).as_str(), "done"]) {
            if line == "0001" {
                body.push_str(line);
            } else {
                let _ = writeln!(body, "{:04x}{line}", line.len() + 5);
            }
        }
        body.push_str("0000");
        let head = format!("Authorization: Bearer {}\r\nGit-Protocol: version=2\r\n", self.git);
        post(&format!("/git/{}.git/git-upload-pack", self.slug), &head, body.as_bytes())
    }
}

fn post(path: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

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
