//! Identifiers in generated code, derived from node ids and never equal to a word of the language.

use std::collections::BTreeSet;
use std::fmt;

/// `[a-z_][a-z0-9_]*`, at most 64 bytes; no Python keyword, dunder name or Windows device name.
///
/// The only text of a flow that may stand in generated code outside a literal, always behind a
/// prefix (`n_<ident>`, `C_<ident>`) or as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(String);

/// Longest identifier, in bytes.
const MAX_IDENT: usize = 64;

/// Python 3.14 keywords and soft keywords in lower case, and the Windows device names that the
/// grammar would let through.
const RESERVED: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "case", "class", "continue", "def", "del",
    "elif", "else", "except", "false", "finally", "for", "from", "global", "if", "import", "in",
    "is", "lambda", "match", "none", "nonlocal", "not", "or", "pass", "raise", "return", "true",
    "try", "type", "while", "with", "yield", "con", "prn", "aux", "nul", "com0", "com1", "com2",
    "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt0", "lpt1", "lpt2", "lpt3", "lpt4",
    "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

impl Ident {
    /// Checks `text` against the grammar and the reserved words.
    pub fn new(text: &str) -> Option<Self> {
        let grammar = !text.is_empty()
            && text.len() <= MAX_IDENT
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        (grammar && !text.starts_with("__") && !RESERVED.contains(&text))
            .then(|| Self(text.to_owned()))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Hands out identifiers for ids of any shape, each once.
#[derive(Debug, Default)]
pub(crate) struct Idents(BTreeSet<Ident>);

impl Idents {
    /// An identifier that resembles `id` (`ChatInput-a1B2` becomes `chatinput_a1b2`) and that was
    /// not handed out before. The answer depends on the ids asked for so far and on nothing else.
    pub(crate) fn derive(&mut self, id: &str) -> Ident {
        let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let base: String = id.chars().take(MAX_IDENT - 8).map(keep).collect();
        let base = base.trim_matches('_');
        let first = Ident::new(base).unwrap_or_else(|| Ident(format!("n_{base}")));
        let numbered = (2..).map(|n| Ident(format!("{first}_{n}")));
        let free = std::iter::once(first.clone()).chain(numbered).find(|i| !self.0.contains(i));
        let ident = free.expect("the numbers do not end");
        self.0.insert(ident.clone());
        ident
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_of_the_language_and_hostile_ids_are_refused() {
        for bad in [
            "", "__init__", "class", "con", "lpt1", "../x", "a.b", "A", "1a", "a-b", "a b", "a\n",
            "é", "type", "match",
        ] {
            assert_eq!(Ident::new(bad), None, "{bad:?}");
        }
        assert!(Ident::new(&"a".repeat(65)).is_none());
        assert!(Ident::new("fetch_customer2").is_some());
    }

    #[test]
    fn derived_identifiers_are_unique_and_resemble_the_id() {
        let mut idents = Idents::default();
        let got: Vec<_> = ["ChatInput-a1B2", "chatinput a1b2", "class", "日本", "__", "9"]
            .map(|id| idents.derive(id).to_string())
            .to_vec();
        assert_eq!(got, ["chatinput_a1b2", "chatinput_a1b2_2", "n_class", "n_", "n__2", "n_9"]);
    }

    proptest! {
        #[test]
        fn whatever_the_id_the_identifier_is_valid(ids in proptest::collection::vec("\\PC{0,100}", 1..20)) {
            let mut idents = Idents::default();
            let derived: BTreeSet<_> = ids.iter().map(|id| idents.derive(id)).collect();
            prop_assert_eq!(derived.len(), ids.len());
            for ident in derived {
                prop_assert!(Ident::new(ident.as_str()).is_some(), "{}", ident);
            }
        }
    }
}
