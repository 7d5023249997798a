//! Two tenants, and one tries to time the other: what another tenant has takes as long to refuse as what
//! nobody has.
//!
//! On a busy machine no single time says anything. So requests of both kinds alternate over one connection, in an
//! order that changes, and what is compared is the lower part of their times: noise only adds. How far apart
//! that is for two sets of the *same* kind, taken in the same way at the same time, is what the machine makes
//! of nothing; a difference counts when it is several times that, and no less than a few microseconds. And
//! it must show again and again: noise does not, a leak does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use colophon::intake::legacy_signature;

use crate::route_guard::turned;
use crate::support::raw::connect;
use crate::support::{ORDER_INTAKE, TRACEPARENT, TestServer, TestTenant, small_flow};

/// Requests of each set.
const SAMPLES: usize = 150;
/// How often a difference must show before it counts.
const TRIES: usize = 4;
/// How often a difference that is there is looked for.
const ROUNDS: usize = 80;
/// By how much two kinds may differ beside what two sets of one kind do: that many times as much,
const TIMES: u32 = 4;
/// and this, which nobody measures over a network.
const LEAST: Duration = Duration::from_micros(25);

/// A kept connection.
struct Line(BufReader<TcpStream>);

impl Line {
    fn to(server: &TestServer) -> Self {
        let stream = connect(&server.url);
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// How long an answer takes, and its status.
    fn time(&mut self, request: &[u8]) -> (Duration, u16) {
        let start = Instant::now();
        self.0.get_mut().write_all(request).unwrap();
        let (mut line, mut length, mut status) = (String::new(), 0, 0);
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if status == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        (start.elapsed(), status)
    }
}

fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let length =
        if body.is_empty() { String::new() } else { format!("\nContent-Length: {}", body.len()) };
    let head = format!("{head}\nHost: x\ntraceparent: {TRACEPARENT}{length}\n\n");
    [head.replace('\n', "\r\n").as_bytes(), body].concat()
}

/// The lower third of the times: what the work takes when nothing comes in between.
fn typical(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 3]
}

/// What was measured: how far apart the two kinds are, and how far two sets of one kind.
#[derive(Debug)]
struct Apart {
    kinds: Duration,
    noise: Duration,
}

impl Apart {
    fn of(first: &mut [Duration], again: &mut [Duration], other: &mut [Duration]) -> Self {
        let (first, again, other) = (typical(first), typical(again), typical(other));
        let kinds = first.abs_diff(other).min(again.abs_diff(other));
        Self { kinds, noise: first.abs_diff(again) }
    }

    fn is_told(&self) -> bool {
        self.kinds > self.noise * TIMES + LEAST
    }
}

/// Whether `other` can be told from `one` by the time, measured once.
fn measure(line: &mut Line, one: &[u8], other: &[u8]) -> Apart {
    let mut sets: [Vec<Duration>; 3] = Default::default();
    for n in 0..SAMPLES {
        // Each set comes first, second and third as often as the others.
        for at in 0..3 {
            let set = (n + at) % 3;
            let (time, _) = line.time(if set == 2 { other } else { one });
            sets[set].push(time);
        }
    }
    let [first, again, other] = &mut sets;
    Apart::of(first, again, other)
}

/// Whether a difference shows each time it is looked for.
fn is_told(line: &mut Line, one: &[u8], other: &[u8]) -> Result<(), Vec<Apart>> {
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let apart = measure(line, one, other);
        if !apart.is_told() {
            return Ok(());
        }
        seen.push(apart);
    }
    Err(seen)
}

/// What the thief asks about the victim, and about nobody.
fn questions(server: &TestServer, victim: &TestTenant, thief: &TestTenant) -> Vec<[Vec<u8>; 2]> {
    let answer = server.build(victim, ORDER_INTAKE);
    let (record, delivery) = (answer.json(), answer.header("colophon-delivery").to_owned());
    let told = server.get_with(&format!("/v1/t/victim/deliveries/{delivery}"), &victim.api).json();
    let (build, body) = (record["id"].as_str().unwrap(), told["body"].as_str().unwrap());
    let sha256 = record["outputs"][1]["edge"]["edge_sha256"].as_str().unwrap();
    let turned = |text: &str| text.chars().map(turned).collect::<String>();
    let get = |path: String, token: &str| {
        request(&format!("GET {path} HTTP/1.1\nAuthorization: Bearer {token}"), b"")
    };
    let (api, edge, git) = (&thief.api, &thief.edge, &thief.git);
    let below = |slug: &str, path: &str, token: &str| get(format!("/v1/t/{slug}/{path}"), token);
    let document = |sha256: &str| format!("bundles/{sha256}/provenance.json");
    let refs = |slug: &str| get(format!("/git/{slug}.git/info/refs?service=git-upload-pack"), git);
    let post = |slug: &str| {
        let signature = "0".repeat(64);
        let head =
            format!("POST /build HTTP/1.1\nX-Tenant-Slug: {slug}\nX-Ap-Signature: {signature}");
        request(&head, &small_flow("guess", None, "x"))
    };
    vec![
        [
            below("thief", &format!("blob/{body}"), api),
            below("thief", &format!("blob/{}", turned(body)), api),
        ],
        [
            below("thief", &format!("builds/{build}"), api),
            below("thief", &format!("builds/{}", turned(build)), api),
        ],
        [below("thief", &document(sha256), edge), below("thief", &document(&turned(sha256)), edge)],
        [below("victim", "flows", api), below("nobody", "flows", api)],
        [below("victim", "edge/sync", edge), below("nobody", "edge/sync", edge)],
        [refs("victim"), refs("nobody")],
        [post("victim"), post("nobody")],
    ]
}

#[test]
fn what_another_has_takes_as_long_as_what_nobody_has() {
    let server = TestServer::start();
    let (victim, thief) = (server.tenant("victim"), server.tenant("thief"));
    let mut line = Line::to(&server);
    for [foreign, absent] in questions(&server, &victim, &thief) {
        let name = String::from_utf8_lossy(&foreign).lines().next().unwrap().to_owned();
        let (first, second) = (line.time(&foreign).1, line.time(&absent).1);
        assert!(first == second && first >= 400, "{name}: {first}, {second}");
        if let Err(seen) = is_told(&mut line, &absent, &foreign) {
            panic!("{name}: told by the time: {seen:?}");
        }
    }
}

/// The same measurement sees a difference where there is one: a delivery that is found in the store to change
/// nothing, since its id is looked for, and one that is refused at the door.
#[test]
fn a_difference_that_is_there_is_seen() {
    let server = TestServer::start();
    let tenant = server.tenant("acme-inc");
    assert_eq!(server.build(&tenant, ORDER_INTAKE).status, 201);
    let post = |signature: &str| {
        let head =
            "POST /build HTTP/1.1\nX-Tenant-Slug: acme-inc\nIdempotency-Key: one\nX-Ap-Signature: ";
        request(&format!("{head}{signature}"), ORDER_INTAKE)
    };
    let mut line = Line::to(&server);
    let signed = post(&legacy_signature(&tenant.secret, ORDER_INTAKE));
    let unsigned = post(&"0".repeat(64));
    assert_eq!((line.time(&signed).1, line.time(&unsigned).1), (200, 401));
    // On a busy machine noise hides a difference more often than not; noise alone seldom looks like one.
    let (mut seen, mut noise) = (0, 0);
    for _ in 0..ROUNDS {
        seen += usize::from(measure(&mut line, &unsigned, &signed).is_told());
        noise += usize::from(measure(&mut line, &unsigned, &unsigned).is_told());
        if seen > 10 && seen > 2 * noise {
            return;
        }
    }
    panic!(
        "of {ROUNDS} the measurement sees it {seen} times, and {noise} times where there is none"
    );
}

/// What it says of times that are made up: a shift is told, a tail is not.
#[test]
fn a_shift_is_told_and_a_tail_is_not() {
    let times = |shift: u64, tail: u64| -> Vec<Duration> {
        let time = |n: u64| 200 + n * 7 % 40 + shift + if n.is_multiple_of(5) { tail } else { 0 };
        (0..300).map(|n| Duration::from_micros(time(n))).collect()
    };
    let told =
        |other: &mut [Duration]| Apart::of(&mut times(0, 900), &mut times(1, 0), other).is_told();
    assert!(told(&mut times(60, 0)));
    assert!(!told(&mut times(0, 5000)));
    assert!(!told(&mut times(5, 0)));
}
