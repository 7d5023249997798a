//! Names of the environment's variables that hold connections and project variables.

use colophon_model::Sha256;

/// The variable of a connection or project variable called `name` in the flow: `prefix`, the name in
/// capitals, and for a name that is not plain the beginning of its hash, so that `a-b` and `a_b`, or
/// `aB` and `Ab`, stay two.
pub(super) fn variable(prefix: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let shown = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let upper: String = name.chars().take(60).map(shown).collect();
    if name.chars().all(plain) && (1..=60).contains(&name.len()) {
        return format!("{prefix}_{upper}");
    }
    let hash = Sha256::of(name.as_bytes()).to_string().to_uppercase();
    format!("{prefix}_{upper}_{}", &hash[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_have_variables_that_differ() {
        assert_eq!(variable("CONNECTION", "erp_2"), "CONNECTION_ERP_2");
        let names = ["a-b", "a_b", "aB", "Ab", "a b", "", "é", &"x".repeat(61), &"x".repeat(60)];
        let got: std::collections::BTreeSet<_> = names.map(|n| variable("C", n)).into();
        assert_eq!(got.len(), names.len(), "{got:?}");
        let fits = |v: &String| v.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        assert!(got.iter().all(fits), "{got:?}");
    }
}
