//! Bounds that both sides hold: the server refuses to publish past them, the agent to accept.

use crate::{Error, Role, TargetFile};

/// Largest zip of a bundle, in bytes: 10 MB.
pub const MAX_ZIP: u64 = 10_000_000;
/// Largest sum of a bundle's unpacked files, in bytes: 64 MB.
pub const MAX_UNPACKED: u64 = 64_000_000;
/// Most files in a bundle.
pub const MAX_FILES: u64 = 8_192;

/// Largest root metadata, in bytes.
pub const MAX_ROOT: u64 = 512 * 1024;
/// Largest timestamp metadata, in bytes. It is the one file whose size nothing signed announces.
pub const MAX_TIMESTAMP: u64 = 16 * 1024;
/// Largest snapshot or targets metadata, in bytes; about 6,000 flows.
pub const MAX_METADATA: u64 = 4 * 1024 * 1024;
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
