//! What a tenant's people do all day.

use std::time::Duration;

use super::deliver::{Delivered, now};
use super::draw::{Built, Flow, Form};
use super::ledger::Acknowledged;
use super::world::{Tenant, World};
use super::{races, reads, steps};
use crate::support::numbers::Numbers;

/// One of a tenant's people, with flows of its own.
pub(super) struct Worker<'a> {
    pub(super) world: &'a World,
    pub(super) tenant: &'a Tenant,
    pub(super) index: usize,
    pub(super) numbers: Numbers,
    pub(super) flows: Vec<Flow>,
}

/// Works until it is told to stop, and leaves behind what it knows.
pub(super) fn work(world: &World, index: usize, worker: usize) {
    let mut worker = Worker::new(world, index, worker);
    worker.begin();
    let pace = Duration::from_millis(if World::is_hot(index) { 60 } else { 150 });
    while world.site.pause(pace) {
        worker.step();
    }
    worker.tenant.flows.write().unwrap().append(&mut worker.flows);
}

impl<'a> Worker<'a> {
    fn new(world: &'a World, index: usize, worker: usize) -> Self {
        let forms = [Form::Plain, Form::Plain, Form::Revised, Form::Plain];
        let slug = |n: usize| format!("flow_{worker}_{n}");
        let mut flows: Vec<_> =
            forms.iter().enumerate().map(|(n, form)| Flow::new(slug(n), *form)).collect();
        if worker == 0 && index < 8 {
            flows.push(Flow::new(slug(forms.len()), Form::Edge));
        }
        let numbers = world.numbers(1 + worker as u64, index);
        Self { world, tenant: &world.tenants[index], index, numbers, flows }
    }

    /// Every flow is built once, so that there is something to do.
    fn begin(&mut self) {
        for at in 0..self.flows.len() {
            self.build_new(at);
        }
    }

    fn step(&mut self) {
        let at = self.numbers.below(self.flows.len());
        match self.numbers.below(100) {
            0..25 => self.build_if_it_may(at),
            25..40 => steps::no_op(self, at),
            40..48 => steps::replay(self, at),
            48..52 => steps::seen_before(self, at),
            52..54 => steps::reuse_an_id(self, at),
            54..62 => steps::refused(self, at),
            62..65 => races::race(self, at),
            65..68 => races::impatient(self, at),
            68..70 => steps::dry_run(self, at),
            70..74 => steps::go_back(self, at),
            74..75 => steps::delete(self, at),
            _ => reads::read(self),
        }
    }

    fn build_if_it_may(&mut self, at: usize) {
        if self.world.may_build(self.index) { self.build_new(at) } else { steps::no_op(self, at) }
    }

    /// Delivers something new, and takes it for built when the server says so.
    pub(super) fn build_new(&mut self, at: usize) {
        let delivered = Delivered::any(self.world, &mut self.numbers);
        let body = self.flows[at].draw();
        self.deliver_new(at, &delivered, body, false);
    }

    /// The same with a body that was drawn before, and may have been sent before by this name.
    pub(super) fn deliver_new(
        &mut self,
        at: usize,
        delivered: &Delivered,
        body: Vec<u8>,
        was_sent: bool,
    ) {
        for _ in 0..5 {
            let Some(told) = delivered.send(self.world, self.tenant, &body) else { return };
            let flow = &mut self.flows[at];
            let code = if told.answer.status < 400 { String::new() } else { told.answer.code() };
            match (told.answer.status, code.as_str()) {
                (201, _) => return self.is_built(at, delivered, body, &told.answer.json()),
                (200, _) if was_sent || told.lost > 0 => {
                    self.world.site.count("answers that were lost and are known");
                    return self.is_built(at, delivered, body, &told.answer.json());
                }
                (429, "quota-exceeded") => return self.is_over_quota(at),
                // Of two in one second the second is refused, and built when it is sent again.
                (409, "stale-delivery" | "flow-deleted")
                    if delivered.scheme.is_timed()
                        && !flow.has_revisions()
                        && told.signed <= flow.last =>
                {
                    self.world.site.count("deliveries overtaken");
                    std::thread::sleep(Duration::from_millis(1_100));
                }
                (status, code) => {
                    let slug = &self.tenant.slug;
                    let lost = told.lost;
                    return self.world.site.is_wrong(format!(
                        "new content for {slug}/{} by {delivered:?} after {lost} lost attempts: {status} {code}",
                        flow.slug
                    ));
                }
            }
        }
        self.world.site.is_wrong(format!("{delivered:?} was overtaken by nobody"));
    }

    /// Notes a build. Only an attempt that was lost may have made it before.
    fn is_built(
        &mut self,
        at: usize,
        delivered: &Delivered,
        body: Vec<u8>,
        view: &serde_json::Value,
    ) {
        self.world.site.count("builds");
        let build = Acknowledged::new(view, true);
        let id = build.id.clone();
        let noted = self.tenant.ledger.built(build);
        let led = match &delivered.id {
            Some(delivery) => self.tenant.ledger.led(delivery, &id),
            None => Ok(()),
        };
        for finding in [noted, led].into_iter().filter_map(Result::err) {
            self.world.site.is_wrong(finding);
        }
        let flow = &mut self.flows[at];
        if view["flow"] != flow.slug.as_str() {
            self.world.site.is_wrong(format!("{} was built as {}", flow.slug, view["flow"]));
        }
        flow.last = now();
        flow.stands(Built { body, build: id, delivery: Some(delivered.clone()) });
    }

    /// The quota was used up: only when it was.
    fn is_over_quota(&mut self, at: usize) {
        self.world.site.count("builds over the quota");
        self.tenant.ledger.over_quota();
        let target = if self.flows[at].is_edge() { "edge" } else { "cloud" };
        // Another hand of the tenant may have been told of the last build a moment ago and not have written it
        // down, so this is decided at the end; here only that a tenant that has much left is not refused.
        let used = self.tenant.ledger.used("cloud").max(self.tenant.ledger.used(target));
        if used + 2 < self.world.plan.quota {
            let slug = &self.tenant.slug;
            self.world.site.is_wrong(format!("{slug} has used {used} builds and gets no more"));
        }
    }
}
