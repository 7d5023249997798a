//! Stock git behind HTTP: `/rpc` runs `git upload-pack --stateless-rpc`, `/cgi` runs `git
//! http-backend` (gitprotocol-http; git-http-backend(1)).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes read from a child at a time, and how many such pieces may wait for the client: as in the
/// product's own stream.
const CHUNK: usize = 128 * 1024;
const CHUNKS_AHEAD: usize = 2;

/// The routes over the bare repository at `bare`.
pub(crate) fn routes(bare: &Path) -> Router {
    Router::new()
        .route("/rpc/info/refs", get(rpc_advertise))
        .route("/rpc/git-upload-pack", post(rpc_answer))
        .route("/cgi/info/refs", get(cgi_advertise))
        .route("/cgi/git-upload-pack", post(cgi_answer))
        .with_state(Arc::new(bare.to_owned()))
}

type Bare = State<Arc<PathBuf>>;

/// Why git did not answer.
struct Failed(std::io::Error);

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self(error)
    }
}

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}

async fn rpc_advertise(State(bare): Bare, headers: HeaderMap) -> Result<Response, Failed> {
    let mut command = upload_pack(&bare, &headers);
    command.arg("--http-backend-info-refs").arg(&*bare);
    let (child, out) = spawn(command, Bytes::new()).await?;
    let head = Bytes::from_static(b"001e# service=git-upload-pack\n0000");
    Ok(stream(child, BufReader::new(out), head).into_response())
}

async fn rpc_answer(
    State(bare): Bare,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failed> {
    let mut command = upload_pack(&bare, &headers);
    command.arg(&*bare);
    let (child, out) = spawn(command, body).await?;
    Ok(stream(child, BufReader::new(out), Bytes::new()).into_response())
}

fn upload_pack(bare: &Path, headers: &HeaderMap) -> Command {
    let mut command = Command::new("git");
    command.arg("upload-pack").arg("--stateless-rpc").current_dir(bare);
    command.env("GIT_PROTOCOL", protocol(headers));
    command
}

fn protocol(headers: &HeaderMap) -> &str {
    headers.get("git-protocol").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn cgi_advertise(State(bare): Bare, headers: HeaderMap) -> Result<Response, Failed> {
    let mut command = backend(&bare, &headers, "/info/refs");
    command.env("REQUEST_METHOD", "GET").env("QUERY_STRING", "service=git-upload-pack");
    cgi(command, Bytes::new()).await
}

async fn cgi_answer(
    State(bare): Bare,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failed> {
    let mut command = backend(&bare, &headers, "/git-upload-pack");
    command.env("REQUEST_METHOD", "POST").env("CONTENT_LENGTH", body.len().to_string());
    command.env("CONTENT_TYPE", "application/x-git-upload-pack-request");
    cgi(command, body).await
}

fn backend(bare: &Path, headers: &HeaderMap, path: &str) -> Command {
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", bare).env("PATH_INFO", path);
    command.env("GIT_HTTP_EXPORT_ALL", "1").env("GIT_PROTOCOL", protocol(headers));
    command
}

/// The answer of a CGI program (RFC 3875): its header is read to the end; only success is expected.
async fn cgi(command: Command, body: Bytes) -> Result<Response, Failed> {
    let (child, out) = spawn(command, body).await?;
    let mut out = BufReader::with_capacity(CHUNK, out);
    let mut line = String::new();
    while out.read_line(&mut line).await? > 0 && line != "\r\n" {
        if line.starts_with("Status:") {
            return Err(std::io::Error::other(line).into());
        }
        line.clear();
    }
    Ok(stream(child, out, Bytes::new()).into_response())
}

async fn spawn(mut command: Command, body: Bytes) -> std::io::Result<(Child, ChildStdout)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let lost = || std::io::Error::other("a pipe is missing");
    let mut stdin = child.stdin.take().ok_or_else(lost)?;
    let out = child.stdout.take().ok_or_else(lost)?;
    stdin.write_all(&body).await?;
    Ok((child, out))
}

/// What the child writes, behind `head`, as fast as the client takes it.
fn stream(mut child: Child, mut out: BufReader<ChildStdout>, head: Bytes) -> Body {
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(CHUNKS_AHEAD);
    tokio::spawn(async move {
        let mut next = Ok(head);
        loop {
            let ends = next.is_err();
            if sender.send(next).await.is_err() || ends {
                break;
            }
            let mut chunk = Vec::with_capacity(CHUNK);
            next = match out.read_buf(&mut chunk).await {
                Ok(0) => break,
                read => read.map(|_| chunk.into()),
            };
        }
        drop(out);
        // Its processor time counts once it was waited for.
        let _ = child.wait().await;
    });
    Body::from_stream(ReceiverStream::new(receiver))
}
