//! Any bytes as what an upstream repository answers: its refs, and its report of a push.
#![no_main]

use std::collections::BTreeMap;

use colophon_gitbridge::{Advertisement, Mirror, ObjectLog as _, Report, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Report::parse(bytes, false);
    let _ = Report::parse(bytes, true);
    // Only the refs are worth mutating; every advertisement begins alike.
    let body = [b"001f# service=git-receive-pack\n0000", bytes].concat();
    let Ok(remote) = Advertisement::parse(&body) else { return };
    let log = &*fuzz::LOG;
    let refs = log.refs("refs/").expect("a log in memory");
    let pushed: BTreeMap<_, _> = refs.iter().map(|r| (r.name.clone(), r.oid)).collect();
    let branch = fuzz::branch();
    let mirror = Mirror {
        branch: &branch,
        pushed: &pushed,
        tags_per_push: 3,
        agent: "colophon/fuzz",
    };
    if let Ok(Step::Push(push)) = mirror.step(log, &remote) {
        assert!(!push.commands().is_empty(), "a push of nothing");
    }
});
