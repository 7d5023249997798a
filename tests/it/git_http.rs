//! The Git facade's HTTP: what stock Git never sends, and what it shows to people when it is refused.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::programs::{clone, git_in, git_output};
use crate::support::raw::{Raw, connect, exchange, packets, parse};
use crate::support::{TestServer, TestTenant, noise, small_flow};

const PACKAGE: &str = "Content-Type: application/x-git-upload-pack-request\n";
const LS_REFS: [&str; 3] = ["command=ls-refs", "0001", "0000"];

/// A server with one tenant and one build.
fn start() -> (TestServer, TestTenant) {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, &small_flow("one", None, "one")).status, 201);
    (server, tenant)
}

fn head(tenant: &TestTenant, line: &str, more: &str) -> String {
    let line = line.replace("REPO", "/git/acme-inc.git");
    format!("{line}\nAuthorization: Bearer {}\nGit-Protocol: version=2\n{more}", tenant.git)
}

/// A request to `git-upload-pack`, with more headers.
fn post(server: &TestServer, tenant: &TestTenant, more: &str, body: &[u8]) -> Raw {
    let head = head(tenant, "POST REPO/git-upload-pack HTTP/1.1", &format!("{PACKAGE}{more}"));
    exchange(&server.url, &head, body)
}

fn ask(server: &TestServer, tenant: &TestTenant, line: &str) -> Raw {
    exchange(&server.url, &head(tenant, line, ""), b"")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Runs git with the tenant's token, in protocol version `version`.
fn git_as(tenant: &TestTenant, version: u8, args: &[&str]) -> Output {
    let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
    let version = format!("protocol.version={version}");
    git_output(&[&["-c", &header, "-c", &version], args].concat())
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn answers_are_typed_and_never_cached() {
    let (server, tenant) = start();
    let refs = ask(&server, &tenant, "GET REPO/info/refs?service=git-upload-pack HTTP/1.1");
    let list = post(&server, &tenant, "", &packets(&LS_REFS));
    for (answer, kind) in [(refs, "advertisement"), (list, "result")] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), format!("application/x-git-upload-pack-{kind}"));
        assert!(answer.header("cache-control").contains("no-cache"));
    }
}

#[test]
fn a_packed_request_is_unpacked() {
    let (server, tenant) = start();
    let body = packets(&LS_REFS);
    let plain = post(&server, &tenant, "", &body);
    assert!(plain.text().contains("refs/heads/tenant/acme-inc"));
    for coding in ["gzip", "x-gzip"] {
        let packed = post(&server, &tenant, &format!("Content-Encoding: {coding}\n"), &gzip(&body));
        assert_eq!(packed, plain, "{coding}");
    }
}

/// Git sends a long body in chunks.
#[test]
fn a_request_in_chunks_is_read() {
    let (server, tenant) = start();
    let body = packets(&LS_REFS);
    let plain = post(&server, &tenant, "", &body);
    for (coding, body) in [("", body.clone()), ("Content-Encoding: gzip\n", gzip(&body))] {
        let more = format!("{PACKAGE}{coding}Transfer-Encoding: chunked");
        let head = head(&tenant, "POST REPO/git-upload-pack HTTP/1.1", &more).replace('\n', "\r\n");
        let mut stream = connect(&server.url);
        write!(stream, "{head}\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        for part in body.chunks(7) {
            write!(stream, "{:x}\r\n", part.len()).unwrap();
            stream.write_all(part).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(parse(&answer), plain, "{coding}");
    }
}

#[test]
fn what_is_not_gzip_is_refused() {
    let (server, tenant) = start();
    let body = packets(&LS_REFS);
    let packed = gzip(&body);
    for bad in [&body[..], &packed[..packed.len() - 9], b"\x1f\x8b"] {
        let answer = post(&server, &tenant, "Content-Encoding: gzip\n", bad);
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("malformed-gzip"), "{}", answer.text());
    }
}

/// 64 MiB in 64 KiB. What is wrong at its end shows that nobody unpacks it that far.
#[test]
fn a_gzip_bomb_is_refused() {
    let (server, tenant) = start();
    let mut bomb = gzip(&vec![b'0'; 64 << 20]);
    bomb.truncate(bomb.len() - 9);
    assert!(bomb.len() < 100_000);
    let answer = post(&server, &tenant, "Content-Encoding: gzip\n", &bomb);
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("body-too-large"), "{}", answer.text());
}

#[test]
fn a_request_is_limited_by_its_length_and_by_what_comes() {
    let (server, tenant) = start();
    let large = vec![b'0'; (10 << 20) + 1];
    assert_eq!(post(&server, &tenant, "", &large).status, 413);

    let head = head(&tenant, "POST REPO/git-upload-pack HTTP/1.1", PACKAGE).replace('\n', "\r\n");
    let mut stream = connect(&server.url);
    let coding = "Host: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    write!(stream, "{head}{coding}").unwrap();
    for part in large.chunks(1 << 20) {
        // The server may say no before it has all.
        if write!(stream, "{:x}\r\n", part.len()).is_err() || stream.write_all(part).is_err() {
            break;
        }
        let _ = stream.write_all(b"\r\n");
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(parse(&answer).status, 413);
    let list = post(&server, &tenant, "", &packets(&LS_REFS));
    assert_eq!(list.status, 200, "the server goes on");
}

/// Nobody's body is read before it is known whose it is.
#[test]
fn a_stranger_cannot_send_a_body() {
    let (server, _) = start();
    let large = vec![b'0'; 50 << 20];
    let head = format!("POST /git/acme-inc.git/git-upload-pack HTTP/1.1\n{PACKAGE}");
    let answer = exchange(&server.url, &head, &large);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), "Basic realm=\"colophon\"");
}

#[test]
fn a_body_that_ends_early_is_refused() {
    let (server, tenant) = start();
    let mut stream = connect(&server.url);
    let head = head(&tenant, "POST REPO/git-upload-pack HTTP/1.1", PACKAGE).replace('\n', "\r\n");
    write!(stream, "{head}Host: x\r\nContent-Length: 1000\r\n\r\n0000").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let told = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || told.starts_with("HTTP/1.1 400"), "{told}");
    assert_eq!(post(&server, &tenant, "", &packets(&LS_REFS)).status, 200, "the server goes on");
}

/// Before a long body Git sends a lone flush, to see whether it may.
#[test]
fn a_probe_is_answered() {
    let (server, tenant) = start();
    for version in ["", "Git-Protocol: version=2\n"] {
        let head = format!(
            "POST /git/acme-inc.git/git-upload-pack HTTP/1.1\nAuthorization: Bearer {}\n{PACKAGE}{version}",
            tenant.git
        );
        let answer = exchange(&server.url, &head, b"0000");
        assert_eq!((answer.status, answer.body), (200, Vec::new()));
    }
}

#[test]
fn methods_that_are_not_there_are_refused() {
    let (server, tenant) = start();
    for line in [
        "GET REPO/git-upload-pack HTTP/1.1",
        "HEAD REPO/git-upload-pack HTTP/1.1",
        "PUT REPO/git-upload-pack HTTP/1.1",
        "DELETE REPO/info/refs?service=git-upload-pack HTTP/1.1",
        "POST REPO/info/refs?service=git-upload-pack HTTP/1.1",
        "GET REPO/git-receive-pack HTTP/1.1",
    ] {
        let answer = ask(&server, &tenant, line);
        assert_eq!(answer.status, 405, "{line}");
        assert_ne!(answer.header("allow"), "", "{line}");
    }
}

/// What monitors send.
#[test]
fn the_head_of_an_advertisement_is_that_of_the_whole() {
    let (server, tenant) = start();
    let whole = ask(&server, &tenant, "GET REPO/info/refs?service=git-upload-pack HTTP/1.1");
    let head = ask(&server, &tenant, "HEAD REPO/info/refs?service=git-upload-pack HTTP/1.1");
    assert_eq!((head.status, &head.headers), (200, &whole.headers));
    assert!(head.body.is_empty());
}

#[test]
fn other_services_are_refused() {
    let (server, tenant) = start();
    for query in [
        "",
        "?service",
        "?service=",
        "?service=git-upload-archive",
        "?service=git-receive-pack",
        "?service=git-upload-pack%00",
        "?service=GIT-UPLOAD-PACK",
        "?service=git-upload-pack&service=git-receive-pack",
        "?a=git-upload-pack",
        "?%zz",
    ] {
        let answer = ask(&server, &tenant, &format!("GET REPO/info/refs{query} HTTP/1.1"));
        assert_eq!(answer.status, 403, "{query}: {}", answer.text());
    }
    for path in ["HEAD", "objects/info/packs", "info/lfs/locks", "config", ""] {
        assert_eq!(
            ask(&server, &tenant, &format!("GET REPO/{path} HTTP/1.1")).status,
            404,
            "{path}"
        );
    }
}

/// An old proxy, or a shell script.
#[test]
fn an_http_1_0_client_gets_the_same_pack() {
    let (server, tenant) = start();
    for n in 0..6 {
        let flow = small_flow("large", Some(n), &noise(n, 20_000));
        assert_eq!(server.build(&tenant, &flow).status, 201);
    }
    let list = post(&server, &tenant, "", &packets(&LS_REFS)).text();
    let body =
        packets(&["command=fetch", "0001", &format!("want {}", &list[4..44]), "done", "0000"]);
    let new = post(&server, &tenant, "", &body);
    assert_eq!(new.header("transfer-encoding"), "chunked", "a pack of several pieces");
    let head = head(&tenant, "POST REPO/git-upload-pack HTTP/1.0", PACKAGE).replace('\n', "\r\n");
    let mut stream = connect(&server.url);
    write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let old = parse(&answer);
    assert_eq!(old.header("transfer-encoding"), "", "1.0 knows no chunks");
    assert!(old.body == new.body && old.body.ends_with(b"0000"));
}

/// Git of some builds asks for leave before a long body; who has none is told so without sending it.
#[test]
fn a_client_that_expects_100_is_told_to_go_on() {
    let (server, tenant) = start();
    let body = packets(&LS_REFS);
    let length =
        format!("Host: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len());
    for (token, first) in [(tenant.git.as_str(), "HTTP/1.1 100 "), ("none", "HTTP/1.1 401 ")] {
        let head = head(&tenant, "POST REPO/git-upload-pack HTTP/1.1", PACKAGE);
        let head = head.replace(&tenant.git, token).replace('\n', "\r\n");
        let mut stream = connect(&server.url);
        write!(stream, "{head}{length}").unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with(first), "{line}");
        if token == tenant.git {
            stream.write_all(&body).unwrap();
            let mut rest = String::new();
            while !rest.contains("refs/heads/tenant/acme-inc") {
                assert_ne!(reader.read_line(&mut rest).unwrap(), 0, "{rest}");
            }
        }
    }
}

/// The same with curl, which stock Git is made with.
#[test]
fn curl_expects_100() {
    let (server, tenant) = start();
    let body = server.path("body");
    std::fs::write(&body, packets(&LS_REFS)).unwrap();
    let output = Command::new("curl")
        .args(["-sS", "-i", "-H", "Expect: 100-continue", "-H", "Git-Protocol: version=2"])
        .args(["-H", PACKAGE.trim_end(), "-u", &format!("x:{}", tenant.git)])
        .arg("--data-binary")
        .arg(format!("@{}", body.display()))
        .arg(format!("{}/git-upload-pack", server.git_url(&tenant)))
        .output();
    let Ok(output) = output else {
        eprintln!("WARNING: there is no curl; this did not run");
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.starts_with("HTTP/1.1 100 Continue\r\n"), "{told}");
    assert!(told.contains("refs/heads/tenant/acme-inc"), "{told}");
}

/// One connection carries a refusal, a list and a pack.
#[test]
fn a_connection_is_kept() {
    let (server, tenant) = start();
    let mut stream = connect(&server.url);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let line = "GET REPO/info/refs?service=git-upload-pack HTTP/1.1";
    for (token, status) in [("none", "401"), (tenant.git.as_str(), "200"), ("none", "401")] {
        let head = head(&tenant, line, "").replace(&tenant.git, token).replace('\n', "\r\n");
        write!(stream, "{head}Host: x\r\n\r\n").unwrap();
        let (mut told, mut length) = (String::new(), 0);
        while !told.ends_with("\r\n\r\n") {
            let from = told.len();
            assert_ne!(reader.read_line(&mut told).unwrap(), 0, "{told}");
            if let Some(value) = told[from..].to_ascii_lowercase().strip_prefix("content-length: ")
            {
                length = value.trim().parse().unwrap();
            }
        }
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
        reader.read_exact(&mut vec![0; length]).unwrap();
    }
}

#[test]
fn git_shows_why_it_may_not_push() {
    let (server, tenant) = start();
    let dir = server.path("r");
    clone(&server.git_url(&tenant), &tenant.git, &dir);
    for version in 0..=2 {
        let folder = dir.display().to_string();
        let output =
            git_as(&tenant, version, &["-C", &folder, "push", "origin", "HEAD:refs/heads/mine"]);
        let told = complaint(&output);
        assert!(told.contains("remote: colophon repositories are read-only"), "{told}");
        let tags = ["-C", &folder, "push", "--delete", "origin", "tenant/acme-inc"];
        assert!(complaint(&git_as(&tenant, version, &tags)).contains("read-only"));
    }
    assert_eq!(git_in(&dir, &["ls-remote", "--heads", "origin"]).lines().count(), 1);
}

#[test]
fn git_shows_that_other_ways_are_closed() {
    let (server, tenant) = start();
    let url = server.git_url(&tenant);
    for version in 0..=2 {
        let remote = format!("--remote={url}");
        let told = complaint(&git_as(&tenant, version, &["archive", &remote, "HEAD"]));
        assert!(!told.contains("500"), "{told}");
        let header = format!("http.extraHeader=Authorization: Bearer {}", tenant.git);
        let output = Command::new("git")
            .args(["-c", &header, "ls-remote", &url])
            .env("GIT_SMART_HTTP", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .unwrap();
        let told = complaint(&output);
        assert!(told.contains("403"), "dumb HTTP: {told}");
    }
}

/// Git asks its helper when it is challenged, uses what it says, and forgets what was wrong.
#[test]
fn git_answers_a_challenge_with_a_helper() {
    let (server, tenant) = start();
    let log = server.path("helper.log");
    let helper = |token: &str| {
        format!(
            "credential.helper=!f() {{ echo \"$1\" >> '{}'; test \"$1\" = get && \
             echo username=x && echo password={token}; }}; f",
            log.display()
        )
    };
    let url = server.git_url(&tenant);
    for version in 0..=2 {
        let to = server.path(&format!("c{version}")).display().to_string();
        let version = format!("protocol.version={version}");
        let args = ["-c", &helper(&tenant.git), "-c", &version, "clone", "-q", &url, &to];
        let output = git_output(&args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "get\nstore\n");
        std::fs::remove_file(&log).unwrap();

        let output =
            git_output(&["-c", &helper("clp_git_wrong"), "-c", &version, "ls-remote", &url]);
        assert!(complaint(&output).contains("Authentication failed"));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "get\nerase\n");
        std::fs::remove_file(&log).unwrap();
    }
}

/// What proxies and settings make of Git's requests.
#[test]
fn git_is_served_over_other_transports() {
    let (server, tenant) = start();
    for n in 0..3 {
        assert_eq!(server.build(&tenant, &small_flow("two", Some(n), &n.to_string())).status, 201);
    }
    let url = server.git_url(&tenant);
    let with_token = url.replace("http://", &format!("http://x:{}@", tenant.git));
    for (n, settings) in [
        &["http.version=HTTP/1.1"][..],
        &["http.version=HTTP/2"],
        &["http.postBuffer=66000"],
        &["http.emptyAuth=true"],
        &["http.followRedirects=false", "http.lowSpeedLimit=1", "http.lowSpeedTime=10"],
    ]
    .iter()
    .enumerate()
    {
        let to = server.path(&format!("t{n}"));
        let folder = to.display().to_string();
        let mut args: Vec<_> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
        args.extend(["clone", "-q", "--mirror", &with_token, &folder]);
        let output = git_output(&args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{settings:?}: {told}");
        assert_eq!(git_in(&to, &["fsck", "--strict", "--full"]), "", "{settings:?}");
        assert_eq!(git_in(&to, &["rev-list", "--count", "HEAD"]).trim(), "5");
    }
}
