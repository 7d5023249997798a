//! Data on stdout, as text or JSON lines.

use std::io::{ErrorKind, Write as _};

use serde::Serialize;

/// Nobody reads the output any more, as in `colophon render F | head`: no failure to speak of.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output")]
pub struct ReaderGone;

/// Where a command's data goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    json: bool,
}

impl Out {
    /// Text for people, or JSON lines.
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read it.
    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints `value` as one line of JSON, or as `text` gives it.
    pub(super) fn data<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let line = if self.json { serde_json::to_string(value)? } else { text(value) };
        print(&line)
    }

    /// Prints one line for people; nothing when JSON was asked for.
    pub(super) fn say(self, line: &str) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { print(line) }
    }
}

fn print(line: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => Ok(written?),
    }
}
