//! The server, asked with a token that may read the repository.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use colophon_gitbridge::{
    Part, TakeError, Taken, TakenLimits, objects_request, parse_objects, parse_refs, refs_request,
    visible,
};
use colophon_model::{Oid, TenantBranch, TenantSlug};
use serde::Deserialize;
use ureq::http::{Response, header};
use ureq::{Agent, Body};

use super::{Fault, Network, ServerUrl};
use crate::clock::SystemClock;
use crate::config::SecretsConfig;
use crate::http::chain;
use crate::secrets::{Secret, SecretRef, Secrets};

/// How much of an error, and of the branch's tip, is read.
const WORDS: u64 = 16 << 10;
/// How much of a list of refs is read.
const REFS: u64 = 32 << 20;
/// What packets add to a pack at most: a sixteenth would be plenty.
const PACKETS: u64 = 32 << 20;

/// Where the branch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tip {
    /// Where it was known to stand.
    Unmoved,
    /// At this commit.
    At(Oid),
}

/// Where versions come from.
pub trait Source {
    /// The branch's tip, unless it is `known`.
    ///
    /// # Errors
    /// When the source cannot be asked, or refuses.
    fn tip(&mut self, known: Option<Oid>) -> Result<Tip, Fault>;

    /// The commit behind a ref, by its full name or as Git shortens it.
    ///
    /// # Errors
    /// When the source cannot be asked, or refuses.
    fn find(&mut self, name: &str) -> Result<Option<Oid>, Fault>;

    /// Objects by id, into `taken`.
    ///
    /// # Errors
    /// When the source cannot be asked, refuses, or answers what cannot be used.
    fn objects(&mut self, wants: &[Oid], part: Part, taken: &mut Taken) -> Result<(), Fault>;
}

/// A tenant's repository at a server.
pub struct Remote {
    agent: Agent,
    server: ServerUrl,
    tenant: TenantSlug,
    secrets: Secrets,
    from: SecretRef,
}

#[derive(Deserialize)]
struct Branch {
    r#ref: String,
    oid: Oid,
}

#[derive(Deserialize, Default)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

/// One request, made again when the token is another one by now.
enum Ask<'a> {
    Tip(Option<Oid>),
    Git(&'a [u8]),
}

impl Remote {
    /// The repository of `tenant`; `from` says where the token is, which is read for every request.
    ///
    /// # Errors
    /// [`Fault::Usage`] when the way to the server cannot be used.
    pub fn new(
        server: ServerUrl,
        tenant: TenantSlug,
        network: &Network,
        from: SecretRef,
    ) -> Result<Self, Fault> {
        let agent = network.agent(&server)?;
        let secrets = Secrets::new(&SecretsConfig::default(), Arc::new(SystemClock));
        Ok(Self { agent, server, tenant, secrets, from })
    }

    fn send(&self, ask: &Ask<'_>) -> Result<Response<Body>, Fault> {
        let unread =
            |error: crate::secrets::SecretError| Fault::Usage(format!("the token: {error}"));
        let secret = self.secrets.read(&self.from).map_err(unread)?;
        let response = self.call(ask, &secret)?;
        if response.status().as_u16() != 401 {
            return Ok(response);
        }
        match self.secrets.read_anew(&self.from) {
            Ok(anew) if anew != secret => self.call(ask, &anew),
            _ => Ok(response),
        }
    }

    fn call(&self, ask: &Ask<'_>, secret: &Secret) -> Result<Response<Body>, Fault> {
        let (server, tenant) = (&self.server, &self.tenant);
        let sent = match ask {
            Ask::Tip(known) => {
                let mut request = self.agent.get(format!("{server}/branches/tenant/{tenant}"));
                if let Some(oid) = known {
                    request = request.header(header::IF_NONE_MATCH, format!("\"{oid}\""));
                }
                request.header(header::AUTHORIZATION, secret.bearer()).call()
            }
            Ask::Git(body) => self
                .agent
                .post(format!("{server}/git/{tenant}.git/git-upload-pack"))
                .header(header::AUTHORIZATION, secret.bearer())
                .header(header::CONTENT_TYPE, "application/x-git-upload-pack-request")
                .header(header::ACCEPT, "application/x-git-upload-pack-result")
                .header("git-protocol", "version=2")
                .send(*body),
        };
        sent.map_err(|error| {
            Fault::Unreachable(format!("the server at {server} did not answer: {}", chain(&error)))
        })
    }

    /// The body of a Git answer.
    fn git(&self, body: &[u8], most: u64) -> Result<Vec<u8>, Fault> {
        let response = judged(self.send(&Ask::Git(body))?)?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "application/x-git-upload-pack-result") {
            return Err(no_server());
        }
        read(response.into_body(), most)
    }
}

impl Source for Remote {
    fn tip(&mut self, known: Option<Oid>) -> Result<Tip, Fault> {
        let response = self.send(&Ask::Tip(known))?;
        if response.status().as_u16() == 304 && known.is_some() {
            return Ok(Tip::Unmoved);
        }
        let body = read(judged(response)?.into_body(), WORDS)?;
        let branch: Branch = serde_json::from_slice(&body).map_err(|_| no_server())?;
        if branch.r#ref != TenantBranch::new(self.tenant.clone()).full_name() {
            return Err(no_server());
        }
        Ok(Tip::At(branch.oid))
    }

    fn find(&mut self, name: &str) -> Result<Option<Oid>, Fault> {
        let full = [name.to_owned(), format!("refs/tags/{name}"), format!("refs/heads/{name}")];
        let request = refs_request(&full.each_ref().map(String::as_str));
        let refs = parse_refs(&self.git(&request, REFS)?)?;
        let found = full.iter().find_map(|full| refs.iter().find(|found| found.name == *full));
        Ok(found.map(|found| found.oid))
    }

    fn objects(&mut self, wants: &[Oid], part: Part, taken: &mut Taken) -> Result<(), Fault> {
        let limits = TakenLimits::default();
        let body = self.git(&objects_request(wants, part), limits.total + PACKETS)?;
        Ok(parse_objects(&body, &limits, taken)?)
    }
}

fn read(body: Body, most: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = body.into_reader().take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| Fault::Unreachable(format!("the answer was cut: {}", chain(&error))))?;
    if bytes.len() as u64 > most {
        return Err(TakeError::TooMuch { what: "bytes", most }.into());
    }
    Ok(bytes)
}

/// An answer that is none of refusal or failure.
fn judged(response: Response<Body>) -> Result<Response<Body>, Fault> {
    let status = response.status().as_u16();
    if status == 200 {
        return Ok(response);
    }
    if (300..400).contains(&status) {
        return Err(Fault::NoServer(format!(
            "the server sends us elsewhere (status {status}), where the token is not sent"
        )));
    }
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let Problem { code, detail } = problem(response.into_body());
    match status {
        401 | 403 | 404 => {
            let said = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            Err(Fault::Refused {
                status,
                code,
                words: format!("the server refuses (status {status}){said}"),
            })
        }
        _ => {
            let words = if detail.is_empty() { detail } else { format!(": {detail}") };
            let retry_after = retry_after.map(Duration::from_secs);
            Err(Fault::Busy { status, words, retry_after })
        }
    }
}

fn problem(body: Body) -> Problem {
    let bytes = read(body, WORDS).unwrap_or_default();
    let Problem { code, detail } = serde_json::from_slice(&bytes).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c == '-';
    let code = if code.chars().all(plain) { code } else { String::new() };
    Problem { code, detail: visible(detail.as_bytes()) }
}

fn no_server() -> Fault {
    Fault::NoServer("what answers is no colophon server, or a sign-in page in between".to_owned())
}
