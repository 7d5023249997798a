//! Deliveries that must not build anything, and changes that are no deliveries.

use serde_json::{Value, json};

use super::deliver::{Delivered, Scheme, now};
use super::ledger::Acknowledged;
use super::load::Worker;
use crate::support::sign::{github, plain, standard};
use crate::support::{Answer, small_flow};

/// What stands is delivered once more.
pub(super) fn no_op(worker: &mut Worker<'_>, at: usize) {
    let Some((built, head)) = worker.flows[at].standing() else {
        return worker.build_new(at);
    };
    let (body, head) = (built.body.clone(), head.to_owned());
    let delivered = Delivered::any(worker.world, &mut worker.numbers);
    let Some(told) = delivered.send(worker.world, worker.tenant, &body) else { return };
    worker.names(&told.answer, (200, "noop"), &head, &format!("{delivered:?} of what stands"));
}

/// A delivery that was built is sent again.
pub(super) fn replay(worker: &mut Worker<'_>, at: usize) {
    let past = worker.flows[at].past.clone();
    let Some(built) = worker.numbers.pick(&past) else { return };
    let Some(delivered) = built.delivery.as_ref().filter(|d| d.id.is_some()) else { return };
    let Some(told) = delivered.send(worker.world, worker.tenant, &built.body) else { return };
    worker.names(&told.answer, (200, "replayed"), &built.build, &format!("{delivered:?} again"));
}

/// Old content comes without a time or name that would tell it from a replay.
pub(super) fn seen_before(worker: &mut Worker<'_>, at: usize) {
    let scheme = *worker.numbers.pick(&[Scheme::Plain, Scheme::Github, Scheme::Token]).unwrap();
    let id = (scheme == Scheme::Github).then(|| worker.world.fresh_id());
    let flow = &worker.flows[at];
    let code = match (&flow.head, flow.has_revisions()) {
        (None, _) => "flow-deleted",
        (_, true) => "stale-revision",
        (_, false) => "seen-before",
    };
    let replaced = flow.replaced();
    let Some(built) = worker.numbers.pick(&replaced) else { return };
    let Some(told) = (Delivered { scheme, id }).send(worker.world, worker.tenant, &built.body)
    else {
        return;
    };
    worker.is_refused(&told.answer, (409, code), "old content");
}

/// The name of a delivery comes with other content.
pub(super) fn reuse_an_id(worker: &mut Worker<'_>, at: usize) {
    let past = worker.flows[at].past.clone();
    let Some(built) = worker.numbers.pick(&past) else { return };
    let Some(delivered) = built.delivery.as_ref().filter(|d| d.id.is_some()) else { return };
    let body = worker.flows[at].draw();
    let Some(told) = delivered.send(worker.world, worker.tenant, &body) else { return };
    worker.is_refused(&told.answer, (422, "delivery-id-reused"), "another body under an old id");
}

/// What is wrong from the start.
pub(super) fn refused(worker: &mut Worker<'_>, at: usize) {
    let id = worker.world.fresh_id();
    let body = small_flow(&worker.flows[at].slug, None, &id);
    let other = &worker.world.tenants[(worker.index + 1) % worker.world.tenants.len()];
    let (secret, foreign) = (
        worker.tenant.held.read().unwrap().secret.clone(),
        other.held.read().unwrap().secret.clone(),
    );
    let seconds = now() / 1000;
    let mut slug = Some(worker.tenant.slug.as_str());
    let (mut headers, body, status, code) = match worker.numbers.below(8) {
        0 => (plain(&secret, b"something else"), body, 401, "unauthorized"),
        1 => (github(&foreign, &id, &body), body, 401, "unauthorized"),
        2 => (standard(&secret, &id, seconds - 600, &body), body, 401, "unauthorized"),
        3 => (plain(&secret, b"{\"nodes\": [}"), b"{\"nodes\": [}".to_vec(), 400, "malformed-json"),
        4 => (standard(&secret, &id, seconds, b"{}"), b"{}".to_vec(), 422, "invalid-flow"),
        5 => {
            slug = None;
            (plain(&secret, &body), body, 400, "missing-tenant")
        }
        6 => {
            slug = Some("nobody-at-all");
            (plain(&secret, &body), body, 401, "unauthorized")
        }
        _ => (other.bearer("api"), body, 403, "forbidden"),
    };
    if let Some(slug) = slug {
        headers.push(("x-tenant-slug", slug.to_owned()));
    }
    if let Some(answer) = worker.world.site.ask(("POST", "/build"), &headers, &body)
        && answer.status != 503
    {
        worker.is_refused(&answer, (status, code), "a bad delivery");
    }
}

/// What would be built is asked for, and is not built.
pub(super) fn dry_run(worker: &mut Worker<'_>, at: usize) {
    let delivered = Delivered { scheme: Scheme::Token, id: None };
    let body = worker.flows[at].draw();
    let (world, tenant) = (worker.world, worker.tenant);
    let Some(answer) = delivered.attempt(world, tenant, (&Vec::new(), "?dry_run=1"), &body) else {
        return;
    };
    let told = answer.json();
    // It is refused as the delivery would be: by the quota, or while the server stops.
    let refused = answer.status == 503 || told["code"] == "quota-exceeded";
    if !refused && (answer.status, &told["outcome"]) != (200, &json!("built")) {
        world.site.is_wrong(format!("a dry run of {}: {told:#}", worker.flows[at].slug));
    }
    world.site.count("dry runs");
}

/// A flow goes back, or forward again, to any build of its own.
pub(super) fn go_back(worker: &mut Worker<'_>, at: usize) {
    let flow = &worker.flows[at];
    let Some((_, head)) = &flow.head else { return };
    let Some(to) = worker.numbers.pick(&flow.replaced()).map(|built| built.build.clone()) else {
        return;
    };
    let path = format!("/v1/t/{}/flows/{}/rollback", worker.tenant.slug, flow.slug);
    let body = json!({"to": to}).to_string();
    let Some(build) = worker.change(("POST", &path), head, body.as_bytes(), at) else { return };
    let flow = &mut worker.flows[at];
    let index = flow.past.iter().position(|built| built.build == to).unwrap();
    (flow.head, flow.last) = (Some((index, build)), now());
    worker.world.site.count("rollbacks");
}

/// A flow is deleted; what is drawn next brings it back.
pub(super) fn delete(worker: &mut Worker<'_>, at: usize) {
    let flow = &worker.flows[at];
    let Some((_, head)) = &flow.head else { return };
    let path = format!("/v1/t/{}/flows/{}", worker.tenant.slug, flow.slug);
    if worker.change(("DELETE", &path), head, b"", at).is_none() {
        return;
    }
    let flow = &mut worker.flows[at];
    (flow.head, flow.last) = (None, now());
    worker.world.site.count("deletions");
}

impl Worker<'_> {
    /// Changes a flow whose current build is `head`, once, and returns the build that did.
    fn change(&self, request: (&str, &str), head: &str, body: &[u8], at: usize) -> Option<String> {
        let (site, mut lost) = (&self.world.site, 0);
        let answer = site.insist(&mut lost, || {
            let mut headers = self.tenant.bearer("api");
            headers.push(("if-match", format!("\"{head}\"")));
            site.ask(request, &headers, body)
        })?;
        let build = match answer.status {
            200 | 201 => answer.json()["build"].as_str().unwrap().to_owned(),
            // An attempt of which nothing was heard has done it.
            412 | 404 if lost > 0 => self.newest(at)?,
            _ => {
                let told = String::from_utf8_lossy(&answer.bytes).into_owned();
                site.is_wrong(format!("{request:?} from {head}: {} {told}", answer.status));
                return None;
            }
        };
        if build == head {
            site.is_wrong(format!("{request:?} was refused, and {head} stands"));
            return None;
        }
        let view = self.view(&build)?;
        if let Err(finding) = self.tenant.ledger.built(Acknowledged::new(&view, false)) {
            site.is_wrong(finding);
        }
        Some(build)
    }

    /// The newest build of a flow.
    fn newest(&self, at: usize) -> Option<String> {
        let flow = &self.flows[at].slug;
        let path = format!("/v1/t/{}/flows/{flow}/history?limit=1", self.tenant.slug);
        let told = self.look(&path)?;
        told.json()["builds"][0]["id"].as_str().map(str::to_owned)
    }

    /// A build as the API shows it.
    fn view(&self, build: &str) -> Option<Value> {
        let told = self.look(&format!("/v1/t/{}/builds/{build}", self.tenant.slug))?;
        if told.status != 200 {
            self.world.site.is_wrong(format!("build {build} was acknowledged: {:#}", told.json()));
            return None;
        }
        Some(told.json())
    }

    /// Reads until there is an answer.
    pub(super) fn look(&self, path: &str) -> Option<Answer> {
        let site = &self.world.site;
        site.insist(&mut 0, || site.ask(("GET", path), &self.tenant.bearer("api"), b""))
    }

    /// The answer must name this build and say that nothing was made.
    fn names(&self, answer: &Answer, (status, outcome): (u16, &str), build: &str, what: &str) {
        let told = answer.json();
        if answer.status != status || told["outcome"] != outcome || told["id"] != build {
            let (id, code) = (&told["id"], &told["code"]);
            return self.world.site.is_wrong(format!(
                "{}: {what}: {} {} {code} names {id} and not {build}",
                self.tenant.slug, answer.status, told["outcome"]
            ));
        }
        self.tenant.ledger.named(build);
        self.world.site.count(if outcome == "noop" { "no-ops" } else { "replays" });
    }

    fn is_refused(&self, answer: &Answer, expected: (u16, &str), what: &str) {
        let code = if answer.status < 400 { String::new() } else { answer.code() };
        if (answer.status, code.as_str()) != expected {
            return self.world.site.is_wrong(format!(
                "{}: {what}: {} {code} and not {expected:?}",
                self.tenant.slug, answer.status
            ));
        }
        self.world.site.count("refusals");
    }
}
