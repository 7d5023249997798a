//! One very bundle, named by its digest: what is signed for now, or what was verified here before.

use std::fmt;
use std::str::FromStr;

use colophon_model::{Digest, FlowId, Sha256};
use colophon_trust::TargetFile;

use crate::agent::{Agent, Outcome};
use crate::fetch::Fetched;
use crate::intact::{self, Intact};
use crate::{Error, Transport};

/// A digest that names one bundle: of the tree of its files, or of its zip. Digits without the name of
/// their algorithm may be either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleDigest {
    tree: Option<Digest>,
    zip: Option<Sha256>,
}

/// A text that is no digest of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not `blake3:` or `sha256:` with 64 lower-case hex digits, nor the digits alone")]
pub struct InvalidBundleDigest;

impl BundleDigest {
    /// Whether it names the bundle that is signed so.
    pub fn is_of(&self, file: &TargetFile) -> bool {
        self.is_tree(&file.custom.tree) || self.zip == Some(file.sha256)
    }

    /// Whether it names the bundle whose files have this tree. Of what is installed, nothing but that
    /// is known.
    pub fn is_tree(&self, tree: &Digest) -> bool {
        self.tree.as_ref() == Some(tree)
    }
}

impl FromStr for BundleDigest {
    type Err = InvalidBundleDigest;
    fn from_str(text: &str) -> Result<Self, InvalidBundleDigest> {
        let (tree, zip) = match text.split_once(':') {
            Some(("blake3", hex)) => (hex.parse().ok(), None),
            Some(("sha256", hex)) => (None, hex.parse().ok()),
            Some(_) => (None, None),
            None => (text.parse().ok(), text.parse().ok()),
        };
        let digest = Self { tree, zip };
        if tree.is_some() || zip.is_some() { Ok(digest) } else { Err(InvalidBundleDigest) }
    }
}

impl fmt::Display for BundleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tree, self.zip) {
            (Some(tree), None) => write!(f, "blake3:{tree}"),
            (None, Some(zip)) => write!(f, "sha256:{zip}"),
            (Some(either), Some(_)) => write!(f, "{either}"),
            (None, None) => Ok(()),
        }
    }
}

/// Where a bundle that was named by its digest is.
#[derive(Debug)]
pub enum Exactly {
    /// The tenant offers it: what came of fetching it.
    Offered(Vec<Outcome<Fetched>>),
    /// The tenant offers another one by now, and it is installed: active, on trial, or where a rollback
    /// goes. Its files were compared with the list that was signed.
    Installed(FlowId, Intact),
}

impl<T: Transport> Agent<T> {
    /// As [`Self::fetch`], for the bundle with this digest alone; `flow` says whose it must be.
    ///
    /// A digest is a wish and no proof: what is fetched must be listed by the newest signed metadata, and
    /// what is not must have passed the same check when it was installed. Nothing is activated, so
    /// nothing goes back.
    ///
    /// # Errors
    /// As for [`Self::fetch`]. [`Error::NotVouched`] for any other digest, [`Error::Damaged`] when it is
    /// installed and its files were changed.
    pub fn fetch_exactly(
        &self,
        flow: Option<&FlowId>,
        digest: &BundleDigest,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Exactly, Error> {
        let mut offers = self.offers_beside_bases(flow)?;
        offers.retain(|offer| {
            flow.is_none_or(|flow| offer.name.flow() == flow) && digest.is_of(&offer.file)
        });
        if !offers.is_empty() {
            let fetched = self.each_of(offers, |offer| self.fetch_one(offer, progress))?;
            return Ok(Exactly::Offered(fetched));
        }
        let flows = flow.map_or_else(|| self.cache.flows(), |flow| Ok(vec![flow.clone()]))?;
        for flow in flows {
            if let Some(intact) = intact::find(&self.cache, &flow, digest)? {
                return Ok(Exactly::Installed(flow, intact));
            }
        }
        Err(Error::NotVouched { digest: *digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A digest says what it is of, or may be of either; what it is not of, it does not name.
    #[test]
    fn a_digest_names_a_tree_or_a_zip() {
        let tree = Digest::of(b"x");
        let parse = |text: String| text.parse::<BundleDigest>();
        for (text, names) in [
            (format!("blake3:{tree}"), true),
            (tree.to_string(), true),
            (format!("sha256:{tree}"), false),
        ] {
            let digest = parse(text.clone()).unwrap();
            assert_eq!((digest.is_tree(&tree), digest.to_string()), (names, text));
        }
        let short = &tree.to_string()[1..];
        for bad in ["", "blake3:", "md5:00", short, &format!("{tree}:"), &format!("blake3:{short}")]
        {
            assert_eq!(parse(bad.to_owned()), Err(InvalidBundleDigest), "{bad}");
        }
        assert!(parse(tree.to_string().to_uppercase()).is_err(), "one spelling");
    }
}
