//! Erasures that a crash, a full disk or a reader has kept from their end.

use std::time::Duration;

use colophon_model::UnixMillis;
use colophon_store::Error;
use tokio::time::{Instant, sleep_until};

use super::{Waits, settle};
use crate::app::SharedApp;
use crate::maintenance::{JobError, Site, write_missing_records};

/// Finishes erasures: at the start, soon after one has come to nothing that was asked for, and every so often. One that
/// cannot be finished is tried less and less often, since trying costs as much as erasing.
pub(super) async fn erasures(app: SharedApp, mut waits: Waits) {
    loop {
        let Tried { went_well, left } = finish(&app).await;
        let wait = waits.after(went_well);
        if comes_new(&app, &left, (waits.again, wait)).await {
            waits = Waits::new(waits.again, waits.most);
        }
    }
}

/// Waits; no longer than until there is an erasure that is not among `known`. Whether there is.
async fn comes_new(
    app: &SharedApp,
    known: &[UnixMillis],
    (look, wait): (Duration, Duration),
) -> bool {
    let end = Instant::now() + wait;
    while Instant::now() < end {
        sleep_until(end.min(Instant::now() + look)).await;
        if open(app).await.iter().any(|began| !known.contains(began)) {
            return true;
        }
    }
    false
}

/// When erasures began that are not finished; one of them may be at work. None when they cannot be read: the next try
/// tells of that.
async fn open(app: &SharedApp) -> Vec<UnixMillis> {
    let press = app.press.clone();
    let open = app.reads.resume(move || press.store.open_erasures()).await;
    open.ok().and_then(Result::ok).unwrap_or_default()
}

/// What came of a try to finish all of them.
struct Tried {
    went_well: bool,
    /// When those began that are still not finished.
    left: Vec<UnixMillis>,
}

async fn finish(app: &SharedApp) -> Tried {
    let worker = app.clone();
    let work = move || {
        let (press, config) = (&worker.press, &worker.config);
        let resumed = press.store.resume_erasures(&|_| {});
        // Whatever came of that: it says of no erasure that it is done before it is.
        let records = write_missing_records(Site { press, config });
        // While nobody else erases: whatever is left was tried.
        (resumed, records, press.store.open_erasures())
    };
    // It waits for its turn: a step of the scrub that comes first must not put it off.
    match app.maintenance.resume(work).await {
        Ok((resumed, records, left)) => tell(resumed, records, left),
        Err(error) => {
            settle::<()>("erase", Err(error));
            Tried { went_well: false, left: Vec::new() }
        }
    }
}

fn tell(
    resumed: Result<usize, Error>,
    records: Result<usize, JobError>,
    left: Result<Vec<UnixMillis>, Error>,
) -> Tried {
    let count = settle("erase", Ok(resumed.map_err(JobError::from)));
    let records = settle("erase", Ok(records));
    if let Some(count @ 1..) = count {
        tracing::info!(count, "finished erasures that were interrupted");
    }
    if let Some(records @ 1..) = records {
        tracing::info!(records, "wrote records of erasures that were missing");
    }
    let went_well = count.is_some() && records.is_some();
    Tried { went_well, left: left.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::audit::{Act, Action, Actor, Subject};
    use colophon_model::{CodePolicy, TenantSlug};
    use colophon_store::Progress;

    use crate::tenants;
    use crate::upkeep::tests::app;

    /// Erases a tenant as far as a full disk or a reader lets it.
    fn cut(app: &SharedApp, slug: &str, at: u64) {
        let slug: TenantSlug = slug.parse().unwrap();
        tenants::create(&app.press, &slug, CodePolicy::None).unwrap();
        let act = Act::done(Actor::system("test"), Action::TenantErase, Subject::new("tenant", ""));
        let stop = |step: Progress| assert_ne!(step.stage, "rewriting segments", "as it is to be");
        let erase = || app.press.store.erase(&slug, &act, UnixMillis::new(at), &stop);
        while let Ok(done) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(erase)) {
            assert!(matches!(done, Err(Error::Busy)), "the task looks in this moment: {done:?}");
        }
    }

    async fn until_none_is_open(app: &SharedApp) {
        let done = async {
            while !app.press.store.open_erasures().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), done).await.expect("it is finished");
    }

    /// Whoever erases is told that the server does the rest by itself: it does so soon, and not with the next look an
    /// hour later.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_an_erasure_leaves_is_soon_done() {
        let (app, _dir) = app();
        cut(&app, "first", 1);
        let waits = Waits::new(Duration::from_millis(10), Duration::from_hours(1));
        let task = tokio::spawn(erasures(app.clone(), waits));
        until_none_is_open(&app).await;
        for (slug, at) in [("second", 2), ("third", 3)] {
            cut(&app, slug, at);
            until_none_is_open(&app).await;
        }
        task.abort();
    }
}
