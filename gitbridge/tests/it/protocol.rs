//! Requests and answers, byte for byte.

use colophon_gitbridge::{Limits, Protocol, UploadPack};
use colophon_model::Oid;
use proptest::prelude::*;

use crate::support::{MemoryLog, Tenant, ask, body, upload_pack, whole_head};

const UNKNOWN: Oid = Oid::from_bytes([0xab; 20]);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn advertise(log: &MemoryLog, protocol: Protocol) -> Vec<u8> {
    whole_head(&upload_pack().advertise(log, protocol).unwrap())
}

#[test]
fn version_2_advertises_what_works_and_nothing_else() {
    let bytes = advertise(&MemoryLog::default(), Protocol::V2);
    let expected = "001e# service=git-upload-pack\n0000000eversion 2\n\
                    0018agent=colophon/test\n0013ls-refs=unborn\n\
                    0034fetch=shallow wait-for-done filter sideband-all\n\
                    0010object-info\n0017object-format=sha1\n0000";
    assert_eq!(text(&bytes), expected);
}

#[test]
fn version_0_advertises_refs_with_peeled_tags() {
    let tenant = Tenant::with_builds(0);
    let bytes = advertise(&tenant.log, Protocol::V0);
    let answer = text(&bytes);
    let lines: Vec<&str> = answer.lines().collect();
    let tip = tenant.tip();
    assert!(lines[1].contains(&format!("{tip} HEAD\0multi_ack ")), "{}", lines[1]);
    assert!(lines[1].contains(" symref=HEAD:refs/heads/tenant/acme "), "{}", lines[1]);
    assert!(lines[1].contains(" shallow ") && lines[1].contains(" filter "), "{}", lines[1]);
    assert_eq!(&lines[2][4..], format!("{tip} refs/heads/tenant/acme"));
    assert_eq!(
        &lines[4][4..],
        format!("{tip} refs/tags/{}^{{}}", "bld/acme/00000000000000000-cloud")
    );
    let v1 = advertise(&tenant.log, Protocol::V1);
    assert_eq!(text(&v1).replacen("000eversion 1\n", "", 1), answer);
}

#[test]
fn an_empty_repository_says_so() {
    let log = MemoryLog::default();
    let v0 = advertise(&log, Protocol::V0);
    assert!(text(&v0).contains(&format!("{} capabilities^{{}}\0", "0".repeat(40))));
    assert!(!text(&v0).contains("symref="));
    let head = ["command=ls-refs", "0001", "symrefs", "unborn", "0000"];
    let unborn = ask(&log, Protocol::V2, &head).unwrap();
    assert_eq!(text(&unborn), "0035unborn HEAD symref-target:refs/heads/tenant/acme\n0000");
    let without = ["command=ls-refs", "0001", "symrefs", "0000"];
    assert_eq!(text(&ask(&log, Protocol::V2, &without).unwrap()), "0000");
}

#[test]
fn ls_refs_honours_prefixes_and_peels() {
    let tenant = Tenant::with_builds(1);
    let ls = |args: &[&str]| {
        let lines =
            [&["command=ls-refs", "agent=x", "object-format=sha1", "0001"], args, &["0000"]];
        text(&ask(&tenant.log, Protocol::V2, &lines.concat()).unwrap())
    };
    assert_eq!(ls(&[]).lines().count(), 5, "HEAD, the branch, two tags, the flush");
    assert_eq!(ls(&["ref-prefix HEAD"]).lines().count(), 2);
    let twice = ls(&["ref-prefix refs/tags/", "ref-prefix refs/", "peel"]);
    assert_eq!(twice.lines().count(), 4, "each ref once");
    assert_eq!(twice.matches(" peeled:").count(), 2);
    assert!(!ls(&[]).contains("peeled") && !ls(&[]).contains("symref"));
}

/// Git sends this before it posts a body in chunks, and takes anything but success as a refusal.
#[test]
fn a_lone_flush_is_answered_with_nothing() {
    let tenant = Tenant::with_builds(0);
    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        assert_eq!(ask(&tenant.log, protocol, &["0000"]).unwrap(), b"");
        assert_eq!(ask(&tenant.log, protocol, &[]).unwrap(), b"");
    }
}

/// An object of another tenant must answer like one that does not exist.
#[test]
fn foreign_objects_do_not_exist() {
    let tenant = Tenant::with_builds(1);
    let other = {
        let mut other = Tenant::default();
        other.commit(&[crate::support::tenant::put("secret", "s")]).unwrap();
        other
    };
    for foreign in other.log.entries.iter().map(|e| e.oid).chain(other.log.tag_oids()) {
        for oid in [foreign, UNKNOWN] {
            let want = format!("want {oid}");
            let refused = format!("upload-pack: not our ref {oid}");
            let v2 = ["command=fetch", "0001", &want, "done", "0000"];
            assert_eq!(ask(&tenant.log, Protocol::V2, &v2).unwrap_err(), refused);
            assert_eq!(
                ask(&tenant.log, Protocol::V0, &[&want, "0000", "done"]).unwrap_err(),
                refused
            );
        }
        let with_have = |oid: Oid| {
            let (want, have) = (format!("want {}", tenant.tip()), format!("have {oid}"));
            let v2 = ["command=fetch", "0001", "thin-pack", &want, &have, "0000"];
            ask(&tenant.log, Protocol::V2, &v2).unwrap()
        };
        assert_eq!(with_have(foreign), with_have(UNKNOWN), "a foreign `have` is not acknowledged");
    }
}

#[test]
fn version_2_acknowledges_what_is_common() {
    let tenant = Tenant::with_builds(3);
    let (want, known) = (format!("want {}", tenant.tip()), tenant.commits[1]);
    let (known_line, unknown_line) = (format!("have {known}"), format!("have {UNKNOWN}"));
    let fetch = |args: &[&str]| {
        let lines = [&["command=fetch", "0001", &want], args, &["0000"]].concat();
        text(&ask(&tenant.log, Protocol::V2, &lines).unwrap())
    };
    assert_eq!(fetch(&[&unknown_line]), "0014acknowledgments\n0008NAK\n0000");
    let ready = fetch(&[&unknown_line, &known_line]);
    let expected = format!("0014acknowledgments\n0031ACK {known}\n000aready\n0001000dpackfile\n");
    assert!(ready.starts_with(&expected), "{ready}");
    let held_back = fetch(&["wait-for-done", &known_line]);
    assert_eq!(held_back, format!("0014acknowledgments\n0031ACK {known}\n0000"));
    assert!(fetch(&[&known_line, "done"]).starts_with("000dpackfile\n"));
}

/// The three ways of acknowledging in version 0, as documented in gitprotocol-pack.
#[test]
fn version_0_acknowledges_in_three_ways() {
    let tenant = Tenant::with_builds(3);
    let (first, second) = (tenant.commits[0], tenant.commits[1]);
    let talk = |capabilities: &str, end: &[&str]| {
        let want = format!("want {} {capabilities}", tenant.tip());
        let haves = [first, second, UNKNOWN].map(|oid| format!("have {oid}"));
        let lines = [&[&want, "0000"], &haves.each_ref().map(String::as_str)[..], end].concat();
        let answer = ask(&tenant.log, Protocol::V0, &lines).unwrap();
        let answer = text(&answer);
        let acks = answer.split("PACK").next().unwrap_or_default().to_owned();
        acks.lines().map(|line| line[4..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(talk("", &["0000"]), [format!("ACK {first}")]);
    assert_eq!(talk("", &["done"]), [format!("ACK {first}")]);
    let multi = [
        format!("ACK {first} continue"),
        format!("ACK {second} continue"),
        format!("ACK {UNKNOWN} continue"),
    ];
    assert_eq!(talk("multi_ack", &["0000"]), [&multi[..], &["NAK".to_owned()]].concat());
    assert_eq!(talk("multi_ack", &["done"]), [&multi[..], &[format!("ACK {second}")]].concat());
    let detailed = [
        format!("ACK {first} common"),
        format!("ACK {second} common"),
        format!("ACK {UNKNOWN} ready"),
    ];
    let nak = ["NAK".to_owned()];
    assert_eq!(talk("multi_ack_detailed", &["0000"]), [&detailed[..], &nak].concat());
    let no_done = [&detailed[..], &nak, &[format!("ACK {second}")]].concat();
    assert_eq!(talk("multi_ack_detailed no-done", &["0000"]), no_done);
}

/// Git's server answers so too: nothing behind the id of an object that is not there.
#[test]
fn object_info_tells_sizes_of_own_objects() {
    let tenant = Tenant::with_builds(0);
    let tag = tenant.log.tag_oids().next().unwrap();
    let (blob, size) = (tenant.log.entries[0].oid, tenant.log.entries[0].size);
    let oids = [format!("oid {blob}"), format!("oid {UNKNOWN}"), format!("oid {tag}")];
    let lines =
        [&["command=object-info", "0001", "size"], &oids.each_ref().map(String::as_str)[..]];
    let answer =
        text(&ask(&tenant.log, Protocol::V2, &[&lines.concat()[..], &["0000"]].concat()).unwrap());
    assert!(answer.starts_with("0008size"), "{answer}");
    assert!(answer.contains(&format!("{blob} {size}")), "{answer}");
    assert!(answer.contains(&format!("002d{UNKNOWN} 00")), "{answer}");
    assert!(answer.ends_with("0000"));
}

/// The order is the documented one, which Git's own client needs.
#[test]
fn wanted_refs_follow_shallow_info() {
    let tenant = Tenant::with_builds(2);
    let tip = tenant.tip();
    let server = UploadPack { ref_in_want: true, ..upload_pack() };
    let ask = |lines: &[&str]| server.answer(&tenant.log, Protocol::V2, &body(lines));
    let lines = ["command=fetch", "0001", "want-ref HEAD", "deepen 1", "done", "0000"];
    let head = text(&ask(&lines).unwrap().head);
    let expected = format!(
        "0011shallow-info\n0034shallow {tip}00010010wanted-refs\n0032{tip} HEAD\n0001000dpackfile\n"
    );
    assert_eq!(head, expected);
    let unknown = ["command=fetch", "0001", "want-ref refs/heads/x", "done", "0000"];
    let refused = ask(&unknown).unwrap_err().to_string();
    assert_eq!(refused, "upload-pack: unknown ref refs/heads/x");
    let advertised = server.advertise(&tenant.log, Protocol::V2).unwrap();
    assert!(text(&whole_head(&advertised)).contains(" filter ref-in-want "));
}

/// A client that was not told of it does not send it.
#[test]
fn a_ref_is_not_wanted_by_name_unless_that_is_offered() {
    let tenant = Tenant::with_builds(0);
    let lines = ["command=fetch", "0001", "want-ref HEAD", "done", "0000"];
    let refused = ask(&tenant.log, Protocol::V2, &lines).unwrap_err();
    assert_eq!(refused, "upload-pack: unexpected line: `want-ref HEAD`");
}

#[test]
fn sideband_all_marks_every_line() {
    let tenant = Tenant::with_builds(2);
    let (want, have) = (format!("want {}", tenant.tip()), format!("have {}", tenant.commits[0]));
    let lines = ["command=fetch", "0001", "sideband-all", &want, &have, "0000"];
    let answer = text(&ask(&tenant.log, Protocol::V2, &lines).unwrap());
    let acks = format!("0015\u{1}acknowledgments\n0032\u{1}ACK {}\n", tenant.commits[0]);
    assert!(
        answer.starts_with(&format!("{acks}000b\u{1}ready\n0001000e\u{1}packfile\n")),
        "{answer}"
    );
}

#[test]
fn malformed_requests_are_refused() {
    let tenant = Tenant::with_builds(0);
    let want = format!("want {}", tenant.tip());
    for bad in [
        &["command=fetch"][..],
        &["command=push", "0000"],
        &["agent=x", "0000"],
        &["command=fetch", "server-option=x", "0000"],
        &["command=fetch", "object-format=sha256", "0000"],
        &["command=fetch", "0001", "0001", "0000"],
        &["command=fetch", "0000", "command=fetch", "0000"],
        &["command=fetch", "0001", "want xyz", "0000"],
        &["command=fetch", "0001", "done now", "0000"],
        &["command=ls-refs", "0001", "nonsense", "0000"],
    ] {
        assert!(ask(&tenant.log, Protocol::V2, bad).is_err(), "{bad:?}");
    }
    for bad in [
        &[want.as_str()][..],
        &[&want, "0000", "hello"],
        &[&want, "0000", "have xyz"],
        &[&want, "0000", "0001"],
        &["want xyz", "0000", "done"],
        &["have 1", "0000"],
        &["0001", "0000"],
    ] {
        assert!(ask(&tenant.log, Protocol::V0, bad).is_err(), "{bad:?}");
    }
}

#[test]
fn requests_over_a_limit_are_refused() {
    let tenant = Tenant::with_builds(0);
    let mut server = upload_pack();
    server.limits =
        Limits { body: 1_000, packets: 9, wants: 2, haves: 2, ref_prefixes: 2, ..server.limits };
    let want = format!("want {}", tenant.tip());
    let have = format!("have {UNKNOWN}");
    let refused = |protocol, lines: &[&str]| {
        server.answer(&tenant.log, protocol, &body(lines)).unwrap_err().to_string()
    };
    let v2 = |line: &str| {
        refused(Protocol::V2, &["command=fetch", "0001", &want, line, line, line, "0000"])
    };
    assert!(v2(&want).ends_with("more than 2 wants"));
    assert!(v2(&have).ends_with("more than 2 haves"));
    assert!(refused(Protocol::V0, &[&want, &want, &want, "0000"]).ends_with("more than 2 wants"));
    assert!(refused(Protocol::V0, &[&want, "0000", &have, &have, &have]).ends_with("2 haves"));
    assert!(refused(Protocol::V0, &["0000"; 10]).ends_with("more than 9 packets"));
    assert!(refused(Protocol::V0, &["0000"; 251]).ends_with("more than 1000 bytes"));
}

proptest! {
    /// Any sequence of plausible packets is answered or refused as the client's fault; never a panic,
    /// never a blame on the server.
    #[test]
    fn any_request_is_answered_or_refused(picks in proptest::collection::vec(0_usize..34, 0..14)) {
        let tenant = Tenant::with_builds(1);
        let tag = tenant.log.tag_oids().next().unwrap();
        let [tip, tag, blob] = [tenant.tip(), tag, tenant.log.entries[0].oid];
        let lines = [
            "0000", "0001", "command=fetch", "command=ls-refs", "done", "peel", "thin-pack",
            "ofs-delta", "include-tag", "wait-for-done", "ref-prefix refs/", "have x", "want ",
            &format!("want {tip}"), &format!("want {tag} side-band no-done multi_ack_detailed"),
            &format!("want {blob}"), &format!("have {tip}"), &format!("have {tag}"),
            &format!("have {blob}"), &format!("have {UNKNOWN}"), "deepen 1", "deepen 2147483647",
            "deepen-since 1795262400", "deepen-not refs/heads/tenant/acme", "deepen-relative",
            "filter blob:none", "filter tree:1", "sideband-all", "want-ref HEAD", "size",
            "command=object-info", &format!("oid {blob}"), &format!("shallow {tip}"),
            &format!("shallow {blob}"),
        ];
        let request: Vec<&str> = picks.iter().map(|pick| lines[*pick]).collect();
        for protocol in [Protocol::V0, Protocol::V2] {
            let _ = ask(&tenant.log, protocol, &request);
        }
    }

    #[test]
    fn any_bytes_are_answered_or_refused(bytes: Vec<u8>) {
        let tenant = MemoryLog::default();
        for protocol in [Protocol::V0, Protocol::V2] {
            if let Err(error) = upload_pack().answer(&tenant, protocol, &bytes) {
                prop_assert!(error.is_clients(), "{error:?}");
            }
        }
    }
}
