//! The same flow gives the same bytes: at any number of threads, among others, on a second run, and from
//! a second compiler.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use colophon_compiler::{CodePolicy, Compiled, Compiler, Limits};
use colophon_model::{FlowId, TenantSlug};
use rayon::prelude::*;

/// Our own flows, and the starter projects where they were fetched.
fn flows() -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = [tests.join("tests/fixtures/flows"), tests.join(".cache/langflow-1.13.0")];
    let listed = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let paths = listed.map(|entry| entry.unwrap().path());
    let json = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut flows: Vec<Vec<u8>> = json.map(|path| std::fs::read(path).unwrap()).collect();
    flows.sort();
    assert!(flows.len() >= 2);
    flows
}

/// Every flow that compiles, all of them at once on `threads` threads.
fn compile(compiler: &Compiler, flows: &[Vec<u8>], threads: usize) -> Vec<Option<Compiled>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let tenant = TenantSlug::new("acme-inc").unwrap();
    let one = |body: &Vec<u8>| {
        let plan = compiler.parse(body, CodePolicy::AllowCustom, &Limits::default()).ok()?;
        compiler.compile(&plan, &tenant, &FlowId::from_name(plan.name.as_str())).ok()
    };
    pool.install(|| flows.par_iter().map(one).collect())
}

#[test]
fn outputs_do_not_depend_on_threads_or_runs() {
    let (flows, compiler) = (flows(), Compiler::new().unwrap());
    let first = compile(&compiler, &flows, 1);
    assert!(first.iter().flatten().count() >= 2);
    assert!(compile(&compiler, &flows, 8) == first, "at another number of threads");
    assert!(
        compile(&Compiler::new().unwrap(), &flows, 2) == first,
        "in a second run, from a second compiler"
    );
}

/// Whoever waits for the processor goes on between the pieces of a compile: while a flow is read, and between
/// its modules. What comes out is the same.
#[test]
fn it_pauses_between_its_pieces() {
    static PAUSES: AtomicUsize = AtomicUsize::new(0);
    let quiet = Compiler::new().unwrap();
    let pausing = Compiler::new().unwrap().with_pauses(|| {
        PAUSES.fetch_add(1, Relaxed);
    });
    let (tenant, limits) = (TenantSlug::new("acme-inc").unwrap(), Limits::default());
    for body in flows() {
        let before = PAUSES.load(Relaxed);
        let Ok(plan) = pausing.parse(&body, CodePolicy::AllowCustom, &limits) else { continue };
        let read = PAUSES.load(Relaxed);
        assert!(read > before, "while it is read");
        let flow = FlowId::from_name(plan.name.as_str());
        let compiled = pausing.compile(&plan, &tenant, &flow);
        if compiled.is_ok() {
            assert!(PAUSES.load(Relaxed) >= read + 6, "{flow}");
        }
        assert!(compiled == quiet.compile(&plan, &tenant, &flow), "{flow}");
    }
    assert!(PAUSES.load(Relaxed) > 0);
}
