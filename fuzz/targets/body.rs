//! Any bytes as the body of a request.
#![no_main]

use colophon_gitbridge::Protocol;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for protocol in [Protocol::V0, Protocol::V2] {
        fuzz::answer(protocol, bytes);
    }
});
