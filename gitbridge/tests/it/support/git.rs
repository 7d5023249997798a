//! Stock Git, shut off from the machine's own settings.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A home for Git, and a folder to work in.
pub(crate) struct Git {
    home: TempDir,
    config: Vec<String>,
}

impl Git {
    /// Git that speaks version `protocol`.
    pub(crate) fn new(protocol: u8) -> Self {
        let config = vec![format!("protocol.version={protocol}")];
        Self { home: TempDir::new().unwrap(), config }
    }

    pub(crate) fn set(&mut self, setting: &str) {
        self.config.push(setting.to_owned());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        for setting in &self.config {
            command.arg("-c").arg(setting);
        }
        command
            .args(args)
            .current_dir(dir)
            .env("HOME", self.home.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "t")
            .env("GIT_AUTHOR_EMAIL", "t@example.com")
            .env("GIT_COMMITTER_NAME", "t")
            .env("GIT_COMMITTER_EMAIL", "t@example.com")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn output(&self, dir: &str, args: &[&str], stdin: &[u8]) -> Output {
        feed(self.command(&self.path(dir), args), stdin)
    }

    /// Runs a command that must succeed, in the folder `dir` of the home; gives its output.
    pub(crate) fn run(&self, dir: &str, args: &[&str]) -> String {
        self.feed(dir, args, b"")
    }

    /// The same with input.
    pub(crate) fn feed(&self, dir: &str, args: &[&str], stdin: &[u8]) -> String {
        let output = self.output(dir, args, stdin);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// What `git upload-pack` itself answers to `body` in the bare repository `dir`. It ends as if cut
    /// off where it expects more, so its exit code means nothing.
    pub(crate) fn upload_pack(&self, dir: &str, protocol: u8, body: &[u8]) -> Vec<u8> {
        let path = self.path(dir);
        let args = ["upload-pack", "--stateless-rpc", "."];
        let mut command = self.command(&path, &args);
        command.env("GIT_PROTOCOL", format!("version={protocol}"));
        feed(command, body).stdout
    }

    /// The ids of the objects in a pack that needs no other, checked by `git index-pack`.
    pub(crate) fn objects(&self, dir: &str, pack: &[u8]) -> BTreeSet<String> {
        std::fs::write(self.path(dir).join("answer.pack"), pack).unwrap();
        self.run(dir, &["index-pack", "-o", "answer.idx", "answer.pack"]);
        let index = std::fs::read(self.path(dir).join("answer.idx")).unwrap();
        let listed = self.feed(dir, &["show-index"], &index);
        for file in ["answer.idx", "answer.rev", "answer.pack"] {
            let _ = std::fs::remove_file(self.path(dir).join(file));
        }
        let oid = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
        listed.lines().map(oid).collect()
    }

    /// What `git receive-pack` advertises for the bare repository `dir` over HTTP.
    pub(crate) fn receive_pack_refs(&self, dir: &str) -> Vec<u8> {
        let args = ["receive-pack", "--http-backend-info-refs", "."];
        let refs = feed(self.command(&self.path(dir), &args), b"").stdout;
        [b"001f# service=git-receive-pack\n0000".as_slice(), &refs].concat()
    }

    /// What `git receive-pack` answers to a push to the bare repository `dir`.
    pub(crate) fn receive_pack(&self, dir: &str, body: &[u8]) -> Vec<u8> {
        let args = ["receive-pack", "--stateless-rpc", "."];
        feed(self.command(&self.path(dir), &args), body).stdout
    }

    /// Runs a command that must fail; gives what it complains about.
    pub(crate) fn fails(&self, dir: &str, args: &[&str]) -> String {
        let output = self.output(dir, args, b"");
        assert!(!output.status.success(), "git {args:?} should fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn feed(mut command: Command, stdin: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // Git may stop reading before the end.
    let writer = std::thread::spawn(move || pipe.write_all(&stdin).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}
