//! `edge-fetch tuf-client`: a client of any TUF repository with the command line that the suite
//! theupdateframework/tuf-conformance drives (its `CLIENT-CLI.md`). Ends with 0 or 1.

use std::error::Error as StdError;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use colophon_edge_fetch::{BaseUrl, HttpTransport, Network, TufClient};
use colophon_model::UnixMillis;

#[derive(Debug, Args)]
pub(super) struct TufCommand {
    /// Folder with the trusted metadata
    #[arg(long, value_name = "DIR")]
    metadata_dir: PathBuf,
    /// Where the repository's metadata is
    #[arg(long, value_name = "URL")]
    metadata_url: Option<BaseUrl>,
    /// Path of the target to download; may be given several times
    #[arg(long = "target-name", value_name = "PATH")]
    target_names: Vec<String>,
    /// Where the repository's targets are
    #[arg(long, value_name = "URL")]
    target_base_url: Option<BaseUrl>,
    /// Folder for downloaded targets
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Trust a root
    Init {
        /// The root metadata
        root: PathBuf,
    },
    /// Update the top-level metadata
    Refresh,
    /// Update the metadata, and download targets
    Download,
}

type Failure = Box<dyn StdError>;

impl TufCommand {
    /// Runs the step. What goes wrong is told on standard error, with its causes.
    pub(super) fn run(&self, network: &Network, now: UnixMillis) -> ExitCode {
        let done = match &self.step {
            Step::Init { root } => {
                fs::copy(root, self.metadata_dir.join("root.json")).map(drop).map_err(Failure::from)
            }
            Step::Refresh => self.update(network, now, false),
            Step::Download => self.update(network, now, true),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("edge-fetch tuf-client: {}", causes(error.as_ref()));
                ExitCode::FAILURE
            }
        }
    }

    fn update(&self, network: &Network, now: UnixMillis, download: bool) -> Result<(), Failure> {
        let metadata = HttpTransport::at(given(self.metadata_url.as_ref(), "--metadata-url")?, network)?;
        let client = TufClient { folder: self.metadata_dir.clone(), metadata, now };
        let refreshed = client.refresh()?;
        if !download {
            return Ok(());
        }
        let url = given(self.target_base_url.as_ref(), "--target-base-url")?;
        let (targets, folder) =
            (HttpTransport::at(url, network)?, given(self.target_dir.as_ref(), "--target-dir")?);
        for path in &self.target_names {
            client.download(&refreshed, path, &targets, folder)?;
        }
        Ok(())
    }
}

fn given<'a, T>(option: Option<&'a T>, name: &str) -> Result<&'a T, String> {
    option.ok_or_else(|| format!("{name} is missing"))
}

fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
