//! A flow's secrets: the ciphertext that is signed for it is kept as an object, and decrypted in memory
//! when the flow runs. It comes and goes by itself, without a generation.

use colophon_model::{Digest, FlowId, Sha256};
use colophon_trust::{EnvFile, EnvName, Environment, InvalidEnvironment};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::identity::{DeviceKey, Unopened};
use crate::objects::Objects;
use crate::refresh;
use crate::{Cache, Error, Exit, Transport};

/// How the environment that is offered compares with the one here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvOffer {
    /// There is none, there and here.
    None,
    /// It is the one here.
    Current(EnvFile),
    /// It is newer, or none is here.
    Update(EnvFile),
    /// There is none any more.
    Removed,
}

impl EnvOffer {
    /// What is signed about it, if there is one.
    pub const fn file(&self) -> Option<&EnvFile> {
        match self {
            Self::Current(file) | Self::Update(file) => Some(file),
            Self::None | Self::Removed => None,
        }
    }

    /// Whether applying it changes anything.
    pub const fn is_news(&self) -> bool {
        matches!(self, Self::Update(_) | Self::Removed)
    }
}

/// What is wrong with a flow's environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvFlaw {
    /// An older one than the one here was offered.
    #[error("it went back from sequence number {here} to {offered}")]
    Rollback {
        /// The number of the one here.
        here: u64,
        /// The offered number.
        offered: u64,
    },
    /// Two were signed under one number.
    #[error("another one was signed under the same sequence number {seq}")]
    Fork {
        /// The number of both.
        seq: u64,
    },
    /// What was sent is not what was signed.
    #[error("what the server sent does not have the signed length and hash")]
    Hash,
    /// What is on the disk is not what was signed.
    #[error("the ciphertext on the disk is missing, or not the one that was signed")]
    Damaged,
    /// This device has no key.
    #[error("this device has no key to decrypt it")]
    NoKey,
    /// It cannot be decrypted.
    #[error(transparent)]
    Unopened(#[from] Unopened),
    /// It was decrypted, and holds no environment.
    #[error("what was decrypted is no environment: {0}")]
    Invalid(#[from] InvalidEnvironment),
}

impl EnvFlaw {
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Rollback { .. } => Exit::Rollback,
            Self::Fork { .. } | Self::Hash | Self::Damaged => Exit::Verification,
            Self::NoKey | Self::Unopened(_) | Self::Invalid(_) => Exit::Secrets,
        }
    }

    pub(crate) const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Rollback { .. } | Self::Fork { .. } | Self::Hash => None,
            Self::Damaged => Some("`edge-fetch apply` fetches it again"),
            Self::NoKey | Self::Unopened(Unopened::NotForThisDevice) => Some(
                "give the line that `edge-fetch recipient` prints to whoever sets the secrets, have \
                 them encrypted for it too, and run `edge-fetch apply`",
            ),
            Self::Unopened(Unopened::Broken(_)) | Self::Invalid(_) => {
                Some("have the secrets set again: `colophon edge env set`")
            }
        }
    }
}

/// `flows/<flow>/env.json`: what is here of a flow's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct EnvState {
    /// The highest number that was ever applied.
    seq: u64,
    /// What is in use.
    current: Option<Kept>,
    /// What was fetched and not applied.
    #[serde(default)]
    fetched: Option<Kept>,
}

/// A ciphertext among the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    sha256: Sha256,
    digest: Digest,
}

/// The environment of one flow on this machine.
pub(crate) struct Environments<'a> {
    cache: &'a Cache,
    flow: &'a FlowId,
}

impl<'a> Environments<'a> {
    pub(crate) const fn of(cache: &'a Cache, flow: &'a FlowId) -> Self {
        Self { cache, flow }
    }

    /// Compares what is offered with what is here.
    pub(crate) fn compare(&self, offered: Option<&EnvFile>) -> Result<EnvOffer, Error> {
        let state = self.state()?;
        let Some(file) = offered else {
            return Ok(state.current.map_or(EnvOffer::None, |_| EnvOffer::Removed));
        };
        let (here, offered) = (state.seq, file.custom.seq);
        if offered < here {
            return Err(self.flawed(EnvFlaw::Rollback { here, offered }));
        }
        match state.current {
            Some(kept) if offered == here && kept.sha256 == file.sha256 => {
                Ok(EnvOffer::Current(file.clone()))
            }
            Some(_) if offered == here => Err(self.flawed(EnvFlaw::Fork { seq: offered })),
            _ => Ok(EnvOffer::Update(file.clone())),
        }
    }

    /// Downloads and verifies what is offered, if it is not here.
    pub(crate) fn fetch(&self, transport: &impl Transport, offer: &EnvOffer) -> Result<(), Error> {
        let Some(file) = offer.file() else { return Ok(()) };
        let mut state = self.state()?;
        if self.held(&state, file)?.is_some() {
            return Ok(());
        }
        let bytes = download(transport, file)?;
        let kept = Kept { sha256: file.sha256, digest: Digest::of(&bytes) };
        Objects::of(self.cache).keep(&kept.digest, &bytes)?;
        state.fetched = Some(kept);
        self.write(&state)
    }

    /// Takes what is offered into use; true when that changed anything. It was fetched before.
    pub(crate) fn install(&self, offer: &EnvOffer) -> Result<bool, Error> {
        let state = self.state()?;
        let next = match offer.file() {
            None => EnvState { current: None, fetched: None, ..state },
            Some(file) => {
                let kept = self.held(&state, file)?;
                let kept = kept.ok_or_else(|| self.flawed(EnvFlaw::Damaged))?;
                EnvState { seq: file.custom.seq, current: Some(kept), fetched: None }
            }
        };
        let changed = next.current != state.current || next.seq != state.seq;
        if next != state {
            self.write(&next)?;
        }
        Ok(changed)
    }

    /// Decrypts what is in use; none when the flow has none.
    pub(crate) fn open(&self) -> Result<Option<Environment>, Error> {
        let state = self.state()?;
        let Some(kept) = state.current else { return Ok(None) };
        let ciphertext = Objects::of(self.cache).read(&kept.digest)?;
        let genuine = ciphertext.filter(|bytes| Sha256::of(bytes) == kept.sha256);
        let ciphertext = genuine.ok_or_else(|| self.flawed(EnvFlaw::Damaged))?;
        if self.is_contradicted(state.seq, &kept)? {
            return Err(self.flawed(EnvFlaw::Damaged));
        }
        let key = DeviceKey::find(self.cache)?.ok_or_else(|| self.flawed(EnvFlaw::NoKey))?;
        let plaintext = key.open(&ciphertext).map_err(|flaw| self.flawed(flaw.into()))?;
        Environment::parse(&plaintext).map(Some).map_err(|flaw| self.flawed(flaw.into()))
    }

    /// The objects that must stay.
    pub(crate) fn objects(&self) -> Result<impl Iterator<Item = Digest>, Error> {
        let EnvState { current, fetched, .. } = self.state()?;
        Ok([current, fetched].into_iter().flatten().map(|kept| kept.digest))
    }

    /// Whether another ciphertext is signed under this number.
    fn is_contradicted(&self, seq: u64, kept: &Kept) -> Result<bool, Error> {
        let Some(targets) = refresh::stored(self.cache)? else { return Ok(false) };
        let mut files = targets.envs().values();
        let signed = files.find(|file| file.custom.flow == *self.flow && file.custom.seq == seq);
        Ok(signed.is_some_and(|file| file.sha256 != kept.sha256))
    }

    /// What is here of a signed file, when its bytes still are.
    fn held(&self, state: &EnvState, file: &EnvFile) -> Result<Option<Kept>, Error> {
        let mut known = [state.current, state.fetched].into_iter().flatten();
        let Some(kept) = known.find(|kept| kept.sha256 == file.sha256) else { return Ok(None) };
        let bytes = Objects::of(self.cache).read(&kept.digest)?;
        Ok(bytes.filter(|bytes| Sha256::of(bytes) == file.sha256).map(|_| kept))
    }

    fn state(&self) -> Result<EnvState, Error> {
        let path = self.path();
        let Some(bytes) = disk::read(&path)? else { return Ok(EnvState::default()) };
        serde_json::from_slice(&bytes).map_err(|source| Error::Disk { path, source: source.into() })
    }

    fn write(&self, state: &EnvState) -> Result<(), Error> {
        disk::make_folder(&self.cache.flow(self.flow))?;
        let text = serde_json::to_vec(state).expect("a state has only string keys");
        disk::replace(&self.path(), &text)
    }

    fn path(&self) -> std::path::PathBuf {
        self.cache.flow(self.flow).join("env.json")
    }

    fn flawed(&self, source: EnvFlaw) -> Error {
        flawed(self.flow, source)
    }
}

/// Decrypts what a flow is given when it runs: values by the name of the variable. None when it has no
/// environment. Nothing of it is written anywhere.
///
/// # Errors
/// [`Error::Environment`] when it is not the one that was signed, or this device cannot decrypt it.
pub fn environment(cache: &Cache, flow: &FlowId) -> Result<Option<Environment>, Error> {
    Environments::of(cache, flow).open()
}

/// The bytes that were signed.
pub(crate) fn download(transport: &impl Transport, file: &EnvFile) -> Result<Vec<u8>, Error> {
    file.check_limits()?;
    let name = EnvName::new(file.custom.slug.clone(), file.custom.flow.clone());
    let path = format!("targets/{}", name.file_name(&file.sha256));
    let answer = transport.get(&path, None).map_err(|error| error.at(&path))?;
    let bytes = answer.expect(&path, &[200])?.read_up_to(&path, file.length)?;
    if bytes.len() as u64 == file.length && Sha256::of(&bytes) == file.sha256 {
        return Ok(bytes);
    }
    Err(flawed(&file.custom.flow, EnvFlaw::Hash))
}

fn flawed(flow: &FlowId, source: EnvFlaw) -> Error {
    Error::Environment { flow: flow.clone(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use colophon_trust::limits::MAX_ENVIRONMENT;
    use colophon_trust::{EnvFacts, EnvKind, FactsSchema};

    use super::*;
    use crate::{NetworkError, Response, Resume};

    /// A network that must not be used.
    struct NoNetwork;

    impl Transport for NoNetwork {
        fn get(&self, path: &str, _: Option<&Resume>) -> Result<Response, NetworkError> {
            panic!("asked for {path}");
        }
    }

    /// The limit holds even for what is correctly signed, and before the first request.
    #[test]
    fn one_over_the_limit_is_not_downloaded() {
        let (slug, flow) = ("acme".parse().unwrap(), "order".parse().unwrap());
        let custom = EnvFacts { schema: FactsSchema, kind: EnvKind::Env, slug, flow, seq: 1 };
        let length = MAX_ENVIRONMENT + 1;
        let file = EnvFile { length, sha256: Sha256::of(b""), custom };
        assert_eq!(download(&NoNetwork, &file).unwrap_err().exit(), Exit::TooLarge);
    }
}
