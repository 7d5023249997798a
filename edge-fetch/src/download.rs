//! One file over the network, continued where an earlier run was cut.

use std::io::{self, Read};
use std::path::PathBuf;

use colophon_trust::TargetName;

use crate::disk::{self, At, Growing};
use crate::transport::{NetworkError, Response, Resume};
use crate::{BucketUrl, Cache, Error, Transport};

/// Called with the bytes that are here and the bytes there will be.
pub(crate) type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// How large a file is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    /// As was signed.
    Exactly(u64),
    /// Not known: no honest one is larger.
    AtMost(u64),
}

impl Size {
    const fn limit(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::AtMost(bytes) => bytes,
        }
    }
}

/// A file that is to be fetched for a bundle.
pub(crate) struct Download<'a, T> {
    pub(crate) cache: &'a Cache,
    pub(crate) transport: &'a T,
    /// The bundle.
    pub(crate) name: &'a TargetName,
    /// What to ask for, relative to the tenant's URL.
    pub(crate) path: String,
    /// What its beginning is called on the disk.
    pub(crate) key: String,
    pub(crate) size: Size,
    /// The bucket that is asked in place of the server; `path` is what errors call it then.
    pub(crate) bucket: Option<&'a BucketUrl>,
}

/// What a download cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// Bytes that an earlier run had left, of a download that this run completed.
    pub(crate) resumed_from: u64,
    /// Bytes that came over the network in this run.
    pub(crate) received: u64,
}

impl<T: Transport> Download<'_, T> {
    /// What `verify` makes of the whole file. `traffic` is right after an error too.
    pub(crate) fn run<R>(
        &self,
        traffic: &mut Traffic,
        progress: &mut Progress<'_>,
        verify: impl Fn(&[u8]) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut partial = Partial::open(self.cache, &self.key, self.size)?;
        let mut continued = partial.have > 0;
        loop {
            let before = traffic.received;
            self.complete(&mut partial, traffic, progress)?;
            let verified = verify(&partial.bytes()?);
            let length = partial.have;
            partial.discard()?;
            match verified {
                Ok(result) => {
                    traffic.resumed_from = length - (traffic.received - before);
                    return Ok(result);
                }
                Err(error) if !continued => return Err(error),
                // What an earlier run left may have been damaged: once more, from the start.
                Err(_) => continued = false,
            }
        }
    }

    /// Gets what is missing. After an error, what was received stays for the next run.
    fn complete(
        &self,
        partial: &mut Partial,
        traffic: &mut Traffic,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        if partial.have > 0 && partial.missing() == 0 && matches!(self.size, Size::Exactly(_)) {
            return Ok(());
        }
        let response = self.open(partial)?;
        if let Some(announced) = response.content_length {
            self.check_announced(announced, partial.missing())?;
        }
        self.receive(response, partial, traffic, progress)
    }

    /// Asks for the rest, or for the whole when the server does not give the rest; afterwards the
    /// body continues exactly where `partial` ends.
    fn open(&self, partial: &mut Partial) -> Result<Response, Error> {
        let resume = partial.resume()?;
        let mut response = self.get(resume.as_ref(), &[200, 206, 416])?;
        if response.status == 416 {
            partial.discard()?;
            response = self.get(None, &[200])?;
        }
        match response.status {
            206 if resume.is_some() && response.range_start == Some(partial.have) => {}
            206 => {
                partial.discard()?;
                return Err(NetworkError::Range.at(&self.path));
            }
            _ => partial.restart(response.etag.as_deref())?,
        }
        Ok(response)
    }

    fn get(&self, resume: Option<&Resume>, accepted: &[u16]) -> Result<Response, Error> {
        if let Some(url) = self.bucket {
            let answer = self.transport.get_elsewhere(url, resume);
            let answer = answer.map_err(|error| error.at(&self.path))?;
            return answer.expect_elsewhere(&self.path, accepted);
        }
        let answer = self.transport.get(&self.path, resume);
        answer.map_err(|error| error.at(&self.path))?.expect(&self.path, accepted)
    }

    fn check_announced(&self, announced: u64, expected: u64) -> Result<(), Error> {
        if announced > expected {
            return Err(self.too_large());
        }
        if announced < expected && matches!(self.size, Size::Exactly(_)) {
            return Err(NetworkError::Length { announced, expected }.at(&self.path));
        }
        Ok(())
    }

    fn too_large(&self) -> Error {
        Error::TooLarge { name: self.name.clone(), limit: self.size.limit() }
    }

    /// Appends the body to the partial file. Never more than the limit is written.
    fn receive(
        &self,
        response: Response,
        partial: &mut Partial,
        traffic: &mut Traffic,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let start = partial.have;
        let total = response.content_length.map_or(self.size.limit(), |rest| start + rest);
        let cut =
            |have: u64, source| NetworkError::Cut { received: have - start, source }.at(&self.path);
        let path = partial.path.clone();
        let mut file = Growing::open(&path)?;
        let mut body = response.body;
        let mut buffer = vec![0; 64 * 1024];
        while partial.missing() > 0 {
            progress(partial.have, total);
            let room = buffer.len().min(partial.missing() as usize);
            match body.read(&mut buffer[..room]) {
                Ok(0) if matches!(self.size, Size::AtMost(_)) => break,
                Ok(0) => return Err(cut(partial.have, None)),
                Ok(count) => {
                    file.append(&buffer[..count])?;
                    partial.have += count as u64;
                    traffic.received += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cut(partial.have, Some(error))),
            }
        }
        progress(partial.have, partial.have);
        if matches!(body.read(&mut buffer[..1]), Ok(1..)) {
            partial.discard()?;
            return Err(self.too_large());
        }
        Ok(())
    }
}

/// Throws away what is here of a file that has come in another way.
pub(crate) fn discard(cache: &Cache, key: &str) -> Result<(), Error> {
    ["part", "etag"]
        .iter()
        .try_for_each(|end| disk::remove(&cache.partial().join(format!("{key}.{end}"))))
}

/// The beginning of a download, and the ETag that its rest must have. Neither is synced: what a power
/// cut damaged is noticed when the whole is verified.
struct Partial {
    path: PathBuf,
    etag_path: PathBuf,
    limit: u64,
    have: u64,
}

impl Partial {
    /// Picks up what an earlier run left, unless it cannot be continued.
    fn open(cache: &Cache, key: &str, size: Size) -> Result<Self, Error> {
        let folder = cache.partial();
        disk::make_folder_unsynced(&folder)?;
        let path = folder.join(format!("{key}.part"));
        let etag_path = folder.join(format!("{key}.etag"));
        let found = disk::absent_as_none(std::fs::metadata(&path)).at(&path)?;
        let have = found.map_or(0, |metadata| metadata.len());
        let limit = size.limit();
        let mut partial = Self { path, etag_path, limit, have };
        let whole = matches!(size, Size::Exactly(length) if have == length);
        if have > limit || (!whole && partial.etag()?.is_none()) {
            partial.discard()?;
        }
        Ok(partial)
    }

    const fn missing(&self) -> u64 {
        self.limit - self.have
    }

    fn etag(&self) -> Result<Option<String>, Error> {
        let text = disk::read(&self.etag_path)?.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.filter(|text| text.len() > 1 && text.bytes().all(|b| b.is_ascii_graphic())))
    }

    fn resume(&self) -> Result<Option<Resume>, Error> {
        if self.have == 0 {
            return Ok(None);
        }
        Ok(self.etag()?.map(|etag| Resume { offset: self.have, etag }))
    }

    fn discard(&mut self) -> Result<(), Error> {
        disk::remove(&self.path)?;
        disk::remove(&self.etag_path)?;
        self.have = 0;
        Ok(())
    }

    /// Begins again with a file whose ETag is `etag`. Only a strong one allows a range to be
    /// continued (RFC 9110 §13.1.5).
    fn restart(&mut self, etag: Option<&str>) -> Result<(), Error> {
        self.discard()?;
        match etag.filter(|etag| etag.starts_with('"')) {
            Some(etag) => Growing::open(&self.etag_path)?.append(etag.as_bytes()),
            None => Ok(()),
        }
    }

    fn bytes(&self) -> Result<Vec<u8>, Error> {
        Ok(disk::read(&self.path)?.unwrap_or_default())
    }
}
