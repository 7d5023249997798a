//! The root over all lines of a chain, kept up line by line.

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// The Merkle tree of RFC 6962 §2.1 over a growing list, as the roots of its complete subtrees, the
/// largest first: one for each bit that is set in the number of leaves. So it is as long as that number has
/// bits, and one leaf more costs one hash on average.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Peaks(Vec<Sha256>);

/// The hash of a leaf (RFC 6962 §2.1): what is known of a line whose content is not.
pub fn leaf(bytes: &[u8]) -> Sha256 {
    Sha256::of(&[&[0], bytes].concat())
}

fn node(left: &Sha256, right: &Sha256) -> Sha256 {
    Sha256::of(&[&[1], left.as_bytes().as_slice(), right.as_bytes()].concat())
}

impl Peaks {
    /// Adds the leaf `bytes` to a list of `size` leaves.
    #[must_use]
    pub fn with(&self, size: u64, bytes: &[u8]) -> Self {
        self.with_leaf(size, leaf(bytes))
    }

    /// Adds a leaf by its hash to a list of `size` leaves.
    #[must_use]
    pub fn with_leaf(&self, size: u64, leaf: Sha256) -> Self {
        let (mut peaks, mut last) = (self.0.clone(), leaf);
        // Each complete subtree that is as large as what comes is joined with it.
        for _ in 0..size.trailing_ones() {
            if let Some(left) = peaks.pop() {
                last = node(&left, &last);
            }
        }
        peaks.push(last);
        Self(peaks)
    }

    /// The root; of an empty list the SHA-256 of nothing.
    pub fn root(&self) -> Sha256 {
        let mut peaks = self.0.iter().rev().copied();
        let Some(last) = peaks.next() else { return Sha256::of(b"") };
        peaks.fold(last, |right, left| node(&left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inputs and roots of the test vectors of Certificate Transparency
    /// (`merkletree/merkle_tree_test.cc`), which implementations of RFC 6962 share.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
            .map(|h| hex::decode(h).unwrap());
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        ];
        let mut peaks = Peaks::default();
        assert_eq!(peaks.root().to_string(), roots[0]);
        for (size, bytes) in leaves.iter().enumerate() {
            peaks = peaks.with(size as u64, bytes);
            assert_eq!(peaks.root().to_string(), roots[size + 1], "{} leaves", size + 1);
        }
        assert_eq!(peaks.0.len(), 3, "seven leaves are subtrees of four, two and one");
    }
}
