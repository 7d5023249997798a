//! Secrets in files that SOPS has encrypted. The program `sops` decrypts: it knows age, PGP and the key
//! services of clouds, and finds its keys by its own variables, such as `SOPS_AGE_KEY_FILE`.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::SecretError;
use super::secret::LONGEST;
use crate::config::SopsConfig;

/// How long the program may take: key services are elsewhere.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads one key of a file. What the program says on its standard error is not read: it may repeat
/// what it decrypted.
pub(super) fn read(
    config: &SopsConfig,
    file: &Path,
    key: &str,
) -> Result<Zeroizing<String>, SecretError> {
    let path = format!("[\"{}\"]", key.replace('.', "\"][\""));
    let said = |what: &str| {
        SecretError(format!(
            "`{}`, asked for `{key}` of `{}`, {what}",
            config.program.display(),
            file.display()
        ))
    };
    let mut child = Command::new(&config.program)
        .args(["decrypt", "--extract", &path])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| said(&format!("cannot be started: {}", e.kind())))?;
    let text = child.stdout.take().and_then(collect);
    let ended = match text {
        Some(_) => child.wait().ok(),
        None => end(&mut child),
    };
    match (text, ended) {
        (None, _) => Err(said("did not end in time, or wrote no text")),
        (Some(text), Some(status)) if status.success() => Ok(text),
        (Some(_), Some(status)) => Err(said(&format!("failed ({status})"))),
        (Some(_), None) => Err(said("was lost")),
    }
}

/// What the program writes, until it is too much or takes too long.
fn collect(stdout: ChildStdout) -> Option<Zeroizing<String>> {
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Zeroizing::new(String::new());
        let read = stdout.take(LONGEST + 1).read_to_string(&mut text);
        let _ = sender.send(read.ok().map(|_| text)); // or nobody waits any more
    });
    received.recv_timeout(PATIENCE).ok().flatten()
}

fn end(child: &mut Child) -> Option<std::process::ExitStatus> {
    let _ = child.kill(); // it may have ended just now
    child.wait().ok()
}
