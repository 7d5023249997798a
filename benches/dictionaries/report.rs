//! The tables, in Markdown.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use crate::corpus::Corpus;
use crate::measure::{self, Cost};
use crate::train::{FAMILIES, train};

/// zstd as it is without dictionaries, beside which they are measured.
const PLAIN: i32 = 1;

/// Every kind of blob: plain zstd, and the store.
pub(crate) fn kinds(title: &str, corpus: &Corpus) -> anyhow::Result<()> {
    println!("\n{title}\n");
    println!("| kind | blobs | MB | zstd -1 | store | pack MB/s | read MB/s |");
    println!("|---|---|---|---|---|---|---|");
    let (mut count, mut before, mut after) = (0, Cost::default(), Cost::default());
    for (kind, blobs) in corpus.kinds() {
        let (plain, store) = (measure::zstd(blobs, PLAIN, &[])?, measure::store(blobs)?);
        line(kind, blobs.len(), &plain, &store);
        count += blobs.len();
        before.add(&plain);
        after.add(&store);
    }
    line("all", count, &before, &after);
    Ok(())
}

fn line(kind: &str, count: usize, plain: &Cost, store: &Cost) {
    println!(
        "| {kind} | {count} | {:.2} | {:.2} | {:.2} | {:.0}, {:.0} | {:.0}, {:.0} |",
        plain.megabytes(),
        plain.ratio(),
        store.ratio(),
        plain.pack_speed(),
        store.pack_speed(),
        plain.read_speed(),
        store.read_speed(),
    );
}

/// Every size and level: ratio, pack MB/s, read MB/s, for each dictionary over all that it is for.
pub(crate) fn sizes(trained: &Corpus, held_out: &Corpus) -> anyhow::Result<()> {
    for family in FAMILIES {
        println!("\n{}: ratio, pack MB/s, read MB/s\n", family.name);
        println!("| size | level 1 | level 3 | level 5 |\n|---|---|---|---|");
        for kib in [0, 8, 16, 32] {
            let dictionary = match kib {
                0 => Vec::new(),
                _ => train(family, trained, kib << 10)?,
            };
            print!("| {kib} KiB |");
            for level in [1, 3, 5] {
                let mut all = Cost::default();
                for kind in family.kinds {
                    let blobs = held_out.of(kind);
                    all.add(&measure::zstd(blobs, level, &dictionary)?);
                }
                print!(" {:.2}, {:.0}, {:.0} |", all.ratio(), all.pack_speed(), all.read_speed());
            }
            println!();
        }
    }
    Ok(())
}

/// Many modules at once, and those of about 23 KB one by one.
pub(crate) fn modules(corpus: &Corpus) -> anyhow::Result<()> {
    let modules = corpus.of("flow modules");
    let megabytes = measure::store(modules)?.megabytes();
    let seconds = measure::ingest(modules)?;
    println!();
    println!(
        "{} modules, {megabytes:.0} MB, hashed and packed on all cores: {seconds:.2} s",
        modules.len()
    );
    let near = |module: &&Vec<u8>| (21_000..25_000).contains(&module.len());
    let near: Vec<Vec<u8>> = modules.iter().filter(near).cloned().collect();
    let speed = measure::store(&near)?.read_speed();
    println!("modules of 21 to 25 KB, unpacked and verified: {:.1} µs for 23 KB", 23e3 / speed);
    Ok(())
}
