use std::sync::atomic::{AtomicUsize, Ordering};

use colophon_model::TenantUid;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::fair::Share;

/// How long a test waits for what must come.
const LONGEST: Duration = Duration::from_mins(1);

fn tenant(n: u8) -> Standing {
    Standing::new(Party::of(Share::Tenant(TenantUid::from_bytes([n; 16]))))
}

fn steps(threads: usize) -> (Steps, Courtesy) {
    let courtesy = Courtesy::default();
    (Steps::new(threads, &courtesy), courtesy)
}

/// The point of it: sixty connections of one tenant are always ready, and the only one of another waits for a few of
/// their steps when something comes, not for one of each.
#[tokio::test]
async fn one_connection_does_not_wait_for_sixty_others() {
    let (steps, _courtesy) = steps(1);
    let taken = Arc::new(AtomicUsize::new(0));
    let storm: Vec<_> = (0..60)
        .map(|_| {
            let taken = taken.clone();
            let work = async move {
                loop {
                    taken.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            };
            tokio::spawn(steps.of(tenant(1), work))
        })
        .collect();
    let (come, (tell, mut told)) = (Arc::new(Notify::new()), mpsc::unbounded_channel());
    let (comes, count) = (come.clone(), taken.clone());
    let quiet = async move {
        loop {
            comes.notified().await;
            tell.send(count.load(Ordering::Relaxed)).unwrap();
        }
    };
    let quiet = tokio::spawn(steps.of(tenant(2), quiet));
    for _ in 0..20 {
        let before = taken.load(Ordering::Relaxed);
        while taken.load(Ordering::Relaxed) < before + 200 {
            yield_now().await;
        }
        let before = taken.load(Ordering::Relaxed);
        come.notify_one();
        let others = told.recv().await.unwrap() - before;
        assert!(others <= 8, "{others} steps of others came first");
    }
    storm.iter().for_each(tokio::task::JoinHandle::abort);
    quiet.abort();
}

/// On many threads, with events from everywhere, no step is lost: each task comes to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_event_is_followed_by_a_step() {
    let (steps, courtesy) = steps(4);
    let pairs = (0..64u8).map(|n| {
        let (there, mut come) = mpsc::channel(1);
        let (back, mut again) = mpsc::channel(1);
        let asks = async move {
            for n in 0..200 {
                there.send(n).await.unwrap();
                assert_eq!(again.recv().await, Some(n));
                yield_now().await;
            }
        };
        let answers = async move {
            while let Some(n) = come.recv().await {
                back.send(n).await.unwrap();
            }
        };
        let asking = tokio::spawn(steps.of(tenant(n % 5), asks));
        (asking, tokio::spawn(steps.of(tenant(n % 3), answers)))
    });
    let pairs: Vec<_> = pairs.collect();
    for _ in 0..100 {
        courtesy.come(Share::Operator);
        yield_now().await;
        courtesy.go(Share::Operator);
    }
    let ended = async {
        for (asking, answering) in pairs {
            asking.await.unwrap();
            answering.await.unwrap();
        }
    };
    timeout(LONGEST, ended).await.expect("a step was lost");
    assert_eq!(steps.queue().counts(), super::super::queue::Counts::default());
}

/// A task that is dropped, wherever it is, or that panics gives its turn back: those that are left go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_go_take_no_turn_with_them() {
    let (steps, _courtesy) = steps(1);
    let tasks: Vec<_> = (0..200usize)
        .map(|n| {
            let work = async move {
                for _ in 0..n % 7 {
                    yield_now().await;
                }
                assert!(!n.is_multiple_of(10), "one that panics");
                std::future::pending::<()>().await;
            };
            tokio::spawn(steps.of(tenant(1), work))
        })
        .collect();
    for (n, task) in tasks.iter().enumerate() {
        if n.is_multiple_of(3) {
            yield_now().await;
        }
        task.abort();
    }
    for task in tasks {
        assert!(task.await.is_err());
    }
    assert_eq!(steps.queue().counts(), super::super::queue::Counts::default());
    let (tell, told) = oneshot::channel();
    let last = tokio::spawn(steps.of(tenant(1), async move { tell.send(7).unwrap() }));
    assert_eq!(told.await, Ok(7));
    last.await.unwrap();
}

/// What happens while a step is taken makes for another one.
#[tokio::test]
async fn a_task_that_wakes_itself_goes_on() {
    let (steps, _courtesy) = steps(1);
    let mut left = 5;
    let work = std::future::poll_fn(|context| {
        left -= 1;
        context.waker().wake_by_ref();
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    });
    timeout(LONGEST, steps.of(tenant(1), work)).await.expect("a step was lost");
    assert_eq!(left, 0);
    assert_eq!(steps.queue().counts(), super::super::queue::Counts::default());
}

/// While somebody is let by, half of the threads are left to them.
#[test]
fn one_share_has_half_of_the_threads_while_others_are_let_by() {
    let (steps, courtesy) = steps(4);
    let mut tasks: Vec<_> =
        (0..6).map(|_| steps.of(tenant(1), std::future::pending::<()>())).collect();
    let poll = |task: &mut InTurns<_>| {
        // A step that is begun and never ended, as on a thread that is at it.
        take(&task.step, Waker::noop()).map(std::mem::forget).is_some()
    };
    courtesy.come(Share::Operator);
    assert_eq!(tasks.iter_mut().filter_map(|task| poll(task).then_some(())).count(), 2);
    courtesy.go(Share::Operator);
    assert_eq!(steps.queue().counts().running, 4);
}
