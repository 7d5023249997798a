//! Bundles by hash: from the cache, or from the network, continuing where a download was cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use colophon_model::Sha256;
use colophon_trust::{TargetFile, TargetName};

use crate::disk::{self, At};
use crate::transport::{NetworkError, Response, Resume};
use crate::{Cache, Error, Transport};

/// Called with the bytes that are here and the bytes there will be.
pub(crate) type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// A zip with the signed length and hash.
#[derive(Debug)]
pub(crate) struct VerifiedZip {
    pub(crate) bytes: Vec<u8>,
    /// Bytes that an earlier run had left, of a download that this run completed.
    pub(crate) resumed_from: u64,
    /// Bytes that came over the network in this run.
    pub(crate) downloaded: u64,
}

pub(crate) struct Download<'a, T> {
    pub(crate) cache: &'a Cache,
    pub(crate) transport: &'a T,
    pub(crate) name: &'a TargetName,
    pub(crate) file: &'a TargetFile,
}

impl<T: Transport> Download<'_, T> {
    /// The bundle's zip, verified, and kept in the cache.
    pub(crate) fn run(&self, progress: &mut Progress<'_>) -> Result<VerifiedZip, Error> {
        if let Some(bytes) = self.cached()? {
            return Ok(VerifiedZip { bytes, resumed_from: 0, downloaded: 0 });
        }
        let mut partial = Partial::open(self.cache, self.file)?;
        let mut continued = partial.have > 0;
        let mut downloaded = 0;
        loop {
            let received = self.complete(&mut partial, progress)?;
            downloaded += received;
            if let Some(bytes) = partial.verified()? {
                self.keep(&partial)?;
                let resumed_from = self.file.length - received;
                return Ok(VerifiedZip { bytes, resumed_from, downloaded });
            }
            partial.discard()?;
            if !continued {
                return Err(Error::HashMismatch { name: self.name.clone() });
            }
            // What an earlier run left may have been damaged: once more, from the start.
            continued = false;
        }
    }

    /// The zip in the cache, if it still is what was put there; otherwise it is thrown away.
    fn cached(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.cache.object(&self.file.sha256);
        match disk::read(&path)? {
            Some(bytes) if Sha256::of(&bytes) == self.file.sha256 => Ok(Some(bytes)),
            Some(_) => disk::remove(&path).map(|()| None),
            None => Ok(None),
        }
    }

    fn keep(&self, partial: &Partial) -> Result<(), Error> {
        let object = self.cache.object(&self.file.sha256);
        object.parent().map_or(Ok(()), disk::make_folder)?;
        disk::rename(&partial.path, &object)?;
        disk::remove(&partial.etag_path)
    }

    /// Gets what is missing; the number of bytes received. After an error, what was received stays
    /// for the next run.
    fn complete(&self, partial: &mut Partial, progress: &mut Progress<'_>) -> Result<u64, Error> {
        if partial.have > 0 && partial.missing() == 0 {
            return Ok(0);
        }
        let path = format!("targets/{}", self.name.file_name(&self.file.sha256));
        let response = self.open(&path, partial)?;
        if let Some(announced) = response.content_length {
            self.check_announced(&path, announced, partial.missing())?;
        }
        self.receive(&path, response, partial, progress)
    }

    /// Asks for the rest, or for the whole when the server does not give the rest; afterwards the
    /// body continues exactly where `partial` ends.
    fn open(&self, path: &str, partial: &mut Partial) -> Result<Response, Error> {
        let resume = partial.resume()?;
        let mut response = self.get(path, resume.as_ref(), &[200, 206, 416])?;
        if response.status == 416 {
            partial.discard()?;
            response = self.get(path, None, &[200])?;
        }
        match response.status {
            206 if resume.is_some() && response.range_start == Some(partial.have) => {}
            206 => {
                partial.discard()?;
                return Err(NetworkError::Range.at(path));
            }
            _ => partial.restart(response.etag.as_deref())?,
        }
        Ok(response)
    }

    fn get(
        &self,
        path: &str,
        resume: Option<&Resume>,
        accepted: &[u16],
    ) -> Result<Response, Error> {
        self.transport.get(path, resume).map_err(|error| error.at(path))?.expect(path, accepted)
    }

    fn check_announced(&self, path: &str, announced: u64, expected: u64) -> Result<(), Error> {
        if announced > expected {
            return Err(self.too_large());
        }
        if announced < expected {
            return Err(NetworkError::Length { announced, expected }.at(path));
        }
        Ok(())
    }

    fn too_large(&self) -> Error {
        Error::TooLarge { name: self.name.clone(), limit: self.file.length }
    }

    /// Appends the body to the partial file. Never more than the signed length is written.
    fn receive(
        &self,
        path: &str,
        response: Response,
        partial: &mut Partial,
        progress: &mut Progress<'_>,
    ) -> Result<u64, Error> {
        let start = partial.have;
        let cut = |have: u64, source| NetworkError::Cut { received: have - start, source }.at(path);
        let mut file = partial.append()?;
        let mut body = response.body;
        let mut buffer = vec![0; 64 * 1024];
        while partial.missing() > 0 {
            progress(partial.have, self.file.length);
            let room = buffer.len().min(partial.missing() as usize);
            match body.read(&mut buffer[..room]) {
                Ok(0) => return Err(cut(partial.have, None)),
                Ok(count) => {
                    file.write_all(&buffer[..count]).at(&partial.path)?;
                    partial.have += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cut(partial.have, Some(error))),
            }
        }
        progress(partial.have, self.file.length);
        if matches!(body.read(&mut buffer[..1]), Ok(1..)) {
            partial.discard()?;
            return Err(self.too_large());
        }
        file.sync_all().at(&partial.path)?;
        Ok(partial.have - start)
    }
}

/// The beginning of a download, and the ETag that its rest must have.
struct Partial {
    path: PathBuf,
    etag_path: PathBuf,
    sha256: Sha256,
    length: u64,
    have: u64,
}

impl Partial {
    /// Picks up what an earlier run left, unless it cannot be continued.
    fn open(cache: &Cache, file: &TargetFile) -> Result<Self, Error> {
        let folder = cache.partial();
        disk::make_folder(&folder)?;
        let (sha256, length) = (file.sha256, file.length);
        let path = folder.join(format!("{sha256}.part"));
        let etag_path = folder.join(format!("{sha256}.etag"));
        let found = disk::absent_as_none(std::fs::metadata(&path)).at(&path)?;
        let have = found.map_or(0, |metadata| metadata.len());
        let mut partial = Self { path, etag_path, sha256, length, have };
        if have > length || (have < length && partial.etag()?.is_none()) {
            partial.discard()?;
        }
        Ok(partial)
    }

    const fn missing(&self) -> u64 {
        self.length - self.have
    }

    fn etag(&self) -> Result<Option<String>, Error> {
        Ok(disk::read(&self.etag_path)?.and_then(|bytes| String::from_utf8(bytes).ok()))
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
            Some(etag) => disk::replace(&self.etag_path, etag.as_bytes()),
            None => Ok(()),
        }
    }

    fn append(&self) -> Result<File, Error> {
        OpenOptions::new().create(true).append(true).open(&self.path).at(&self.path)
    }

    /// The bytes, when they are the signed ones.
    fn verified(&self) -> Result<Option<Vec<u8>>, Error> {
        let bytes = disk::read(&self.path)?.unwrap_or_default();
        Ok((Sha256::of(&bytes) == self.sha256).then_some(bytes))
    }
}
