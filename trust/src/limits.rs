//! Bounds that both sides hold: the server refuses to publish past them, the agent to accept.

use crate::{Error, Role, TargetFile};

pub use colophon_model::{
    MAX_BUNDLE_FILES as MAX_FILES, MAX_BUNDLE_UNPACKED as MAX_UNPACKED, MAX_BUNDLE_ZIP as MAX_ZIP,
};

/// Largest root metadata, in bytes.
pub const MAX_ROOT: u64 = 512 * 1024;
/// Largest timestamp metadata, in bytes. It is the one file whose size nothing signed announces.
pub const MAX_TIMESTAMP: u64 = 16 * 1024;
/// Largest snapshot or targets metadata, in bytes; about 6,000 flows.
pub const MAX_METADATA: u64 = 4 * 1024 * 1024;
/// Most delegated roles that one search for a target reads.
pub const MAX_DELEGATIONS: usize = 32;
/// Largest encrypted environment of a flow, in bytes of ciphertext.
pub const MAX_ENVIRONMENT: u64 = 64 * 1024;
/// Most root versions that one run of the client follows.
pub const MAX_ROOT_UPDATES: u32 = 256;

impl Role {
    /// The most bytes that a file of this role may have, whatever was signed about it.
    pub(crate) const fn max_bytes(self) -> u64 {
        match self {
            Self::Root => MAX_ROOT,
            Self::Timestamp => MAX_TIMESTAMP,
            Self::Snapshot | Self::Targets => MAX_METADATA,
        }
    }
}

impl TargetFile {
    /// Checks the three bundle limits.
    ///
    /// # Errors
    /// [`Error::BundleTooLarge`] names the first limit that is passed.
    pub fn check_limits(&self) -> Result<(), Error> {
        let sizes = [
            ("zip bytes", self.length, MAX_ZIP),
            ("unpacked bytes", self.custom.unpacked, MAX_UNPACKED),
            ("files", self.custom.files, MAX_FILES),
        ];
        match sizes.into_iter().find(|(_, value, limit)| value > limit) {
            None => Ok(()),
            Some((what, value, limit)) => Err(Error::BundleTooLarge { what, value, limit }),
        }
    }
}
