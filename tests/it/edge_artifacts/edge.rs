//! What an answer says of a bundle.

use colophon_model::Sha256;
use serde_json::Value;

use crate::support::{Answer, TestServer};

/// The edge part of a build.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) build: String,
    pub(super) url: String,
    pub(super) expires: String,
    pub(super) sha256: Sha256,
}

impl Edge {
    pub(super) fn of(answer: &Answer) -> Self {
        let json = answer.json();
        let edge = &json["outputs"][1]["edge"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(edge["version"], "1.0.1");
        Self {
            build: text(&json["id"]),
            url: text(&edge["edge_url"]),
            expires: text(&edge["edge_url_expires"]),
            sha256: text(&edge["edge_sha256"]).parse().unwrap(),
        }
    }

    pub(super) fn is_elsewhere(&self, server: &TestServer) -> bool {
        !self.url.starts_with(&server.url)
    }
}
