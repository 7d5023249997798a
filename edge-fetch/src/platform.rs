//! This machine, and whether a bundle runs on it.

use std::fmt;

use colophon_trust::BundleFacts;

/// An operating system and a CPU architecture, in Rust's spelling (`linux`, `x86_64`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    os: String,
    arch: String,
}

impl Platform {
    /// A platform by name; common other spellings are understood.
    pub fn new(os: &str, arch: &str) -> Self {
        Self { os: normal_os(os), arch: normal_arch(arch) }
    }

    /// The platform that this program was built for.
    pub fn current() -> Self {
        Self::new(std::env::consts::OS, std::env::consts::ARCH)
    }

    /// The operating system.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// Whether a bundle runs here. A bundle that names no system or no architecture runs nowhere.
    pub fn runs(&self, facts: &BundleFacts) -> bool {
        facts.os.iter().any(|os| normal_os(os) == self.os)
            && facts.cpu_arch.iter().any(|arch| normal_arch(arch) == self.arch)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)
    }
}

/// Debian, Docker and Windows say `amd64` and `arm64` for what Rust and the kernel call otherwise.
fn normal_arch(arch: &str) -> String {
    match arch.to_ascii_lowercase().as_str() {
        "amd64" | "x64" => "x86_64".to_owned(),
        "arm64" => "aarch64".to_owned(),
        other => other.to_owned(),
    }
}

fn normal_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "darwin" => "macos".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colophon_model::{Digest, EdgeRuntime};
    use colophon_trust::{Channel, FactsSchema};

    fn facts(os: &[&str], cpu_arch: &[&str]) -> BundleFacts {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        BundleFacts {
            schema: FactsSchema,
            slug: "acme".parse().unwrap(),
            flow: "pay".parse().unwrap(),
            channel: Channel::Stable,
            version: "1.0.1".to_owned(),
            seq: 1,
            runtime: EdgeRuntime::Python,
            os: owned(os),
            cpu_arch: owned(cpu_arch),
            requirements: vec![],
            tree: Digest::of(b""),
            unpacked: 0,
            files: 0,
            min_seq: None,
            attestation: None,
        }
    }

    #[test]
    fn spellings_of_one_architecture_are_one() {
        let linux = Platform::new("linux", "x86_64");
        for arch in ["x86_64", "amd64", "AMD64", "x64"] {
            assert!(linux.runs(&facts(&["windows", "linux"], &["aarch64", arch])), "{arch}");
        }
        assert!(Platform::new("macos", "aarch64").runs(&facts(&["darwin"], &["arm64"])));
    }

    #[test]
    fn anything_else_does_not_run() {
        let linux = Platform::new("linux", "x86_64");
        for (os, arch) in [
            (vec!["windows"], vec!["x86_64"]),
            (vec!["linux"], vec!["aarch64"]),
            (vec!["linux"], vec!["i686", "any"]),
            (vec!["linux"], vec![]),
            (vec![], vec!["x86_64"]),
        ] {
            assert!(!linux.runs(&facts(&os, &arch)), "{os:?} {arch:?}");
        }
    }
}
