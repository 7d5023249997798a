//! A reader of the folder sees the old generation or the new one, whole, at any moment and after
//! any crash.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::bundles::{Agent, Tenant, bundle};

/// Follows the pointer all the time while twenty versions are applied, as a scheduler would that
/// starts the flow's script.
#[test]
fn the_pointer_always_names_a_whole_generation() {
    let tenant = Tenant::new();
    let agent = Agent::enrolled(&tenant);
    let version = |n: u64| bundle(n, &[("a.py", &format!("{n}")), ("z/b.py", &format!("{n}"))]);
    tenant.publish(1, &[version(1)]);
    agent.expect(&["apply"], 0);
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let generation = agent.current().expect("there is always an active generation");
                let folder = agent.home().join("flows/order").join(generation.trim_end());
                let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
                assert_eq!(read("a.py"), read("z/b.py"));
                assert!(generation.starts_with(&format!("gen-{}-", read("a.py"))));
                seen.insert(generation);
                std::thread::yield_now();
            }
            seen
        });
        for n in 2..=20 {
            tenant.publish(n, &[version(n)]);
            agent.expect(&["apply"], 0);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(seen.len() > 1, "the reader saw the pointer move");
}

/// What a crash between any two steps leaves behind is no obstacle for the next run.
#[test]
fn leftovers_of_a_crash_do_no_harm() {
    let tenant = Tenant::new();
    tenant.publish(1, &[bundle(1, &[("main.py", "one")])]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    let old = agent.current().unwrap();
    let home = agent.home();
    let decided = std::fs::read(home.join("flows/order/state.json")).unwrap();
    tenant.publish(2, &[bundle(2, &[("main.py", "two")])]);

    // Died while building the generation, and while writing the pointer.
    std::fs::create_dir_all(home.join("tmp/new/half")).unwrap();
    std::fs::write(home.join("tmp/new/half/main.py"), "tw").unwrap();
    std::fs::write(home.join("flows/order/current.new"), "gen-").unwrap();
    std::fs::write(home.join("state/timestamp.json.new"), "{").unwrap();
    assert_eq!(agent.active_file("main.py"), "one");
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "two");
    let new = agent.current().unwrap();

    // Died after the generation was decided on, before the pointer.
    std::fs::write(home.join("flows/order/current"), &old).unwrap();
    assert_eq!(agent.active_file("main.py"), "one");
    agent.expect(&["apply"], 0);
    assert_eq!(agent.current().unwrap(), new);

    // Died after the generation was in place, before anything was decided.
    std::fs::write(home.join("flows/order/current"), &old).unwrap();
    std::fs::write(home.join("flows/order/state.json"), decided).unwrap();
    assert_eq!(agent.active_file("main.py"), "one");
    assert_eq!(agent.expect(&["apply"], 0).json[0]["changed"], true);
    assert_eq!(agent.current().unwrap(), new);
}

/// Files that were changed on disk are noticed by the next `apply`: in the cache, and unpacked.
#[test]
fn damage_on_disk_is_repaired() {
    let tenant = Tenant::new();
    tenant.publish(1, &[bundle(1, &[("main.py", "one"), ("b.py", "b")])]);
    let agent = Agent::enrolled(&tenant);
    agent.expect(&["apply"], 0);
    let object = agent.tree("objects").into_keys().next().unwrap();
    let active = || agent.home().join("flows/order").join(agent.current().unwrap().trim_end());
    let damaged = active();
    std::fs::write(damaged.join("main.py"), "evil").unwrap();
    assert_eq!(agent.expect(&["apply"], 0).json[0]["changed"], true);
    assert_eq!(agent.active_file("main.py"), "one");
    assert!(!damaged.exists());
    assert_eq!(agent.expect(&["apply"], 0).json[0]["changed"], false);
    assert_eq!(agent.expect(&["check"], 0).code, 0, "a repaired bundle is the current one");

    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, "evil").unwrap();
    std::fs::remove_file(active().join("main.py")).unwrap();
    tenant.server.requests("");
    agent.expect(&["apply"], 0);
    assert_eq!(agent.active_file("main.py"), "one");
    assert_eq!(tenant.server.requests("/targets/").len(), 1, "the cached zip was not believed");
}
