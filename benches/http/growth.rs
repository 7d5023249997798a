//! Two tenants of one server, of which one has a hundred times the builds of the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use data_encoding::BASE64;
use serde::Deserialize;

use crate::Plan;
use crate::clients::{self, Effort, Measured, Question};
use crate::content;
use crate::disk;
use crate::place::{self, Tenant};
use crate::report::{self, Row};
use crate::service::{Service, Setting};
use crate::table::Bar;

/// How many times the builds of the young tenant the old one has.
const TIMES: u64 = 100;
/// Flows of each tenant that are built anew in turn.
const FLOWS: u64 = 20;
/// Clients that make the old tenant old, each with flows of its own.
const MAKERS: u64 = 4;
/// Builds that are measured in a round: few, so that the young tenant stays young.
const BUILDS: usize = 40;
/// What flat means for what must not grow, and what a cold build may grow by.
const FLAT: f64 = 1.1;
const COLD: f64 = 1.2;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A tenant and its newest commits, the last one last.
struct Aged<'a> {
    tenant: &'a Tenant,
    commits: Mutex<VecDeque<String>>,
}

#[derive(Deserialize)]
struct Answer {
    commit: String,
}

/// Measures, and tells.
pub(crate) fn run(plan: &Plan, bars: &mut Vec<Bar>) -> anyhow::Result<()> {
    let dir = place::empty(&plan.dir.join("growth"))?;
    let service = Service::start(&plan.server, &dir.join("data"), 2, Setting::default())?;
    service.build_everywhere(&content::flow("steady", 0))?;
    let [young, old] =
        [0, 1].map(|n| Aged { tenant: &service.tenants[n], commits: Mutex::default() });
    report::progress(&format!("making {} builds", plan.builds));
    young.grow(&service, plan.builds / TIMES)?;
    old.grow(&service, plan.builds)?;
    let mut rows = [
        Row::new("no-op, young"),
        Row::new("no-op, old"),
        Row::new("fetch of 1 build, young"),
        Row::new("fetch of 1 build, old"),
        Row::new("cold build, young"),
        Row::new("cold build, old"),
    ];
    let mut syncs = Vec::new();
    for round in 1..=plan.rounds {
        report::progress(&format!("growth, round {round}"));
        syncs.push(disk::sync_millis(&dir, plan.time / 10)?);
        for (index, aged) in [&young, &old].into_iter().enumerate() {
            rows[index].add(aged.noops(&service, plan.time)?);
            rows[2 + index].add(aged.fetches(&service, plan.time)?);
            rows[4 + index].add(aged.builds(&service, 1, BUILDS)?);
        }
    }
    let title = format!(
        "A tenant of {} builds and more, and one of {}, 1 client",
        plan.builds / TIMES,
        plan.builds
    );
    report::rates(&title, &rows, &syncs, &[]);
    for (row, what, most) in
        [(0, "no-op", FLAT), (2, "fetch of 1 build", FLAT), (4, "cold build", COLD)]
    {
        let grown = report::slower(&rows[row + 1], &rows[row]);
        bars.push(Bar::at_most(&format!("{what}, builds x {TIMES}"), grown, most, "x"));
    }
    Ok(())
}

impl Aged<'_> {
    /// Makes so many builds.
    fn grow(&self, service: &Service, builds: u64) -> anyhow::Result<()> {
        self.builds(service, MAKERS, builds as usize).map(|_| ())
    }

    /// At least so many builds, each a new state of one of the flows, by so many clients.
    fn builds(&self, service: &Service, clients: u64, least: usize) -> anyhow::Result<Measured> {
        let next = |client: usize, into: &mut Vec<u8>| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            // A flow is one client's, so that its revisions come in order.
            let flow = number % (FLOWS / clients) * clients + client as u64;
            *into = self.tenant.request(&content::flow(&format!("flow_{flow}"), number));
        };
        let seen = |answer: &[u8]| self.note(answer);
        let effort = Effort { clients: clients as usize, time: Duration::ZERO, least };
        clients::ask(service.side(), effort, &Question { next: &next, status: 201, seen: &seen })
    }

    fn note(&self, answer: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Answer>(answer) else { return };
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.push_back(answer.commit);
        if commits.len() > 2 {
            commits.pop_front();
        }
    }

    fn noops(&self, service: &Service, time: Duration) -> anyhow::Result<Measured> {
        Self::ask(service, time, self.tenant.request(&content::flow("steady", 0)))
    }

    /// What `git fetch` asks that lacks the last build.
    fn fetches(&self, service: &Service, time: Duration) -> anyhow::Result<Measured> {
        // Two builds by one client stand in their order.
        self.builds(service, 1, 2)?;
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (have, want) = commits.front().zip(commits.back()).context("no commits")?;
        let mut body = String::new();
        for line in ["command=fetch", "agent=git/2.47.3", "object-format=sha1"] {
            packet(&mut body, line);
        }
        body.push_str("0001");
        let ids = [format!("want {want}"), format!("have {have}")];
        let wanted = ["thin-pack", "no-progress", "include-tag", "ofs-delta"];
        for line in wanted.into_iter().chain(ids.iter().map(String::as_str)).chain(["done"]) {
            packet(&mut body, line);
        }
        body.push_str("0000");
        let Tenant { slug, token, .. } = self.tenant;
        let credentials = BASE64.encode(format!("git:{token}").as_bytes());
        let request = format!(
            "POST /git/{slug}.git/git-upload-pack HTTP/1.1\r\nHost: localhost\r\nGit-Protocol: version=2\r\n\
             Authorization: Basic {credentials}\r\nContent-Type: application/x-git-upload-pack-request\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self::ask(service, time, request.into_bytes())
    }

    fn ask(service: &Service, time: Duration, request: Vec<u8>) -> anyhow::Result<Measured> {
        let requests = [request];
        let next = clients::steady(&requests);
        let effort = Effort { clients: 1, time, least: 1 };
        clients::ask(service.side(), effort, &Question { next: &next, status: 200, seen: &|_| {} })
    }
}

fn packet(out: &mut String, line: &str) {
    let length = format!("{:04x}", line.len() + 5);
    out.extend([&length, line, "\n"]);
}
