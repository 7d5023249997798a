//! A tenant with all the rows that a service writes for one, in their smallest consistent form.

use std::collections::BTreeMap;

use colophon_model::{
    ArtifactPath, BuildId, BuildInputs, BuildKey, BuildRecord, BuildTag, CodePolicy, Digest,
    EdgeManifest, EdgeOutput, EdgeRuntime, FileMode, FlowId, FlowManifest, FlowSource, GitKind,
    LogEntry, NativeFlowId, Oid, Ordinal, Output, OutputFile, Sha256, Stamp, TagObject, Target,
    TenantBranch, TenantSlug, TenantUid, Tree, TreeEntry, UnixMillis,
};
use colophon_store::rows::{
    BuildNumber, BundleAlias, BundleTree, Document, EdgeHead, FlowClaim, FlowHead, FlowOwner,
    GitOid, Planted, QuotaStamp, RefRow, RootsOrigin, SeenPlan, SlugOf, TenantHead, TenantRow,
    TokenRow, TufFile,
};
use colophon_store::{Change, Store, View};

use crate::support::{blob, uid};

/// A tenant of a test.
pub(crate) struct Tenant {
    pub(crate) uid: TenantUid,
    pub(crate) slug: TenantSlug,
    n: u8,
}

/// What one build stored, by what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    pub(crate) id: BuildId,
    pub(crate) body: Digest,
    pub(crate) manifest: Digest,
    pub(crate) file: Digest,
    pub(crate) list: Digest,
    pub(crate) tree: Digest,
    pub(crate) script: Digest,
    pub(crate) provenance: Digest,
    pub(crate) sha256: Sha256,
}

impl Built {
    /// All blobs but what was written about the bundle, which is kept for a time only.
    pub(crate) fn lasting(&self) -> [Digest; 6] {
        [self.body, self.manifest, self.file, self.list, self.tree, self.script]
    }
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::new(text).unwrap()
}

fn flow() -> FlowId {
    FlowId::new("intake").unwrap()
}

fn native() -> NativeFlowId {
    NativeFlowId::new("native-intake").unwrap()
}

/// An id or hash that is the same for the same words.
fn bytes<const N: usize>(words: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let digest = Digest::of(words.as_bytes());
    bytes.iter_mut().zip(digest.as_bytes().iter().cycle()).for_each(|(to, from)| *to = *from);
    bytes
}

fn key(words: &str) -> BuildKey {
    let plan = Digest::of(words.as_bytes());
    let (templates, compiler, options) = (Digest::of(b"templates"), "1", b"".as_slice());
    BuildKey::derive(&BuildInputs { plan, templates, compiler, targets: &[Target::Cloud], options })
}

impl Tenant {
    /// Creates tenant number `n` at `now`.
    pub(crate) fn create(store: &Store, n: u8, now: UnixMillis) -> Self {
        let tenant = Self::new(n);
        store.commit(tenant.creation(now)).unwrap();
        tenant
    }

    /// Tenant number `n`, to be created.
    pub(crate) fn new(n: u8) -> Self {
        Self { uid: uid(n), slug: TenantSlug::new(format!("tenant-{n}-limited")).unwrap(), n }
    }

    /// The change that creates it at `now`.
    pub(crate) fn creation(&self, now: UnixMillis) -> Change {
        let (uid, slug) = (self.uid, self.slug.clone());
        let mut change = Change::new();
        let (policy, roots) = (CodePolicy::None, RootsOrigin::Server);
        let row = TenantRow {
            uid,
            slug: slug.clone(),
            created: now,
            policy,
            roots,
            suspended: None,
            archived: None,
            held: None,
        };
        change.expect(&slug, None::<&TenantRow>).put(&slug, &row);
        change.put(&uid, &SlugOf { slug });
        let readme = self.readme();
        change.put(&(uid, "README.md".to_owned()), &Planted { digest: Digest::of(&readme) });
        change.blob(uid, blob(&readme));
        self.put_tuf(&mut change, self.root());
        let token = TokenRow {
            id: self.words("token"),
            tenant: uid,
            scopes: vec!["build".to_owned()],
            label: self.words("label"),
            created: now,
            expires: now,
            kind: None,
            target: None,
            successor: None,
        };
        change.put(&Sha256::from_bytes(bytes(&self.words("token"))), &token);
        change.put(&uid, &TenantHead::default());
        change
    }

    /// What its branch begins with.
    pub(crate) fn readme(&self) -> Vec<u8> {
        self.text("README")
    }

    /// What its TUF repository begins with.
    pub(crate) fn root(&self) -> (String, Vec<u8>) {
        ("1.root.json".to_owned(), self.text("root"))
    }

    /// What build `n` writes to its TUF repository.
    pub(crate) fn metadata(&self, n: u64) -> [(String, Vec<u8>); 2] {
        [
            ("timestamp.json".to_owned(), self.text(&format!("timestamp {n}"))),
            (format!("{n}.snapshot.json"), self.text(&format!("snapshot {n}"))),
        ]
    }

    /// The name of the ref of a build at `stamp`.
    pub(crate) fn tag(&self, stamp: Stamp) -> BuildTag {
        BuildTag::new(self.slug.clone(), stamp, Target::Edge)
    }

    /// Words that only this tenant has.
    pub(crate) fn words(&self, what: &str) -> String {
        format!("{what} of tenant {}", self.n)
    }

    /// A text that only this tenant has.
    fn text(&self, what: &str) -> Vec<u8> {
        format!("{}\n", self.words(what)).into_bytes()
    }

    fn put_tuf(&self, change: &mut Change, (name, file): (String, Vec<u8>)) {
        change.put(&(self.uid, name), &TufFile { digest: Digest::of(&file) });
        change.blob(self.uid, blob(&file));
    }

    /// Makes the next build, of `content`, at `now`. Every table has a row of it.
    pub(crate) fn build(&self, store: &Store, content: &[u8], now: UnixMillis) -> Built {
        let lane = store.lane(self.uid);
        let (change, built) = self.prepare(&lane.view().unwrap(), content, now);
        lane.submit(change).wait().unwrap();
        built
    }

    /// The change that makes the build after those of `view`.
    pub(crate) fn prepare(&self, view: &View, content: &[u8], now: UnixMillis) -> (Change, Built) {
        let old = view.get::<TenantHead>(&self.uid).unwrap().unwrap();
        let mut change = Change::new();
        let mut head = old.clone();
        let built = self.put_build(&mut change, &mut head, content, now);
        change.expect(&self.uid, Some(&old)).put(&self.uid, &head);
        (change, built)
    }

    /// Puts the build after `head` into `change`, and moves `head` on.
    pub(crate) fn put_build(
        &self,
        change: &mut Change,
        head: &mut TenantHead,
        content: &[u8],
        now: UnixMillis,
    ) -> Built {
        head.builds += 1;
        let stamp = Stamp::after(head.stamp, now);
        head.stamp = Some(stamp);
        let n = head.builds;
        let built = self.put_blobs(change, content, n);
        self.put_git(change, head, n, built.file);
        let commit = head.tip.unwrap();
        let tag = self.tag(stamp);
        self.put_tag(change, &tag, commit, n);
        let edge = edge_output(&built, n);
        change.put(&(self.uid, built.id), &self.record(&built, head, tag, edge.clone()));
        change.put(&(self.uid, n), &BuildNumber { build: built.id });
        change.put(&(self.uid, flow()), &self.flow_head(&built, edge, n));
        let (source, native) = (FlowSource::Builder, native());
        change.put(&(self.uid, source, native.clone()), &FlowClaim { flow: flow() });
        change.put(&(self.uid, flow()), &FlowOwner { source, native });
        change.put(&(self.uid, flow(), Digest::of(content)), &SeenPlan);
        let count = head.quota.entry(Target::Edge).or_default();
        change.put(&(self.uid, Target::Edge, *count), &QuotaStamp { at: stamp.time() });
        *count += 1;
        head.tuf_version = n;
        self.metadata(n).into_iter().for_each(|file| self.put_tuf(change, file));
        built
    }

    fn put_blobs(&self, change: &mut Change, content: &[u8], n: u64) -> Built {
        let script = [content, b" as a script"].concat();
        let list = |path: &str, file: &[u8]| {
            let path = ArtifactPath::new(path).unwrap();
            let (mode, digest) = (FileMode::Regular, Digest::of(file));
            Tree::new(vec![TreeEntry { path, mode, digest }]).unwrap()
        };
        let list_of = list("app/flow.py", content).encode();
        let tree = list("main.py", &script).encode();
        let body = self.text(&format!("body {n}"));
        let manifest = self.text(&format!("manifest {n}"));
        let provenance = [content, b" was made", self.words("").as_bytes()].concat();
        for bytes in [content, &script, &list_of, &tree, &body, &manifest, &provenance] {
            change.blob(self.uid, blob(bytes));
        }
        let sha256 = Sha256::of(&provenance);
        let alias = BundleAlias {
            tree: Digest::of(&tree),
            render: "zip-1".to_owned(),
            length: 1,
            name: self.words("bundle"),
            documents: BTreeMap::from([(Document::Provenance, Digest::of(&provenance))]),
        };
        change.put(&(self.uid, sha256), &alias);
        change.put(&(self.uid, Digest::of(&tree)), &BundleTree);
        Built {
            id: BuildId::derive(self.uid, n, &key(&format!("{n}"))),
            body: Digest::of(&body),
            manifest: Digest::of(&manifest),
            file: Digest::of(content),
            list: Digest::of(&list_of),
            tree: Digest::of(&tree),
            script: Digest::of(&script),
            provenance: Digest::of(&provenance),
            sha256,
        }
    }

    /// One object in the log, which stands for a whole commit.
    fn put_git(&self, change: &mut Change, head: &mut TenantHead, n: u64, file: Digest) {
        let oid = Oid::from_bytes(bytes(&self.words(&format!("commit {n}"))));
        let deflated = self.text(&format!("object {n}"));
        let entry = LogEntry {
            oid,
            kind: GitKind::Blob,
            size: 1,
            base: None,
            depth: 0,
            inflated: 1,
            deflated,
            blob: Some(file),
        };
        let ordinal = Ordinal::new(head.next_ordinal);
        change.put(&(self.uid, ordinal), &entry).put(&(self.uid, oid), &GitOid { ordinal });
        let branch = TenantBranch::new(self.slug.clone()).full_name();
        change.put(&(self.uid, branch), &RefRow { oid, peeled: None });
        head.next_ordinal += 1;
        head.tip = Some(oid);
    }

    fn put_tag(&self, change: &mut Change, tag: &BuildTag, commit: Oid, n: u64) {
        let oid = Oid::from_bytes(bytes(&self.words(&format!("tag {n}"))));
        let object = TagObject { oid, target: commit, bytes: self.text(&format!("tag {n}")) };
        change.put(&(self.uid, oid), &object);
        let row = RefRow { oid, peeled: Some(commit) };
        change.put(&(self.uid, tag.full_name()), &row);
    }

    fn record(
        &self,
        built: &Built,
        head: &TenantHead,
        tag: BuildTag,
        edge: EdgeOutput,
    ) -> BuildRecord {
        let file = OutputFile {
            path: path("app/flow.py"),
            mode: FileMode::Regular,
            digest: built.file,
            size: 1,
        };
        BuildRecord {
            id: built.id,
            tenant: self.uid,
            number: head.builds,
            flow: flow(),
            name: self.words("flow"),
            source: FlowSource::Builder,
            native: native(),
            revision: None,
            key: key(&head.builds.to_string()),
            plan: Digest::of(b"plan"),
            body: built.body,
            templates: Digest::of(b"templates"),
            compiler: "1".to_owned(),
            received: head.stamp.unwrap().time(),
            stamp: head.stamp.unwrap(),
            commit: head.tip.unwrap(),
            tags: vec![tag],
            outputs: vec![Output {
                target: Target::Edge,
                tree: built.list,
                files: vec![file],
                edge: Some(edge),
            }],
            gates: Vec::new(),
            manifest: Some(built.manifest),
            signatures: None,
            kind: colophon_model::BuildKind::Delivery,
            failure: None,
        }
    }

    fn flow_head(&self, built: &Built, edge: EdgeOutput, n: u64) -> FlowHead {
        let manifest = FlowManifest {
            name: self.words("flow"),
            source: FlowSource::Builder,
            revision: None,
            build: built.id,
            key: key(&n.to_string()),
            files: vec![path("app/flow.py")],
            edge: None,
        };
        let inside = EdgeManifest {
            schema: 1,
            slug: self.slug.clone(),
            flow: flow(),
            runtime: EdgeRuntime::Python,
            cpu_arch: Vec::new(),
            os: Vec::new(),
            requirements: Vec::new(),
            wheels: BTreeMap::new(),
            env: BTreeMap::new(),
            entrypoints: BTreeMap::new(),
        };
        FlowHead {
            build: built.id,
            key: key(&n.to_string()),
            plan: Digest::of(b"plan"),
            body: built.body,
            revision: None,
            manifest,
            edge: Some(EdgeHead { output: edge, manifest: inside }),
            edge_seq: n,
            min_seq: None,
            env: None,
            env_seq: 0,
            ordered: None,
        }
    }
}

fn edge_output(built: &Built, n: u64) -> EdgeOutput {
    EdgeOutput {
        runtime: EdgeRuntime::Python,
        tree: built.tree,
        zip: None,
        sha256: built.sha256,
        length: 1,
        unpacked: 1,
        files: 1,
        render: "zip-1".to_owned(),
        seq: n,
        target_name: "edge.zip".to_owned(),
        attestation: None,
    }
}
