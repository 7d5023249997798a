//! Turns: whoever remembers what a flow's head says learns when there may be another.

use colophon_store::rows::FlowHead;
use colophon_store::{Change, Store};

use crate::support::{build, uid};

/// Whether a commit of `change` ends the turn of tenant 1, as who asks after the answer sees it.
fn ends(store: &Store, change: Change) -> bool {
    let before = store.turn(uid(1));
    store.commit(change).unwrap();
    store.turn(uid(1)) != before
}

/// A change that writes a flow's head; that it deletes one makes no difference here.
fn head_of(n: u8) -> Change {
    let mut change = Change::new();
    change.delete::<FlowHead>(&(uid(n), "one".parse().unwrap()));
    change
}

#[test]
fn a_flows_head_ends_the_turn_of_its_tenant_alone() {
    let store = Store::in_memory().unwrap();
    assert!(ends(&store, head_of(1)));
    assert!(!ends(&store, head_of(2)), "another tenant's");
    assert!(!ends(&store, build(uid(1), None).0), "no head of a flow");
    assert!(ends(&store, head_of(1)));
}
