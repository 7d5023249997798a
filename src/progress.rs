//! How far builds are: what is told of a delivery while it is worked on, and of a build after it was made.
//!
//! What happens is kept in memory while it happens, and for a while after. Nothing rests on that memory: the
//! same stages follow from the build's record and the delivery's row, so a stream that begins after a restart
//! tells what one before it told.

mod hub;
mod stage;
mod stored;
mod streams;
mod watch;

pub use hub::{Listener, Progress, Running, Stops, Told, Track};
pub use stage::{GateTold, Stage};
pub use stored::{of_delivery, of_record};
pub use streams::{Full, Stream, Streams};
pub use watch::Watch;
