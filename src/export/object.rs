//! Objects of an export, read piece by piece: hashed as they lie there, opened as they come where they are sealed, and
//! never whole in memory unless that is asked for.

use std::io::{self, Read, Write};

use axum::body::Bytes;
use colophon_model::{Digest, Digester, Sha256};
use sha2::Digest as _;
use tokio::sync::mpsc;

use super::envelope::{Opener, Unopened};
use super::error::ExportError;
use super::place::{Failure, Pieces};
use super::upload::Carrier;
use crate::tasks::Tasks;

/// Pieces that wait to be opened, at most. Stores give them some KiB at a time.
const WAITING: usize = 8;

/// How an object is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct How<'a> {
    /// Largest that it may be, in bytes.
    pub(super) most: u64,
    /// How much of what is in it is kept, from its beginning.
    pub(super) keep: usize,
    /// What opens it; none: it is taken as it lies there.
    pub(super) opener: Option<&'a Opener>,
}

/// An object that was read to its end.
#[derive(Debug)]
pub(super) struct Object {
    /// SHA-256 of what lies there.
    pub(super) sha256: Sha256,
    /// Length of that, in bytes.
    pub(super) length: u64,
    /// What is in it: all of it when it was opened to its end, else what came out before.
    pub(super) inside: Inside,
    /// Whether it was.
    pub(super) opened: Result<(), Unopened>,
}

/// What is in an object.
#[derive(Debug)]
pub(super) struct Inside {
    /// Its address.
    pub(super) digest: Digest,
    /// Its length, in bytes.
    pub(super) length: u64,
    /// Its first bytes.
    pub(super) first: Vec<u8>,
}

impl Inside {
    /// Whether all of it was kept.
    pub(super) const fn is_whole(&self) -> bool {
        self.first.len() as u64 == self.length
    }
}

impl Carrier<'_> {
    /// Reads an object, if it is there.
    pub(super) async fn object(
        &self,
        key: &str,
        how: How<'_>,
    ) -> Result<Option<Object>, ExportError> {
        match self.again(async || read(self, key, how).await).await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure.into_trouble(key).into()),
        }
    }
}

async fn read(carrier: &Carrier<'_>, key: &str, how: How<'_>) -> Result<Object, Failure> {
    let pieces = carrier.place.pieces(key, how.most).await?;
    match how.opener {
        None => plain(pieces, how.keep).await,
        Some(opener) => sealed(&carrier.opening, pieces, how.keep, opener.clone()).await,
    }
}

async fn plain(mut pieces: Pieces<'_>, keep: usize) -> Result<Object, Failure> {
    let (mut lying, mut taken) = (Lying::default(), Taken::keeping(keep));
    while let Some(piece) = pieces.next().await? {
        lying.take(&piece);
        taken.take(&piece);
    }
    Ok(lying.holding(taken, Ok(())))
}

/// Opening is work for another thread, which is handed the pieces as they come.
async fn sealed(
    opening: &Tasks,
    mut pieces: Pieces<'_>,
    keep: usize,
    opener: Opener,
) -> Result<Object, Failure> {
    let (to, from) = mpsc::channel(WAITING);
    let reading = async move {
        let mut lying = Lying::default();
        while let Some(piece) = pieces.next().await? {
            lying.take(&piece);
            // What cannot be opened is taken by nobody; the reason comes at the end.
            drop(to.send(piece).await);
        }
        Ok(lying)
    };
    let work = opening.resume(move || {
        let mut taken = Taken::keeping(keep);
        let done = opener.open_to(Arriving { from, piece: Bytes::new() }, &mut taken);
        (taken, done.map(drop))
    });
    let (lying, worked) = tokio::join!(reading, work);
    let failed = |error| (Taken::keeping(0), Err(Unopened::File(io::Error::other(error))));
    let (taken, outcome) = worked.unwrap_or_else(failed);
    Ok(lying?.holding(taken, outcome))
}

/// An object as it lies there, as far as it came.
#[derive(Default)]
struct Lying {
    hasher: sha2::Sha256,
    length: u64,
}

impl Lying {
    fn take(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.length += piece.len() as u64;
    }

    fn holding(self, taken: Taken, opened: Result<(), Unopened>) -> Object {
        let sha256 = Sha256::from_bytes(self.hasher.finalize().into());
        Object { sha256, length: self.length, inside: taken.end(), opened }
    }
}

/// Pieces that come from another thread, to be read.
struct Arriving {
    from: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Arriving {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(next) = self.from.blocking_recv() else { return Ok(0) };
            self.piece = next;
        }
        let count = into.len().min(self.piece.len());
        into[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// What is in an object, as far as it came.
struct Taken {
    digester: Digester,
    length: u64,
    first: Vec<u8>,
    keep: usize,
}

impl Taken {
    fn keeping(keep: usize) -> Self {
        Self { digester: Digester::default(), length: 0, first: Vec::new(), keep }
    }

    fn take(&mut self, piece: &[u8]) {
        self.digester.update(piece);
        self.length += piece.len() as u64;
        let room = self.keep - self.first.len();
        self.first.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn end(self) -> Inside {
        Inside { digest: self.digester.digest(), length: self.length, first: self.first }
    }
}

impl Write for Taken {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.take(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::envelope::{Identity, Sealer};
    use super::super::place::Place;
    use super::super::upload::Retry;
    use super::*;
    use crate::clock::SystemClock;
    use crate::config::{ExportConfig, SecretsConfig};
    use crate::export::Options;
    use crate::place::TOO_LARGE;
    use crate::secrets::Secrets;

    fn place(name: &str) -> Place {
        let secrets = Secrets::new(&SecretsConfig::default(), Arc::new(SystemClock));
        let url = format!("memory://{name}").parse().unwrap();
        Place::open(&url, &ExportConfig::default(), &Options::default(), &secrets).unwrap()
    }

    fn carrier(place: &Place) -> Carrier<'_> {
        Carrier::new(place, String::new(), 0, Retry { attempts: 1, first: Duration::ZERO })
    }

    /// What is hashed and handed on piece by piece is what hashing and opening it whole gives, at every length around a
    /// chunk of the envelope, and as much of it is kept as is wanted.
    #[tokio::test]
    async fn pieces_give_what_the_whole_gives() {
        let (place, identity) = (place("object-pieces"), Identity::from_secret([1; 32]));
        let (carrier, opener) = (carrier(&place), Opener::new([identity.clone()]));
        for length in [0_u32, 1, 65_535, 65_536, 65_537, 200_000] {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sealed = Sealer::new(&identity).seal(&plain);
            for (object, opener) in [(Bytes::from(plain.clone()), None), (sealed, Some(&opener))] {
                let key = format!("{length}/{}", opener.is_some());
                place.write(&key, object.clone()).await.map_err(|_| ()).unwrap();
                for keep in [0, 10, 1 << 20] {
                    let how = How { most: object.len() as u64, keep, opener };
                    let found = carrier.object(&key, how).await.unwrap().unwrap();
                    assert!(found.opened.is_ok(), "{key}");
                    let whole = (Sha256::of(&object), object.len() as u64);
                    assert_eq!((found.sha256, found.length), whole, "{key}");
                    let inside = found.inside;
                    assert_eq!(inside.digest, Digest::of(&plain), "{key}");
                    assert_eq!(inside.length, plain.len() as u64, "{key}");
                    assert_eq!(inside.first, plain[..keep.min(plain.len())], "{key}");
                    assert_eq!(inside.is_whole(), keep >= plain.len(), "{key}");
                }
            }
        }
    }

    /// What cannot be opened is hashed to its end all the same; what is larger than it may be is not read on.
    #[tokio::test]
    async fn what_is_not_good_is_told_apart() {
        let (place, identity) = (place("object-bad"), Identity::from_secret([1; 32]));
        let (carrier, opener) = (carrier(&place), Opener::new([identity.clone()]));
        let sealed = Sealer::new(&identity).seal(&vec![7; 3 << 20]);
        let cut = sealed.slice(..sealed.len() - 100_000);
        let other = Sealer::new(&Identity::from_secret([2; 32])).seal(&vec![7; 3 << 20]);
        for (key, object) in [("cut", &cut), ("other", &other), ("none", &vec![7; 3 << 20].into())]
        {
            place.write(key, object.clone()).await.map_err(|_| ()).unwrap();
            let how = How { most: u64::MAX, keep: 0, opener: Some(&opener) };
            let found = carrier.object(key, how).await.unwrap().unwrap();
            assert_eq!(found.sha256, Sha256::of(object), "{key}");
            let good = match found.opened {
                Err(Unopened::Damaged) => key == "cut",
                Err(Unopened::NoKey) => key == "other",
                Err(Unopened::NotSealed) => key == "none",
                _ => false,
            };
            assert!(good, "{key}");
            let little = How { most: object.len() as u64 - 1, ..how };
            assert_eq!(carrier.object(key, little).await.unwrap_err().code(), TOO_LARGE, "{key}");
        }
        let how = How { most: 1, keep: 0, opener: None };
        assert!(carrier.object("nothing", how).await.unwrap().is_none());
    }
}
