//! `edge-fetch attest verify`: whether a file's attestation is to be trusted. Asks no server, and needs no
//! enrolment.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use colophon_edge_fetch::{Error, Exit};
use colophon_model::Sha256;
use colophon_trust::attest::{Policy, PublicKey, Statement};
use serde_json::json;

use super::output::Output;
use super::{input, unusable};

#[derive(Debug, Subcommand)]
pub(super) enum Attest {
    /// Check the signatures of an attestation, and that it is about a bundle
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The attestation: a DSSE envelope (provenance.json)
    file: PathBuf,
    /// A public key in PEM that must have signed, Ed25519 or P-256; may be given several times
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// How many of the keys must have signed [default: all of them]
    #[arg(long, value_name = "N")]
    threshold: Option<NonZeroUsize>,
    /// The zip that it must be about
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

impl Attest {
    pub(super) fn run(&self, output: &Output) -> Result<Exit, Error> {
        let Self::Verify(verify) = self;
        verify.run(output)
    }
}

impl Verify {
    fn run(&self, output: &Output) -> Result<Exit, Error> {
        let policy = self.policy()?;
        let envelope = input(&self.file)?;
        let statement = match &self.bundle {
            Some(bundle) => policy.verify_bundle(&envelope, &Sha256::of(&input(bundle)?))?,
            None => policy.verify(&envelope)?,
        };
        self.told(output, &statement);
        Ok(Exit::Ok)
    }

    fn policy(&self) -> Result<Policy, Error> {
        let keys: Result<Vec<_>, _> = self.keys.iter().map(|file| read_key(file)).collect();
        let keys = keys?;
        let all = NonZeroUsize::new(keys.len()).unwrap_or(NonZeroUsize::MIN);
        Policy::new(&keys, self.threshold.unwrap_or(all))
            .map_err(|error| unusable(Path::new("--key"), &error.to_string()))
    }

    fn told(&self, output: &Output, statement: &Statement) {
        let build = &statement.json()["predicate"]["runDetails"]["metadata"]["invocationId"];
        let about = match &self.bundle {
            Some(bundle) => format!(", about {}", bundle.display()),
            None => String::new(),
        };
        let text = format!("{}: verified{about}", self.file.display());
        let json = json!({
            "event": "attested",
            "file": self.file,
            "bundle": self.bundle,
            "predicate_type": statement.predicate_type(),
            "build": build,
            "statement": statement.json(),
        });
        output.line(&text, &json);
    }
}

fn read_key(file: &Path) -> Result<PublicKey, Error> {
    let pem = input(file)?;
    PublicKey::from_pem(&String::from_utf8_lossy(&pem))
        .map_err(|error| unusable(file, &error.to_string()))
}
