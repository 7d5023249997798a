//! `colophon`: parse the command line, run the command, say what went wrong.

use std::process::ExitCode;

use clap::Parser as _;
use colophon::cli::{self, Cli, ReaderGone};

/// The C library's allocator takes more of a build's time: what one thread takes another gives back.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", colophon::http::chain(error.as_ref()));
            if let Some(hint) = cli::hint(&error) {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(cli::exit_code(&error))
        }
    }
}
