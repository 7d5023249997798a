//! The server as an operator runs it: its log, TLS, limits of connections, and how it ends.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use colophon::intake::legacy_signature as webhook_signature;
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use crate::support::process::{ServerProcess, colophon};
use crate::support::raw::{connect, parse};
use crate::support::upstream::until;
use crate::support::{TestServer, agent, read, small_flow};

/// A data directory with a tenant, and a configuration file.
struct Place {
    dir: tempfile::TempDir,
    secret: String,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = colophon(&dir.path().join("data"), &["tenant", "create", "acme-inc"]);
        Self { secret: made["webhook_secret"].as_str().unwrap().to_owned(), dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn serve(&self, config: &str, env: &[(&str, &str)], log: Stdio) -> ServerProcess {
        let file = self.dir.path().join("colophon.toml");
        std::fs::write(&file, config).unwrap();
        let args = ["--config", file.to_str().unwrap(), "--admin-listen", "127.0.0.1:0"];
        ServerProcess::spawn(&self.data(), &args, env, log)
    }

    /// A delivery of which the last byte is still to come, and that byte.
    fn begin_build(&self, server: &ServerProcess) -> (TcpStream, [u8; 1]) {
        let body = small_flow("one", None, "x");
        let mut stream = connect(&server.url);
        let signature = webhook_signature(&self.secret, &body);
        let head = format!(
            "POST /build HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Tenant-Slug: acme-inc\r\n\
             X-Ap-Signature: {signature}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..body.len() - 1]).unwrap();
        (stream, [body[body.len() - 1]])
    }
}

/// Waits until the server says that it takes no more builds.
fn wait_until_draining(server: &ServerProcess) {
    let ready = format!("{}/readyz", server.ready["admin"].as_str().unwrap());
    loop {
        let answer = read(agent().get(&ready).call().unwrap());
        if answer.status == 503 {
            assert_eq!(answer.json()["status"], "the server is about to end");
            return;
        }
    }
}

fn wait_until_building(server: &ServerProcess) {
    let metrics = format!("{}/metrics", server.ready["admin"].as_str().unwrap());
    let open = "colophon_http_requests_in_flight 1\n";
    while !String::from_utf8(read(agent().get(&metrics).call().unwrap()).bytes)
        .unwrap()
        .contains(open)
    {}
}

/// One JSON line a request, with who and how, and nothing that opens a door.
#[test]
fn the_access_log_is_json_and_keeps_secrets_out() {
    let place = Place::new();
    let token = colophon(&place.data(), &["token", "create", "acme-inc", "--kind", "api"]);
    let token = token["token"].as_str().unwrap().to_owned();
    let config =
        "[telemetry]\nlog_format = \"json\"\n[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let mut server = place.serve(config, &[("COLOPHON_LOG", "info")], Stdio::piped());
    let answer = agent()
        .get(format!("{}/v1/t/acme-inc/quota?sig=hidden-in-a-query", server.url))
        .header("authorization", format!("Bearer {token}"))
        .header("x-forwarded-for", "203.0.113.7")
        .call()
        .unwrap();
    let bytes = read(answer).bytes.len();
    let mut log = server.log();
    assert!(server.terminate().success());
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
    let access = lines.iter().find(|line| line["target"] == "access").unwrap();
    for (field, value) in [
        ("method", Value::from("GET")),
        ("route", "/v1/t/{slug}/quota".into()),
        ("status", 200.into()),
        ("bytes", bytes.into()),
        ("tenant", "acme-inc".into()),
        ("remote", "203.0.113.7".into()),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c".into()),
    ] {
        assert_eq!(access[field], value, "{field} of {access}");
    }
    let caller = access["caller"].as_str().unwrap().strip_prefix("token:").unwrap();
    assert_eq!(caller.len(), 12, "an id, which is not the token");
    assert!(access["seconds"].as_f64().unwrap() > 0.0);
    for secret in [token.as_str(), "hidden-in-a-query"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// First it says that it is not ready, then it lets what is open finish, then it ends.
#[test]
fn a_server_that_ends_lets_open_requests_finish() {
    let place = Place::new();
    let mut server = place.serve("", &[], Stdio::inherit());
    let (mut stream, last) = place.begin_build(&server);
    wait_until_building(&server);
    server.signal("-TERM");
    wait_until_draining(&server);
    stream.write_all(&last).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer).status, 201);
    assert!(server.wait().success());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let config = "[server]\ndrain = \"1h\"\nbody_timeout = \"1h\"\n";
    let mut server = place.serve(config, &[], Stdio::null());
    let _open = place.begin_build(&server);
    wait_until_building(&server);
    server.signal("-TERM");
    wait_until_draining(&server);
    server.signal("-INT");
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::new();
    let path = place.dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "20000")];
    // It listens all the while, as a manager does: few words may wait.
    let (say, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut word = [0; 64];
        while let Ok(length) = manager.recv(&mut word) {
            let _ = say.send(String::from_utf8_lossy(&word[..length]).into_owned());
        }
    });
    let next = || said.recv_timeout(Duration::from_mins(3)).expect("the server says nothing");
    let mut server = place.serve("", &env, Stdio::inherit());
    assert_eq!(next(), "READY=1");
    assert_eq!(next(), "WATCHDOG=1");
    assert!(server.terminate().success());
    let rest = std::iter::repeat_with(next).find(|word| word != "WATCHDOG=1");
    assert_eq!(rest.as_deref(), Some("STOPPING=1"));
}

/// A manager that reads nothing must not keep the server from ending.
#[test]
fn a_service_manager_that_does_not_listen_is_not_waited_for() {
    let place = Place::new();
    let path = place.dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let waiting = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "2000")];
    let mut server = place.serve("", &env, Stdio::piped());
    // More words than may wait: one was not taken.
    let mut log = server.log();
    let full = log.by_ref().lines().find(|line| line.as_ref().unwrap().contains("WATCHDOG=1"));
    assert!(full.is_some(), "{waiting} may wait");
    assert!(server.terminate().success());
    drop(manager);
}

/// Slow clients are let go: with half a head, with half a body, with nothing at all, and with a part of what HTTP/2
/// begins with.
#[test]
fn a_client_that_sends_nothing_more_is_let_go() {
    let place = Place::new();
    let config = "[server]\nheader_timeout = \"3s\"\nbody_timeout = \"3s\"\n";
    let server = place.serve(config, &[], Stdio::inherit());
    let (mut building, _) = place.begin_build(&server);
    for begin in ["", "PRI * HT", "GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = connect(&server.url);
        stream.write_all(begin.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{begin}");
    }
    let mut answer = Vec::new();
    building.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer).status, 408);
}

/// One address has its bound of connections; one more is told so and closed, and has a place once there is one.
#[test]
fn one_address_does_not_take_every_connection() {
    let server = TestServer::with(|config| {
        config.server.max_connections_per_address = 2;
        config.admin.listen = Some(([127, 0, 0, 1], 0).into());
    });
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut word = [0; 12];
        stream.read_exact(&mut word).unwrap();
        String::from_utf8(word.to_vec()).unwrap()
    };
    let mut held = [connect(&server.url), connect(&server.url)];
    assert_eq!(held.each_mut().map(ask), ["HTTP/1.1 200", "HTTP/1.1 200"]);
    let mut third = connect(&server.url);
    let mut answer = Vec::new();
    third.read_to_end(&mut answer).unwrap();
    let answer = parse(&answer);
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &said["code"]), (503, &"too-many-connections".into()));
    let metrics = agent().get(format!("{}/metrics", server.admin)).call().unwrap();
    let metrics = String::from_utf8(read(metrics).bytes).unwrap();
    assert!(metrics.contains("\ncolophon_http_connections_refused_total 1\n"), "{metrics}");
    drop(held);
    until("a place", || ask(&mut connect(&server.url)) == "HTTP/1.1 200");
}

/// Writes a certificate for `localhost`, and returns it.
fn certificate(dir: &Path) -> String {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap().pem();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(dir.join("cert.pem"), &cert).unwrap();
    cert
}

/// The status of `/healthz` over TLS, to a client that trusts `cert` alone.
fn health(server: &ServerProcess, cert: &str) -> Result<u16, ureq::Error> {
    let root = ureq::tls::Certificate::from_pem(cert.as_bytes()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[root]))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let client = ureq::Agent::config_builder().tls_config(tls).build().new_agent();
    let port = server.url.rsplit_once(':').unwrap().1;
    Ok(client.get(format!("https://localhost:{port}/healthz")).call()?.status().as_u16())
}

#[test]
fn tls_is_spoken_and_a_new_certificate_is_taken_on_sighup() {
    let place = Place::new();
    let old = certificate(place.dir.path());
    let file = |name: &str| place.dir.path().join(name).display().to_string();
    let config = format!("[tls]\ncert = \"{}\"\nkey = \"{}\"\n", file("cert.pem"), file("key.pem"));
    let mut server = place.serve(&config, &[("COLOPHON_LOG", "info,access=off")], Stdio::piped());
    assert!(server.url.starts_with("https://"), "{}", server.url);
    assert_eq!(health(&server, &old).unwrap(), 200);
    // Commands beside it find it all the same.
    let made = colophon(&place.data(), &["tenant", "create", "other-inc"]);
    assert!(made["git_url"].as_str().unwrap().starts_with("https://"), "{made}");

    let new = certificate(place.dir.path());
    server.signal("-HUP");
    let took =
        server.log().lines().find(|l| l.as_ref().unwrap().contains("took a new certificate"));
    assert!(took.is_some());
    assert_eq!(health(&server, &new).unwrap(), 200);
    assert!(health(&server, &old).is_err());
    assert!(server.terminate().success());
}

/// `systemctl reload` sends SIGHUP, whether or not there is a certificate to read anew. A process that does not listen for
/// it is ended by it, which systemd takes for a clean end: nobody would start the server again.
#[test]
fn a_reload_ends_no_server() {
    let place = Place::new();
    let mut server = place.serve("", &[("COLOPHON_LOG", "info,access=off")], Stdio::piped());
    server.signal("-HUP");
    let heard = server.log().lines().any(|line| line.unwrap().contains("on SIGHUP"));
    assert!(heard, "it goes on");
    assert_eq!(read(agent().get(format!("{}/healthz", server.url)).call().unwrap()).status, 200);
    assert!(server.terminate().success());
}

/// Where clients need a certificate, one from this machine needs it too: a proxy or a neighbour in the same pod
/// comes over loopback. Commands beside the server have the master key, and get in by that.
#[test]
fn a_client_without_a_certificate_is_refused_on_this_machine_and_commands_are_not() {
    let place = Place::new();
    let cert = certificate(place.dir.path());
    let file = |name: &str| place.dir.path().join(name).display().to_string();
    let (own, key) = (file("cert.pem"), file("key.pem"));
    let config = format!("[tls]\ncert = \"{own}\"\nkey = \"{key}\"\nclient_ca = \"{own}\"\n");
    let server = place.serve(&config, &[], Stdio::inherit());
    assert!(health(&server, &cert).is_err());
    let made = colophon(&place.data(), &["tenant", "create", "other-inc"]);
    assert!(made["git_url"].as_str().unwrap().starts_with("https://"), "{made}");
    assert!(health(&server, &cert).is_err(), "nobody else by that");
}
