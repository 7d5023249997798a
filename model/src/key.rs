//! What decides whether a build is a no-op.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, Target};

/// Everything that can change a build's outputs.
#[derive(Debug, Clone, Copy)]
pub struct BuildInputs<'a> {
    /// Digest of the plan's canonical encoding (not of the flow's JSON: moving a node on the canvas
    /// is no change).
    pub plan: Digest,
    /// Digest of the template set.
    pub templates: Digest,
    /// Compiler version, raised whenever outputs may change.
    pub compiler: &'a str,
    /// Targets, sorted and unique.
    pub targets: &'a [Target],
    /// Canonical encoding of options that change outputs; empty when there are none.
    pub options: &'a [u8],
}

/// The identity of a build's outputs: equal keys, equal outputs.
///
/// `blake3::derive_key("colophon build v1", fields)` with the fields plan (32 bytes), templates
/// (32 bytes), compiler (UTF-8), targets (their words joined by `,`) and options, each preceded by
/// its length as a little-endian `u64`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildKey(Digest);

impl BuildKey {
    /// Derives the key of `inputs`.
    pub fn derive(inputs: &BuildInputs<'_>) -> Self {
        let targets: Vec<&str> = inputs.targets.iter().map(|t| t.as_str()).collect();
        let mut hasher = blake3::Hasher::new_derive_key("colophon build v1");
        for field in [
            inputs.plan.as_bytes().as_slice(),
            inputs.templates.as_bytes(),
            inputs.compiler.as_bytes(),
            targets.join(",").as_bytes(),
            inputs.options,
        ] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        Self(Digest::from_bytes(*hasher.finalize().as_bytes()))
    }

    /// The raw bytes, for rows.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Display for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> BuildInputs<'static> {
        BuildInputs {
            plan: Digest::from_bytes([1; 32]),
            templates: Digest::from_bytes([2; 32]),
            compiler: "1",
            targets: &[Target::Cloud, Target::Edge],
            options: b"",
        }
    }

    /// A changed vector means every stored key misses: raise the context string instead.
    #[test]
    fn golden_vector() {
        assert_eq!(
            BuildKey::derive(&inputs()).to_string(),
            "eeba70657878577355e8fd90aa4c42e00ccda805ec23cb0284ae3dab83ae664f"
        );
    }

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let base = BuildKey::derive(&inputs());
        let changed = [
            BuildInputs { plan: Digest::from_bytes([9; 32]), ..inputs() },
            BuildInputs { templates: Digest::from_bytes([9; 32]), ..inputs() },
            BuildInputs { compiler: "2", ..inputs() },
            BuildInputs { targets: &[Target::Cloud], ..inputs() },
            BuildInputs { options: b"x", ..inputs() },
            BuildInputs { compiler: "1c", targets: &[], options: b"loud,edge", ..inputs() },
        ];
        for other in &changed {
            assert_ne!(base, BuildKey::derive(other));
        }
    }
}
