//! Downloads that are cut, and servers that answer a range in every way they can.

use crate::bundles::{Agent, Bundle, Tenant, large_bundle};
use crate::server::Fault;

/// A tenant with one large bundle, an agent, and a download of it that broke after `cut` bytes.
fn cut_download(cut: usize) -> (Tenant, Agent, Bundle) {
    let tenant = Tenant::new();
    let bundle = large_bundle(1);
    tenant.publish(1, std::slice::from_ref(&bundle));
    let agent = Agent::enrolled(&tenant);
    tenant.server.fault("/targets/", Fault::CutAfter(cut));
    agent.expect(&["fetch"], 3);
    let part = agent.home().join(format!("partial/{}.part", bundle.file.sha256));
    assert_eq!(std::fs::metadata(part).unwrap().len(), cut as u64, "what came is kept");
    tenant.server.requests("");
    (tenant, agent, bundle)
}

fn partials(agent: &Agent) -> usize {
    agent.tree("partial").len()
}

#[test]
fn a_cut_download_continues_where_it_stopped() {
    let (tenant, agent, bundle) = cut_download(40_000);
    let run = agent.expect(&["fetch"], 0);
    assert_eq!(run.json[0]["resumed_from"], 40_000);
    assert_eq!(run.json[0]["downloaded"], bundle.zip.len() - 40_000);
    let requests = tenant.server.requests("/targets/");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].range.as_deref(), Some("bytes=40000-"));
    assert_eq!(requests[0].if_range, Some(format!("\"etag-{}\"", bundle.zip.len())));
    assert_eq!(requests[0].sent, bundle.zip.len() - 40_000, "no byte twice");
    assert_eq!(partials(&agent), 0);
}

#[test]
fn a_download_may_be_cut_many_times() {
    let (tenant, agent, bundle) = cut_download(10_000);
    for _ in 0..3 {
        tenant.server.fault("/targets/", Fault::CutAfter(20_000));
        agent.expect(&["apply"], 3);
    }
    agent.expect(&["apply"], 0);
    let sent: usize = tenant.server.requests("/targets/").iter().map(|r| r.sent).sum();
    assert_eq!(sent, bundle.zip.len() - 10_000, "no byte twice");
}

#[test]
fn a_server_without_ranges_starts_over() {
    let (tenant, agent, bundle) = cut_download(40_000);
    tenant.server.fault("/targets/", Fault::IgnoreRange);
    let run = agent.expect(&["fetch"], 0);
    assert_eq!(run.json[0]["resumed_from"], 0);
    assert_eq!(run.json[0]["downloaded"], bundle.zip.len());
    assert_eq!(tenant.server.requests("/targets/")[0].sent, bundle.zip.len());
}

#[test]
fn a_file_that_changed_starts_over() {
    let (tenant, agent, _) = cut_download(40_000);
    tenant.server.fault("/targets/", Fault::OtherEtag);
    agent.expect(&["apply"], 0);
}

#[test]
fn an_unsatisfiable_range_starts_over_at_once() {
    let (tenant, agent, _) = cut_download(40_000);
    tenant.server.fault("/targets/", Fault::Status(416));
    agent.expect(&["apply"], 0);
    let ranges: Vec<_> = tenant.server.requests("/targets/").into_iter().map(|r| r.range).collect();
    assert_eq!(ranges, [Some("bytes=40000-".to_owned()), None]);
}

#[test]
fn another_part_than_was_asked_for_is_not_used() {
    let (tenant, agent, _) = cut_download(40_000);
    tenant.server.fault("/targets/", Fault::WrongRange);
    agent.expect(&["apply"], 3);
    assert_eq!(partials(&agent), 0);
    agent.expect(&["apply"], 0);
}

/// A part file that is whole needs no request; one that is too long is thrown away.
#[test]
fn whole_and_overlong_part_files() {
    let (tenant, agent, bundle) = cut_download(40_000);
    let part = agent.home().join(format!("partial/{}.part", bundle.file.sha256));
    std::fs::write(&part, &bundle.zip).unwrap();
    agent.expect(&["fetch"], 0);
    assert_eq!(tenant.server.requests("/targets/").len(), 0);

    std::fs::remove_dir_all(agent.home().join("objects")).unwrap();
    std::fs::write(&part, [&bundle.zip[..], b"more"].concat()).unwrap();
    agent.expect(&["fetch"], 0);
    let requests = tenant.server.requests("/targets/");
    assert_eq!((requests.len(), requests[0].range.as_deref()), (1, None));
}

/// A part that was damaged on disk costs one more download, not a verification failure for ever.
#[test]
fn a_damaged_part_file_is_fetched_again() {
    let (tenant, agent, bundle) = cut_download(40_000);
    let part = agent.home().join(format!("partial/{}.part", bundle.file.sha256));
    std::fs::write(&part, vec![0; 40_000]).unwrap();
    agent.expect(&["apply"], 0);
    let requests = tenant.server.requests("/targets/");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].range, None);
}

#[test]
fn never_more_than_the_signed_length_is_written() {
    let (tenant, agent, bundle) = cut_download(40_000);
    tenant.server.fault("/targets/", Fault::Endless(5_000_000));
    agent.expect(&["apply"], 11);
    assert_eq!(partials(&agent), 0);
    // The same with a length that says so beforehand: nothing is read at all.
    let name = bundle.file.custom.target_name().file_name(&bundle.file.sha256);
    tenant.server.put(format!("/v1/t/acme/targets/{name}"), [&bundle.zip[..], b"more"].concat());
    agent.expect(&["apply"], 11);
    assert_eq!(agent.current(), None);
}

/// A file that is shorter than what was signed is a broken server, not an attack that succeeded.
#[test]
fn a_shorter_file_is_a_network_error() {
    let (tenant, agent, bundle) = cut_download(10);
    let name = bundle.file.custom.target_name().file_name(&bundle.file.sha256);
    tenant.server.put(format!("/v1/t/acme/targets/{name}"), bundle.zip[..500].to_vec());
    agent.expect(&["apply"], 3);
}
