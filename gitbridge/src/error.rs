//! Everything that can go wrong, by what the caller can do about it.

use colophon_model::{ArtifactPath, Oid, Ordinal};

use crate::pkt::error_packet;

/// Why a read of the store failed, in the store's own words.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Why nothing was appended, or why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks the protocol. Tell the client.
    #[error("upload-pack: {0}")]
    Protocol(String),
    /// The request asks for something that was not advertised. Tell the client.
    #[error("upload-pack: {0} is not supported by this server")]
    Unsupported(&'static str),
    /// The request is over one of the limits. Tell the client.
    #[error("upload-pack: the request has more than {most} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is accepted.
        most: usize,
    },
    /// A wanted object is not in this tenant's repository, wherever else it may be. The wording is
    /// that of Git. Tell the client.
    #[error("upload-pack: not our ref {0}")]
    NotOurRef(Oid),
    /// The parent is not the last commit of the log. Prepare the commit again on the new tip.
    #[error("the parent commit is not the tip of the object log")]
    NotTip,
    /// A change does not fit the parent's tree. Mend the list of changes.
    #[error("`{path}` cannot be changed: {problem}")]
    Path {
        /// The path of the change.
        path: ArtifactPath,
        /// What stands against it.
        problem: &'static str,
    },
    /// A name, subject or trailer holds what Git's object headers cannot. Mend the text.
    #[error("{what} `{text}` is not usable in a Git object")]
    Text {
        /// What the text was meant to be.
        what: &'static str,
        /// The text, cut to 80 characters and free of control characters.
        text: String,
    },
    /// The bytes of an object were made to collide under SHA-1. Refuse the build.
    #[error("an object is one half of a SHA-1 collision")]
    Collision,
    /// The log holds 2³² objects. Nothing more fits.
    #[error("the object log is full")]
    Full,
    /// The encoder refused an object.
    #[error("an object cannot be encoded")]
    Encoding(#[source] std::io::Error),
    /// The log contradicts itself. Heal or rebuild it.
    #[error("entry {at} of the object log is damaged: {problem}")]
    Damaged {
        /// Where the damage shows.
        at: u32,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A ref or a tree names an object that the log does not hold. Heal or rebuild it.
    #[error("object `{0}` is missing from the log")]
    Missing(Oid),
    /// The store did not answer. Try again.
    #[error("the object log cannot be read")]
    Read(#[source] ReadError),
}

impl Error {
    /// Whether the client sent something wrong, as opposed to the server being unable to answer.
    pub const fn is_clients(&self) -> bool {
        matches!(
            self,
            Self::Protocol(_) | Self::Unsupported(_) | Self::Limit { .. } | Self::NotOurRef(_)
        )
    }

    /// The `ERR` packet that tells a Git client what happened, without the server's inner workings.
    /// Git prints it as `remote error: …`.
    pub fn to_packet(&self) -> Vec<u8> {
        if self.is_clients() {
            error_packet(&self.to_string())
        } else {
            error_packet("upload-pack: the server could not read the repository")
        }
    }

    pub(crate) const fn damaged(at: Ordinal, problem: &'static str) -> Self {
        Self::Damaged { at: at.get(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store's error can hold file names; a client must not learn them.
    #[test]
    fn inner_errors_stay_inside() {
        let error = Error::Read("/var/lib/secret".into());
        assert!(!error.is_clients());
        assert!(!String::from_utf8(error.to_packet()).unwrap().contains("secret"));
    }
}
