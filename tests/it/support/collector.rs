//! An OTLP collector in this process: it answers 200 and keeps what it was sent.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// What a client sent: its request line, headers by lower-case name, and body.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// A server that answers everything with `status` and nothing more, and what it receives.
pub(crate) fn listen(status: &'static str) -> (String, mpsc::Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Some((received, mut stream)) = receive(stream.unwrap()) else { continue };
            let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            let told = tell.send(received);
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\n{end}").as_bytes());
            if told.is_err() {
                return;
            }
        }
    });
    (url, told)
}

pub(super) fn receive(stream: TcpStream) -> Option<(Received, TcpStream)> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers) = (String::new(), BTreeMap::new());
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |n: &String| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((Received { line, headers, body }, reader.into_inner()))
}

/// A span as it was exported, with what is readable as text.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) failed: bool,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// The spans of a request to a collector.
pub(crate) fn spans(received: &Received) -> Vec<Seen> {
    let export = ExportTraceServiceRequest::decode(received.body.as_slice()).unwrap();
    let mut all = Vec::new();
    for part in export.resource_spans {
        let resource = texts(&part.resource.unwrap_or_default().attributes);
        let spans = part.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| seen(span, resource.clone())));
    }
    all
}

fn seen(span: Span, resource: BTreeMap<String, String>) -> Seen {
    Seen {
        kind: span.kind,
        failed: span.status.is_some_and(|status| status.code == 2),
        trace: hex::encode(span.trace_id),
        id: hex::encode(span.span_id),
        parent: hex::encode(span.parent_span_id),
        attributes: texts(&span.attributes),
        name: span.name,
        resource,
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(holds)) => holds.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|a| (a.key.clone(), text(a))).collect()
}
