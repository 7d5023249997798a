//! Rows of a tenant beside its builds: what came in, what is told of, who reported, where it is exported to.

use std::collections::{BTreeMap, BTreeSet};

use colophon_model::{Digest, FlowId, Sha256, TenantUid, UnixMillis};
use colophon_store::rows::{
    AgentRow, AttemptRow, DeliveryBody, DeliveryClaim, DeliveryKey, DeliveryRow, Effect,
    EndpointId, EndpointRow, EndpointState, EventKey, EventRow, ExportBlob, ExportPlace, HoldRow,
    HookId, OutboxRow, PullRow, SendKey, SendRow, WebhookRow,
};
use colophon_store::{Change, KeyPart, PurgeReport, Row, View};

use crate::world::Tenant;

/// A row of which a tenant has one here or none, and that no time takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Single {
    Agent,
    Endpoint,
    EndpointState,
    Hold,
    ExportPlace,
    ExportBlob,
    Pull,
    Webhook,
}

impl Single {
    pub(super) const ALL: [Self; 8] = [
        Self::Agent,
        Self::Endpoint,
        Self::EndpointState,
        Self::Hold,
        Self::ExportPlace,
        Self::ExportBlob,
        Self::Pull,
        Self::Webhook,
    ];
}

/// Such rows, by what tells them apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) deliveries: BTreeSet<DeliveryKey>,
    /// Bodies that were refused, which are blobs.
    pub(super) bodies: BTreeMap<DeliveryKey, Digest>,
    pub(super) claims: BTreeMap<Digest, UnixMillis>,
    pub(super) events: BTreeSet<EventKey>,
    pub(super) attempts: BTreeSet<EventKey>,
    pub(super) sends: BTreeSet<(u64, EventKey)>,
    pub(super) singles: BTreeSet<Single>,
}

fn endpoint() -> EndpointId {
    EndpointId::from_random([7; 16])
}

fn flow() -> FlowId {
    FlowId::new("intake").unwrap()
}

fn place() -> Digest {
    Digest::from_bytes([8; 32])
}

fn delivery(now: UnixMillis, n: u8) -> DeliveryKey {
    DeliveryKey::new(now, [n; 10])
}

fn event(now: UnixMillis, n: u8) -> EventKey {
    EventKey::new(now, 0, [n; 8])
}

impl Aside {
    /// A delivery came in at `now`, was refused, and its body is kept.
    pub(super) fn refuse(&mut self, now: UnixMillis, n: u8, body: Digest) {
        self.deliveries.insert(delivery(now, n));
        self.bodies.insert(delivery(now, n), body);
        self.claims.insert(body, now);
    }

    /// Something happened at `now`, was told once in vain, and is to be told again, to an endpoint that is there.
    pub(super) fn tell(&mut self, now: UnixMillis, n: u8) {
        self.events.insert(event(now, n));
        self.attempts.insert(event(now, n));
        self.sends.insert((now.get(), event(now, n)));
        self.singles.insert(Single::Endpoint);
    }

    pub(super) fn toggle(&mut self, single: Single) {
        if !self.singles.remove(&single) {
            self.singles.insert(single);
        } else if single == Single::Endpoint {
            self.sends.clear();
        }
    }

    /// Forgets what is older than `keep`; how much of each that was.
    pub(super) fn purge(&mut self, now: UnixMillis, keep: u64) -> PurgeReport {
        let before = self.clone();
        let is_young = |at: UnixMillis| at.plus(keep) > now;
        self.deliveries.retain(|key| is_young(key.time()));
        self.bodies.retain(|key, _| is_young(key.time()));
        self.claims.retain(|_, at| is_young(*at));
        self.events.retain(|key| is_young(key.time()));
        self.attempts.retain(|key| is_young(key.time()));
        let told = |aside: &Self| aside.events.len() + aside.attempts.len();
        PurgeReport {
            deliveries: (before.deliveries.len() - self.deliveries.len()) as u64,
            refused_bodies: (before.bodies.len() - self.bodies.len()) as u64,
            claims: (before.claims.len() - self.claims.len()) as u64,
            events: (told(&before) - told(self)) as u64,
            ..PurgeReport::default()
        }
    }

    /// What the store has of a tenant; `None` when that is nothing.
    pub(super) fn seen(view: &View) -> BTreeMap<TenantUid, Self> {
        let mut seen = BTreeMap::<TenantUid, Self>::new();
        for (key, row) in all::<DeliveryBody>(view) {
            seen.entry(key.0).or_default().bodies.insert(key.1, row.digest);
        }
        for (key, row) in all::<DeliveryClaim>(view) {
            seen.entry(key.0).or_default().claims.insert(key.1, row.at);
        }
        for (key, _) in all::<DeliveryRow>(view) {
            seen.entry(key.0).or_default().deliveries.insert(key.1);
        }
        for (key, _) in all::<EventRow>(view) {
            seen.entry(key.0).or_default().events.insert(key.1);
        }
        for (key, _) in all::<AttemptRow>(view) {
            seen.entry(key.0).or_default().attempts.insert(key.1);
        }
        for ((to, when), _) in all::<SendRow>(view) {
            seen.entry(to.0).or_default().sends.insert(when);
        }
        let mut one = |uid: TenantUid, single| {
            seen.entry(uid).or_default().singles.insert(single);
        };
        all::<AgentRow>(view).for_each(|(key, _)| one(key.0, Single::Agent));
        all::<EndpointRow>(view).for_each(|(key, _)| one(key.0, Single::Endpoint));
        all::<EndpointState>(view).for_each(|(key, _)| one(key.0, Single::EndpointState));
        all::<HoldRow>(view).for_each(|(key, _)| one(key.0, Single::Hold));
        all::<ExportPlace>(view).for_each(|(key, _)| one(key.0, Single::ExportPlace));
        all::<ExportBlob>(view).for_each(|(key, _)| one(key.0, Single::ExportBlob));
        all::<PullRow>(view).for_each(|(key, _)| one(key.0, Single::Pull));
        all::<WebhookRow>(view).for_each(|(uid, _)| one(uid, Single::Webhook));
        seen
    }
}

fn all<R: Row>(view: &View) -> impl Iterator<Item = (R::Key, R)>
where
    R::Key: KeyPart,
{
    view.scan::<R>(&()).map(Result::unwrap)
}

/// The rows of a delivery that was refused; its body is brought by whoever calls.
pub(super) fn put_refused(
    change: &mut Change,
    tenant: &Tenant,
    now: UnixMillis,
    n: u8,
    body: Digest,
) {
    let (uid, key) = (tenant.uid, delivery(now, n));
    let row = DeliveryRow {
        at: now,
        by: tenant.words("label"),
        secret: None,
        from: None,
        id: None,
        signed: None,
        replay_of: None,
        body,
        size: 1,
        outcome: "refused".to_owned(),
        status: 422,
        code: None,
        flow: Some(flow()),
        build: None,
        micros: 0,
    };
    let claim =
        DeliveryClaim { body, build: colophon_model::BuildId::from_bytes([9; 16]), at: now };
    change.put(&(uid, key), &row).put(&(uid, key), &DeliveryBody { digest: body, size: 1 });
    change.put(&(uid, body), &claim);
}

/// The rows of something that is told.
pub(super) fn put_told(change: &mut Change, tenant: &Tenant, now: UnixMillis, n: u8) {
    let (uid, event) = (tenant.uid, event(now, n));
    let row = EventRow {
        kind: "build.succeeded".to_owned(),
        at: now,
        flow: Some(flow()),
        build: None,
        body: tenant.words("label"),
        trace: None,
    };
    let attempt = AttemptRow {
        endpoint: endpoint(),
        event,
        number: 1,
        outcome: "failed".to_owned(),
        status: Some(500),
        error: None,
        excerpt: tenant.words("label"),
        millis: 3,
        next: Some(now),
        replay: false,
    };
    let send: SendKey = ((uid, endpoint()), (now.get(), event));
    change.put(&(uid, event), &row).put(&(uid, event), &attempt);
    change.put(&send, &SendRow { flow: Some(flow()), failures: 1, replay: false });
    change.put(&(uid, endpoint()), &endpoint_row(tenant));
    change.put(&(uid, Effect::Notify), &OutboxRow { since: now, changes: 1 });
}

/// Takes away what waits for the endpoint, as goes with it.
pub(super) fn delete_sends(change: &mut Change, uid: TenantUid, aside: &Aside) {
    for when in &aside.sends {
        change.delete::<SendRow>(&((uid, endpoint()), *when));
    }
}

fn endpoint_row(tenant: &Tenant) -> EndpointRow {
    EndpointRow {
        url: tenant.words("label"),
        events: vec![],
        flow: None,
        label: String::new(),
        created: UnixMillis::new(1),
        version: 1,
        disabled: None,
        next: 2,
        secrets: vec![],
    }
}

/// Puts the row, or deletes it when it `is_there`.
pub(super) fn put_single(change: &mut Change, tenant: &Tenant, single: Single, is_there: bool) {
    let (uid, words, at) = (tenant.uid, tenant.words("label"), UnixMillis::new(1));
    match single {
        Single::Agent => {
            let row = AgentRow {
                name: words.clone(),
                version: "1".to_owned(),
                os: "linux".to_owned(),
                arch: "x86_64".to_owned(),
                flows: vec![],
                recipient: None,
                error: None,
                first: at,
                seen: at,
            };
            set(change, is_there, &(uid, "device".to_owned()), &row);
        }
        Single::Endpoint => {
            set(change, is_there, &(uid, endpoint()), &endpoint_row(tenant));
        }
        Single::EndpointState => {
            let row = EndpointState { trouble: Some(words), ..EndpointState::default() };
            set(change, is_there, &(uid, endpoint()), &row);
        }
        Single::Hold => {
            let row = HoldRow { event: event(at, 1), until: 7 };
            set(change, is_there, &(uid, endpoint(), flow()), &row);
        }
        Single::ExportPlace => {
            let row = ExportPlace { url: words, ..ExportPlace::default() };
            set(change, is_there, &(uid, place()), &row);
        }
        Single::ExportBlob => {
            let row = ExportBlob { sha256: Sha256::from_bytes([3; 32]), size: 7, key: None };
            set(change, is_there, &(uid, place(), place()), &row);
        }
        Single::Pull => {
            let hook = HookId::from_random([7; 16]);
            let row = PullRow { hook, flow: words, version: "v".to_owned(), failures: 0, next: at };
            set(change, is_there, &(uid, delivery(at, 1)), &row);
        }
        Single::Webhook => {
            set(change, is_there, &uid, &WebhookRow { next: 1, secrets: vec![], repeats: true });
        }
    }
}

fn set<R: Row>(change: &mut Change, is_there: bool, key: &R::Key, row: &R) {
    if is_there {
        change.delete::<R>(key);
    } else {
        change.put(key, row);
    }
}
