//! A stream of events, read as a browser reads one (WHATWG HTML §9.2.6), over connections that may break.

use std::io::BufRead;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::cli::admin::{Client, Refused};

/// How soon to come again when the server does not say.
const RETRY: Duration = Duration::from_secs(2);
/// Longest time that a server is believed to want.
const LONGEST: Duration = Duration::from_mins(1);

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Event {
    /// Its id, or that of the last one that had any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    /// Its type.
    #[serde(rename = "event")]
    pub(super) kind: String,
    /// What it tells.
    pub(super) data: Value,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Stop,
}

/// What is read of a stream so far.
#[derive(Debug)]
struct Reader {
    /// Id of the last event that was told.
    last: String,
    /// Id of the one that is being read.
    id: String,
    retry: Duration,
    event: String,
    data: Option<String>,
}

impl Default for Reader {
    fn default() -> Self {
        let (last, id, event) = (String::new(), String::new(), String::new());
        Self { last, id, retry: RETRY, event, data: None }
    }
}

impl Reader {
    /// Takes a line, and gives the event that ends with it.
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            self.last.clone_from(&self.id);
            let (kind, data) = (std::mem::take(&mut self.event), self.data.take()?);
            let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
            return Some(Event { id: self.last.clone(), kind, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" => {
                if let Ok(millis) = value.parse() {
                    self.retry = Duration::from_millis(millis).min(LONGEST);
                }
            }
            _ => {} // a comment, or what is not known yet
        }
        None
    }

    /// Reads to the end of one connection.
    fn read(
        &mut self,
        stream: impl BufRead,
        told: &mut impl FnMut(Event) -> anyhow::Result<Next>,
    ) -> anyhow::Result<Next> {
        // What was cut in the middle was no event.
        (self.event, self.data) = (String::new(), None);
        self.id.clone_from(&self.last);
        for line in stream.lines() {
            let Ok(line) = line else { return Ok(Next::Go) };
            if let Some(event) = self.line(&line)
                && told(event)? == Next::Stop
            {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Go)
    }
}

/// Tells each event of the stream at `path` once, until `told` has enough or nothing is to come. `trouble` is told why a
/// connection could not be made again; the first one must be.
pub(super) fn follow(
    client: &Client,
    path: &str,
    mut told: impl FnMut(Event) -> anyhow::Result<Next>,
    trouble: impl Fn(&anyhow::Error),
) -> anyhow::Result<()> {
    let mut reader = Reader::default();
    let mut began = false;
    loop {
        let last = Some(reader.last.clone()).filter(|last| !last.is_empty());
        match client.events(path, last.as_deref()) {
            Ok(Some(stream)) => {
                began = true;
                if reader.read(stream, &mut told)? == Next::Stop {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(Refused { error, passes }) if began && passes => trouble(&error),
            Err(Refused { error, .. }) => return Err(error),
        }
        std::thread::sleep(reader.retry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Event>, String, Duration) {
        let mut reader = Reader::default();
        let mut events = Vec::new();
        let mut told = |event| {
            events.push(event);
            Ok(Next::Go)
        };
        reader.read(text.as_bytes(), &mut told).unwrap();
        (events, reader.last, reader.retry)
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = "retry: 100\n\n: ping\n\nid: 3\nevent: gated\ndata: {\"a\":\ndata: 1}\n\nevent:running\ndata:[]\n\n\
                    id: 4\nevent: cut\ndata: {\"b\"";
        let (events, last, retry) = read(text);
        let seen: Vec<_> = events.iter().map(|e| (e.id.as_str(), e.kind.as_str())).collect();
        assert_eq!(seen, [("3", "gated"), ("3", "running")], "and what was cut is none");
        assert_eq!(events[0].data, serde_json::json!({"a": 1}));
        assert_eq!((last.as_str(), retry), ("3", Duration::from_millis(100)));
    }
}
