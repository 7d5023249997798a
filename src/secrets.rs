//! Where the server's own secrets are found: what is stored and configured is a reference, never the
//! secret. It is read anew when it is needed, so whoever rotates one only has to replace it there.

mod found;
mod master;
mod reference;
mod secret;
mod sops;
mod transit;
mod vault;

pub use found::{SecretError, Secrets};
pub use master::{check_key, master_key};
pub use reference::{InvalidRef, SecretRef};
pub use secret::Secret;
pub use transit::{InvalidTransitKey, TransitError, TransitKey, Wrapped};
