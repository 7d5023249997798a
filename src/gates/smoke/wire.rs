//! Frames between the server and the worker: four bytes of length, big-endian, then JSON.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest frame that the worker may send, in bytes.
const MOST: u32 = 1 << 20;

/// The first frame: how children are confined.
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
    /// Most processes and threads of its user, when it has one of its own.
    pub(super) processes: Option<u64>,
}

/// A build to test.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    /// Names the answer.
    pub(super) id: u64,
    /// The build's folder.
    pub(super) folder: &'a std::path::Path,
    /// The smoke test's path in it.
    pub(super) test: &'a str,
    /// Longest time, in milliseconds.
    pub(super) limit_ms: u64,
    /// Memory beyond the worker's, in bytes.
    pub(super) memory: u64,
}

/// What came of it. Number 0 answers the setup.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    /// Of which request.
    pub(super) id: u64,
    /// Whether the test passed.
    pub(super) ok: bool,
    /// Why not.
    #[serde(default)]
    pub(super) words: String,
}

/// Writes a frame.
pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&body);
    to.write_all(&frame)?;
    to.flush()
}

/// Reads a frame.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head);
    if length > MOST {
        return Err(io::Error::other("the frame is too long"));
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_back_and_a_bad_one_is_an_error() {
        let mut bytes = Vec::new();
        write(&mut bytes, &serde_json::json!({"id": 7, "ok": false, "words": "no"})).unwrap();
        let answer: Answer = read(&mut &bytes[..]).unwrap();
        assert_eq!((answer.id, answer.ok, answer.words.as_str()), (7, false, "no"));
        for bad in [&bytes[..3], &bytes[..9], b"\xff\xff\xff\xff{}", b"\0\0\0\x02[]"] {
            assert!(read::<Answer>(&mut &bad[..]).is_err(), "{bad:?}");
        }
    }
}
