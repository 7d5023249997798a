//! What is told, and which bars it meets.

use crate::content::Profile;
use crate::machine::Update;
use crate::peers::{Cost, NAMES};
use crate::reads::{AGENTS, Busy, Polls, Read};
use crate::stored::Stored;
use crate::table::{Bar, Report, Table, median, number};
use crate::updates::{Step, Updates};

/// Bytes of a typical update, and of one on average, of the smaller bundle.
const MEDIAN: f64 = 1_000.0;
const MEAN: f64 = 20_000.0;
/// Bytes in which twenty versions of the smaller bundle are stored.
const STORED: f64 = 3e6;
/// How much of nginx's rate a blob is served with.
const OF_NGINX: f64 = 0.5;

/// Where this runs.
pub(crate) fn machine() -> anyhow::Result<()> {
    Report::machine("Updates of edge bundles")?.print();
    Ok(())
}

/// The nineteen updates.
pub(crate) fn updates(profile: &Profile, updates: &Updates, bars: &mut Vec<Bar>) {
    let mut report = Report::new(&format!("{} bundle, twenty versions", profile.name));
    let mut table = Table::new(&["way", "mean", "median", "largest", "requests", "made in, ms"]);
    let steps = &updates.steps;
    let ours: Vec<Cost> = steps.iter().map(|step| bundle(&step.first)).collect();
    row(&mut table, "colophon, bundle", &ours);
    row(
        &mut table,
        "colophon, with metadata",
        &steps.iter().map(|s| all(&s.first)).collect::<Vec<_>>(),
    );
    let jumps: Vec<Cost> = updates.jumps.iter().map(bundle).collect();
    row(&mut table, "colophon, five versions at once", &jumps);
    let zip = |step: &Step| Cost { bytes: step.first.zip, requests: 1, millis: 0.0 };
    row(&mut table, "whole zip", &steps.iter().map(zip).collect::<Vec<_>>());
    for (index, name) in NAMES.iter().enumerate() {
        let costs: Vec<Cost> = steps.iter().filter_map(|step| step.peers[index]).collect();
        row(&mut table, name, &costs);
    }
    report.tables.push(table);
    report.notes = notes(updates);
    report.print();
    stored(&updates.stored);
    if profile.is_small() {
        let sizes = || ours.iter().map(|cost| cost.bytes as f64);
        let requests = ours.iter().map(|cost| cost.requests as f64).fold(0.0, f64::max);
        bars.push(Bar::at_most("bytes of an update, median", median(sizes()), MEDIAN, "B"));
        bars.push(Bar::at_most("bytes of an update, mean", mean(sizes()), MEAN, "B"));
        bars.push(Bar::at_most("requests for a bundle", requests, 1.0, ""));
        bars.push(Bar::at_most(
            "twenty versions stored",
            updates.stored.total() as f64,
            STORED,
            "B",
        ));
    }
}

/// What the blobs are, and what each kind takes.
pub(crate) fn stored(stored: &Stored) {
    let mut report = Report::new("Blobs after the last version, as they are stored");
    let mut table = Table::new(&["what", "blobs", "bytes"]);
    for (kind, (count, bytes)) in &stored.kinds {
        table.add([(*kind).to_owned(), count.to_string(), bytes.to_string()]);
    }
    report.tables.push(table);
    report.notes = vec![format!("{} bytes in all", stored.total())];
    report.print();
}

fn bundle(update: &Update) -> Cost {
    let traffic = update.bundle;
    Cost { bytes: traffic.bytes, requests: traffic.requests, millis: update.cpu }
}

fn all(update: &Update) -> Cost {
    let [bytes, requests] = [
        update.bundle.bytes + update.metadata.bytes,
        update.bundle.requests + update.metadata.requests,
    ];
    Cost { bytes, requests, millis: update.cpu }
}

fn row(table: &mut Table, name: &str, costs: &[Cost]) {
    if costs.is_empty() {
        table.add([name, "did not run", "", "", "", ""].map(str::to_owned));
        return;
    }
    let of = |number: fn(&Cost) -> f64| costs.iter().map(number);
    table.add([
        name.to_owned(),
        number(mean(of(|cost| cost.bytes as f64))),
        number(median(of(|cost| cost.bytes as f64))),
        number(of(|cost| cost.bytes as f64).fold(0.0, f64::max)),
        number(mean(of(|cost| cost.requests as f64))),
        number(mean(of(|cost| cost.millis))),
    ]);
}

fn notes(updates: &Updates) -> Vec<String> {
    let install = &updates.install;
    let of = |number: fn(&Step) -> f64| median(updates.steps.iter().map(number));
    vec![
        format!(
            "first install: {} bytes in {} requests, {} ms of the server's processors, {} ms in all; the zip has {}",
            install.bundle.bytes,
            install.bundle.requests,
            number(install.cpu),
            number(install.wall),
            install.zip
        ),
        format!(
            "server's processor time an update, median: {} ms for the first agent, {} ms for the next; {} and {} ms in all",
            number(of(|step| step.first.cpu)),
            number(of(|step| step.second.cpu)),
            number(of(|step| step.first.wall)),
            number(of(|step| step.second.wall))
        ),
        format!(
            "stored after twenty versions: {} bytes of blobs, flows and sources of the branch included; casync's chunks {}, all zips {}",
            updates.stored.total(),
            updates.chunks,
            updates.zips
        ),
        "`made in` of colophon is processor time of the server, metadata and sending included"
            .to_owned(),
    ]
}

/// Blobs and polls.
pub(crate) fn reads(reads: &[Read], busy: &Busy, polls: &Polls, bars: &mut Vec<Bar>) {
    let mut report = Report::new("Blobs by hash beside nginx, 8 connections; polls");
    report.tables.push(rates(reads));
    for (name, rate) in [("two files", polls.files), ("one request for all", polls.sync)] {
        report.notes.push(format!(
            "{AGENTS} agents poll once by {name}, each over a connection of its own: {} ms of the server's processors a poll, {} polls/s",
            number(rate.cpu),
            number(rate.per_second)
        ));
    }
    report.print();
    let title =
        format!("The same while the server makes {} builds/s", number(busy.builds_per_second));
    let mut report = Report::new(&title);
    report.tables.push(rates(&busy.reads));
    report.notes.push("`CPU ms` holds what the builds took".to_owned());
    report.print();
    for read in reads {
        let name = format!("a blob of {} bytes by hash", read.bytes);
        bars.push(Bar::at_least(&name, ratio(read), OF_NGINX, "x nginx"));
    }
}

fn rates(reads: &[Read]) -> Table {
    let mut table =
        Table::new(&["bytes", "colophon/s", "nginx/s", "times", "CPU ms", "nginx, CPU ms"]);
    for read in reads {
        table.add([
            read.bytes.to_string(),
            number(read.ours.per_second),
            number(read.nginx.per_second),
            number(ratio(read)),
            number(read.ours.cpu),
            number(read.nginx.cpu),
        ]);
    }
    table
}

fn ratio(read: &Read) -> f64 {
    read.ours.per_second / read.nginx.per_second
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count();
    values.sum::<f64>() / count.max(1) as f64
}
