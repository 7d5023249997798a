//! `colophon demo`: everything once, with real programs, on a fresh data directory.

mod edge;
mod flows;
mod git;
mod server;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use self::server::{Answer, Running};
use super::out::Out;

/// Runs the demonstration.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Fresh folder to work in; it must not exist or be empty
    #[arg(long, value_name = "DIR", default_value = "colophon-demo")]
    dir: PathBuf,
    /// A LangFlow export to build; without it a flow of ours in the same format is used
    #[arg(long, value_name = "FILE")]
    langflow: Option<PathBuf>,
    /// Keep the server running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// The tenant of the demonstration.
const TENANT: &str = "acme-inc";

impl Demo {
    pub(super) fn run(self, out: Out) -> anyhow::Result<()> {
        let dir = fresh(&self.dir)?;
        out.say("colophon demo: one real flow, from webhook to Git clone to edge agent")?;
        let server = Running::start(&dir.join("data"))?;
        title(out, &format!("1. a server on a fresh data directory: {}", server.url()))?;
        let (langflow, origin) = flows::langflow(self.langflow.as_deref())?;
        // Released exports hold known component sources only; our own flow's are our own.
        let policy = if self.langflow.is_some() { "known-only" } else { "allow-custom" };
        let tenant = server.create_tenant(TENANT, &dir.join("root.json"), policy)?;
        title(out, &format!("2. tenant {TENANT}"))?;
        out.say(&format!("   git      {}", tenant.git_url))?;
        out.say("   signing  root keys made on this server")?;

        let builder = flows::builder();
        title(out, &format!("3. a LangFlow export ({origin}), {} bytes, signed", langflow.len()))?;
        show(out, &server.post(&tenant, &langflow)?, 201)?;
        title(out, "4. a Builder flow with an edge part")?;
        show(out, &server.post(&tenant, &builder)?, 201)?;
        title(out, "5. both again: nothing changed, nothing is written")?;
        show(out, &server.post(&tenant, &langflow)?, 200)?;
        show(out, &server.post(&tenant, &builder)?, 200)?;

        title(out, "6. git clone, with the git on this machine")?;
        let token = server.create_token(TENANT, "git")?;
        git::tour(out, &tenant.git_url, &token, &dir.join("clone"))?;

        title(out, "7. the edge agent: pin the root, refresh, download, verify, unpack")?;
        let token = server.create_token(TENANT, "edge")?;
        edge::tour(out, server.url(), TENANT, &token, &dir)?;

        finish(out, &dir, server, self.keep)
    }
}

fn fresh(dir: &std::path::Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    if std::fs::read_dir(dir)?.next().is_some() {
        bail!("`{}` is not empty; give a fresh folder with `--dir`", dir.display());
    }
    Ok(dir.canonicalize()?)
}

fn title(out: Out, text: &str) -> anyhow::Result<()> {
    out.say(&format!("\n{text}"))
}

/// Prints an answer to a delivery, and fails unless it is the one expected.
fn show(out: Out, answer: &Answer, expected: u16) -> anyhow::Result<()> {
    let body = &answer.body;
    if answer.status != expected {
        bail!("expected {expected}, the server said {}: {body:#}", answer.status);
    }
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let millis = body["timing_ms"]["total"].as_f64().unwrap_or_default();
    out.say(&format!(
        "   {} {:<6} flow {}  commit {:.12}  {millis:.1} ms",
        answer.status,
        text("outcome"),
        text("flow"),
        text("commit")
    ))?;
    if answer.status != 201 {
        return Ok(());
    }
    let timing = &body["timing_ms"];
    out.say(&format!(
        "       time  receive {} ms, render {} ms, commit {} ms",
        timing["receive"], timing["render"], timing["commit"]
    ))?;
    for tag in body["tags"].as_array().into_iter().flatten() {
        out.say(&format!("       tag   {}", tag.as_str().unwrap_or_default()))?;
    }
    for output in body["outputs"].as_array().into_iter().flatten() {
        for file in output["files"].as_array().into_iter().flatten() {
            let path = file["path"].as_str().unwrap_or_default();
            out.say(&format!("       file  {path}  {} bytes", file["size"]))?;
        }
        if let Some(version) = output["edge"]["version"].as_str() {
            out.say(&format!(
                "       edge  {} version {version}, {} bytes, sha256 {:.16}…",
                output["edge"]["target"].as_str().unwrap_or_default(),
                output["edge"]["length"],
                output["edge"]["edge_sha256"].as_str().unwrap_or_default()
            ))?;
        }
    }
    Ok(())
}

fn finish(out: Out, dir: &std::path::Path, server: Running, keep: bool) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let (program, data) = (program.display(), dir.join("data"));
    let data = data.display();
    title(out, &format!("Done. All of it was real, and is in {}", dir.display()))?;
    if keep {
        out.say(&format!("   the server stays at {} until Ctrl-C", server.url()))?;
    } else {
        out.say("   keep the server running with")?;
        out.say(&format!("     {program} serve --data {data}"))?;
    }
    out.say("   then try, in another terminal")?;
    for command in [
        format!("{program} tenant create my-company --data {data}"),
        format!("{program} token create my-company --kind git --data {data}"),
        "git -c http.extraHeader=\"Authorization: Bearer <token>\" clone <git url>".to_owned(),
    ] {
        out.say(&format!("     {command}"))?;
    }
    out.say("   how a flow is posted is in docs/api.md; `make build-flow` builds a file without a server")?;
    if keep { server.wait() } else { server.stop() }
}
