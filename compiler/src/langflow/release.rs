//! Which release of lfx a flow is for.

use serde_json::Value;

use super::export::Export;
use super::known;
use super::vertex::Vertex;

/// The last lfx of each line of LangFlow releases, oldest first: langflow-base 0.7 requires lfx 0.2,
/// and so on; from 1.10 on both count alike. LangFlow 1.6 was the first that ran on lfx.
const LINES: [([u32; 2], &str); 7] = [
    ([1, 6], "0.1.13"),
    ([1, 7], "0.2.2"),
    ([1, 8], "0.3.4"),
    ([1, 9], "0.4.6"),
    ([1, 10], "1.10.3"),
    ([1, 11], "1.11.6"),
    ([1, 12], "1.12.8"),
];

/// The release that most of the flow's sources are known from. A flow of sources that no known release
/// has: the one for the LangFlow that its vertices name, or else the flow. `lf_version`s are mixed in
/// real flows, for each vertex keeps that of the day it was drawn, so the newest counts.
pub(super) fn of(export: &Export, vertices: &[Vertex<'_>]) -> &'static str {
    let known: Vec<_> = vertices.iter().filter_map(|v| v.known).collect();
    let newest = known.iter().map(|known| known.release).max_by_key(|r| known::version(r));
    if let Some(release) = newest.filter(|_| known.len() * 2 >= vertices.len()) {
        return release;
    }
    let named = vertices.iter().filter_map(|v| v.node.get("lf_version"));
    let tested = export.head.get("last_tested_version");
    let version = |text: &Value| text.as_str().and_then(known::version);
    let drawn = named.filter_map(version).max().or_else(|| tested.and_then(version));
    drawn.map_or_else(known::newest_release, |version| for_langflow(&version))
}

/// The lfx for a release of LangFlow. What is older than all lines takes the first, and what is newer
/// the newest release that is known.
fn for_langflow(version: &[u32]) -> &'static str {
    let line = |(line, _): &&([u32; 2], &str)| version <= &line[..] || version.starts_with(line);
    LINES.iter().find(line).map_or_else(known::newest_release, |(_, lfx)| lfx)
}

/// The LangGraph that can be installed beside a release of lfx: up to 0.3 it asks for langchain-core
/// before 1.0, and so for LangGraph before 1.0.
pub(super) fn langgraph(lfx: &str) -> &'static str {
    let is_old = known::version(lfx).is_some_and(|version| version < vec![0, 4]);
    if is_old { "0.6.11" } else { "1.2.22" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flow asks for a release that exists, whatever version it names.
    #[test]
    fn every_version_has_a_release() {
        for (langflow, lfx) in [
            ("1.0.17", "0.1.13"),
            ("1.4.3", "0.1.13"),
            ("1.6.0", "0.1.13"),
            ("1.6.9", "0.1.13"),
            ("1.7.3", "0.2.2"),
            ("1.9.6", "0.4.6"),
            ("1.10.1rc3", "1.10.3"),
            ("1.12.0", "1.12.8"),
            ("1.13.0", "1.13.0"),
            ("9.9.9", "1.13.0"),
        ] {
            assert_eq!(for_langflow(&known::version(langflow).unwrap()), lfx, "{langflow}");
        }
        assert_eq!((langgraph("0.3.4"), langgraph("0.4.6")), ("0.6.11", "1.2.22"));
    }
}
