//! tough and sigstore-tuf: refresh from a pinned root, download one target, say what came.
//!
//! usage: tuf-clients tough|sigstore URL TENANT TOKEN ROOT CLIENT_DIR TARGET
//!
//! The bytes go to `CLIENT_DIR/target`, the version that is signed about them to standard output. What
//! was verified is kept in `CLIENT_DIR` for the next run.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use sigstore_tuf::transport::{FetchFuture, Repository};
use tough::{
    IntoVec as _, RepositoryLoader, Transport, TransportError, TransportErrorKind, TransportStream,
};
use url::Url;

/// Longest answer that is read.
const MOST: u64 = 64 << 20;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [client, url, tenant, token, root, dir, target] = arguments.as_slice() else {
        bail!("usage: tuf-clients tough|sigstore URL TENANT TOKEN ROOT CLIENT_DIR TARGET");
    };
    std::fs::create_dir_all(dir)?;
    let server = Server { base: format!("{url}/v1/t/{tenant}/"), token: token.clone() };
    let root = std::fs::read(root)?;
    let run = async {
        match client.as_str() {
            "tough" => with_tough(server, &root, Path::new(dir), target).await,
            "sigstore" => with_sigstore(server, &root, Path::new(dir), target).await,
            other => bail!("there is no client `{other}`"),
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (bytes, custom) = runtime.block_on(run)?;
    std::fs::write(Path::new(dir).join("target"), bytes)?;
    println!("{}", custom["colophon"]["version"].as_str().context("no version is signed")?);
    Ok(())
}

type Got = (Vec<u8>, serde_json::Value);

async fn with_tough(server: Server, root: &[u8], dir: &Path, target: &str) -> anyhow::Result<Got> {
    let at = |folder: &str| Url::parse(&format!("{}{folder}/", server.base));
    let (metadata, targets) = (at("tuf")?, at("targets")?);
    let datastore = dir.join("tough");
    std::fs::create_dir_all(&datastore)?;
    let loader = RepositoryLoader::new(&root, metadata, targets);
    let repository = loader.transport(server).datastore(datastore).load().await?;
    let name = tough::TargetName::new(target)?;
    let found = repository.all_targets().find(|(found, _)| **found == name);
    let custom = serde_json::to_value(&found.context("the target is not listed")?.1.custom)?;
    let bytes = repository.read_target(&name).await?.context("the target is not there")?;
    Ok((bytes.into_vec().await?, custom))
}

async fn with_sigstore(
    server: Server,
    root: &[u8],
    dir: &Path,
    target: &str,
) -> anyhow::Result<Got> {
    let store = sigstore_tuf::cache::FileStore::new(dir.join("sigstore"));
    let mut updater = sigstore_tuf::client::Updater::new(server, root)?.with_store(store);
    let now = jiff::Timestamp::now();
    updater.refresh(now).await?;
    let found = updater.get_target_info(target, now).await?.context("the target is not listed")?;
    let custom = serde_json::to_value(&found.custom)?;
    Ok((updater.get_target(target, now).await?, custom))
}

/// The server, with a token that neither client can send by itself.
#[derive(Clone)]
struct Server {
    base: String,
    token: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.base)
    }
}

impl Server {
    /// The file at `url`; `None` when there is none.
    fn get(&self, url: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let request = ureq::get(url).header("authorization", format!("Bearer {}", self.token));
        match request.call() {
            Ok(mut answer) => Ok(Some(answer.body_mut().with_config().limit(MOST).read_to_vec()?)),
            Err(ureq::Error::StatusCode(404)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait::async_trait]
impl Transport for Server {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        match self.get(url.as_str()) {
            Ok(Some(bytes)) => Ok(Box::pin(futures_util::stream::iter([Ok::<_, TransportError>(
                Bytes::from(bytes),
            )]))),
            Ok(None) => Err(TransportError::new(TransportErrorKind::FileNotFound, url)),
            Err(cause) => {
                Err(TransportError::new_with_cause(TransportErrorKind::Other, url, cause))
            }
        }
    }
}

impl Server {
    fn fetch_bounded(&self, path: String, most: u64) -> FetchFuture<'_> {
        Box::pin(async move {
            match self.get(&format!("{}{path}", self.base)) {
                Ok(Some(bytes)) if bytes.len() as u64 > most => {
                    Err(sigstore_tuf::error::Error::transport("the answer is too long"))
                }
                Ok(found) => Ok(found),
                Err(error) => Err(sigstore_tuf::error::Error::transport(format!("{error:#}"))),
            }
        })
    }
}

impl Repository for Server {
    fn fetch_metadata<'a>(&'a self, name: &'a str, most: u64) -> FetchFuture<'a> {
        self.fetch_bounded(format!("tuf/{name}"), most)
    }

    fn fetch_target<'a>(&'a self, path: &'a str, most: u64) -> FetchFuture<'a> {
        self.fetch_bounded(format!("targets/{path}"), most)
    }
}
