//! A forge for mirrors: `git http-backend` behind nginx, and a proxy before it that counts requests
//! and makes them fail as a test asks.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::programs::{git, git_in, must_be_marked_unavailable};

/// The password of every repository.
pub(crate) const TOKEN: &str = "s3cret-upstream-token";

/// Repositories that are pushed to over HTTP with [`TOKEN`].
pub(crate) struct Upstream {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    servers: Vec<Group>,
}

/// A process and its children; stopped when dropped.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.0.wait();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.exists())
}

/// Waits until `ready`, which must not take long.
pub(crate) fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_mins(3), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody listens at. It is below those that Linux gives to outgoing connections (32768 and up), so that no
/// other test's connection takes it before a program listens there, and apart from those of `s3.rs`.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 2_500) as u16;
    loop {
        let turn = GIVEN.fetch_add(1, Ordering::Relaxed);
        // Some programs want the next one too.
        let port = 23_000 + first.wrapping_add(turn) % 2_500 * 2;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Upstream {
    /// `None`, said loudly, where nginx or fcgiwrap cannot be had.
    pub(crate) fn start() -> Option<Self> {
        Self::with("")
    }

    /// The same over TLS, with a certificate of its own.
    pub(crate) fn with_tls() -> Option<Self> {
        Self::with("ssl")
    }

    fn with(tls: &str) -> Option<Self> {
        let (Some(nginx), Some(fcgiwrap)) = (program("nginx"), program("fcgiwrap")) else {
            must_be_marked_unavailable("upstream");
            return None;
        };
        let mut upstream =
            Self { dir: tempfile::tempdir().unwrap(), port: free_port(), servers: Vec::new() };
        upstream.configure(tls);
        upstream.run(&nginx, &fcgiwrap);
        Some(upstream)
    }

    fn configure(&self, tls: &str) {
        let dir = self.dir.path().display();
        let backend = git(&["--exec-path"]).trim().to_owned() + "/git-http-backend";
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {dir}/tmp;"))
            .concat();
        let parameters: String = [
            ("SCRIPT_FILENAME", backend.as_str()),
            ("GIT_PROJECT_ROOT", &format!("{dir}/repos")),
            ("GIT_HTTP_EXPORT_ALL", "1"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("HOME", "/nonexistent"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("PATH_INFO", "$uri"),
            ("REMOTE_USER", "$remote_user"),
            ("QUERY_STRING", "$query_string"),
            ("REQUEST_METHOD", "$request_method"),
            ("CONTENT_TYPE", "$content_type"),
            ("CONTENT_LENGTH", "$content_length"),
        ]
        .map(|(name, value)| format!("fastcgi_param {name} \"{value}\";"))
        .concat();
        let certificate = if tls.is_empty() {
            String::new()
        } else {
            format!("ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;")
        };
        let is_root = fs::metadata(self.dir.path()).unwrap().uid() == 0;
        let root = if is_root { "user root;" } else { "" };
        let port = self.port;
        let config = format!(
            "{root} daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; client_max_body_size 0; {temporary}\n\
             server {{ listen 127.0.0.1:{port} {tls}; {certificate}\n\
             auth_basic git; auth_basic_user_file {dir}/passwd;\n\
             location / {{ fastcgi_pass unix:{dir}/cgi.sock; {parameters} }} }} }}\n"
        );
        fs::write(self.path("nginx.conf"), config).unwrap();
        fs::write(self.path("passwd"), format!("x-access-token:{{PLAIN}}{TOKEN}\n")).unwrap();
        fs::create_dir(self.path("repos")).unwrap();
        if !tls.is_empty() {
            self.make_certificate();
        }
    }

    fn make_certificate(&self) {
        let args = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -addext \
                    subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
        let made = Command::new("openssl")
            .args(args.split(' ').filter(|arg| !arg.is_empty()))
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(self.dir.path())
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl is needed for the tests");
    }

    fn run(&mut self, nginx: &Path, fcgiwrap: &Path) {
        let socket = self.path("cgi.sock");
        let mut cgi = Command::new(fcgiwrap);
        cgi.args(["-c", "4", "-s"]).arg(format!("unix:{}", socket.display()));
        self.servers.push(group(&mut cgi));
        until("fcgiwrap listens", || socket.exists());
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        let mut web = Command::new(nginx);
        web.arg("-e").arg(self.path("error.log")).arg("-c").arg(self.path("nginx.conf"));
        self.servers.push(group(&mut web));
        let port = self.port;
        until("nginx listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new empty repository; gives its path on the disk.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        let path = self.path("repos").join(name);
        git(&["init", "--quiet", "--bare", &path.display().to_string()]);
        git_in(&path, &["config", "http.receivepack", "true"]);
        path
    }

    /// Its URL without a proxy.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// A file with the right password.
    pub(crate) fn credential(&self) -> String {
        let path = self.path("token");
        fs::write(&path, format!("{TOKEN}\n")).unwrap();
        format!("file:{}", path.display())
    }
}

fn group(command: &mut Command) -> Group {
    Group(command.process_group(0).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Lets pushes to a repository fail with the words of a hook, or succeed again.
pub(crate) fn protect(repository: &Path, words: Option<&str>) {
    match words {
        Some(words) => {
            add_hook(repository, "pre-receive", &format!("echo '{words}' >&2\nexit 1"));
        }
        None => fs::remove_file(repository.join("hooks/pre-receive")).unwrap(),
    }
}

/// Gives a repository a hook.
pub(crate) fn add_hook(repository: &Path, name: &str, script: &str) {
    let hook = repository.join("hooks").join(name);
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a proxy does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Twist {
    /// Passes it on, as without a twist.
    Pass,
    /// Answers in the upstream's place: status line and headers.
    Answer(&'static str),
    /// Answers in the upstream's place as stores that speak S3 refuse: status line and code.
    Refuse(&'static str, &'static str),
    /// Passes it on and keeps the answer.
    LoseAnswer,
    /// Takes the request and hangs up.
    HangUp,
    /// Passes on what begins the answer.
    Truncate,
    /// Passes it on with a byte of its body changed.
    Corrupt,
    /// Passes it on without the conditions and locks that it asks for.
    Heedless,
}

/// Says what to do with a request, by its head; `None`: as is next in the queue.
pub(crate) type Rule = Box<dyn Fn(&str) -> Option<Twist> + Send>;

/// A request that a proxy has seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Stands before an upstream.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    twists: Arc<Mutex<VecDeque<Twist>>>,
    rule: Arc<Mutex<Option<Rule>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Proxy {
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            twists: Arc::default(),
            rule: Arc::default(),
            seen: Arc::default(),
        };
        let (twists, rule, seen) = (proxy.twists.clone(), proxy.rule.clone(), proxy.seen.clone());
        // It ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (twists, rule, seen) = (twists.clone(), rule.clone(), seen.clone());
                std::thread::spawn(move || serve(client, port, (&twists, &rule), &seen));
            }
        });
        proxy
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// What to do with the next requests.
    pub(crate) fn twist(&self, twists: &[Twist]) {
        self.twists.lock().unwrap().extend(twists.iter().cloned());
    }

    /// What to do with requests from now on.
    pub(crate) fn rule(&self, rule: impl Fn(&str) -> Option<Twist> + Send + 'static) {
        *self.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// Requests so far, and forgets them.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// The pushes among requests.
pub(crate) fn pushes(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|seen| seen.head.starts_with("POST ")).collect()
}

impl Seen {
    /// The refs that a push asks to move.
    pub(crate) fn refs(&self) -> Vec<String> {
        let mut rest = self.body.as_slice();
        let mut names = Vec::new();
        loop {
            let length = std::str::from_utf8(&rest[..4]).unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            if length == 0 {
                return names;
            }
            let line = String::from_utf8_lossy(&rest[4..length]).into_owned();
            let name = line.splitn(3, ' ').nth(2).unwrap().split('\0').next().unwrap();
            names.push(name.to_owned());
            rest = &rest[length..];
        }
    }
}

fn serve(
    mut client: TcpStream,
    port: u16,
    (twists, rule): (&Mutex<VecDeque<Twist>>, &Mutex<Option<Rule>>),
    seen: &Mutex<Vec<Seen>>,
) -> Option<()> {
    let (head, raw) = read_head(&mut client)?;
    let body = read_body(&mut client, &head, raw)?;
    let ruled = rule.lock().unwrap().as_ref().and_then(|rule| rule(&head));
    let next = || twists.lock().unwrap().pop_front().unwrap_or(Twist::Pass);
    let twist = ruled.unwrap_or_else(next);
    seen.lock().unwrap().push(Seen { head: head.clone(), body: body.clone() });
    match twist {
        Twist::HangUp => {}
        Twist::Answer(answer) => {
            let end = "\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            client.write_all(format!("HTTP/1.1 {answer}{end}").as_bytes()).ok()?;
        }
        Twist::Refuse(status, code) => {
            let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
            let length = body.len();
            let head = format!("content-type: application/xml\r\ncontent-length: {length}");
            let answer = format!("HTTP/1.1 {status}\r\n{head}\r\nconnection: close\r\n\r\n{body}");
            client.write_all(answer.as_bytes()).ok()?;
        }
        Twist::Pass | Twist::LoseAnswer => {
            let answer = forward(port, &head, &body)?;
            if matches!(twist, Twist::Pass) {
                client.write_all(&answer).ok()?;
            }
        }
        Twist::Truncate => {
            let answer = forward(port, &head, &body)?;
            let begin = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
            client.write_all(&answer[..begin.midpoint(answer.len())]).ok()?;
        }
        Twist::Corrupt => {
            let (mut body, at) = (body, 0);
            *body.get_mut(at)? ^= 1;
            client.write_all(&forward(port, &head, &body)?).ok()?;
        }
        Twist::Heedless => {
            let asked = ["if-none-match:", "if-match:", "x-amz-object-lock"];
            let kept = head.split_inclusive("\r\n").filter(|line| {
                let line = line.to_ascii_lowercase();
                !asked.iter().any(|name| line.starts_with(name))
            });
            client.write_all(&forward(port, &kept.collect::<String>(), &body)?).ok()?;
        }
    }
    client.shutdown(Shutdown::Both).ok()
}

/// The head of a request, and what came of its body with it.
fn read_head(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).ok()?, rest));
        }
        let count = client.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// The body, still in chunks if it came so.
fn read_body(client: &mut TcpStream, head: &str, mut body: Vec<u8>) -> Option<Vec<u8>> {
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: Option<usize> = length.and_then(|text| text.trim().parse().ok());
    let chunked = lower.contains("transfer-encoding: chunked");
    let mut buffer = vec![0; 65_536];
    loop {
        let whole = match length {
            Some(length) => body.len() >= length,
            None => !chunked || body.ends_with(b"\r\n0\r\n\r\n"),
        };
        if whole {
            return Some(body);
        }
        let count = client.read(&mut buffer).ok().filter(|count| *count > 0)?;
        body.extend_from_slice(&buffer[..count]);
    }
}

fn forward(port: u16, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut upstream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let (first, rest) = head.split_once("\r\n")?;
    upstream.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes()).ok()?;
    upstream.write_all(body).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    Some(answer)
}
