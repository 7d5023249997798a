//! Turns: whoever remembers what a flow's head says learns when there may be another.

use colophon_store::rows::FlowHead;
use colophon_store::{Change, Store};

use crate::support::{build, uid};

/// Whether a commit of `change` ends the turn of tenant 1's flow, as who asks after the answer sees it.
fn ends(store: &Store, change: Change) -> bool {
    let flow = (uid(1), "one".parse().unwrap());
    let before = store.turn(&flow);
    store.commit(change).unwrap();
    store.turn(&flow) != before
}

/// A change that writes a flow's head; that it deletes one makes no difference here.
fn head_of(n: u8, flow: &str) -> Change {
    let mut change = Change::new();
    change.delete::<FlowHead>(&(uid(n), flow.parse().unwrap()));
    change
}

#[test]
fn a_flows_head_ends_the_turn_of_that_flow_alone() {
    let store = Store::in_memory().unwrap();
    assert!(ends(&store, head_of(1, "one")));
    assert!(!ends(&store, head_of(2, "one")), "another tenant's");
    assert!(!ends(&store, head_of(1, "two")), "another flow's");
    assert!(!ends(&store, build(uid(1), None).0), "no head of a flow");
    assert!(ends(&store, head_of(1, "one")));
}
