//! CODE steps: whether they may come in, and what becomes of them.

use colophon_model::Sha256;
use serde_json::Value;

use super::read::{Here, Reader};
use crate::javascript;
use crate::plan::activepieces::Code;
use crate::policy::CodePolicy;
use crate::problem::Pointer;

/// Longest source, in bytes: what the stack of the parser is made for.
const MAX_SOURCE: usize = 64 << 10;

/// Reads the settings of a CODE step.
pub(super) fn read(
    settings: &Value,
    at: &Pointer,
    step: &str,
    reader: &mut Reader<'_>,
) -> Option<Code> {
    let here = Here { step, connections: true };
    let input = reader.input(settings.get("input"), &at.key("input"), here);
    if reader.policy != CodePolicy::AllowCustom {
        let detail = "the tenant's policy takes no code of a flow's author: an operator can set it \
                      to `allow-custom`";
        reader.report("E_AP_UNTRUSTED_CODE", at, step, detail);
        return None;
    }
    let Some(source) = settings.get("sourceCode").filter(|source| !source.is_null()) else {
        report_missing(settings, at, step, reader);
        return None;
    };
    let at = at.key("sourceCode");
    check_packages(source, &at, step, reader);
    let Some(text) = source.get("code").and_then(Value::as_str) else {
        reader.report("E_SCHEMA", &at.key("code"), step, "the source is expected here, as text");
        return None;
    };
    let javascript = compile(text, &at.key("code"), step, reader)?;
    Some(Code { input, sha256: Sha256::of(javascript.as_bytes()), javascript })
}

fn report_missing(settings: &Value, at: &Pointer, step: &str, reader: &mut Reader<'_>) {
    if settings.get("artifact").is_some() {
        let detail = "the step holds its source as a zip archive, as ActivePieces once did: open \
                      the flow in a newer one, save the step, and export again";
        reader.report("E_AP_CODE_ARTIFACT", &at.key("artifact"), step, detail);
    } else {
        reader.report("E_SCHEMA", at, step, "a CODE step has `sourceCode`");
    }
}

/// Packages of npm are code that nobody here has seen, and are not fetched.
fn check_packages(source: &Value, at: &Pointer, step: &str, reader: &mut Reader<'_>) {
    let text = source.get("packageJson").and_then(Value::as_str).unwrap_or_default().trim();
    if text.is_empty() {
        return;
    }
    let package = serde_json::from_str::<Value>(text).unwrap_or_default();
    let names = package.get("dependencies").and_then(Value::as_object);
    let names: Vec<_> = names.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let detail = if !package.is_object() {
        "`packageJson` is no JSON object".to_owned()
    } else if names.is_empty() {
        return;
    } else {
        let shown: String = names.join(", ").chars().take(200).collect();
        format!("the step needs packages of npm ({shown}); only the language itself is there")
    };
    reader.report("E_AP_CODE_DEPENDENCIES", &at.key("packageJson"), step, detail);
}

fn compile(text: &str, at: &Pointer, step: &str, reader: &mut Reader<'_>) -> Option<String> {
    if text.len() > MAX_SOURCE {
        let detail = format!("the source has {} bytes; at most {MAX_SOURCE} are read", text.len());
        reader.report("E_TOO_LARGE", at, step, detail);
        return None;
    }
    match javascript::compile(text) {
        Ok(javascript) => Some(javascript),
        Err(faults) => {
            for fault in faults {
                let imports = fault.is_import();
                let code = if imports { "E_AP_CODE_DEPENDENCIES" } else { "E_AP_CODE_SYNTAX" };
                reader.report(code, at, step, fault.to_string());
            }
            None
        }
    }
}
