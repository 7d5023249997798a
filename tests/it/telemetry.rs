//! Traces reach a collector, and a server that is told to stop sends what it still has.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use colophon::intake::legacy_signature as webhook_signature;

use crate::support::process::{ServerProcess, colophon};
use crate::support::{agent, small_flow};

/// A collector: answers 200 to every request and hands on path and body.
fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut path, mut length) = (String::new(), 0);
            reader.read_line(&mut path).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            reader.get_mut().write_all(answer).unwrap();
            if tell.send((path, body)).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[test]
fn a_build_is_one_span_with_its_stages() {
    let dir = tempfile::tempdir().unwrap();
    let secret = colophon(dir.path(), &["tenant", "create", "acme-inc"])["webhook_secret"].clone();
    let (endpoint, told) = collector();
    let mut server = ServerProcess::with(dir.path(), &["--otlp-endpoint", &endpoint]);
    let body = small_flow("one", None, "a text that must not be traced");
    let answer = agent()
        .post(format!("{}/build", server.url))
        .header("x-tenant-slug", "acme-inc")
        .header("x-ap-signature", webhook_signature(secret.as_str().unwrap(), &body))
        .send(body.as_slice())
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert!(server.terminate().success(), "a clean stop");

    // Protobuf keeps strings as they are, so that names can be looked for without a decoder.
    let mut traces = String::new();
    while let Ok((request, body)) = told.try_recv() {
        assert!(request.starts_with("POST /v1/traces"), "{request}");
        traces.push_str(&String::from_utf8_lossy(&body));
    }
    for name in ["build", "received", "render", "commit", "tenant.slug", "acme-inc", "build.id"] {
        assert!(traces.contains(name), "`{name}` is missing in the traces");
    }
    assert!(!traces.contains("must not be traced"), "flow content stays out");
}
