//! A pack on its way to a Git client, as fast as the client takes it and no faster.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use colophon_gitbridge::PackStream;
use colophon_model::TenantUid;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

use super::chain;
use crate::app::{App, SharedApp};
use crate::fair::Share;
use crate::projection::TenantLog;
use crate::turnstile::Passage;

/// Bytes that are read in one go, of one snapshot. An answer that is no longer needs no stream.
const CHUNK: usize = 128 * 1024;

/// A piece of a pack, which may begin just before a chunk is full.
const PIECE: usize = 64 * 1024;

/// Chunks that may wait for a slow reader.
const CHUNKS_AHEAD: usize = 2;

/// An answer that has begun.
pub(super) struct Answer {
    /// Whose it is.
    pub(super) uid: TenantUid,
    /// What is made of it so far.
    pub(super) head: Vec<u8>,
    /// What follows it, shared with other answers.
    pub(super) refs: Vec<Bytes>,
    /// Whether there is a pack in it.
    pub(super) has_pack: bool,
    /// What is still to be made.
    pub(super) pack: Option<PackStream>,
}

impl Answer {
    /// Whether it is a pack, all of which is there.
    pub(super) const fn is_whole_pack(&self) -> bool {
        self.has_pack && self.pack.is_none()
    }

    /// Makes the next chunk of the answer, behind what is in `head`. The pack is gone after its end.
    pub(super) fn fill(&mut self, app: &App) -> Result<(), StreamError> {
        let turn = app.press.objects.turn();
        let view = app.press.store.view()?;
        let log = TenantLog::new(&view, self.uid);
        let log = app.press.objects.over(turn, *self.uid.as_bytes(), &log);
        while let Some(pack) = self.pack.as_mut().filter(|_| self.head.len() < CHUNK) {
            if !pack.next_into(&log, &mut self.head)? {
                self.pack = None;
            }
        }
        Ok(())
    }

    /// The body of the answer. It reads chunk by chunk, each in a snapshot of its own, so that a slow
    /// reader pins nothing; its place among the tenant's requests is kept to the end.
    pub(super) fn body(self, app: SharedApp, passage: Passage) -> Body {
        if self.pack.is_none() {
            return whole(self.head, self.refs);
        }
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let whole = Arc::new(AtomicBool::new(false));
        let ended = whole.clone();
        tokio::spawn(async move {
            let _passage = passage;
            match run(&app, self, &sender).await {
                Ok(()) => whole.store(true, Ordering::Release),
                Err(cut) => tell(&sender, cut, app.config.git.idle.get()).await,
            }
        });
        Body::from_stream(ReceiverStream::new(receiver).map(Ok).chain(cut_unless(ended)))
    }
}

/// The body of an answer that is all there.
pub(super) fn whole(head: Vec<u8>, refs: Vec<Bytes>) -> Body {
    if refs.is_empty() {
        return Body::from(head);
    }
    let parts = std::iter::once(head.into()).chain(refs);
    Body::from_stream(tokio_stream::iter(parts.map(Ok::<_, Infallible>)))
}

type Sender = mpsc::Sender<Bytes>;

/// Ends a body in error unless it is whole, so that the connection is cut and no client can take a
/// part for the whole. It does not go through the channel, which a client that takes nothing has filled.
fn cut_unless(whole: Arc<AtomicBool>) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    let cut = move || {
        let cut = !whole.swap(true, Ordering::Acquire);
        cut.then(|| Err(std::io::Error::other("the pack was not sent to its end")))
    };
    tokio_stream::iter(std::iter::from_fn(cut))
}

/// Why an answer ended early, and what the client can be told of it.
enum Cut {
    /// The client is gone, or takes nothing.
    Client(&'static str),
    /// The rest could not be made.
    Server(Vec<u8>, StreamError),
}

/// Why the rest of a pack could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error(transparent)]
    Store(#[from] colophon_store::Error),
    #[error(transparent)]
    Git(#[from] colophon_gitbridge::Error),
    #[error(transparent)]
    Task(#[from] crate::tasks::TaskError),
}

async fn run(app: &SharedApp, mut answer: Answer, sender: &Sender) -> Result<(), Cut> {
    let limits = &app.config.git;
    let end = Instant::now() + limits.longest.get();
    loop {
        let chunk = Bytes::from(std::mem::take(&mut answer.head));
        send(sender, chunk, limits.idle.get(), end).await?;
        if answer.pack.is_none() {
            return Ok(());
        }
        let reader = app.clone();
        // Room for all of it, so that nothing is moved while it grows.
        answer.head.reserve_exact(CHUNK + PIECE);
        let share = Share::Tenant(answer.uid);
        let filled = app.reads.resume_for(share, move || {
            let filled = answer.fill(&reader);
            (answer, filled)
        });
        let (next, filled) = filled.await.map_err(|e| Cut::Server(Vec::new(), e.into()))?;
        answer = next;
        filled.map_err(|error| Cut::Server(told(&answer, &error), error))?;
    }
}

async fn send(sender: &Sender, chunk: Bytes, idle: Duration, end: Instant) -> Result<(), Cut> {
    let sent = timeout_at(end, timeout(idle, sender.send(chunk))).await;
    match sent {
        Err(_) => Err(Cut::Client("the answer took too long")),
        Ok(Err(_)) => Err(Cut::Client("the client takes nothing")),
        Ok(Ok(Err(_))) => Err(Cut::Client("the client is gone")),
        Ok(Ok(Ok(()))) => Ok(()),
    }
}

/// What the client can be told of an error in the middle of a pack.
fn told(answer: &Answer, error: &StreamError) -> Vec<u8> {
    match (error, &answer.pack) {
        (StreamError::Git(error), Some(pack)) => pack.failure(error),
        _ => Vec::new(),
    }
}

/// Tells the client in its protocol why its pack ends, when it still listens.
async fn tell(sender: &Sender, cut: Cut, patience: Duration) {
    match cut {
        Cut::Client(reason) => tracing::debug!(reason, "a pack was not sent to its end"),
        Cut::Server(told, error) => {
            tracing::error!(error = %chain(&error), "a pack could not be sent to its end");
            let _ = timeout(patience, sender.send(Bytes::from(told))).await;
        }
    }
}
