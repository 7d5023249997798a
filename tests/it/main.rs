//! The service from outside: HTTP, stock git, the real edge-fetch binary, python-tuf.

#![allow(missing_docs, reason = "tests document themselves where it matters")]

mod bad_input;
mod crash;
mod demo;
mod isolation;
mod layering;
mod press_runs;
mod python_tuf;
mod quota;
mod support;
