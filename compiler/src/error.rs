//! What can go wrong that is not the flow's fault.

/// Why a compiler cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A template that was built into the program is malformed. Rebuild the program.
    #[error("a built-in template does not parse")]
    Template(#[from] tera::Error),
}
