//! Rows as bytes: what was written must stay readable, and junk is refused.

use std::collections::BTreeMap;
use std::fmt::Debug;

use colophon_model::{
    ArtifactPath, BuildId, BuildInputs, BuildKey, BuildRecord, CodePolicy, Digest, EdgeManifest,
    EdgeOutput, EdgePointer, EdgeRuntime, FlowId, FlowManifest, FlowSource, GateResult, GitKind,
    LogEntry, NativeFlowId, Oid, Ordinal, Sha256, Signatures, SshSignature, Stamp, TagObject,
    Target, TenantSlug, UnixMillis,
};
use colophon_store::rows::{
    ArtifactRow, BuildNumber, BundleAlias, BundleTree, DeliveryBody, DeliveryClaim, DeliveryKey,
    Document, EdgeHead, Effect, EnvHead, ExportBlob, ExportDrill, ExportKey, ExportPlace,
    ExportState, FirstCommit, FlowClaim, FlowGone, FlowHead, FlowOwner, FormerExportKey, FormerKey,
    GitOid, Halt, HookId, HookRow, ImportRow, KeyCopy, KeyLeftover, KnownHead, MirrorRow,
    MirrorState, MirrorTag, OutboxRow, PlannedExport, PullFrom, PullRow, QuotaStamp, RefRow,
    RootsOrigin, SeenPlan, ShredFate, ShredPlace, ShredRecord, SlugOf, TenantHead, TenantRow,
    TokenRow, TokenUsed, TufFile, UploadRow, WebhookRow, WebhookSecret,
};
use colophon_store::{Row, Table};
use proptest::prelude::*;

use crate::support::uid;

const TIME: UnixMillis = UnixMillis::new(1_795_262_400_007);

fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

fn oid(n: u8) -> Oid {
    Oid::from_bytes([n; 20])
}

fn sha(n: u8) -> Sha256 {
    Sha256::from_bytes([n; 32])
}

fn slug() -> TenantSlug {
    TenantSlug::new("acme-inc").unwrap()
}

fn flow() -> FlowId {
    FlowId::new("intake").unwrap()
}

fn native() -> NativeFlowId {
    NativeFlowId::new("f-1").unwrap()
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::new(text).unwrap()
}

fn key() -> BuildKey {
    BuildKey::derive(&BuildInputs {
        plan: digest(1),
        templates: digest(2),
        compiler: "1",
        targets: &[Target::Cloud],
        options: b"",
    })
}

fn webhook() -> WebhookRow {
    let first = WebhookSecret { generation: 1, created: TIME, ends: Some(TIME), revoked: true };
    let second = WebhookSecret { generation: 2, created: TIME, ends: None, revoked: false };
    WebhookRow { next: 3, secrets: vec![first, second], repeats: true }
}

fn build_id() -> BuildId {
    BuildId::from_bytes([6; 16])
}

fn edge_output() -> EdgeOutput {
    EdgeOutput {
        runtime: EdgeRuntime::Python,
        tree: digest(3),
        zip: None,
        sha256: sha(5),
        length: 10,
        unpacked: 20,
        files: 2,
        render: "zip-1".to_owned(),
        seq: 1,
        target_name: "edge_intake_1.0.1.zip".to_owned(),
        attestation: None,
    }
}

fn flow_head() -> FlowHead {
    FlowHead {
        build: build_id(),
        key: key(),
        plan: digest(1),
        body: digest(2),
        revision: Some(3),
        manifest: FlowManifest {
            name: "Intake".to_owned(),
            source: FlowSource::Builder,
            revision: Some(3),
            build: build_id(),
            key: key(),
            files: vec![path("app/flows/acme_inc/flow_intake.py")],
            edge: Some(EdgePointer {
                runtime: EdgeRuntime::Python,
                version: "1.0.1".to_owned(),
                seq: 1,
                tree: digest(3),
                sha256: sha(5),
                length: 10,
                target: "edge_intake_1.0.1.zip".to_owned(),
                url: "bundles/05".to_owned(),
            }),
        },
        edge: Some(EdgeHead {
            output: edge_output(),
            manifest: EdgeManifest {
                schema: 1,
                slug: slug(),
                flow: flow(),
                runtime: EdgeRuntime::Python,
                cpu_arch: vec!["x86_64".to_owned()],
                os: vec!["linux".to_owned()],
                requirements: vec!["playwright==1.50.0".to_owned()],
                wheels: BTreeMap::new(),
                env: BTreeMap::from([("TOKEN".to_owned(), "cred".to_owned())]),
                entrypoints: BTreeMap::from([("login".to_owned(), path("login.py"))]),
            },
        }),
        edge_seq: 3,
        min_seq: None,
        env: Some(EnvHead {
            digest: digest(4),
            sha256: sha(6),
            length: 200,
            recipients: 2,
            set: UnixMillis::new(7),
        }),
        env_seq: 4,
        ordered: Some(TIME),
    }
}

fn record() -> BuildRecord {
    BuildRecord {
        id: build_id(),
        tenant: uid(1),
        number: 1,
        flow: flow(),
        name: "Intake".to_owned(),
        source: FlowSource::Builder,
        native: native(),
        revision: None,
        key: key(),
        plan: digest(1),
        body: digest(2),
        templates: digest(3),
        compiler: "1".to_owned(),
        received: TIME,
        stamp: Stamp::after(None, TIME),
        commit: oid(1),
        tags: Vec::new(),
        outputs: Vec::new(),
        gates: vec![GateResult::passed("parse")],
        manifest: None,
        signatures: None,
        kind: colophon_model::BuildKind::Delivery,
        failure: None,
    }
}

fn signature() -> SshSignature {
    SshSignature::armor("U1NIU0lH").unwrap()
}

fn tenant_head() -> TenantHead {
    TenantHead {
        builds: 2,
        stamp: Some(Stamp::after(None, TIME)),
        tip: Some(oid(1)),
        next_ordinal: 9,
        tuf_version: 2,
        quota: BTreeMap::from([(Target::Cloud, 2), (Target::Edge, 1)]),
        edge: None,
    }
}

fn mirror_row() -> MirrorRow {
    MirrorRow {
        url: "https://example.com/acme.git".to_owned(),
        username: "x-access-token".to_owned(),
        credential: Some("env:ACME_TOKEN".to_owned()),
        tags_per_push: 3,
        set: TIME,
    }
}

fn mirror_state() -> MirrorState {
    MirrorState {
        tip: Some(oid(1)),
        succeeded: Some(TIME),
        next: TIME,
        failures: 2,
        refused: false,
        trouble: Some("status 503".to_owned()),
        halt: None,
    }
}

fn halts() -> [Option<Halt>; 3] {
    let (ours, theirs) = (oid(1), oid(2));
    let quarantined = Halt::Quarantined { since: TIME, name: "refs/x".to_owned(), ours, theirs };
    [None, Some(Halt::Parked { since: TIME }), Some(quarantined)]
}

fn log_entry(base: Option<Ordinal>, blob: Option<Digest>) -> LogEntry {
    LogEntry {
        oid: oid(1),
        kind: GitKind::Blob,
        size: 300,
        base,
        depth: u8::from(base.is_some()),
        inflated: 20,
        deflated: b"zlib".to_vec(),
        blob,
    }
}

/// Key and value parse back to what they were, and to nothing else: changed lengths are refused.
fn round_trip<R: Row + PartialEq + Debug>(key: &R::Key, row: &R)
where
    R::Key: PartialEq + Debug,
{
    let (key_bytes, bytes) = (R::encode_key(key), row.encode());
    assert_eq!(&R::decode_key(&key_bytes).unwrap(), key);
    assert_eq!(&R::decode(&bytes).unwrap(), row);
    assert_eq!(R::decode(&bytes).unwrap().encode(), bytes);
    assert!(R::decode_key(&key_bytes[..10]).is_err());
}

/// As [`round_trip`], for rows whose whole value is checked.
fn strict<R: Row + PartialEq + Debug>(key: &R::Key, row: &R)
where
    R::Key: PartialEq + Debug,
{
    round_trip(key, row);
    let bytes = row.encode();
    for cut in 0..bytes.len() {
        assert!(R::decode(&bytes[..cut]).is_err(), "{row:?} cut to {cut} bytes");
    }
    assert!(R::decode(&[bytes.as_slice(), b"x"].concat()).is_err());
    assert!(R::decode(b"{\"unknown\":1}").is_err());
}

#[test]
fn every_row_round_trips_and_refuses_junk() {
    let tenant = TenantRow {
        uid: uid(1),
        slug: slug(),
        created: TIME,
        policy: CodePolicy::KnownOnly,
        roots: RootsOrigin::Server,
        suspended: None,
        archived: None,
        held: None,
    };
    let resting = TenantRow { suspended: Some(TIME), archived: Some(TIME), ..tenant.clone() };
    let token = TokenRow {
        id: "tok1".to_owned(),
        tenant: uid(1),
        scopes: vec!["build".to_owned()],
        label: "ci".to_owned(),
        created: TIME,
        expires: TIME,
        kind: None,
        target: None,
        successor: None,
    };
    let limited = TokenRow {
        kind: Some("api".to_owned()),
        target: Some(Target::Edge),
        successor: Some("tok2".to_owned()),
        ..token.clone()
    };
    let slug_key = TenantSlug::new("a-slug-of-length").unwrap();
    strict(&slug_key, &tenant);
    strict(&slug_key, &resting);
    strict(&uid(1), &SlugOf { slug: slug() });
    strict(&sha(1), &token);
    strict(&sha(1), &limited);
    strict(&(uid(1), sha(1)), &TokenUsed { at: TIME });
    strict(&uid(1), &tenant_head());
    strict(&uid(1), &TenantHead::default());
    strict(&uid(1), &FirstCommit { commit: oid(1), signature: Some(signature()) });
    strict(&uid(1), &FirstCommit { commit: oid(1), signature: None });
    strict(&(uid(1), flow()), &flow_head());
    strict(&(uid(1), flow()), &FlowHead { env: None, env_seq: 0, ordered: None, ..flow_head() });
    let gone = FlowGone {
        build: build_id(),
        revision: Some(7),
        edge_seq: 3,
        env_seq: 4,
        ordered: Some(TIME),
    };
    strict(&(uid(1), flow()), &FlowGone { ordered: None, ..gone.clone() });
    strict(&(uid(1), flow()), &gone);
    let rebuild = colophon_model::BuildKind::Rebuild { index: 1, of: 3 };
    strict(&(uid(1), build_id()), &BuildRecord { kind: rebuild, ..record() });
    let deletion = colophon_model::BuildKind::Deletion;
    strict(&(uid(1), build_id()), &BuildRecord { kind: deletion, ..record() });
    strict(&(uid(1), FlowSource::Langflow, native()), &FlowClaim { flow: flow() });
    strict(&(uid(1), flow()), &FlowOwner { source: FlowSource::Builder, native: native() });
    strict(&(uid(1), flow(), digest(1)), &SeenPlan);
    strict(&(uid(1), build_id()), &record());
    let signatures = Signatures { commit: signature(), tags: vec![signature()] };
    strict(&(uid(1), build_id()), &BuildRecord { signatures: Some(signatures), ..record() });
    strict(&(uid(1), 7), &BuildNumber { build: build_id() });
    strict(&(uid(1), "refs/heads/x".to_owned()), &RefRow { oid: oid(1), peeled: None });
    strict(&(uid(1), oid(1)), &GitOid { ordinal: Ordinal::new(7) });
    strict(&(uid(1), "3.targets.json".to_owned()), &TufFile { digest: digest(1) });
    let bundle = BundleAlias {
        tree: digest(1),
        render: "zip-1".to_owned(),
        length: 10,
        name: "edge.zip".to_owned(),
        documents: BTreeMap::from([
            (Document::Provenance, digest(2)),
            (Document::Minisig, digest(3)),
            (Document::Sbom, digest(4)),
        ]),
    };
    strict(&(uid(1), sha(1)), &bundle);
    strict(&(uid(1), digest(1)), &BundleTree);
    strict(&(uid(1), Target::Edge, 99), &QuotaStamp { at: TIME });
    strict(&uid(1), &mirror_row());
    for halt in halts() {
        strict(&uid(1), &MirrorState { halt, ..mirror_state() });
    }
    strict(&(uid(1), "refs/tags/x".to_owned()), &MirrorTag { oid: oid(1) });
    strict(&(uid(1), Effect::Push), &OutboxRow { since: TIME, changes: 2 });
    let tag = TagObject { oid: oid(1), target: oid(2), bytes: b"object 0".to_vec() };
    round_trip(&(uid(1), oid(1)), &tag);
    assert!(TagObject::decode(&tag.encode()[..39]).is_err());
}

/// The rows of deliveries, of hooks and of what deliveries are checked with.
#[test]
fn rows_of_exports_round_trip() {
    let planned = PlannedExport {
        sequence: 2,
        previous: Some(sha(1)),
        builds: 3,
        lines: 4,
        sealed: true,
        key: None,
    };
    let place = ExportPlace {
        url: "s3://evidence/x".to_owned(),
        sequence: 1,
        builds: 2,
        lines: 3,
        succeeded: Some(TIME),
        probed: None,
        locks: true,
        keys: Some(sha(2)),
        planned: Some(planned),
        sealed: 1,
        head: Some(KnownHead {
            text: "{}\n".to_owned(),
            tag: Some("\"0123\"".to_owned()),
            version: None,
        }),
        endpoint: Some("https://s3.example.com".to_owned()),
        region: None,
    };
    strict(&(uid(1), digest(1)), &place);
    strict(&(uid(1), digest(1)), &ExportPlace::default());
    // Rows of servers that did not know of builds, lines and seals.
    let old =
        br#"{"url":"u","sequence":1,"succeeded":null,"probed":null,"keys":null,"planned":null}"#;
    assert_eq!(ExportPlace::decode(old).unwrap().sequence, 1);
    let state = ExportState {
        failures: 2,
        failed: TIME,
        next: TIME,
        code: "export-denied".to_owned(),
        trouble: "no".to_owned(),
    };
    strict(&(uid(1), digest(1)), &state);
    strict(&(uid(1), digest(1)), &ExportDrill { tried: TIME, good: Some(TIME) });
    strict(&(uid(1), Effect::Export), &OutboxRow { since: TIME, changes: 1 });
    let exported = ExportBlob { sha256: sha(1), size: 7, key: None };
    strict(&(uid(1), digest(1), digest(2)), &exported);
    let key = Some("k1".to_owned());
    strict(&(uid(1), digest(1), digest(2)), &ExportBlob { key, ..exported });
    let (slug, url) = ("acme-inc".parse().unwrap(), "s3://evidence/x".to_owned());
    strict(&uid(1), &ImportRow { slug, url, tagmanifest: sha(2), begun: TIME });
    strict(&(uid(1), "keys/pub/x.pem".to_owned()), &FormerKey { text: "-----BEGIN".to_owned() });
}

/// The keys of sealed exports, as versions of before wrote them too, and what is remembered of an erasure.
#[test]
fn rows_of_sealing_keys_round_trip() {
    let former = FormerExportKey {
        id: "age1a".to_owned(),
        sealed: "x".to_owned(),
        made: TIME,
        retired: TIME,
    };
    let url = "s3://keys/x".to_owned();
    let left = KeyLeftover {
        url: url.clone(),
        endpoint: None,
        region: None,
        names: ["b".to_owned()].into(),
        left: vec!["denied".to_owned()],
        since: TIME,
        tried: TIME,
    };
    let copy = KeyCopy {
        url: url.clone(),
        endpoint: None,
        region: None,
        name: "a".to_owned(),
        recipients: ["b".to_owned()].into(),
    };
    let key = ExportKey {
        id: "age1b".to_owned(),
        sealed: "y".to_owned(),
        made: TIME,
        copies: vec![copy],
        former: vec![former],
        leftovers: vec![left],
    };
    strict(&uid(1), &key);
    let old = br#"{"id":"age1b","sealed":"y","made":7,"copies":[]}"#;
    let read = ExportKey::decode(old).unwrap();
    assert_eq!(read.encode(), old, "rows are compared by their bytes");
    let fate = ShredFate { place: url.clone(), deleted: 1, left: Vec::new() };
    let place = ShredPlace { url, endpoint: None, region: None };
    let (keys, places) = (vec![fate], vec![place]);
    let record = ShredRecord { tenant: "p".to_owned(), began: TIME, finished: None, keys, places };
    strict(&digest(1), &record);
    strict(&digest(1), &ShredRecord { finished: Some(TIME), ..record });
}

#[test]
fn rows_of_artifacts_round_trip() {
    let place = "aws s3://edge-artifacts".to_owned();
    strict(&(uid(1), sha(1)), &ArtifactRow { place, since: TIME });
    let new = UploadRow::new(TIME);
    strict(&(uid(1), sha(1)), &new);
    let trouble = Some("503".to_owned());
    strict(&(uid(1), sha(2)), &UploadRow { failures: 2, trouble, ..new });
}

#[test]
fn rows_of_the_intake_round_trip() {
    strict(&uid(1), &webhook());
    strict(&uid(1), &WebhookRow { repeats: false, ..webhook() });
    let claim = DeliveryClaim { body: digest(1), build: build_id(), at: TIME };
    strict(&(uid(1), digest(2)), &claim);
    let (hook, delivery) = (HookId::from_random([7; 16]), DeliveryKey::new(TIME, [1; 10]));
    let pull = PullFrom { url: "https://x/api".to_owned(), credential: "env:X".to_owned() };
    let row = HookRow {
        tenant: uid(1),
        scheme: "static".to_owned(),
        label: "ap".to_owned(),
        created: TIME,
        pull: Some(pull),
    };
    strict(&hook, &HookRow { pull: None, ..row.clone() });
    strict(&hook, &row);
    let (flow, version) = ("f".to_owned(), "v".to_owned());
    let pull = PullRow { hook, flow, version, failures: 1, next: TIME };
    strict(&(uid(1), delivery), &pull);
    strict(&(uid(1), delivery), &DeliveryBody { digest: digest(1), size: 7 });
}

/// Expectations compare bytes, so an encoding must never change under its table's name.
#[test]
fn encodings_are_pinned() {
    let json = |row: Vec<u8>| String::from_utf8(row).unwrap();
    assert_eq!(
        json(tenant_head().encode()),
        format!(
            r#"{{"builds":2,"stamp":1795262400007,"tip":"{}","next_ordinal":9,"tuf_version":2,"quota":{{"cloud":2,"edge":1}}}}"#,
            oid(1)
        )
    );
    assert_eq!(
        json(FirstCommit { commit: oid(1), signature: Some(signature()) }.encode()),
        format!(
            r#"{{"commit":"{}","signature":"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----"}}"#,
            oid(1)
        )
    );
    assert!(!json(record().encode()).contains("signatures"), "as before they were kept");
    assert_eq!(
        json(RefRow { oid: oid(1), peeled: None }.encode()),
        format!(r#"{{"oid":"{}","peeled":null}}"#, oid(1))
    );
    let [_, parked, quarantined] = halts();
    let state = json(MirrorState { halt: parked, ..mirror_state() }.encode());
    assert_eq!(
        state,
        format!(
            r#"{{"tip":"{}","succeeded":1795262400007,"next":1795262400007,"failures":2,"refused":false,"trouble":"status 503","halt":{{"kind":"parked","since":1795262400007}}}}"#,
            oid(1)
        )
    );
    let state = json(MirrorState { halt: quarantined, ..mirror_state() }.encode());
    let tail = format!(
        r#""halt":{{"kind":"quarantined","since":1795262400007,"name":"refs/x","ours":"{}","theirs":"{}"}}}}"#,
        oid(1),
        oid(2)
    );
    assert!(state.ends_with(&tail), "{state}");
    assert_eq!(
        json(mirror_row().encode()),
        r#"{"url":"https://example.com/acme.git","username":"x-access-token","credential":"env:ACME_TOKEN","tags_per_push":3,"set":1795262400007}"#
    );
    let mut token = TokenRow {
        id: "0123456789ab".to_owned(),
        tenant: uid(1),
        scopes: vec!["build".to_owned(), "read".to_owned()],
        label: "ci".to_owned(),
        created: TIME,
        expires: TIME,
        kind: None,
        target: None,
        successor: None,
    };
    let mut tenant = TenantRow {
        uid: uid(1),
        slug: slug(),
        created: TIME,
        policy: CodePolicy::KnownOnly,
        roots: RootsOrigin::Server,
        suspended: None,
        archived: None,
        held: None,
    };
    let active = format!(
        r#"{{"uid":"{}","slug":"acme-inc","created":1795262400007,"policy":"known-only","roots":"server""#,
        uid(1)
    );
    assert_eq!(json(tenant.encode()), format!("{active}}}"), "as before there were states");
    tenant.suspended = Some(TIME);
    tenant.archived = Some(TIME);
    let since = r#","suspended":1795262400007,"archived":1795262400007}"#;
    assert_eq!(json(tenant.encode()), format!("{active}{since}"));
    // As it was before there were kinds: a token must not stop working with a new program.
    let early = format!(
        r#"{{"id":"0123456789ab","tenant":"{}","scopes":["build","read"],"label":"ci","created":1795262400007,"expires":1795262400007"#,
        uid(1)
    );
    assert_eq!(json(token.encode()), format!("{early}}}"));
    token.kind = Some("api".to_owned());
    token.target = Some(Target::Cloud);
    token.successor = Some("ab".to_owned());
    let late = r#","kind":"api","target":"cloud","successor":"ab"}"#;
    assert_eq!(json(token.encode()), format!("{early}{late}"));
    let key = OutboxRow::encode_key(&(uid(7), Effect::Push));
    assert_eq!(key, [[7; 16].as_slice(), &[1]].concat());
    let key = FlowClaim::encode_key(&(uid(7), FlowSource::Langflow, native()));
    assert_eq!(key, [[7; 16].as_slice(), &[2], b"f-1\0"].concat());
    let key = QuotaStamp::encode_key(&(uid(7), Target::Edge, 258));
    assert_eq!(key, [[7; 16].as_slice(), &[2], &258_u64.to_be_bytes()].concat());
    assert_eq!(RefRow::encode_key(&(uid(7), "refs/x".to_owned()))[16..], *b"refs/x");

    let mut expected = vec![3, 1];
    expected.extend_from_slice(&[1; 20]);
    expected.extend_from_slice(&300_u64.to_be_bytes());
    expected.extend_from_slice(&20_u64.to_be_bytes());
    expected.extend_from_slice(&[1, 0, 0, 0, 5, 1]);
    expected.extend_from_slice(&[9; 32]);
    expected.extend_from_slice(b"zlib");
    assert_eq!(log_entry(Some(Ordinal::new(5)), Some(digest(9))).encode(), expected);
    assert_eq!(log_entry(None, None).encode()[38..], *b"\0\0zlib");
}

#[test]
fn log_entries_with_a_broken_head_are_refused() {
    let bytes = log_entry(Some(Ordinal::new(5)), Some(digest(9))).encode();
    for cut in 0..bytes.len() - 4 {
        assert!(LogEntry::decode(&bytes[..cut]).is_err(), "cut to {cut} bytes");
    }
    for (at, value) in [(0, 0), (0, 6), (38, 2), (43, 2)] {
        let mut broken = bytes.clone();
        broken[at] = value;
        assert!(LogEntry::decode(&broken).is_err(), "byte {at} set to {value}");
    }
}

proptest! {
    #[test]
    fn log_entries_round_trip(
        base in proptest::option::of(any::<u32>().prop_map(Ordinal::new)),
        blob in proptest::option::of(any::<[u8; 32]>().prop_map(Digest::from_bytes)),
        (size, inflated, depth) in any::<(u64, u64, u8)>(),
        deflated in proptest::collection::vec(any::<u8>(), 0..50),
        ordinal in any::<u32>(),
    ) {
        let entry = LogEntry { size, inflated, depth, deflated, ..log_entry(base, blob) };
        round_trip(&(uid(1), Ordinal::new(ordinal)), &entry);
    }
}

/// A prefix of a flow's rows never takes in another flow whose id begins the same.
#[test]
fn flow_prefixes_are_exact() {
    let rows = [("flow", 1), ("flow_2", 2)].map(|(id, n)| (FlowId::new(id).unwrap(), digest(n)));
    let store = colophon_store::Store::in_memory().unwrap();
    let mut change = colophon_store::Change::new();
    for (id, body) in &rows {
        change.put(&(uid(1), id.clone(), *body), &SeenPlan);
    }
    store.commit(change).unwrap();
    let view = store.view().unwrap();
    let seen: Vec<_> = view.scan::<SeenPlan>(&(uid(1), rows[0].0.clone())).collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(view.scan::<SeenPlan>(&uid(1)).count(), 2);
    assert_eq!(SeenPlan::TABLE, Table::SeenPlan);
}
