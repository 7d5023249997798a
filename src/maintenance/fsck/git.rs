//! Whether every stored Git object is the one that its id names, and signed by whom it says.

use colophon_gitbridge::{signed, verify, verify_tag};
use colophon_model::{GitKind, Ordinal, TagObject};
use colophon_store::rows::{TenantHead, TenantRow};
use colophon_store::{Error, FsckReport, Problem, Progress, Report};
use colophon_trust::sshsig::{SshPublicKey, Verdict};

use crate::http::chain;
use crate::pipeline::Press;
use crate::projection::TenantLog;

/// Objects read in one short view.
const PAGE: u32 = 512;

/// Rehashes the objects and tags of every tenant, and checks the signatures of the key at hand.
/// Those of an older key are left to whoever has kept its public half.
pub(super) fn check(
    press: &Press,
    report: Report<'_>,
    found: &mut FsckReport,
) -> Result<(), Error> {
    let view = press.store.view()?;
    let tenants: Vec<TenantRow> =
        view.scan::<TenantRow>(&()).map(|row| Ok(row?.1)).collect::<Result<_, Error>>()?;
    drop(view);
    let key = press.signer.0.public();
    for tenant in &tenants {
        let mut check = Check { press, tenant, key, found: &mut *found };
        let mut next = 0;
        while let Some(after) = check.page(next)? {
            next = after;
            report(Progress { stage: "checking Git objects", done: next.into(), total: None });
        }
        check.tags()?;
    }
    Ok(())
}

struct Check<'a> {
    press: &'a Press,
    tenant: &'a TenantRow,
    key: SshPublicKey,
    found: &'a mut FsckReport,
}

impl Check<'_> {
    /// Where to go on, if there is more.
    fn page(&mut self, from: u32) -> Result<Option<u32>, Error> {
        let view = self.press.store.view()?;
        let uid = self.tenant.uid;
        let end = view.get::<TenantHead>(&uid)?.map_or(0, |head| head.next_ordinal);
        let log = TenantLog::new(&view, uid);
        let to = end.min(from.saturating_add(PAGE));
        for at in from..to {
            match verify(&log, Ordinal::new(at)) {
                Ok((kind, bytes)) if self.is_forged(kind, &bytes) => {
                    self.add(
                        "E_GIT_SIGNATURE",
                        format!("the signature of commit {at} is not ours"),
                    );
                }
                Ok(_) => {}
                Err(error) => self.add("E_GIT_OBJECT", chain(&error)),
            }
        }
        Ok((to < end).then_some(to))
    }

    fn tags(&mut self) -> Result<(), Error> {
        let view = self.press.store.view()?;
        for row in view.scan::<TagObject>(&self.tenant.uid) {
            let (_, tag) = row?;
            if !verify_tag(&tag).unwrap_or(false) {
                self.add("E_GIT_OBJECT", format!("tag object {} is damaged", tag.oid));
            } else if self.is_forged(GitKind::Tag, &tag.bytes) {
                let message = format!("the signature of tag object {} is not ours", tag.oid);
                self.add("E_GIT_SIGNATURE", message);
            }
        }
        Ok(())
    }

    /// Whether a signature names the key, and the key did not make it.
    fn is_forged(&self, kind: GitKind, bytes: &[u8]) -> bool {
        signed(kind, bytes).is_some_and(|object| {
            let verdict = self.key.check(&object.payload, &object.signature);
            verdict == Verdict::Bad
        })
    }

    fn add(&mut self, code: &'static str, message: String) {
        let place = format!("tenant {}", self.tenant.slug);
        self.found.add(Problem { code: code.into(), place, message, repaired: false });
    }
}
