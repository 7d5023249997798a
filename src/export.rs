//! Export for auditors: what a tenant built, as files in an object store that are checked with stock tools and
//! without this program (docs/export-format.md).
//!
//! Each export adds one bag (BagIt, RFC 8493) with what came since the one before, names that one by its hash, and
//! is signed. Nothing that lies there is ever written over but `HEAD.json`, which is moved by compare-and-swap.
//! What is pure stands apart from what speaks to a store: [`increment`] says what goes into a bag, [`bag`] makes
//! its files, [`layout`] names them; `run.rs` carries them there.

mod acts;
pub mod bag;
mod blobs;
mod copies;
mod cursor;
mod delivery;
mod edge;
pub mod envelope;
mod erasure;
mod error;
mod git;
mod guide;
mod head;
pub mod increment;
mod keyring;
mod keys;
pub mod layout;
mod ledger;
mod object;
mod pace;
mod probe;
mod recipient;
mod restore;
mod run;
mod upload;
mod verify;
mod wrapped;

use crate::place;
pub use crate::place::{InvalidPlace, Lock, LockMode, Options, Place, PlaceUrl};
pub use cursor::Cursor;
pub use erasure::{Erased, ErasureRecord, KeyFate, Registrar, Shredder};
pub use error::{ExportError, Trouble};
pub use head::Head;
pub use keyring::{IdentityFile, Rotation, identity_file, rotate};
pub use probe::{Probe, reach};
pub use recipient::{InvalidRecipient, Recipient};
pub use restore::{
    Compared, ExportKeys, Imported, Missing, RestoreError, RestoreOptions, Surveyed, check_free,
    import, is_past, survey,
};
pub use run::{Asked, Exported, Increment, export};
pub use verify::{ErasedExport, Finding, Verified, VerifyOptions, verify_all};
pub use wrapped::{recipient_problem, try_recipient};
