//! Other implementations of Git, as programs that take the commands of `tests/clients/README.md`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::programs::{git, git_in};
use super::{ORDER_INTAKE, TestServer, TestTenant, small_flow};

const BRANCH: &str = "refs/heads/tenant/acme-inc";

/// A Git client.
pub(crate) struct Client {
    /// The program and its first arguments.
    pub(crate) command: Vec<OsString>,
    /// What its environment holds besides what it needs to run.
    pub(crate) env: Vec<(&'static str, OsString)>,
    /// Whether it takes a header from Git's settings. Otherwise it takes a token from its environment,
    /// by itself or by the helper that Git's settings name, once it is challenged.
    pub(crate) header: bool,
    /// Whether it can clone a part of the history.
    pub(crate) shallow: bool,
}

impl Client {
    pub(crate) fn new(command: &[&Path]) -> Self {
        Self {
            command: command.iter().map(|part| part.as_os_str().to_owned()).collect(),
            env: Vec::new(),
            header: false,
            shallow: true,
        }
    }
}

/// A file of `tests/clients`.
pub(crate) fn client_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// A client, and a server for it.
struct Session<'a> {
    client: &'a Client,
    server: TestServer,
    tenant: TestTenant,
    builds: u64,
    tip: String,
}

/// Lets the client clone, fetch after more builds, go shallow and deeper if it can, and check out a tag.
pub(crate) fn exercise(client: &Client) {
    let mut session = Session::start(client);
    session.refuses_a_wrong_token();
    session.lists();
    session.clones_and_fetches();
    if client.shallow {
        session.goes_shallow_and_deeper();
    }
    session.checks_a_tag_out();
}

impl<'a> Session<'a> {
    fn start(client: &'a Client) -> Self {
        let server = TestServer::start();
        let tenant = server.tenant("acme-inc");
        std::fs::create_dir(server.path("home")).unwrap();
        let mut session = Self { client, server, tenant, builds: 0, tip: String::new() };
        session.build_one(ORDER_INTAKE);
        session.build(3);
        session
    }

    fn build(&mut self, count: u64) {
        for _ in 0..count {
            self.builds += 1;
            let text = format!("build {}", self.builds);
            self.build_one(&small_flow("greet", Some(self.builds), &text));
        }
    }

    fn build_one(&mut self, flow: &[u8]) {
        let built = self.server.build(&self.tenant, flow);
        assert_eq!(built.status, 201, "{:#}", built.json());
        built.json()["commit"].as_str().unwrap().clone_into(&mut self.tip);
    }

    fn url(&self) -> String {
        self.server.git_url(&self.tenant)
    }

    fn path(&self, name: &str) -> String {
        self.server.path(name).display().to_string()
    }

    /// Runs a command in a new folder, with a token.
    fn output(&self, token: &str, args: &[&str]) -> Output {
        let folder = tempfile::tempdir_in(self.server.dir.path()).unwrap();
        let mut command = Command::new(&self.client.command[0]);
        command
            .args(&self.client.command[1..])
            .args(args)
            .envs(self.client.env.iter().map(|(name, value)| (name, value)))
            .env("COLOPHON_TOKEN", token)
            .env("HOME", self.server.path("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .current_dir(folder.path());
        let helper = "!f() { test \"$1\" = get && echo username=x && \
                      echo \"password=$COLOPHON_TOKEN\"; }; f";
        let (key, value) = if self.client.header {
            ("http.extraHeader", format!("Authorization: Bearer {token}"))
        } else {
            ("credential.helper", helper.to_owned())
        };
        command.env("GIT_CONFIG_COUNT", "1");
        command.env("GIT_CONFIG_KEY_0", key).env("GIT_CONFIG_VALUE_0", value);
        command.output().unwrap()
    }

    fn run(&self, args: &[&str]) -> String {
        let output = self.output(&self.tenant.git, args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses_a_wrong_token(&self) {
        for token in ["clp_git_wrong", &self.tenant.edge] {
            let output = self.output(token, &["clone", &self.url(), &self.path("none")]);
            assert!(!output.status.success(), "a wrong token must not do");
        }
    }

    fn lists(&self) {
        assert_eq!(self.run(&["ls", &self.url()]), format!("{} {BRANCH}\n", self.tip));
    }

    fn clones_and_fetches(&mut self) {
        let folder = self.path("whole");
        self.run(&["clone", &self.url(), &folder]);
        self.check(&folder, "HEAD", "HEAD");
        self.is_checked_out(&folder);
        self.build(3);
        self.run(&["fetch", &folder]);
        self.check(&folder, "refs/remotes/origin/tenant/acme-inc", "HEAD");
        let count = |dir: &str| git_in(Path::new(dir), &["tag", "-l"]).lines().count();
        assert_eq!(count(&folder), count(&self.mirror()));
        // And without anything new.
        self.run(&["fetch", &folder]);
    }

    fn goes_shallow_and_deeper(&mut self) {
        let folder = self.path("shallow");
        let commits = |rev: &str| {
            let listed = git_in(Path::new(&folder), &["rev-list", "--count", rev]);
            listed.trim().parse::<u32>().unwrap()
        };
        self.run(&["shallow", &self.url(), &folder, "2"]);
        assert_eq!(commits("HEAD"), 2);
        self.check(&folder, "HEAD", "HEAD");
        self.is_checked_out(&folder);
        self.build(1);
        self.run(&["deepen", &folder, "4"]);
        let branch = "refs/remotes/origin/tenant/acme-inc";
        assert_eq!(commits(branch), 4);
        self.check(&folder, branch, "HEAD");
    }

    fn checks_a_tag_out(&self) {
        let folder = self.path("tag");
        let tags = git_in(Path::new(&self.mirror()), &["tag", "-l"]);
        let second = tags.lines().nth(1).unwrap();
        self.run(&["tag", &self.url(), &folder, second]);
        self.check(&folder, "HEAD", &format!("refs/tags/{second}^{{commit}}"));
        self.is_checked_out(&folder);
    }

    /// The repository is sound, and `rev` in it is what `expected` is on the server.
    fn check(&self, folder: &str, rev: &str, expected: &str) {
        let path = Path::new(folder);
        let fsck = git_in(path, &["fsck", "--strict", "--full", "--no-dangling", "--no-progress"]);
        assert_eq!(fsck, "");
        let expected = git_in(Path::new(&self.mirror()), &["rev-parse", expected]);
        assert_eq!(git_in(path, &["rev-parse", rev]), expected);
        if rev != "HEAD" {
            assert_eq!(expected.trim(), self.tip);
        }
    }

    /// The files are those of `HEAD`, whatever the client's index says.
    fn is_checked_out(&self, folder: &str) {
        let index = self.path("fresh-index");
        let tree = ["add -A", "write-tree"].map(|command| {
            let output = Command::new("git")
                .args(["-C", folder])
                .args(command.split(' '))
                .env("GIT_INDEX_FILE", &index)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        });
        std::fs::remove_file(&index).unwrap();
        assert_eq!(tree[1], git_in(Path::new(folder), &["rev-parse", "HEAD^{tree}"]));
    }

    /// What the server has, fetched by Git itself.
    fn mirror(&self) -> String {
        let folder = self.path("mirror.git");
        let header = format!("http.extraHeader=Authorization: Bearer {}", self.tenant.git);
        if Path::new(&folder).exists() {
            git(&["-C", &folder, "-c", &header, "remote", "update", "--prune"]);
        } else {
            git(&["-c", &header, "clone", "-q", "--mirror", &self.url(), &folder]);
        }
        folder
    }
}
