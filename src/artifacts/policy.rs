//! Policies for the bucket, as Amazon's IAM and most other stores read them
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>).

use colophon_model::TenantSlug;
use serde_json::{Value, json};

use crate::place::PlaceUrl;

/// A bucket and what lies in it of whom.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    bucket: &'a str,
    prefix: &'a str,
    tenant: Option<&'a TenantSlug>,
}

impl<'a> Scope<'a> {
    /// All of the bundles at a place, or those of one tenant. `None`: it is no bucket.
    pub fn new(url: &'a PlaceUrl, tenant: Option<&'a TenantSlug>) -> Option<Self> {
        match url {
            PlaceUrl::S3 { bucket, prefix } => Some(Self { bucket, prefix, tenant }),
            PlaceUrl::File(_) | PlaceUrl::Memory(_) => None,
        }
    }

    /// What the names of the objects begin with: nothing, or it ends with a slash.
    fn folder(&self) -> String {
        let mut folder = String::new();
        for part in [self.prefix, self.tenant.map_or("", TenantSlug::as_str)] {
            if !part.is_empty() {
                folder.push_str(part);
                folder.push('/');
            }
        }
        folder
    }

    fn objects(&self) -> String {
        format!("arn:aws:s3:::{}/{}*", self.bucket, self.folder())
    }

    fn bucket(&self) -> String {
        format!("arn:aws:s3:::{}", self.bucket)
    }

    /// Downloads, and nothing else: for the key that signs URLs. With `principal` it is a policy of the bucket
    /// itself; `*` is everybody.
    pub fn download(&self, principal: Option<&str>) -> Value {
        let mut statement = json!({
            "Sid": "DownloadBundles",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": self.objects(),
        });
        match principal {
            Some("*") => statement["Principal"] = json!("*"),
            Some(name) => statement["Principal"] = json!({"AWS": name}),
            None => {}
        }
        json!({"Version": "2012-10-17", "Statement": [statement]})
    }

    /// What the server needs: to write, to compare what is there, and to take away what was purged or erased, old versions
    /// included.
    pub fn upload(&self) -> Value {
        let mut list = json!({
            "Sid": "ListBundles",
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:ListBucketVersions"],
            "Resource": self.bucket(),
        });
        if !self.folder().is_empty() {
            list["Condition"] =
                json!({"StringLike": {"s3:prefix": [format!("{}*", self.folder())]}});
        }
        let write = json!({
            "Sid": "KeepBundles",
            "Effect": "Allow",
            "Action": [
                "s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
            ],
            "Resource": self.objects(),
        });
        json!({"Version": "2012-10-17", "Statement": [write, list]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy that reached one object more would open what others keep in the bucket.
    #[test]
    fn a_policy_reaches_the_bundles_alone() {
        let resource = |url: &str, slug: Option<&str>| {
            let (url, slug) = (url.parse().unwrap(), slug.map(|slug| slug.parse().unwrap()));
            let download = Scope::new(&url, slug.as_ref()).unwrap().download(None);
            let statement = &download["Statement"][0];
            assert_eq!(statement["Action"], "s3:GetObject");
            assert!(statement.get("Principal").is_none());
            assert_eq!(download["Statement"].as_array().unwrap().len(), 1);
            statement["Resource"].as_str().unwrap().to_owned()
        };
        assert_eq!(resource("s3://edge-artifacts", None), "arn:aws:s3:::edge-artifacts/*");
        assert_eq!(resource("s3://shared/press", None), "arn:aws:s3:::shared/press/*");
        assert_eq!(resource("s3://shared/press", Some("acme")), "arn:aws:s3:::shared/press/acme/*");
        assert!(Scope::new(&"file:///srv/x".parse().unwrap(), None).is_none());
    }

    #[test]
    fn the_server_lists_its_own_prefix_and_a_principal_is_named() {
        let url = "s3://shared/press".parse().unwrap();
        let scope = Scope::new(&url, None).unwrap();
        let upload = scope.upload();
        let list = &upload["Statement"][1];
        assert_eq!(list["Condition"]["StringLike"]["s3:prefix"][0], "press/*");
        assert_eq!(list["Resource"], "arn:aws:s3:::shared");
        // Without these, old versions of what was purged stay for ever.
        let allowed = upload["Statement"].to_string();
        assert!(
            allowed.contains("s3:ListBucketVersions") && allowed.contains("s3:DeleteObjectVersion")
        );
        let arn = "arn:aws:iam::111122223333:user/press-reader";
        assert_eq!(scope.download(Some(arn))["Statement"][0]["Principal"]["AWS"], arn);
        assert_eq!(scope.download(Some("*"))["Statement"][0]["Principal"], "*");
    }
}
