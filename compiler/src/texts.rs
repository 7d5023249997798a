//! The text gate: the third lock behind the literal filter.
//!
//! Data that broke out of its literal would leave a shorter text behind it, and more code or more
//! texts. So the texts in a rendered module are counted against those that the template was given:
//! each must be there, whole, and every other must stand in a template as it is written.

use std::collections::HashMap;

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, TraversalSignal};
use ruff_python_ast::{AnyNodeRef, ModModule};
use ruff_text_size::{Ranged, TextRange};

/// A module as a template wrote it, with what it was given.
#[derive(Debug)]
pub(crate) struct Rendered<'a> {
    /// The source.
    pub(crate) source: String,
    /// Every text that went through `lit`, members' names among them, in the order of the output.
    pub(crate) passed: Vec<String>,
    /// What the templates say by themselves: their text without tags.
    pub(crate) fixed: &'a str,
}

impl Rendered<'_> {
    /// Names the first text that is not where it should be. `module` is what `source` parses to.
    pub(crate) fn check(&self, module: &ModModule) -> Result<(), String> {
        let mut expected: HashMap<&str, usize> = HashMap::new();
        for text in &self.passed {
            *expected.entry(text).or_default() += 1;
        }
        let mut texts = Texts::default();
        texts.visit_body(&module.body);
        for (value, range) in texts.found {
            match value.and_then(|value| expected.get_mut(value)) {
                Some(left) if *left > 0 => *left -= 1,
                _ if self.fixed.contains(&self.source[range]) => {}
                _ => return Err(format!("a text that nobody wrote: {}", &self.source[range])),
            }
        }
        match expected.iter().find(|(_, left)| **left > 0) {
            None => Ok(()),
            Some((text, _)) => Err(format!("a text is lost: {text:?}")),
        }
    }
}

/// Collects the literals of a module: their values, when they are plain texts, and their places.
#[derive(Default)]
struct Texts<'a> {
    found: Vec<(Option<&'a str>, TextRange)>,
}

impl<'a> SourceOrderVisitor<'a> for Texts<'a> {
    fn enter_node(&mut self, node: AnyNodeRef<'a>) -> TraversalSignal {
        match node {
            AnyNodeRef::StringLiteral(text) => self.found.push((Some(&text.value), text.range())),
            AnyNodeRef::BytesLiteral(_) | AnyNodeRef::FString(_) | AnyNodeRef::TString(_) => {
                self.found.push((None, node.range()));
            }
            _ => {}
        }
        TraversalSignal::Traverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, passed: &[&str], fixed: &str) -> Result<(), String> {
        let module = ruff_python_parser::parse_module(source).unwrap();
        let passed = passed.iter().map(|&text| text.to_owned()).collect();
        Rendered { source: source.to_owned(), passed, fixed }.check(module.syntax())
    }

    #[test]
    fn texts_are_those_of_the_template_and_those_it_was_given() {
        let fixed = "NAME =\nif __name__ == \"__main__\":\n";
        check("NAME = \"a\\n\\\"\"\n", &["a\n\""], fixed).unwrap();
        check("NAME = {\"k\": [\"a\", \"a\"]}\n", &["a", "k", "a"], fixed).unwrap();
        check("if __name__ == \"__main__\":\n    f()\n", &[], fixed).unwrap();
        // Given and fixed at once: one of each.
        check("NAME = \"__main__\"\nif __name__ == \"__main__\": ...\n", &["__main__"], fixed)
            .unwrap();
    }

    /// What a hole in the literal filter would leave behind.
    #[test]
    fn a_text_that_changed_is_found() {
        let fixed = "NAME =";
        for (source, passed) in [
            // The text ended early and its rest is code.
            ("NAME = \"a\"; os.system(\"id\")\n", &["a\"; os.system(\"id\")\n"][..]),
            ("NAME = \"a\" or x\n", &["a\" or x"]),
            // An escape was lost.
            ("NAME = \"a\nb\"\n".replace('\n', "").as_str(), &["a\nb"]),
            ("NAME = \"\\x41\"\n", &["\\x41"]),
            ("NAME = \"a\"\n", &["a", "a"]),
            ("NAME = \"a\", \"a\"\n", &["a"]),
            ("NAME = \"a\"\n", &[]),
            ("NAME = b\"a\"\n", &["a"]),
            ("NAME = f\"{a}\"\n", &["{a}"]),
            ("NAME = f\"a\"\n", &["a"]),
            ("NAME = a # \"b\"\n", &["b"]),
        ] {
            assert!(check(source, passed, fixed).is_err(), "{source}");
        }
    }
}
