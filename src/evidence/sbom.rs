//! What a bundle is made of: a bill of materials in CycloneDX 1.6 JSON
//! (<https://cyclonedx.org/docs/1.6/json/>). It has no time and no random number in it.

use colophon_model::{ArtifactPath, Digest, Sha256};
use serde_json::{Value, json};

use super::Made;
use crate::feed;

/// Where wheels are unpacked in a bundle: they are components as a whole.
const VENDOR: &str = "vendor/";

/// The bill of a bundle: the flow, what must be installed, what is bundled, and the files of its own.
pub(super) fn bill(made: &Made<'_>) -> Value {
    let components = components(made);
    let parts: Vec<&Value> = components.iter().map(|component| &component["bom-ref"]).collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(made.output.tree),
        "version": made.output.seq,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "bundle",
                "group": made.tenant,
                "name": made.flow,
                "version": feed::version(made.output.seq),
                "hashes": [{ "alg": "SHA-256", "content": made.output.sha256 }],
            },
            "tools": { "components": [{
                "type": "application", "name": "colophon", "version": env!("CARGO_PKG_VERSION"),
            }] },
        },
        "components": components,
        "dependencies": [{ "ref": "bundle", "dependsOn": parts }],
    })
}

fn components(made: &Made<'_>) -> Vec<Value> {
    let hashes = json!([
        { "alg": "SHA-256", "content": Sha256::of(made.body) },
        { "alg": "BLAKE3", "content": Digest::of(made.body) },
    ]);
    let mut components =
        vec![json!({ "type": "data", "bom-ref": "flow", "name": "flow.json", "hashes": hashes })];
    components.extend(made.manifest.requirements.iter().map(|requirement| package(requirement)));
    for (requirement, sha256) in &made.manifest.wheels {
        let mut bundled = package(requirement);
        bundled["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
        components.push(bundled);
    }
    let own = made.files.iter().filter(|(path, _)| !path.as_str().starts_with(VENDOR));
    components.extend(own.map(|(path, file)| entry(path, file.bytes(), file.digest())));
    components
}

/// A package of the Python Package Index.
fn package(requirement: &str) -> Value {
    let (name, version) = parts(requirement);
    let purl = purl(requirement);
    let mut component = json!({ "type": "library", "bom-ref": purl, "name": name, "purl": purl });
    if let Some(version) = version {
        component["version"] = version.into();
    }
    component
}

fn entry(path: &ArtifactPath, bytes: &[u8], digest: Digest) -> Value {
    let hashes = json!([
        { "alg": "SHA-256", "content": Sha256::of(bytes) },
        { "alg": "BLAKE3", "content": digest },
    ]);
    json!({ "type": "file", "bom-ref": format!("file/{path}"), "name": path, "hashes": hashes })
}

/// A requirement's package URL (purl-spec, type `pypi`): lower case, `-` for `_`.
pub(super) fn purl(requirement: &str) -> String {
    let (name, version) = parts(requirement);
    let name = name.to_ascii_lowercase().replace('_', "-");
    match version {
        Some(version) => format!("pkg:pypi/{name}@{}", version.replace('+', "%2B")),
        None => format!("pkg:pypi/{name}"),
    }
}

/// Name and version of `name[extra]==version; marker`.
fn parts(requirement: &str) -> (&str, Option<&str>) {
    let requirement = requirement.split(';').next().unwrap_or_default().trim();
    let (name, version) = match requirement.split_once("==") {
        Some((name, version)) => (name, Some(version.trim())),
        None => (requirement, None),
    };
    (name.split('[').next().unwrap_or_default().trim(), version)
}

/// The same for the same files: a UUID of version 8 (RFC 9562 §5.8) from the tree's digest.
fn serial(tree: Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&tree.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("urn:uuid:{}", groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_named_as_package_urls() {
        for (requirement, expected) in [
            ("playwright==1.65.2", "pkg:pypi/playwright@1.65.2"),
            ("Zope.Interface==7.0", "pkg:pypi/zope.interface@7.0"),
            ("typing_extensions==4.16.0", "pkg:pypi/typing-extensions@4.16.0"),
            ("httpx[http2]==0.28.1; python_version > '3.9'", "pkg:pypi/httpx@0.28.1"),
            ("torch==2.5.0+cpu", "pkg:pypi/torch@2.5.0%2Bcpu"),
            ("requests", "pkg:pypi/requests"),
        ] {
            assert_eq!(purl(requirement), expected);
        }
    }

    #[test]
    fn the_serial_number_is_a_uuid_of_version_8() {
        let serial = serial(Digest::from_bytes([0xff; 32]));
        assert_eq!(serial, "urn:uuid:ffffffff-ffff-8fff-bfff-ffffffffffff");
    }
}
