//! `colophon checkout`: a tenant's branch in a folder, whole at every moment, for what runs flows.
//!
//! The server is another machine. It is asked over HTTP with a token that may read the repository and
//! nothing else; every object is named by the id that its bytes have, from the commit down
//! ([`colophon_gitbridge::Taken`]), and every path is checked before it is written.
//!
//! ```text
//! DIR/current                 -> generations/<version>, replaced by one rename
//! DIR/generations/<version>/  one commit's files; never changed after they were put there
//! DIR/.colophon/              what only this program reads
//!     checkout.json           whose folder this is
//!     lock                    held by whoever works here
//!     objects/                blobs by id; files of generations are links to them
//!     versions/<version>.json what a generation holds
//!     incoming/               what is being made; goes at the next start
//!     state.json              what is told by `--status`
//! ```
//!
//! A reader that enters `DIR/current` once (opens it, makes it its working directory, resolves it) stays
//! in one version. A crash at any step leaves the version before or the new one.

mod backoff;
mod blobs;
mod disk;
mod event;
mod fault;
#[cfg(test)]
mod faults;
mod folder;
mod hook;
mod moment;
mod network;
mod remote;
mod round;
mod server;
mod shelf;
mod state;
mod status;
mod version;
mod watch;

pub use event::Event;
pub use fault::{Exit, Fault};
pub use folder::{Folder, Held, Owner};
pub use hook::{Hook, HookSignal};
pub use network::Network;
pub use remote::{Remote, Source, Tip};
pub use round::{Checkout, Keep, Outcome, Pin};
pub use server::{InvalidServer, ServerUrl};
pub use state::State;
pub use status::{Status, status};
pub use version::{Version, VersionName};
pub use watch::{Pace, Watch};
