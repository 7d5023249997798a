//! What a no-op and a cold build pay for being told of: the log, traces, the audit log and the log of deliveries.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use colophon::app::{Owner, open_press};
use colophon::audit::Window;
use colophon::clock::{Clock as _, SystemClock};
use colophon::config::Config;
use colophon::intake::log::Entry;
use colophon::pipeline::Press;
use colophon_model::audit::{Act, Action, Actor, ActorKind, Chain, Subject};
use colophon_model::{Digest, TenantSlug};
use colophon_store::rows::{DeliveryKey, DeliveryRow, SeenPlan, TenantRow};
use colophon_store::{Change, audit};

use crate::Plan;
use crate::clients::Effort;
use crate::cold;
use crate::content;
use crate::disk;
use crate::place;
use crate::process;
use crate::report::{self, Row};
use crate::service::{Service, Setting, TENANTS};
use crate::stages::Stages;
use crate::table::{Bar, Report, Table, number};

/// Entries that are written together, as many as come in half a second.
const ENTRIES: usize = 7_500;
/// How often.
const GROUPS: usize = 8;
/// Acts that are gathered.
const ACTS: usize = 200_000;
/// Changes that are committed in groups of one for each tenant.
const CHANGES: usize = 6_400;

/// Measures, and tells.
pub(crate) fn run(plan: &Plan, _: &mut Vec<Bar>) -> anyhow::Result<()> {
    let dir = place::empty(&plan.dir.join("costs"))?;
    servers(plan, &dir)?;
    logs(&dir)
}

/// Servers that differ in what they log and where traces go.
fn servers(plan: &Plan, dir: &Path) -> anyhow::Result<()> {
    let collector = collector()?;
    let quiet = Setting::default();
    let settings = [
        ("warnings only", quiet),
        ("a line a request", Setting { log: Some("info"), ..quiet }),
        ("warnings, and traces", Setting { collector: Some(&collector), ..quiet }),
    ];
    let body = content::flow("steady", 0);
    let start = |(index, (_, setting)): (usize, &(&str, Setting))| {
        let service =
            Service::start(&plan.server, &dir.join(format!("data-{index}")), TENANTS, *setting)?;
        service.build_everywhere(&body)?;
        Ok(service)
    };
    let services: Vec<Service> =
        settings.iter().enumerate().map(start).collect::<anyhow::Result<_>>()?;
    let mut rows: Vec<Row> = ["no-op", "cold"]
        .iter()
        .flat_map(|what| settings.map(|(name, _)| Row::new(&format!("{what}, {name}"))))
        .collect();
    let effort = Effort { clients: 32, time: plan.time, least: TENANTS };
    let mut syncs = Vec::new();
    for round in 1..=plan.rounds {
        report::progress(&format!("costs, round {round}"));
        syncs.push(disk::sync_millis(dir, plan.time / 10)?);
        for (index, service) in services.iter().enumerate() {
            rows[index].add(service.noops(effort, &body)?);
        }
        for (index, service) in services.iter().enumerate() {
            let told = Stages::default();
            let built = cold::builds(service.side(), &service.tenants, effort, &told)?;
            rows[settings.len() + index].add(built);
        }
    }
    report::rates("What the log and traces cost, 32 clients", &rows, &syncs, &[]);
    Ok(())
}

/// The address of a collector that takes everything and keeps nothing, in this process.
fn collector() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || swallow(stream));
        }
    });
    Ok(format!("http://{address}/v1/traces"))
}

/// Answers each request on a connection with 200.
fn swallow(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let end = loop {
            if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                read => seen.extend_from_slice(&buffer[..read]),
            }
        };
        let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
        let mut rest = (end + length).saturating_sub(seen.len());
        while rest > 0 {
            let most = rest.min(buffer.len());
            match stream.read(&mut buffer[..most])? {
                0 => return Ok(()),
                read => rest -= read,
            }
        }
        seen.drain(..seen.len().min(end + length));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// The two logs by themselves, in this process: processor time of all its threads.
fn logs(dir: &Path) -> anyhow::Result<()> {
    let data = dir.join("data-logs");
    place::make(&data, TENANTS)?;
    let config = Config { data, ..Config::default() };
    let press = open_press(&config, Arc::new(SystemClock), Owner::Command)?;
    let view = press.store.view()?;
    let row = |n: usize| {
        let slug: TenantSlug = format!("tenant-{n}").parse()?;
        view.get::<TenantRow>(&slug)?.context("no tenant")
    };
    let tenants: Vec<TenantRow> = (0..TENANTS).map(row).collect::<anyhow::Result<_>>()?;
    drop(view);
    let mut table = Table::new(&["what", "µs of processor time each"]);
    let mut add = |what: &str, micros: f64| table.add([what.to_owned(), number(micros)]);
    add("a no-op's row in the log of deliveries", deliveries(&press, &tenants)?);
    add("a no-op's act, gathered", acts(&press, &tenants)?);
    let bare = changes(&press, &tenants, false)?;
    add("a change of one row", bare);
    add("a build's act and delivery, with that change", changes(&press, &tenants, true)? - bare);
    let mut report = Report::new("What the audit log and the log of deliveries cost");
    report.tables.push(table);
    report.print();
    Ok(())
}

/// Microseconds of this process' processors for each of `count` times.
fn micros(count: usize, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let before = process::cpu_of_self()?;
    work()?;
    Ok((process::cpu_of_self()? - before) * 1e6 / count as f64)
}

fn deliveries(press: &Press, tenants: &[TenantRow]) -> anyhow::Result<f64> {
    micros(ENTRIES * GROUPS, || {
        for group in 0..GROUPS {
            for n in 0..ENTRIES {
                let (key, row) = delivery(group * ENTRIES + n);
                let tenant = tenants[n % tenants.len()].clone();
                press.deliveries.push(Entry { tenant, key, row, body: None });
            }
            press.deliveries.flush(&press.store);
        }
        Ok(())
    })
}

fn acts(press: &Press, tenants: &[TenantRow]) -> anyhow::Result<f64> {
    micros(ACTS, || {
        for n in 0..ACTS {
            let chain = Chain::Tenant(tenants[n % tenants.len()].uid);
            let act = act(Action::BuildNoop, n % tenants.len());
            press.gathered.add(chain, act, Window::Second, press.clock.now());
        }
        press.write_gathered(true);
        Ok(())
    })
}

/// Commits changes of one row, and with an act and a delivery if `told`.
fn changes(press: &Press, tenants: &[TenantRow], told: bool) -> anyhow::Result<f64> {
    micros(CHANGES, || {
        for group in 0..CHANGES / tenants.len() {
            let mut tickets = Vec::with_capacity(tenants.len());
            for (index, tenant) in tenants.iter().enumerate() {
                let (uid, number) = (tenant.uid, group * tenants.len() + index);
                let lane = press.store.lane(uid);
                let mut change = Change::new();
                let plan = Digest::of(&number.to_le_bytes());
                change.put(&(uid, "steady".parse()?, plan), &SeenPlan);
                if told {
                    let (key, row) = delivery(number);
                    change.put(&(uid, key), &row);
                    let acts = [act(Action::BuildMake, number)];
                    let (view, now) = (lane.view()?, press.clock.now());
                    audit::append(&mut change, &view, Chain::Tenant(uid), &acts, now)?;
                }
                tickets.push(lane.submit(change));
            }
            for ticket in tickets {
                ticket.wait()?;
            }
        }
        Ok(())
    })
}

fn act(action: Action, number: usize) -> Act {
    let actor = Actor::new(ActorKind::Webhook, "1");
    let build = Digest::of(&number.to_le_bytes()).to_string();
    Act::done(actor, action, Subject::new("build", build)).with("flow", "steady")
}

/// A row as a no-op leaves it.
fn delivery(number: usize) -> (DeliveryKey, DeliveryRow) {
    let at = SystemClock.now();
    let digest = Digest::of(&number.to_le_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&digest.as_bytes()[..10]);
    let row = DeliveryRow {
        at,
        by: "legacy".to_owned(),
        secret: Some(1),
        from: Some("127.0.0.1".to_owned()),
        id: None,
        signed: None,
        replay_of: None,
        body: digest,
        size: 8_000,
        outcome: "noop".to_owned(),
        status: 200,
        code: None,
        flow: "steady".parse().ok(),
        build: None,
        micros: 100,
    };
    (DeliveryKey::new(at, random), row)
}
