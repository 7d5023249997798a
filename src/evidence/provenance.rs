//! SLSA provenance v1 of a bundle, as an in-toto Statement v1.
//!
//! <https://slsa.dev/spec/v1.0/provenance>, <https://github.com/in-toto/attestation/tree/main/spec/v1>.

use colophon_compiler::Compiler;
use colophon_model::{Digest, Sha256};
use serde_json::{Value, json};

use super::{Made, sbom};

/// How bundles are built; docs/edge-protocol.md says what its parameters mean.
const BUILD_TYPE: &str = "https://colophon.invalid/build/edge-bundle/v1";
/// Who builds: any server of this program. Which one, its keys say.
const BUILDER: &str = "https://colophon.invalid/builder/v1";

/// The statement about a bundle: its zip, and the list of its files, which is the same whatever the zip.
pub(super) fn statement(made: &Made<'_>) -> Value {
    let output = made.output;
    let tree = made.files.tree().encode();
    let tree = json!({ "sha256": Sha256::of(&tree), "blake3": output.tree });
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            { "name": output.target_name, "digest": { "sha256": output.sha256 } },
            { "name": format!("{}.tree", output.target_name), "digest": tree },
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": external(made),
                "internalParameters": { "render": output.render },
                "resolvedDependencies": dependencies(made),
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": { "colophon": env!("CARGO_PKG_VERSION") },
                },
                "metadata": {
                    "invocationId": made.build,
                    "startedOn": made.received.rfc3339(),
                    "finishedOn": made.finished.rfc3339(),
                },
            },
        },
    })
}

/// What the tenant chose.
fn external(made: &Made<'_>) -> Value {
    let mut parameters = json!({
        "tenant": made.tenant, "flow": made.flow, "source": made.source,
    });
    if let Some(revision) = made.revision {
        parameters["revision"] = revision.into();
    }
    parameters
}

/// What went into it: the flow, the templates, the compiler, and the wheels. An algorithm that in-toto
/// does not name, such as `blake3`, is in lower-case hex; readers skip those they do not know.
fn dependencies(made: &Made<'_>) -> Vec<Value> {
    let body = json!({ "sha256": Sha256::of(made.body), "blake3": Digest::of(made.body) });
    let compiler = json!({ "version": Compiler::VERSION });
    let mut dependencies = vec![
        json!({ "name": "flow.json", "digest": body, "mediaType": "application/json" }),
        json!({ "name": "templates", "digest": { "blake3": made.templates } }),
        json!({ "name": "colophon-compiler", "annotations": compiler }),
    ];
    for (requirement, sha256) in &made.manifest.wheels {
        let uri = sbom::purl(requirement);
        dependencies
            .push(json!({ "name": requirement, "uri": uri, "digest": { "sha256": sha256 } }));
    }
    dependencies
}
