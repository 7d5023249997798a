//! Values with references: `{{node.path}}`, `{{input.name}}`, `{{credential.name}}`.
//!
//! A path and nothing more: no operators, no calls, no filters. A text that is one reference keeps
//! the type of what it names; a reference inside a text is written as text. `{{'{{'}}` stands for two
//! braces themselves.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

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

/// What stands inside `{{ }}` for two braces as text.
const BRACES: &str = "'{{'";

/// Whether `text` holds a reference, and not only braces as text.
pub(super) fn has_reference(text: &str) -> bool {
    text.replace("{{'{{'}}", "").contains("{{")
}

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
                match items.iter().map(literal).collect::<Option<Vec<Value>>>() {
                    Some(values) => Template::Literal(values.into()),
                    None => Template::List(items),
                }
            }
            Value::Object(members) => {
                let read = |(key, member): (&String, &Value)| {
                    (key.clone(), self.template(member, &place.key(key)))
                };
                let members: BTreeMap<_, _> = members.iter().map(read).collect();
                let plain =
                    |(key, member): (&String, &Template)| Some((key.clone(), literal(member)?));
                match members.iter().map(plain).collect::<Option<Map<_, _>>>() {
                    Some(values) => Template::Literal(values.into()),
                    None => Template::Object(members),
                }
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
                self.report("E_EXPR", place, "`{{` without `}}`; write {{'{{'}} for the braces");
                return Template::Literal(text.into());
            };
            push_text(&mut parts, before);
            if inside.trim() == BRACES {
                push_text(&mut parts, "{{");
            } else {
                parts.extend(self.reference(inside, place).map(Part::Reference));
            }
            rest = after;
        }
        push_text(&mut parts, rest);
        if parts.is_empty() {
            return Template::Literal("".into());
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

/// Adds text to the part before, so that braces as text do not cut one text in two.
fn push_text(parts: &mut Vec<Part>, more: &str) {
    match parts.last_mut() {
        _ if more.is_empty() => {}
        Some(Part::Text(text)) => text.push_str(more),
        _ => parts.push(Part::Text(more.to_owned())),
    }
}

fn literal(template: &Template) -> Option<Value> {
    match template {
        Template::Literal(value) => Some(value.clone()),
        _ => None,
    }
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

    #[test]
    fn braces_can_be_text() {
        assert_eq!(read(&json!("{{'{{'}}")).0, Template::Literal(json!("{{")));
        assert_eq!(read(&json!("a {{ '{{' }}b}} c")).0, Template::Literal(json!("a {{b}} c")));
        let reference = Reference::Node(Ident::new("a").unwrap(), vec!["b".into()]);
        let parts = vec![Part::Reference(reference), Part::Text("{{x}}".into())];
        assert_eq!(read(&json!("{{a.b}}{{'{{'}}x}}")).0, Template::Text(parts));
        // Inside lists and objects too: the text is not the one that was written.
        assert_eq!(read(&json!([{"a": "{{'{{'}}"}])).0, Template::Literal(json!([{"a": "{{"}])));
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
