//! What is told, and which bars it meets.

use crate::measure::{self, Took};
use crate::proxy::Proxy;
use crate::table::{Bar, Report, Table, median, number, print_bars};
use crate::ways::{Scene, Way, version};

/// Seconds and requests of one more build.
const MORE: (f64, f64) = (2.0, 20.0);
/// MiB of memory, always.
const MEMORY: f64 = 128.0;

/// What each way took in each round, and what a proxy counted.
#[derive(Debug, Default)]
pub(crate) struct Rows([Row; 3]);

#[derive(Debug, Default)]
struct Row {
    took: Vec<Took>,
    /// Requests and bytes.
    counted: (u64, u64),
}

impl Rows {
    /// Has each way send what is not there yet.
    pub(crate) fn round(
        &mut self,
        scene: &Scene,
        (port, round): (u16, usize),
        counted: Option<&Proxy>,
    ) -> anyhow::Result<()> {
        for turn in 0..Way::ALL.len() {
            let way = Way::ALL[(turn + round) % Way::ALL.len()];
            let row = &mut self.0[way as usize];
            if let Some(proxy) = counted {
                proxy.take();
                measure::run(&mut way.command(scene, port, round))?;
                row.counted = proxy.take();
            } else {
                row.took.push(measure::run(&mut way.command(scene, port, round))?);
            }
        }
        Ok(())
    }

    fn seconds(&self, way: Way) -> f64 {
        median(self.0[way as usize].took.iter().map(|took| took.seconds))
    }

    fn memory(&self, way: Way) -> f64 {
        median(self.0[way as usize].took.iter().map(|took| took.memory))
    }

    fn requests(&self, way: Way) -> f64 {
        self.0[way as usize].counted.0 as f64
    }

    fn report(&self, title: &str) -> Report {
        let mut table =
            Table::new(&["way", "seconds", "requests", "MB sent", "peak memory, MiB", "rounds, s"]);
        for way in Way::ALL {
            let row = &self.0[way as usize];
            let each: Vec<String> = row.took.iter().map(|took| number(took.seconds)).collect();
            table.add([
                way.name().to_owned(),
                number(self.seconds(way)),
                number(self.requests(way)),
                number(row.counted.1 as f64 / 1e6),
                number(self.memory(way)),
                each.join(" "),
            ]);
        }
        let mut report = Report::new(title);
        report.tables.push(table);
        report
    }
}

/// Prints all of it. Whether every bar is met.
pub(crate) fn print(
    scene: &Scene,
    (builds, rounds): (u64, usize),
    first: &Rows,
    more: &Rows,
) -> anyhow::Result<bool> {
    let mut machine = Report::machine("Exports for auditors")?;
    let (files, bytes) = scene.size()?;
    machine.notes.extend([
        format!(
            "{builds} builds; {files} files of {} MB in the end; {rounds} rounds, and one that is counted by a proxy",
            number(bytes as f64 / 1e6)
        ),
        format!(
            "{}; {}; SeaweedFS 4.48 on the same disk; each a process from start to end",
            version("rclone")?,
            version("restic")?
        ),
        "bytes are what went to the store, heads and signatures among it".to_owned(),
    ]);
    machine.print();
    first.report("First export").print();
    more.report("One more build").print();
    let ours = Way::Colophon;
    let memory = first.memory(ours).max(more.memory(ours));
    let bars = [
        Bar::at_most("one more build, seconds", more.seconds(ours), MORE.0, "s"),
        Bar::at_most("one more build, requests", more.requests(ours), MORE.1, ""),
        Bar::at_least(
            "first export, of rclone's rate",
            first.seconds(Way::Rclone) / first.seconds(ours),
            1.0,
            "x",
        ),
        Bar::at_most("peak memory", memory, MEMORY, "MiB"),
    ];
    print_bars(&bars);
    Ok(bars.iter().all(|bar| bar.met))
}
