//! Locks, channels and threads: those of the standard library, or those of `shuttle`, which runs
//! them in every order it can think of (`make test-interleavings`).

#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, atomic, mpsc},
    thread,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, RwLock, atomic, mpsc},
    thread,
};
#[cfg(shuttle)]
pub(crate) use std::sync::PoisonError;

// Counted by the standard library either way: what waits for the last holder asks for its count.
pub(crate) use std::sync::{Arc, OnceLock, Weak};
