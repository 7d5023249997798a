//! Bounds of an edge bundle: the compiler makes none beyond them, the server publishes none, and
//! agents accept none.

/// Largest zip of a bundle, in bytes: 10 MB.
pub const MAX_BUNDLE_ZIP: u64 = 10_000_000;
/// Largest sum of a bundle's unpacked files, in bytes: 64 MB.
pub const MAX_BUNDLE_UNPACKED: u64 = 64_000_000;
/// Most files in a bundle.
pub const MAX_BUNDLE_FILES: u64 = 8_192;
