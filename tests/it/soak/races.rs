//! One delivery sent by several hands at once, and one whose sender does not wait.

use std::time::Duration;

use super::deliver::Delivered;
use super::load::Worker;
use crate::support::Answer;

/// Three hands send one delivery; one build comes of it.
pub(super) fn race(worker: &mut Worker<'_>, at: usize) {
    if !worker.world.may_build(worker.index) {
        return;
    }
    let delivered = Delivered::named(worker.world, &mut worker.numbers);
    let body = worker.flows[at].draw();
    let (world, tenant) = (worker.world, worker.tenant);
    let hand = || delivered.attempt(world, tenant, (&Vec::new(), ""), &body);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let hands: Vec<_> = std::iter::repeat_with(|| scope.spawn(hand)).take(3).collect();
        hands.into_iter().filter_map(|hand| hand.join().unwrap()).collect()
    });
    for answer in &answers {
        worker.led(&delivered, answer);
    }
    if answers.iter().filter(|answer| answer.status == 201).count() > 1 {
        world.site.is_wrong(format!("{delivered:?} was built twice"));
    }
    world.site.count("races of one delivery");
    worker.deliver_new(at, &delivered, body, true);
}

/// A sender that does not wait looks where it was told to.
pub(super) fn impatient(worker: &mut Worker<'_>, at: usize) {
    if !worker.world.may_build(worker.index) {
        return;
    }
    let delivered = Delivered::named(worker.world, &mut worker.numbers);
    let body = worker.flows[at].draw();
    let prefer = vec![("prefer", "wait=0".to_owned())];
    let (world, tenant) = (worker.world, worker.tenant);
    let epoch = world.site.epoch();
    if let Some(answer) = delivered.attempt(world, tenant, (&prefer, ""), &body)
        && answer.status == 202
    {
        worker.follow(&delivered, answer.header("location"), epoch);
        world.site.count("deliveries without waiting");
    }
    worker.deliver_new(at, &delivered, body, true);
}

impl Worker<'_> {
    /// A delivery that was answered with a build has led to it, whoever asked.
    fn led(&self, delivered: &Delivered, answer: &Answer) {
        let (Some(id), 200 | 201) = (&delivered.id, answer.status) else { return };
        let told = answer.json();
        if let Err(finding) = self.tenant.ledger.led(id, told["id"].as_str().unwrap()) {
            self.world.site.is_wrong(finding);
        }
    }

    /// Looks at a delivery until it is worked on no longer. Only a killed server may have forgotten it.
    fn follow(&self, delivered: &Delivered, location: &str, epoch: u64) {
        for _ in 0..600 {
            let Some(told) = self.look(location) else { return };
            let told = match told.status {
                200 => told.json(),
                404 if !self.world.site.ran_since(epoch) => return,
                status => {
                    return self.world.site.is_wrong(format!("{location}: {status} of a delivery"));
                }
            };
            if told["outcome"] != "running" {
                let Some(build) = told["build"].as_str() else { return };
                let id = delivered.id.as_deref().unwrap_or_default();
                if let Err(finding) = self.tenant.ledger.led(id, build) {
                    self.world.site.is_wrong(finding);
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.world.site.is_wrong(format!("{location} is worked on for ever"));
    }
}
