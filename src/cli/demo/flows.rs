//! The flows of the demonstration.

use std::path::Path;

use anyhow::Context as _;

const OWN_LANGFLOW: &[u8] = include_bytes!("../../../tests/fixtures/flows/hello_langflow.json");
const BUILDER: &[u8] = include_bytes!("../../../tests/fixtures/flows/order_intake.json");

/// The export to build, and where it comes from.
pub(super) fn langflow(file: Option<&Path>) -> anyhow::Result<(Vec<u8>, String)> {
    match file {
        Some(path) => {
            let body = std::fs::read(path)
                .with_context(|| format!("cannot read LangFlow export `{}`", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Ok((body, format!("real: {name}")))
        }
        None => Ok((OWN_LANGFLOW.to_vec(), "ours, in LangFlow's format".to_owned())),
    }
}

/// A Builder flow with a cloud and an edge part.
pub(super) fn builder() -> Vec<u8> {
    BUILDER.to_vec()
}
