//! A tenant that builds: keeps what it put in beside the log, to compare with what comes out.

use std::collections::BTreeMap;

use colophon_gitbridge::{
    Appended, Change, Error, Ident, Message, NewCommit, NewTag, ObjectLog, TagName, append,
};
use colophon_model::{ArtifactPath, Digest, FileMode, Oid, UnixMillis};

use super::MemoryLog;

/// A path's new content, or its removal.
pub(crate) type Edit = (String, Option<(FileMode, Vec<u8>)>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Tenant {
    pub(crate) log: MemoryLog,
    pub(crate) commits: Vec<Oid>,
    pub(crate) files: BTreeMap<String, (FileMode, Vec<u8>)>,
}

pub(crate) const BRANCH: &str = "refs/heads/tenant/acme";

/// A regular file.
pub(crate) fn put(path: &str, text: &str) -> Edit {
    (path.to_owned(), Some((FileMode::Regular, text.as_bytes().to_vec())))
}

pub(crate) fn remove(path: &str) -> Edit {
    (path.to_owned(), None)
}

impl Tenant {
    /// A tenant after its bootstrap and `builds` builds.
    pub(crate) fn with_builds(builds: usize) -> Self {
        let mut tenant = Self::default();
        (0..=builds).for_each(|_| tenant.build());
        tenant
    }

    /// One more build: a flow changes, and every fifth time another one goes.
    pub(crate) fn build(&mut self) {
        let n = self.commits.len();
        let mut edits = vec![
            put(&format!("app/flows/acme/flow_{}.py", n % 4), &module(n)),
            put(
                "manifest.json",
                &format!("{{\"build\": {n}, \"flows\": \"{}\"}}\n", "f".repeat(300)),
            ),
        ];
        if n == 0 {
            edits.push(put("README.md", "# acme\n"));
            edits.push(put(".github/workflows/ci.yml", "on: push\n"));
            let script = (FileMode::Executable, b"#!/bin/sh\n".to_vec());
            edits.push(("edge_scripts/run.sh".to_owned(), Some(script)));
        }
        if n % 5 == 2 {
            edits.push(put("edge_scripts/old/once.py", "x\n"));
        } else if n % 5 == 3 && n > 2 {
            edits.push(remove("edge_scripts/old/once.py"));
        }
        self.commit(&edits).unwrap();
    }

    /// Commits `edits` with one tag, and keeps the result.
    pub(crate) fn commit(&mut self, edits: &[Edit]) -> Result<Appended, Error> {
        let tag = self.tag_name();
        let appended = self.prepare(edits)?;
        self.log.commit(&appended, BRANCH, &[format!("refs/tags/{tag}")]);
        self.commits.push(appended.commit);
        for (path, file) in edits {
            match file {
                Some(file) => self.files.insert(path.clone(), file.clone()),
                None => self.files.remove(path),
            };
        }
        Ok(appended)
    }

    /// What a commit of `edits` would add.
    pub(crate) fn prepare(&self, edits: &[Edit]) -> Result<Appended, Error> {
        self.prepare_on(&self.log, edits)
    }

    /// The same with its log seen through another.
    pub(crate) fn prepare_on(
        &self,
        log: &dyn ObjectLog,
        edits: &[Edit],
    ) -> Result<Appended, Error> {
        let paths: Vec<_> = edits.iter().map(|(p, _)| ArtifactPath::new(p).unwrap()).collect();
        let changes: Vec<_> = edits
            .iter()
            .zip(&paths)
            .map(|((_, file), path)| match file {
                Some((mode, bytes)) => {
                    Change::Put { path, mode: *mode, bytes, digest: Digest::of(bytes) }
                }
                None => Change::Remove { path },
            })
            .collect();
        let n = self.commits.len();
        let trailers = vec![("Build-Id", n.to_string()), ("Target", "cloud".to_owned())];
        let message = Message::new(format!("feat(flow): build {n}"), trailers)?;
        append(
            log,
            &NewCommit {
                parent: self.commits.last().copied(),
                changes: &changes,
                message: &message,
                author: &author(),
                time: UnixMillis::new(1_795_262_400_000 + n as u64 * 1_000),
                tags: &[new_tag(&self.tag_name())],
                signer: None,
            },
        )
    }

    pub(crate) fn tip(&self) -> Oid {
        *self.commits.last().unwrap()
    }

    /// The name of the tag that the next build gets.
    pub(crate) fn tag_name(&self) -> String {
        format!("bld/acme/{:017}-cloud", self.commits.len())
    }
}

pub(crate) fn author() -> Ident {
    Ident::new("colophon", "colophon@example.com").unwrap()
}

pub(crate) fn new_tag(name: &str) -> NewTag {
    let message = Message::new(format!("build {name}"), vec![("Outcome", "built".to_owned())]);
    NewTag { name: TagName::new(name).unwrap(), message: message.unwrap() }
}

/// A generated module: mostly the same from build to build.
fn module(n: usize) -> String {
    let step = |i: usize| {
        let value = if i == n % 30 { n * 7919 } else { i * 31 };
        format!(
            "async def step_{i}(state):\n    state['s{i}'] = await call({value})\n    return state\n\n"
        )
    };
    (0..30).map(step).collect()
}
