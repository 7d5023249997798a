//! Frames between the server and the worker.
//!
//! The worker never reads what a build says nor what is said of one: what it has read would be in the memory of every
//! child that it forks afterwards, and those are builds of other tenants. So numbers that it needs stand before what it
//! only passes on, as integers, big-endian.

use std::io::{self, Read, Write};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// Longest frame that the worker may send, in bytes.
const MOST: u32 = 1 << 20;
/// Most characters of what a test says.
const MOST_WORDS: usize = 8192;

/// The first frame: how children are confined. Four bytes of length, then JSON.
#[derive(Debug, Serialize)]
pub(super) struct Setup {
    /// Whether they are.
    pub(super) confined: bool,
    /// Whether by landlock too.
    pub(super) landlock: bool,
    /// The filter of system calls, eight bytes an instruction, in hex. Empty: none.
    pub(super) filter: String,
    /// What they may read beside the build's folder.
    pub(super) read: Vec<std::path::PathBuf>,
    /// Whether the worker imports lfx.
    pub(super) lfx: bool,
    /// Most threads of a test that is counted by itself.
    pub(super) threads: u64,
    /// Most processes and threads of the worker's user, when it has one of its own, for tests that are not.
    pub(super) processes: Option<u64>,
}

/// A build to test. Length, id and limit stand before it.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    /// The build's folder.
    pub(super) folder: &'a std::path::Path,
    /// The smoke test's path in it.
    pub(super) test: &'a str,
    /// Longest time, in milliseconds.
    pub(super) limit_ms: u64,
    /// Memory beyond the worker's, in bytes.
    pub(super) memory: u64,
}

/// What came of it: length, id, wait status, whether it was stopped for its time, and what the child said. Number 0
/// answers the setup.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of which request.
    pub(super) id: u64,
    status: i32,
    late: bool,
    said: Vec<u8>,
}

/// What a child says, if it is what it should be.
#[derive(Debug, Deserialize)]
struct Said {
    ok: bool,
    #[serde(default)]
    words: String,
}

impl Answer {
    /// Whether the test passed; an error says why not. `limit` is what it had, in milliseconds.
    pub(super) fn verdict(self, limit: u64) -> Result<(), String> {
        match serde_json::from_slice::<Said>(&self.said) {
            Ok(said) if said.ok && self.status == 0 => Ok(()),
            Ok(said) if !said.ok => Err(said.words.chars().take(MOST_WORDS).collect()),
            _ => Err(self.ended(limit)),
        }
    }

    /// Why a child ended without an answer (wait(2)).
    fn ended(&self, limit: u64) -> String {
        let (signal, exit) = (self.status & 0x7f, (self.status >> 8) & 0xff);
        if self.late {
            let seconds = Duration::from_millis(limit).as_secs_f64();
            return format!("it ran longer than {seconds} s and was stopped");
        }
        if signal != 0 {
            let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
            return format!(
                "it was ended by {name}: it crashed, or ran against a limit of time or memory"
            );
        }
        format!("it ended by itself with exit status {exit} before its test was done")
    }
}

/// Writes the setup.
pub(super) fn set_up(to: &mut impl Write, setup: &Setup) -> io::Result<()> {
    send(to, &[], &serde_json::to_vec(setup)?)
}

/// Writes a request.
pub(super) fn ask(to: &mut impl Write, id: u64, request: &Request<'_>) -> io::Result<()> {
    let numbers = [id, request.limit_ms].map(u64::to_be_bytes).concat();
    send(to, &numbers, &serde_json::to_vec(request)?)
}

fn send(to: &mut impl Write, numbers: &[u8], body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(numbers.len() + body.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_be_bytes(), numbers, body].concat())?;
    to.flush()
}

/// Reads an answer.
pub(super) fn read(from: &mut impl Read) -> io::Result<Answer> {
    let length = u32::from_be_bytes(array(from)?);
    if length > MOST {
        return Err(io::Error::other("the frame is too long"));
    }
    let (id, status) = (u64::from_be_bytes(array(from)?), i32::from_be_bytes(array(from)?));
    let [late] = array(from)?;
    let numbers = 8 + 4 + 1;
    let short = || io::Error::other("the frame is too short");
    let mut said = vec![0; (length as usize).checked_sub(numbers).ok_or_else(short)?];
    from.read_exact(&mut said)?;
    Ok(Answer { id, status, late: late != 0, said })
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: i32, late: bool, said: &str) -> Answer {
        let numbers = [&7_u64.to_be_bytes()[..], &status.to_be_bytes(), &[u8::from(late)]].concat();
        let mut bytes = Vec::new();
        send(&mut bytes, &numbers, said.as_bytes()).unwrap();
        read(&mut &bytes[..]).unwrap()
    }

    #[test]
    fn a_frame_is_read_and_a_bad_one_is_an_error() {
        assert_eq!(answer(0, false, "{}").id, 7);
        for bad in [&b"\0\0"[..], b"\0\0\0\x0d12345678", b"\xff\xff\xff\xff{}", &[0; 32]] {
            assert!(read(&mut &bad[..]).is_err(), "{bad:?}");
        }
    }

    /// A build passes only when it says so and ends well; else why it did not is said, in words that are bounded.
    #[test]
    fn only_who_says_so_and_ends_well_has_passed() {
        assert_eq!(answer(0, false, "{\"ok\":true}").verdict(1000), Ok(()));
        for (status, late, said, why) in [
            (0, false, "{\"ok\":false,\"words\":\"no\"}", "no"),
            (256, false, "{\"ok\":true}", "it ended by itself with exit status 1 "),
            (0, false, "", "exit status 0 before"),
            (0, false, "[1]", "exit status 0 before"),
            (9, false, "{\"ok\":true}", "ended by SIGKILL"),
            (9, true, "", "longer than 1.5 s and was stopped"),
        ] {
            let verdict = answer(status, late, said).verdict(1500).unwrap_err();
            assert!(verdict.contains(why), "{said}: {verdict}");
        }
        let long = format!("{{\"ok\":false,\"words\":\"{}\"}}", "ä".repeat(10_000));
        assert_eq!(answer(0, false, &long).verdict(1).unwrap_err().chars().count(), MOST_WORDS);
    }
}
