//! What is wrong with a flow: every finding at once, each with a stable code and a place.

use std::fmt;

/// A JSON pointer (RFC 6901) into the flow as received.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// The member `name` of the object at this place.
    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        Self(format!("{}/{}", self.0, name.replace('~', "~0").replace('/', "~1")))
    }

    /// The item `index` of the array at this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }

    /// The pointer as text; empty for the whole document.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a walk over the whole JSON is. A pointer is made of it only where something is found: one for
/// every value would cost the product of the length of names and the number of values.
pub(crate) enum Place<'a> {
    /// The whole document.
    Root,
    /// A member.
    Key(&'a Place<'a>, &'a str),
    /// An item.
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// The place as a pointer.
    pub(crate) fn pointer(&self) -> Pointer {
        match self {
            Self::Root => Pointer::root(),
            Self::Key(up, name) => up.pointer().key(name),
            Self::Index(up, index) => up.pointer().index(*index),
        }
    }
}

/// One finding. The order (place, then code) is the order in which findings are reported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where in the JSON.
    pub pointer: Pointer,
    /// Stable code: `E_*` refuses the flow, `W_*` does not.
    pub code: &'static str,
    /// The node's id, as the flow spells it, when the finding is about one node.
    pub node: Option<String>,
    /// What is wrong and what would be right, for a person.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at `{}`", self.code, self.pointer)?;
        if let Some(node) = &self.node {
            write!(f, " (node `{}`)", node.escape_debug())?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// Why a flow is refused: at least one problem, in order, with the warnings among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The findings, never empty.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// A refusal for a single reason.
    pub fn one(code: &'static str, pointer: Pointer, detail: impl Into<String>) -> Self {
        Self(vec![Problem { pointer, code, node: None, detail: detail.into() }])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, rest) = self.0.split_first().expect("problems are never empty");
        write!(f, "{first}")?;
        rest.iter().try_for_each(|problem| write!(f, "; {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Collects findings while a flow is read, so that one run reports all of them.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Problem>);

impl Findings {
    /// Notes a finding about the document as a whole or an edge.
    pub(crate) fn add(&mut self, code: &'static str, pointer: &Pointer, detail: impl Into<String>) {
        let (pointer, detail) = (pointer.clone(), detail.into());
        self.0.push(Problem { pointer, code, node: None, detail });
    }

    /// Notes a finding about one node.
    pub(crate) fn add_at(
        &mut self,
        code: &'static str,
        pointer: &Pointer,
        node: &str,
        detail: impl Into<String>,
    ) {
        let node = Some(node.chars().take(80).collect());
        self.0.push(Problem { pointer: pointer.clone(), code, node, detail: detail.into() });
    }

    /// Whether anything found so far refuses the flow.
    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.code.starts_with("E_"))
    }

    /// The warnings when nothing refuses the flow, else everything.
    pub(crate) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        let refused = self.has_errors();
        self.0.sort();
        self.0.dedup();
        if refused { Err(Problems(self.0)) } else { Ok(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_as_rfc_6901_says() {
        let pointer = Pointer::root().key("a/b").index(3).key("c~d");
        assert_eq!(pointer.as_str(), "/a~1b/3/c~0d");
    }

    #[test]
    fn findings_are_ordered_by_place_and_warnings_alone_do_not_refuse() {
        let mut findings = Findings::default();
        findings.add("W_B", &Pointer::root().key("b"), "b");
        findings.add("W_A", &Pointer::root().key("a"), "a");
        let warnings = findings.finish().unwrap();
        assert_eq!(warnings.iter().map(|p| p.code).collect::<Vec<_>>(), ["W_A", "W_B"]);

        let mut findings = Findings::default();
        findings.add("W_A", &Pointer::root().key("z"), "a");
        findings.add_at("E_B", &Pointer::root().key("b"), "n", "b");
        assert_eq!(findings.finish().unwrap_err().as_slice().len(), 2);
    }
}
