//! TLS and proxies, against real TLS servers and a real CONNECT proxy on this machine.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::bundles::{Agent, Run, TOKEN, Tenant, bundle};
use crate::server::{Fault, Server};

/// A certificate authority of a test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both PEM.
struct Identity {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> Identity {
        self.issue_until(name, 2096)
    }

    fn issue_until(&self, name: &str, year: i32) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap().pem();
        Identity { cert, key: key.serialize_pem() }
    }
}

/// What a TLS server asks of clients.
#[derive(Clone, Copy)]
enum Clients<'a> {
    /// Nothing.
    Unasked,
    /// A certificate of this authority.
    Must(&'a Authority),
    /// The same, of who has one.
    May(&'a Authority),
}

/// What a client showed: the head of its request, and whether a certificate came with it.
type Shown = Arc<Mutex<Vec<(String, bool)>>>;

/// A TLS server in front of a plain one; the URL's host is `name`.
fn tls_front(behind: &Server, name: &str, identity: &Identity, clients: Clients<'_>) -> String {
    tls_front_that_notes(behind, name, identity, clients).0
}

/// The same, with what clients show there.
fn tls_front_that_notes(
    behind: &Server,
    name: &str,
    identity: &Identity,
    clients: Clients<'_>,
) -> (String, Shown) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let verifier = |authority: &Authority| {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
    };
    let builder = match clients {
        Clients::Unasked => builder.with_no_client_auth(),
        Clients::Must(authority) => {
            builder.with_client_cert_verifier(verifier(authority).build().unwrap())
        }
        Clients::May(authority) => builder.with_client_cert_verifier(
            verifier(authority).allow_unauthenticated().build().unwrap(),
        ),
    };
    let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let behind = behind.url.strip_prefix("http://").unwrap().to_owned();
    let shown = Shown::default();
    let log = Arc::clone(&shown);
    let port = serve(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = StreamOwned::new(connection, stream);
        // Handshakes that fail are what some tests are about.
        if let Ok(head) = read_head(&mut tls) {
            let certificate = tls.conn.peer_certificates().is_some();
            log.lock().unwrap().push((String::from_utf8(head.clone()).unwrap(), certificate));
            let mut plain = TcpStream::connect(&behind).unwrap();
            plain.write_all(&head).unwrap();
            let mut answer = Vec::new();
            plain.read_to_end(&mut answer).unwrap();
            let _ = tls.write_all(&answer);
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    (format!("https://{name}:{port}"), shown)
}

/// A proxy that leads every CONNECT to `target`, and writes down what was asked for.
fn proxy(target: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let port = serve(move |mut client| {
        let head = String::from_utf8(read_head(&mut client).unwrap()).unwrap();
        log.lock().unwrap().push(head);
        let server = TcpStream::connect(&target).unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = std::thread::spawn(move || pump(from, to));
        pump(server, client);
        up.join().unwrap();
    });
    (format!("http://user:pass@127.0.0.1:{port}"), asked)
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn serve(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    port
}

/// Up to the empty line after the headers.
fn read_head(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

/// An agent that is enrolled at an address of its own.
struct Enrolled {
    agent: Agent,
    tenant: Tenant,
}

impl Enrolled {
    fn new() -> Self {
        let tenant = Tenant::new();
        tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
        Self { agent: Agent::new(), tenant }
    }

    fn at(self, url: &str) -> Self {
        let run = self.agent.enroll(url, "acme", &self.tenant.root());
        assert_eq!(run.code, 0, "{}", run.stderr);
        self
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.agent.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `check` that trusts `authority`, with more arguments.
    fn check(&self, authority: &Authority, more: &[&str]) -> Run {
        let ca = self.file("ca.pem", &authority.0.pem());
        self.agent.run(&[&["check", "--ca-cert", ca.to_str().unwrap()], more].concat())
    }
}

#[test]
fn a_server_with_a_trusted_certificate_is_spoken_to() {
    let (world, authority) = (Enrolled::new(), Authority::new());
    let url = tls_front(
        &world.tenant.server,
        "localhost",
        &authority.issue("localhost"),
        Clients::Unasked,
    );
    let world = world.at(&url);
    let run = world.check(&authority, &[]);
    assert_eq!(run.code, 10, "{}", run.stderr);

    // The same from the environment, and from the file.
    let ca = world.file("ca.pem", &authority.0.pem());
    let mut check = world.agent.command(&["check"]);
    assert_eq!(check.env("EDGE_FETCH_CA_CERT", &ca).output().unwrap().status.code(), Some(10));
    world.agent.expect(&["check"], 3);
    std::fs::copy(&ca, world.agent.home().join("own.pem")).unwrap();
    std::fs::write(world.agent.home().join("edge-fetch.toml"), "ca_cert = 'own.pem'").unwrap();
    world.agent.expect(&["apply"], 0);

    // The variable wins over the file, and the flag over both.
    let other = world.file("other.pem", &Authority::new().0.pem());
    let mut check = world.agent.command(&["check"]);
    check.env("EDGE_FETCH_CA_CERT", &other);
    assert_eq!(check.output().unwrap().status.code(), Some(3));
    let ca = ca.to_str().unwrap();
    let mut check = world.agent.command(&["check", "--ca-cert", ca]);
    assert_eq!(check.env("EDGE_FETCH_CA_CERT", &other).output().unwrap().status.code(), Some(0));
}

/// Another authority, another name, an old certificate: no request is sent, so no token is.
#[test]
fn a_certificate_that_does_not_fit_is_refused() {
    let authority = Authority::new();
    for (what, identity) in [
        ("authority", Authority::new().issue("localhost")),
        ("name", authority.issue("other.example")),
        ("time", authority.issue_until("localhost", 2021)),
    ] {
        let world = Enrolled::new();
        let url = tls_front(&world.tenant.server, "localhost", &identity, Clients::Unasked);
        let world = world.at(&url);
        let run = world.check(&authority, &[]);
        assert_eq!(run.code, 3, "{what}: {}", run.stderr);
        assert!(run.stderr.contains("TLS connection was refused"), "{what}: {}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
        assert!(world.tenant.server.requests("").is_empty(), "{what}");
    }
}

#[test]
fn a_server_may_ask_for_a_client_certificate() {
    let (world, authority, clients) = (Enrolled::new(), Authority::new(), Authority::new());
    let identity = authority.issue("localhost");
    let url = tls_front(&world.tenant.server, "localhost", &identity, Clients::Must(&clients));
    let world = world.at(&url);
    let show = |identity: &Identity| {
        let cert = world.file("client.pem", &identity.cert);
        let key = world.file("client.key", &identity.key);
        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        world.check(&authority, &["--client-cert", cert, "--client-key", key])
    };
    let run = show(&clients.issue("agent-1"));
    assert_eq!(run.code, 10, "{}", run.stderr);
    let run = world.check(&authority, &[]);
    assert_eq!(run.code, 3, "without one: {}", run.stderr);
    assert_eq!(show(&authority.issue("agent-1")).code, 3, "of another authority");
    let key = world.file("client.key", "").to_str().unwrap().to_owned();
    assert_eq!(world.check(&authority, &["--client-key", &key]).code, 2, "half of one");
}

/// A bucket, and a host that it sends on to, ask for a certificate and are shown none, and no token either; the server,
/// which is asked with the same settings in the same run, is shown both.
#[test]
fn a_bucket_is_shown_neither_certificate_nor_token() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let identity = authority.issue("localhost");
    let front = |behind: &Server, whom| tls_front_that_notes(behind, "localhost", &identity, whom);
    let (world, bucket, region) = (Enrolled::new(), Server::start(), Server::start());
    let (url, at_server) = front(&world.tenant.server, Clients::Must(&clients));
    let (bucket_url, at_bucket) = front(&bucket, Clients::May(&clients));
    let (region_url, at_region) = front(&region, Clients::May(&clients));
    let world = world.at(&url);
    let installed = bundle(1, &[("main.py", "one")]);
    let location = format!("/v1/t/acme/bundles/{}/location.json", installed.file.sha256);
    world.tenant.server.put(location, format!("{{\"url\":\"{bucket_url}/x.zip?signed\"}}"));
    let to: &'static str = Box::leak(format!("{region_url}/x.zip").into_boxed_str());
    bucket.fault("/x.zip", Fault::SendOn(to));
    region.put("/x.zip", installed.zip);

    let agent = clients.issue("agent-1");
    let ca = world.file("ca.pem", &authority.0.pem());
    let (cert, key) = (world.file("agent.pem", &agent.cert), world.file("agent.key", &agent.key));
    let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap());
    let with = ["apply", "--ca-cert", ca, "--client-cert", cert, "--client-key", key];
    let run = world.agent.expect(&with, 0);
    assert_eq!(run.json[0]["via"], "bucket", "{:#?}", run.json);

    let take = |shown: &Shown| std::mem::take(&mut *shown.lock().unwrap());
    let told = take(&at_server);
    let is_full = |(head, certificate): &(String, bool)| *certificate && head.contains(TOKEN);
    assert!(!told.is_empty() && told.iter().all(is_full), "{told:?}");
    for told in [take(&at_bucket), take(&at_region)] {
        let [(head, certificate)] = &told[..] else { panic!("one request: {told:?}") };
        assert!(!certificate, "it was shown the certificate: {head}");
        assert!(!head.contains(TOKEN) && !head.to_lowercase().contains("authorization"), "{head}");
    }
}

#[test]
fn requests_go_through_the_proxy() {
    let (world, authority) = (Enrolled::new(), Authority::new());
    let front = tls_front(
        &world.tenant.server,
        "edge.test",
        &authority.issue("edge.test"),
        Clients::Unasked,
    );
    let port = front.rsplit(':').next().unwrap();
    let (proxy, asked) = proxy(format!("127.0.0.1:{port}"));
    let world = world.at(&front);
    let run = world.check(&authority, &["--proxy", &proxy]);
    assert_eq!(run.code, 10, "{}", run.stderr);
    let first = asked.lock().unwrap().remove(0);
    assert!(first.starts_with(&format!("CONNECT edge.test:{port} HTTP/1.1\r\n")), "{first}");
    assert!(first.to_lowercase().contains("proxy-authorization: basic"), "{first}");
    assert!(!first.contains("Bearer"), "the token is for the server only");

    // From the environment, which also says where not.
    asked.lock().unwrap().clear();
    let ca = world.file("ca.pem", &authority.0.pem());
    let check = |exempt: &str| {
        let mut check = world.agent.command(&["check", "--ca-cert", ca.to_str().unwrap()]);
        check.env("HTTPS_PROXY", &proxy).env("NO_PROXY", exempt);
        check.output().unwrap().status.code()
    };
    assert_eq!(check("other.test"), Some(10));
    assert!(!asked.lock().unwrap().is_empty());
    asked.lock().unwrap().clear();
    assert_eq!(check("test"), Some(3), "nobody knows the name without the proxy");
    assert!(asked.lock().unwrap().is_empty());
}

/// The token is not sent in the clear to another machine unless somebody says so.
#[test]
fn plain_http_to_another_machine_needs_consent() {
    let world = Enrolled::new().at("http://edge.test");
    let run = world.agent.expect(&["check"], 2);
    assert!(run.stderr.contains("--allow-http"), "{}", run.stderr);
    let behind = world.tenant.server.url.strip_prefix("http://").unwrap().to_owned();
    let (proxy, _) = proxy(behind);
    world.agent.expect(&["check", "--proxy", &proxy, "--allow-http"], 10);

    let token = world.file("token", "secret");
    let root = world.file("root.json", &String::from_utf8(world.tenant.root()).unwrap());
    let (token, root) = (token.to_str().unwrap(), root.to_str().unwrap());
    let other = Agent::new();
    let enroll = ["enroll", "--url", "http://edge.test", "--tenant", "acme", "--root", root];
    other.expect(&[&enroll[..], &["--token-file", token]].concat(), 2);
    assert!(!other.home().join("config.json").exists());
}
