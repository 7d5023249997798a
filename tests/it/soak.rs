//! A soak: twenty tenants, everything that clients do at once, a server that is killed at random moments, and a
//! ledger outside of it that knows what was acknowledged. Nothing of that may be lost, doubled or changed.
//!
//! Without more it takes some seconds. `make soak` runs ten minutes: `COLOPHON_SOAK_SECONDS` and
//! `COLOPHON_SOAK_SEED` say how long and which.

mod agents;
mod check;
mod clones;
mod credentials;
mod deliver;
mod draw;
mod end;
mod ledger;
mod load;
mod plan;
mod races;
mod reads;
mod site;
mod steps;
mod upkeep;
mod watch;
mod world;

use std::time::Instant;

use plan::Plan;
use world::World;

/// Mixed load, kills, and after all of it a store in which everything acknowledged is found once.
#[test]
fn what_was_acknowledged_under_mixed_load_survives_kills() {
    let plan = Plan::from_environment();
    eprintln!("soak: {plan}");
    let world = World::new(plan);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        // Whatever ends this, the others are told to stop: a test that failed must not hang.
        let _stop = world.site.stop_at_the_end();
        for index in 0..world.tenants.len() {
            for worker in 0..World::workers_of(index) {
                let world = &world;
                scope.spawn(move || load::work(world, index, worker));
            }
        }
        for number in 0..clones::THREADS {
            let world = &world;
            scope.spawn(move || clones::work(world, number));
        }
        for index in 0..agents::AGENTS {
            let world = &world;
            scope.spawn(move || agents::work(world, index));
        }
        scope.spawn(|| upkeep::work(&world));
        scope.spawn(|| watch::work(&world, begun));
        world.kill_now_and_then(begun);
    });
    end::check(&world);
    end::tell(&world, begun.elapsed());
    let wrong = world.site.wrong();
    assert!(
        wrong.is_empty(),
        "{} findings, seed {}:\n{}",
        wrong.len(),
        world.plan.seed,
        wrong.join("\n")
    );
}
