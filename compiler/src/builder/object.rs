//! Reading a JSON object member by member, noting everything that does not fit.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::plan::is_disruptive;
use crate::problem::{Findings, Pointer};

/// An object being read. Members that were not asked for are reported at the end.
pub(super) struct Object<'a, 'f> {
    members: &'a Map<String, Value>,
    place: Pointer,
    node: Option<&'a str>,
    asked: Vec<&'static str>,
    findings: &'f mut Findings,
}

impl<'a, 'f> Object<'a, 'f> {
    /// Starts reading `value` at `place`, or notes that it is no object.
    pub(super) fn read(
        value: &'a Value,
        place: Pointer,
        node: Option<&'a str>,
        findings: &'f mut Findings,
    ) -> Option<Self> {
        let Some(members) = value.as_object() else {
            note(findings, "E_SCHEMA", &place, node, "an object is expected here");
            return None;
        };
        Some(Self { members, place, node, asked: Vec::new(), findings })
    }

    /// Where this object stands.
    pub(super) const fn place(&self) -> &Pointer {
        &self.place
    }

    /// From here on findings name `node`.
    pub(super) const fn set_node(&mut self, node: &'a str) {
        self.node = Some(node);
    }

    /// The collector, for readers of what is inside.
    pub(super) const fn findings(&mut self) -> &mut Findings {
        self.findings
    }

    /// Notes a finding about the member `name`.
    pub(super) fn report(&mut self, code: &'static str, name: &str, detail: impl Into<String>) {
        note(self.findings, code, &self.place.key(name), self.node, detail);
    }

    /// The member, when it is there.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.push(name);
        self.members.get(name)
    }

    /// The member, which must be there.
    pub(super) fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.optional(name);
        if value.is_none() {
            let detail = format!("the member `{name}` is missing");
            note(self.findings, "E_SCHEMA", &self.place, self.node, detail);
        }
        value
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.required(name)?;
        self.as_text(name, value)
    }

    /// A text that may be there.
    pub(super) fn optional_text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.optional(name)?;
        self.as_text(name, value)
    }

    fn as_text(&mut self, name: &str, value: &'a Value) -> Option<&'a str> {
        let text = value.as_str();
        if text.is_none() {
            self.report("E_SCHEMA", name, "a text is expected here");
        }
        text
    }

    /// A text of at most `max` characters that stays on one line.
    pub(super) fn line(&mut self, name: &'static str, text: &str, max: usize) {
        if text.contains(is_disruptive) {
            self.report("E_CONTROL_CHAR", name, "control and direction characters are not allowed");
        }
        if text.chars().count() > max {
            self.report("E_TOO_LARGE", name, format!("at most {max} characters are allowed"));
        }
    }

    /// One of `words`; the first of them when the member is missing.
    pub(super) fn word(&mut self, name: &'static str, words: &[&'static str]) -> &'static str {
        let Some(text) = self.optional_text(name) else { return words[0] };
        let found = words.iter().find(|word| **word == text);
        if found.is_none() {
            self.report("E_SCHEMA", name, format!("one of {} is expected", words.join(", ")));
        }
        found.unwrap_or(&words[0])
    }

    /// An integer within `range`, when it is there.
    pub(super) fn integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.optional(name)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = range.into_inner();
            self.report("E_SCHEMA", name, format!("an integer from {from} to {to} is expected"));
        }
        number
    }

    /// A list that must be there.
    pub(super) fn list(&mut self, name: &'static str) -> &'a [Value] {
        match self.required(name) {
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.report("E_SCHEMA", name, "a list is expected here");
                &[]
            }
            None => &[],
        }
    }

    /// An object that may be there, as pairs.
    pub(super) fn pairs(&mut self, name: &'static str) -> Vec<(&'a String, &'a Value)> {
        match self.optional(name) {
            Some(Value::Object(members)) => members.iter().collect(),
            Some(_) => {
                self.report("E_SCHEMA", name, "an object is expected here");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Notes every member that nobody asked for.
    pub(super) fn finish(self) {
        for name in self.members.keys().filter(|name| !self.asked.contains(&name.as_str())) {
            let detail = "this member is not part of FlowSchema 1.0";
            note(self.findings, "E_SCHEMA", &self.place.key(name), self.node, detail);
        }
    }
}

fn note(
    findings: &mut Findings,
    code: &'static str,
    place: &Pointer,
    node: Option<&str>,
    detail: impl Into<String>,
) {
    match node {
        Some(node) => findings.add_at(code, place, node, detail),
        None => findings.add(code, place, detail),
    }
}
