//! How to check an export, for whoever has nothing but stock tools. It lies once beside the bags, and each names it.

use std::sync::LazyLock;

use colophon_model::Sha256;

use super::layout;

/// The text, the same for every export of one version of the program.
pub(super) const TEXT: &str = include_str!("VERIFY.md");

/// Its checksum, by which it is named.
pub(super) static SHA256: LazyLock<Sha256> = LazyLock::new(|| Sha256::of(TEXT.as_bytes()));

/// Where it lies, below the tenant's folder.
pub(super) fn path() -> String {
    layout::guide(&SHA256)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that was changed lies beside the one before, and not over it: bags that name that one are still whole.
    #[test]
    fn another_text_has_another_name() {
        assert_ne!(path(), layout::guide(&Sha256::of(b"another text")));
        assert!(
            path().starts_with("VERIFY-") && path().strip_suffix(".md").is_some(),
            "{}",
            path()
        );
    }
}
