//! Rendering again when something changes.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::Context as _;
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use serde::Serialize;

use super::view::{Finding, Rendered};
use super::{Render, lines};
use crate::cli::out::Out;
use crate::config::Config;

/// An editor writes in several steps; rendering waits until it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(40);
/// Erases a terminal's screen and goes to its beginning (ECMA-48: ED, CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// What came of one rendering.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    Rendered(&'a Rendered),
    Problems(Vec<Finding>),
    Error(String),
}

/// Renders, and again after each change, until the process is ended.
pub(super) fn run(render: &Render, config: &Config, out: Out) -> anyhow::Result<()> {
    let (sender, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(sender).context("cannot watch files")?;
    let file = canonical(&render.file)?;
    // The folder, for editors put a new file in the place of the old one.
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    let templates = config.compiler.templates.as_deref().map(canonical).transpose()?;
    let failed = |dir: &Path| format!("cannot watch `{}`", dir.display());
    watcher.watch(&folder, RecursiveMode::NonRecursive).with_context(|| failed(&folder))?;
    if let Some(dir) = &templates {
        watcher.watch(dir, RecursiveMode::Recursive).with_context(|| failed(dir))?;
    }
    let mut written = BTreeSet::new();
    loop {
        show(render, config, &mut written, out)?;
        if !wait(&events, &|path| concerns(path, &file, templates.as_deref())) {
            return Ok(());
        }
    }
}

fn canonical(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("there is no `{}`", path.display()))
}

fn concerns(path: &Path, file: &Path, templates: Option<&Path>) -> bool {
    path == file || templates.is_some_and(|dir| path.starts_with(dir))
}

/// Waits for a change of what concerns us, and until nothing more comes. False: nobody watches.
fn wait(events: &Receiver<notify::Result<Event>>, concerns: &dyn Fn(&Path) -> bool) -> bool {
    let matters = |event: &notify::Result<Event>| match event {
        Ok(Event { kind: EventKind::Access(_), .. }) => false,
        Ok(event) => event.paths.iter().any(|path| concerns(path)),
        Err(_) => true, // events were lost: look
    };
    loop {
        match events.recv() {
            Ok(event) if matters(&event) => break,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    while events.recv_timeout(QUIET).is_ok() {}
    true
}

/// Renders once and says what came of it. A mistake is shown, and does not end the watch.
fn show(
    render: &Render,
    config: &Config,
    written: &mut BTreeSet<PathBuf>,
    out: Out,
) -> anyhow::Result<()> {
    let result = render.render(config, written);
    let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
    let (told, text) = match &result {
        Ok(Ok(rendered)) => (Told::Rendered(rendered), rendered.text(render.out.as_deref())),
        Ok(Err(problems)) => {
            let found = problems.as_slice();
            let head = format!("flow `{}` is not valid:", render.file.display());
            let text = [vec![head], lines(found)].concat().join("\n");
            (Told::Problems(found.iter().map(Finding::from).collect()), text)
        }
        Err(error) => (Told::Error(format!("{error:#}")), format!("error: {error:#}")),
    };
    out.data(&told, |_| format!("{clear}{text}"))
}
