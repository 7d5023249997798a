//! Values with references: `{{node.path}}`, `{{input.name}}`, `{{credential.name}}`.
//!
//! A path and nothing more: no operators, no calls, no filters. A text that is one reference keeps
//! the type of what it names; a reference inside a text is written as text.

use serde_json::Value;

use crate::plan::Ident;
use crate::plan::builder::{CredentialRef, Part, Reference, Template};
use crate::problem::{Findings, Pointer};

/// A reference and where it stands, to be checked when the whole graph is known.
#[derive(Debug, Clone)]
pub(super) struct Use {
    /// What is named.
    pub(super) reference: Reference,
    /// Where.
    pub(super) place: Pointer,
}

/// Reads the templates of one node and collects what they refer to.
pub(super) struct Expressions<'a, 'f> {
    node: &'a str,
    /// Whether the values being read may hold credentials: only those that leave for the outside.
    pub(super) credentials: bool,
    findings: &'f mut Findings,
    uses: &'f mut Vec<Use>,
}

/// Longest path of a reference.
const MAX_PATH: usize = 16;

impl<'a, 'f> Expressions<'a, 'f> {
    /// A reader for `node` that does not allow credentials.
    pub(super) const fn new(
        node: &'a str,
        findings: &'f mut Findings,
        uses: &'f mut Vec<Use>,
    ) -> Self {
        Self { node, credentials: false, findings, uses }
    }

    /// A reader that allows credentials.
    #[must_use]
    pub(super) const fn with_credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// Reads any JSON value.
    pub(super) fn template(&mut self, value: &Value, place: &Pointer) -> Template {
        match value {
            Value::String(text) => self.text(text, place),
            Value::Array(items) => {
                let read = |(i, item)| self.template(item, &place.index(i));
                let items: Vec<_> = items.iter().enumerate().map(read).collect();
                if items.iter().all(is_literal) {
                    return Template::Literal(value.clone());
                }
                Template::List(items)
            }
            Value::Object(members) => {
                let read = |(key, member): (&String, &Value)| {
                    (key.clone(), self.template(member, &place.key(key)))
                };
                let members: std::collections::BTreeMap<_, _> = members.iter().map(read).collect();
                if members.values().all(is_literal) {
                    return Template::Literal(value.clone());
                }
                Template::Object(members)
            }
            scalar => Template::Literal(scalar.clone()),
        }
    }

    /// Reads a text.
    pub(super) fn text(&mut self, text: &str, place: &Pointer) -> Template {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once("{{") {
            let Some((inside, after)) = from.split_once("}}") else {
                self.report("E_EXPR", place, "`{{` without `}}`");
                return Template::Literal(text.into());
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.extend(self.reference(inside, place).map(Part::Reference));
            rest = after;
        }
        if parts.is_empty() {
            return Template::Literal(text.into());
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        match <[Part; 1]>::try_from(parts) {
            Ok([Part::Reference(reference)]) => Template::Reference(reference),
            Ok([Part::Text(text)]) => Template::Literal(text.into()),
            Err(parts) => Template::Text(parts),
        }
    }

    fn reference(&mut self, inside: &str, place: &Pointer) -> Option<Reference> {
        let Some(reference) = parse_reference(inside) else {
            let shown: String = inside.chars().take(60).collect();
            let detail = format!(
                "`{}` is not a reference: write node.path, input.name or credential.name",
                shown.escape_debug()
            );
            self.report("E_EXPR", place, detail);
            return None;
        };
        if matches!(reference, Reference::Credential(_)) && !self.credentials {
            let detail = "a credential may stand in requests and in typed values only";
            self.report("E_CREDENTIAL_PLACE", place, detail);
        }
        self.uses.push(Use { reference: reference.clone(), place: place.clone() });
        Some(reference)
    }

    /// Notes a finding.
    pub(super) fn report(
        &mut self,
        code: &'static str,
        place: &Pointer,
        detail: impl Into<String>,
    ) {
        self.findings.add_at(code, place, self.node, detail);
    }
}

const fn is_literal(template: &Template) -> bool {
    matches!(template, Template::Literal(_))
}

/// Reads what stands between `{{` and `}}`.
pub(super) fn parse_reference(inside: &str) -> Option<Reference> {
    let mut parts = inside.trim().split('.');
    let root = parts.next()?;
    let path: Vec<String> = parts.map(str::to_owned).collect();
    if path.len() > MAX_PATH || !path.iter().all(|key| is_key(key)) {
        return None;
    }
    match root {
        "input" => {
            let (name, rest) = path.split_first()?;
            Some(Reference::Input(name.clone(), rest.to_vec()))
        }
        "credential" => parse_credential(path).map(Reference::Credential),
        node => Some(Reference::Node(Ident::new(node)?, path)),
    }
}

fn parse_credential(path: Vec<String>) -> Option<CredentialRef> {
    let mut path = path.into_iter();
    let (name, field) = (path.next()?, path.next());
    let lower = |name: &String| Ident::new(name).is_some();
    (path.next().is_none() && lower(&name) && field.iter().all(lower))
        .then_some(CredentialRef { name, field })
}

/// The reference that a text consists of, when it is one to a credential.
pub(super) fn credential_only(text: &str) -> Option<CredentialRef> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    match parse_reference(inside)? {
        Reference::Credential(credential) => Some(credential),
        Reference::Node(..) | Reference::Input(..) => None,
    }
}

fn is_key(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> (Template, Vec<&'static str>) {
        let (mut findings, mut uses) = (Findings::default(), Vec::new());
        let template =
            Expressions::new("n", &mut findings, &mut uses).template(value, &Pointer::root());
        let codes = findings.finish().err().map_or_else(Vec::new, |problems| {
            problems.as_slice().iter().map(|problem| problem.code).collect()
        });
        (template, codes)
    }

    #[test]
    fn a_text_that_is_one_reference_keeps_its_type() {
        let reference = Reference::Node(Ident::new("a").unwrap(), vec!["b".into(), "0".into()]);
        assert_eq!(read(&json!("{{ a.b.0 }}")).0, Template::Reference(reference.clone()));
        let text = Template::Text(vec![Part::Text(" ".into()), Part::Reference(reference)]);
        assert_eq!(read(&json!(" {{a.b.0}}")).0, text);
        assert_eq!(read(&json!([1, {"a": "b"}])).0, Template::Literal(json!([1, {"a": "b"}])));
    }

    /// Anything that is not a path is refused rather than guessed at.
    #[test]
    fn expressions_are_refused() {
        for bad in [
            "{{ 7*7 }}",
            "{{",
            "{{a",
            "{{}}",
            "{{ a. }}",
            "{{ a..b }}",
            "{{ a b }}",
            "{{ A.b }}",
            "{{ a['b'] }}",
            "{{ input }}",
            "{{ credential }}",
            "{{ a | upper }}",
            "{{ __init__.x }}",
            "{{ a.b() }}",
            "{{ class.x }}",
            "{{ {{ a }} }}",
        ] {
            assert!(read(&json!(bad)).1.contains(&"E_EXPR"), "{bad}");
        }
        assert_eq!(read(&json!("{{credential.a}}")).1, ["E_CREDENTIAL_PLACE"]);
    }
}
