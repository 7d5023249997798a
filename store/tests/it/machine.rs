//! The whole store against a plain model: anything that can be done to it, in any order, on a disk
//! that is killed, crashes, fails and fills up at any moment.
//!
//! An operation that was interrupted may have happened or not, as a whole; collection, which is many
//! small operations, by parts. The model keeps the possibilities and learns which it was by looking.

mod act;
mod aside;
mod contents;
mod damage;
mod model;
mod outcome;
mod run;
mod seen;
mod steps;
mod traces;

use colophon_store::Durability;
use proptest::prelude::*;

use self::run::Run;
use self::steps::{Step, steps};

/// How many sequences are tried in all.
fn cases() -> u32 {
    let set = std::env::var("COLOPHON_MACHINE_CASES").ok();
    set.map_or(160, |cases| cases.parse().unwrap())
}

fn play(durability: Durability, marks: bool, steps: &[Step]) {
    let mut run = Run::new(durability, marks);
    for step in steps {
        run.step(step);
    }
    run.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases().div_ceil(2)))]

    #[test]
    fn a_store_of_full_durability_is_its_model(marks: bool, steps in steps()) {
        play(Durability::Full, marks, &steps);
    }

    #[test]
    fn a_store_of_fast_durability_is_its_model(marks: bool, steps in steps()) {
        play(Durability::Fast, marks, &steps);
    }
}
