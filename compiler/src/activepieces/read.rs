//! What is carried through the reading of a flow's steps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::expr::Expressions;
use crate::builder::secrets::is_secret_name;
use crate::plan::Idents;
use crate::plan::activepieces::Expr;
use crate::policy::CodePolicy;
use crate::problem::{Findings, Pointer};

/// What the steps read so far need and what was found wrong with them.
pub(super) struct Reader<'f> {
    /// Names of all steps of the flow.
    pub(super) names: BTreeSet<String>,
    /// Whether expressions find a step's output below `output`.
    pub(super) nested: bool,
    /// Whether steps may carry code.
    pub(super) policy: CodePolicy,
    /// How deep in loops the reader is.
    pub(super) loops: usize,
    /// Identifiers handed out.
    pub(super) idents: Idents,
    /// The environment's variables of connections.
    pub(super) connections: BTreeMap<String, String>,
    /// The environment's variables of project variables.
    pub(super) variables: BTreeMap<String, String>,
    /// What is wrong.
    pub(super) findings: &'f mut Findings,
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    /// The step.
    pub(super) step: &'a str,
    /// Whether connections may stand here: only in what leaves for the outside.
    pub(super) connections: bool,
}

impl<'f> Reader<'f> {
    /// A reader before the first step.
    pub(super) fn new(
        names: BTreeSet<String>,
        nested: bool,
        policy: CodePolicy,
        findings: &'f mut Findings,
    ) -> Self {
        Self {
            names,
            nested,
            policy,
            loops: 0,
            idents: Idents::default(),
            connections: BTreeMap::new(),
            variables: BTreeMap::new(),
            findings,
        }
    }

    /// Notes a finding about a step.
    pub(super) fn report(
        &mut self,
        code: &'static str,
        at: &Pointer,
        step: &str,
        detail: impl Into<String>,
    ) {
        self.findings.add_at(code, at, step, detail);
    }

    /// Reads a value with expressions in it.
    pub(super) fn value(&mut self, value: &Value, at: &Pointer, here: Here<'_>) -> Expr {
        let expr = Expressions { reader: self, step: here.step }.read(value, at);
        if !here.connections && expr.has_connection() {
            let detail = "a connection may stand in a piece's `auth`, in an HTTP request and in the \
                          input of code; here it would end in the run's state";
            self.report("E_CREDENTIAL_PLACE", at, here.step, detail);
        }
        expr
    }

    /// Reads the properties of a step: an object, or nothing.
    pub(super) fn input(&mut self, value: Option<&Value>, at: &Pointer, here: Here<'_>) -> Expr {
        let empty = Value::Object(serde_json::Map::new());
        let value = value.filter(|value| !value.is_null()).unwrap_or(&empty);
        if !value.is_object() {
            self.report("E_SCHEMA", at, here.step, "an object is expected here");
        }
        self.find_secrets(value, at, here.step);
        self.value(value, at, here)
    }

    /// Notes members that are places for secrets and hold text of their own.
    fn find_secrets(&mut self, value: &Value, at: &Pointer, step: &str) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let at = at.key(name);
                    if is_secret_name(name) && spells_out(member) {
                        let detail = "a secret is written out here; use a connection";
                        self.report("E_PLAINTEXT_SECRET", &at, step, detail);
                    }
                    self.find_secrets(member, &at, step);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.find_secrets(item, &at.index(index), step);
                }
            }
            _ => {}
        }
    }
}

/// Whether a text in a place for secrets has a part of its own, beside a scheme such as `Bearer`.
pub(super) fn spells_out(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return value.is_number() };
    let tokens = super::expr::tokens(text);
    let mut rest = String::new();
    let mut end = 0;
    for token in &tokens {
        rest.push_str(&text[end..token.start]);
        end = token.end;
    }
    rest.push_str(&text[end..]);
    let rest = rest.trim();
    !(rest.is_empty() || ["Bearer", "Basic", "Token", "ApiKey"].contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scheme_before_an_expression_is_no_secret_but_text_is() {
        for fine in ["", " ", "{{connections['a']}}", "Bearer {{connections['a'].token}}"] {
            assert!(!spells_out(&json!(fine)), "{fine}");
        }
        for bad in ["hunter2", "Bearer abc", "{{a}}x", "{{a"] {
            assert!(spells_out(&json!(bad)), "{bad}");
        }
    }
}
