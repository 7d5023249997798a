//! Everything that is measured of a tenant of one size.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::answer::Answer;
use crate::client::{Client, post};
use crate::compare::compare;
use crate::content::{Made, Place};
use crate::load::{self, Measured, Peak};
use crate::report::{Cell, Extra, Size};
use crate::requests::{History, Row};
use crate::server::{self, Server};
use crate::slow;
use crate::table::median;

/// How long and how often.
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Of one cell in a round.
    pub(crate) time: Duration,
    /// What a row's name holds.
    pub(crate) only: String,
}

pub(crate) const CONNECTIONS: [usize; 3] = [1, 4, 16];
/// Where the product is, then its peers.
pub(crate) const SIDES: [&str; 3] = ["colophon", "upload-pack", "http-backend"];

/// Makes what is missing, compares, measures.
pub(crate) fn run(place: &Place, builds: u64, effort: &Effort) -> anyhow::Result<Size> {
    let made = content(place, builds)?;
    let history = History::read(&place.bare())?;
    let rows: Vec<Row> =
        Row::ALL.into_iter().filter(|row| row.name().contains(&effort.only)).collect();
    let cold = cold(place, &made, &history, effort.rounds)?;
    let server = server::start(place)?;
    let side = Sides { made: &made, history: &history, server: &server };
    for row in rows.iter().filter(|row| row.has_pack()) {
        let objects = side.compare(*row, &place.bare())?;
        eprintln!("{builds} builds, {}: the same {objects} objects", row.name());
    }
    let mut cells = Vec::new();
    for row in rows {
        for connections in CONNECTIONS {
            eprintln!("{builds} builds, {}, {connections} connections", row.name());
            cells.push(side.cell(row, connections, effort)?);
        }
    }
    let clone = side.answer(Row::Clone, 0)?;
    let extra = Extra {
        cold,
        clone: Answer::parse(&clone)?.pack.len() as u64,
        repacked: packs(&place.bare())?,
        slow: slow::growth(&server, &side.request(Row::Clone, 0))?,
    };
    Ok(Size::new(&made, &cells, &extra))
}

/// What a run before this one made, or made now by a child of its own: its memory is not ours.
fn content(place: &Place, builds: u64) -> anyhow::Result<Made> {
    if let Some(made) = place.made() {
        return Ok(made);
    }
    eprintln!("{builds} builds: making them");
    if place.0.exists() {
        std::fs::remove_dir_all(&place.0)?;
    }
    std::fs::create_dir_all(&place.0)?;
    let mut child = Command::new(std::env::current_exe()?);
    child.arg("--make").arg(&place.0).arg("--builds").arg(builds.to_string());
    ensure!(child.status()?.success(), "the content was not made");
    place.made().context("nothing was made")
}

/// The first clone after the start of a server, each side asked first in its turn, in
/// milliseconds.
fn cold(
    place: &Place,
    made: &Made,
    history: &History,
    rounds: usize,
) -> anyhow::Result<[f64; SIDES.len()]> {
    let mut times = [const { Vec::new() }; SIDES.len()];
    for _ in 0..rounds {
        for (number, times) in times.iter_mut().enumerate() {
            let server = server::start(place)?;
            let side = Sides { made, history, server: &server };
            let from = Instant::now();
            side.answer(Row::Clone, number)?;
            times.push(from.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(times.map(median))
}

/// Bytes of all packs of a repository.
fn packs(bare: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(bare.join("objects/pack"))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "pack") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// The routes of one server.
struct Sides<'a> {
    made: &'a Made,
    history: &'a History,
    server: &'a Server,
}

impl Sides<'_> {
    /// The same body for every side.
    fn request(&self, row: Row, side: usize) -> Vec<u8> {
        let route = [row.own_route(), "/rpc".to_owned(), "/cgi".to_owned()];
        post(&route[side], &self.made.token, &row.body(self.history))
    }

    fn answer(&self, row: Row, side: usize) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        Client::connect(&self.server.address)?.ask(&self.request(row, side), &mut body)?;
        Ok(body)
    }

    fn compare(&self, row: Row, bare: &Path) -> anyhow::Result<usize> {
        let (ours, gits) = (self.answer(row, 0)?, self.answer(row, 1)?);
        compare(row, self.history, bare, [&ours, &gits])
    }

    fn cell(&self, row: Row, connections: usize, effort: &Effort) -> anyhow::Result<Cell> {
        let mut rounds = [const { Vec::<Measured>::new() }; SIDES.len()];
        for _ in 0..effort.rounds {
            for (side, rounds) in rounds.iter_mut().enumerate() {
                let request = self.request(row, side);
                rounds.push(load::run(self.server, &request, connections, effort.time)?);
            }
        }
        let mut peaks = [Peak { server: 0.0, child: 0.0 }; SIDES.len()];
        for (side, peak) in peaks.iter_mut().enumerate() {
            *peak = load::weigh(self.server, &self.request(row, side), connections)?;
        }
        Ok(Cell { row, connections, sides: rounds.map(|rounds| Measured::middle(&rounds)), peaks })
    }
}
