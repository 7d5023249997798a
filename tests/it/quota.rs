//! The quota is exact, also when many builds race, and a no-op is free.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{TestServer, small_flow};

#[test]
fn racing_builds_get_exactly_the_quota() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 10.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let (built, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..128 {
            let (server, tenant, built, refused) = (&server, &tenant, &built, &refused);
            scope.spawn(move || {
                let answer = server.build(tenant, &small_flow(&format!("f{n}"), None, "x"));
                match answer.status {
                    201 => built.fetch_add(1, Ordering::SeqCst),
                    429 => refused.fetch_add(1, Ordering::SeqCst),
                    other => panic!("{other}: {:#}", answer.json()),
                };
            });
        }
    });
    assert_eq!(built.into_inner(), 10);
    assert_eq!(refused.into_inner(), 118);

    server.clock.advance(24 * 60 * 60 * 1000 + 1);
    assert_eq!(server.build(&tenant, &small_flow("later", None, "x")).status, 201, "a day later");
}

#[test]
fn a_no_op_is_free_and_a_refusal_says_when_to_come_back() {
    let server = TestServer::with(|c| c.quota.builds_per_day = 1.try_into().unwrap());
    let tenant = server.tenant("acme-inc");
    let body = small_flow("one", None, "x");
    assert_eq!(server.build(&tenant, &body).status, 201);
    for _ in 0..5 {
        assert_eq!(server.build(&tenant, &body).status, 200);
    }
    server.clock.advance(1000 * 60 * 60);
    let refused = server.build(&tenant, &small_flow("one", None, "y"));
    assert_eq!((refused.status, refused.code().as_str()), (429, "quota-exceeded"));
    assert_eq!(refused.header("retry-after"), (23 * 60 * 60).to_string());
}
