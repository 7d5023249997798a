//! Bounds that two crates must agree on, since neither may know the other.

#[test]
fn the_compiler_makes_no_bundle_that_an_agent_would_refuse() {
    assert_eq!(colophon_compiler::MAX_ZIP as u64, colophon_trust::limits::MAX_ZIP);
    assert_eq!(colophon_compiler::MAX_UNPACKED, colophon_trust::limits::MAX_UNPACKED);
    assert_eq!(colophon_compiler::MAX_FILES as u64, colophon_trust::limits::MAX_FILES);
}
