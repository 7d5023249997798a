//! Damage to the log is noticed, wherever it is.

use colophon_gitbridge::{ObjectLog as _, verify, verify_tag};
use colophon_model::{Digest, Oid, Ordinal};

use crate::support::Tenant;

fn bad(tenant: &Tenant) -> Vec<u32> {
    let count = tenant.log.len().unwrap();
    (0..count).filter(|at| verify(&tenant.log, Ordinal::new(*at)).is_err()).collect()
}

#[test]
fn sound_objects_verify() {
    let tenant = Tenant::with_builds(12);
    assert_eq!(bad(&tenant), Vec::<u32>::new());
    for oid in tenant.log.tag_oids() {
        assert!(verify_tag(&tenant.log.tag(&oid).unwrap().unwrap()).unwrap());
    }
}

/// Every field of an entry counts, and so does every object that rests on a damaged one.
#[test]
fn each_kind_of_damage_is_noticed() {
    let sound = Tenant::with_builds(12);
    let whole = sound.log.entries.iter().position(|e| e.base.is_none() && e.blob.is_some());
    let damages: [fn(&mut colophon_model::LogEntry); 5] = [
        |entry| entry.oid = Oid::from_bytes([7; 20]),
        |entry| entry.size += 1,
        |entry| entry.inflated += 1,
        |entry| *entry.deflated.last_mut().unwrap() ^= 1,
        |entry| entry.blob = Some(Digest::of(b"another")),
    ];
    for (n, damage) in damages.iter().enumerate() {
        let mut tenant = sound.clone();
        damage(&mut tenant.log.entries[whole.unwrap()]);
        assert!(bad(&tenant).contains(&(whole.unwrap() as u32)), "damage {n}");
    }
}

#[test]
fn a_changed_tag_is_noticed() {
    let tenant = Tenant::with_builds(1);
    let oid = tenant.log.tag_oids().next().unwrap();
    let mut tag = tenant.log.tag(&oid).unwrap().unwrap();
    tag.target = Oid::from_bytes([7; 20]);
    assert!(!verify_tag(&tag).unwrap(), "another target than its bytes name");
    let mut tag = tenant.log.tag(&oid).unwrap().unwrap();
    tag.bytes.push(b'\n');
    assert!(!verify_tag(&tag).unwrap());
}
