//! What runs and waits, by kind of work, and what was refused. Never by tenant: how many of them wait says
//! whether one of them storms, and the access log says which.

use super::text::{Named, number};
use crate::app::App;
use crate::fair::State;

type Rows = Vec<(Vec<(&'static str, String)>, f64)>;

/// Each kind of work: its name, how much of it may run, and its state.
fn kinds(app: &App) -> Vec<(&'static str, usize, State)> {
    let tasks = [
        ("build", &app.builds),
        ("read", &app.reads),
        ("maintenance", &app.maintenance),
        ("audit", &app.audits),
        ("mirror", &app.mirrors),
        ("pull", &app.pulls),
        ("notify", &app.notifications),
        ("export", &app.exports),
    ];
    let mut kinds: Vec<_> =
        tasks.into_iter().map(|(kind, tasks)| (kind, tasks.load())).map(split).collect();
    let limits = &app.config.limits;
    kinds.push(("processor", limits.of_processors().running, app.processors.state()));
    let (most, steps) = app.steps.load();
    kinds.push(("step", most, steps));
    kinds.push(("body", limits.of_bodies()[0].running, app.bodies.state()));
    kinds
}

fn split((kind, load): (&'static str, crate::tasks::Load)) -> (&'static str, usize, State) {
    (kind, load.most, load.state)
}

/// What is so now.
pub(super) fn gauges(app: &App) -> [Named; 2] {
    let count = |count: usize| number(count as u64);
    let (mut states, mut shares): (Rows, Rows) = Default::default();
    for (kind, most, state) in kinds(app) {
        for (word, value) in
            [("running", state.running), ("waiting", state.waiting), ("most", most)]
        {
            states
                .push((vec![("kind", kind.to_owned()), ("state", word.to_owned())], count(value)));
        }
        shares.push((vec![("kind", kind.to_owned())], count(state.waiting_shares)));
    }
    [
        Named("colophon_tasks", "Work by kind; `most` is the bound", states),
        Named("colophon_tasks_waiting_shares", "Tenants and networks that wait", shares),
    ]
}

/// What was so since the start.
pub(super) fn counters(app: &App) -> Vec<Named> {
    let (mut refused, mut waits, mut waited): (Rows, Rows, Rows) = Default::default();
    for (kind, _, state) in kinds(app) {
        for (word, value) in [("total", state.refused_total), ("share", state.refused_share)] {
            refused
                .push((vec![("bound", word.to_owned()), ("kind", kind.to_owned())], number(value)));
        }
        let label = vec![("kind", kind.to_owned())];
        waits.push((label.clone(), number(state.waits)));
        waited.push((label, state.waited.as_secs_f64()));
    }
    vec![
        Named("colophon_tasks_refused", "Refused by a bound: of all, or of one share", refused),
        Named("colophon_tasks_waits", "What had to wait for its turn", waits),
        Named("colophon_tasks_wait_seconds", "How long it waited, in all", waited),
    ]
}
