//! A stream of events on its way: it looks for news when something changes, and at each heartbeat whether its
//! reader may still read. It holds nothing while it waits, least of all a build.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use colophon_model::TenantUid;
use colophon_store::View;
use colophon_store::rows::TenantRow;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument as _;

use super::ApiError;
use super::sse::{self, Events, HEARTBEAT};
use crate::app::{App, SharedApp};
use crate::progress::{Listener, Stops, Stream};
use crate::telemetry::request;

/// Changes that come at a time are looked at together: a storm of builds costs a stream 20 looks in a second.
const TOGETHER: Duration = Duration::from_millis(50);
/// How long a reader may take nothing before it is cut off.
const IDLE: Duration = Duration::from_mins(1);
/// Pieces that may wait for a slow reader.
const AHEAD: usize = 1;

/// A reader who was let in, at one moment.
pub(super) struct Admitted {
    /// What it reads.
    pub(super) view: View,
    /// Of whom.
    pub(super) tenant: TenantRow,
    /// Among whose streams this one counts: a tenant's, or the operator's.
    pub(super) counted: Option<TenantUid>,
}

/// Lets the reader in, or not any more. Blocks.
pub(super) type Admission = Box<dyn Fn(&SharedApp) -> Result<Admitted, ApiError> + Send>;

/// What a stream tells of.
pub(super) trait Source: Send + 'static {
    /// What is new since the last look. Blocks.
    fn look(&mut self, app: &App, admitted: &Admitted) -> Result<News, ApiError>;
}

/// What there was to see.
pub(super) struct News {
    pub(super) events: Events,
    pub(super) then: Then,
}

/// What comes after the news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// More at once.
    More,
    /// More when something changes.
    Wait,
    /// Nothing any more.
    End,
}

/// A source and who reads it.
struct Reading<S> {
    source: S,
    admission: Admission,
}

/// Answers with what `source` tells to whoever is let in, for as long as that holds. What is refused at
/// once is an ordinary problem.
pub(super) async fn open<S: Source>(
    app: SharedApp,
    admission: Admission,
    source: S,
) -> Result<Response, ApiError> {
    let at = app.clone();
    let first = move || {
        let mut reading = Reading { source, admission };
        let admitted = (reading.admission)(&at)?;
        // Before the look: what changes after it is heard of.
        let listener = at.press.progress.listen(admitted.tenant.uid);
        let news = reading.source.look(&at, &admitted)?;
        Ok::<_, ApiError>((reading, admitted.counted, listener, news))
    };
    let (reading, counted, listener, news) = app.reads.run(first).await??;
    if news.events.is_empty() && news.then == Then::End {
        return Ok(sse::nothing());
    }
    if app.press.progress.has_stopped() {
        return Err(ApiError::stopping());
    }
    let place = app.streams.open(counted).await?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let pump = Pump { stops: app.press.progress.stops(), app, sender, listener, _place: place };
    tokio::spawn(request::carry(pump.run(reading, news)).in_current_span());
    let beginning = tokio_stream::once(Bytes::from(Events::beginning()));
    let body = beginning.chain(ReceiverStream::new(receiver)).map(Ok::<_, Infallible>);
    Ok(sse::answer(Body::from_stream(body)))
}

/// An open stream, at the server's end.
struct Pump {
    app: SharedApp,
    sender: mpsc::Sender<Bytes>,
    listener: Listener,
    stops: Stops,
    _place: Stream,
}

/// Why a stream has ended, when that is no secret and nothing to worry about.
struct Ended;

impl Pump {
    async fn run<S: Source>(mut self, mut reading: Reading<S>, mut news: News) {
        loop {
            let (events, then) = (news.events, news.then);
            let sent = if events.is_empty() { Ok(()) } else { self.send(events.into()).await };
            if sent.is_err() || then == Then::End {
                return;
            }
            if then == Then::Wait && self.wait().await.is_err() {
                return;
            }
            match self.look(reading).await {
                Ok((again, seen)) => (reading, news) = (again, seen),
                Err(error) => {
                    // The reader comes again, and is told why it is not let in.
                    tracing::debug!(reason = error.code(), "a stream of events has ended");
                    return;
                }
            }
        }
    }

    /// Looks again, if the reader may still read.
    async fn look<S: Source>(
        &self,
        mut reading: Reading<S>,
    ) -> Result<(Reading<S>, News), ApiError> {
        let app = self.app.clone();
        let look = move || {
            let admitted = (reading.admission)(&app)?;
            let news = reading.source.look(&app, &admitted)?;
            Ok((reading, news))
        };
        self.app.reads.resume(look).await?
    }

    /// Waits for a change or the next heartbeat.
    async fn wait(&mut self) -> Result<(), Ended> {
        let beat = Instant::now() + self.app.config.events.heartbeat.get();
        tokio::select! {
            () = self.listener.changed() => {}
            () = sleep_until(beat) => return self.send(Bytes::from_static(HEARTBEAT)).await,
            () = self.sender.closed() => return Err(Ended),
            () = self.stops.stopped() => return Err(Ended),
        }
        tokio::select! {
            () = sleep(TOGETHER) => Ok(()),
            () = self.stops.stopped() => Err(Ended),
        }
    }

    /// Gives a piece to the reader, who may be slow.
    async fn send(&mut self, piece: Bytes) -> Result<(), Ended> {
        tokio::select! {
            sent = timeout(IDLE, self.sender.send(piece)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Ended),
            },
            () = self.stops.stopped() => Err(Ended),
        }
    }
}
