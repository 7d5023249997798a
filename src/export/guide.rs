//! How to check an export, for whoever has nothing but stock tools. It lies in every bag.

/// The text, the same in every bag of one version of the program.
pub(super) const TEXT: &str = include_str!("VERIFY.md");
