//! Files on their way to being rendered, and where they go.

use colophon_model::{ArtifactPath, FlowId, TenantSlug};
use tera::Context;

use crate::script_gate::Language;
use crate::shape::Shape;

/// One file to make.
pub(crate) struct Module {
    /// Where it goes.
    pub(crate) path: ArtifactPath,
    /// What is in it.
    pub(crate) content: Content,
}

/// What is in a file.
pub(crate) enum Content {
    /// Rendered from a template as Python, then parsed, checked for shape and formatted.
    Python {
        /// The template's name.
        template: &'static str,
        /// Its variables.
        context: Context,
        /// What the module may hold.
        shape: &'static Shape,
    },
    /// Rendered from a template in another language, then parsed and checked by its grammar.
    Script {
        /// The template's name.
        template: &'static str,
        /// Its variables.
        context: Context,
        /// The language.
        language: Language,
    },
    /// As it stands: data, and code carriers, which no gate may rewrite.
    Verbatim(Vec<u8>),
    /// A built-in file as it stands, such as one of a runtime, unless an operator has put another in its place.
    Copy(&'static str),
}

impl Module {
    /// A Python module.
    pub(crate) const fn python(
        path: ArtifactPath,
        template: &'static str,
        context: Context,
        shape: &'static Shape,
    ) -> Self {
        Self { path, content: Content::Python { template, context, shape } }
    }

    /// A script in another language than Python.
    pub(crate) const fn script(
        path: ArtifactPath,
        template: &'static str,
        context: Context,
        language: Language,
    ) -> Self {
        Self { path, content: Content::Script { template, context, language } }
    }

    /// A file taken as it stands.
    pub(crate) fn verbatim(path: ArtifactPath, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path, content: Content::Verbatim(bytes.into()) }
    }

    /// A built-in file, which is `text` unless an operator has put another in its place.
    pub(crate) fn copy(at: &'static str, text: &'static str) -> Self {
        Self { path: path(at), content: Content::Copy(text) }
    }

    /// Whether a template is rendered for it.
    pub(crate) const fn is_generated(&self) -> bool {
        !matches!(self.content, Content::Verbatim(_) | Content::Copy(_))
    }
}

/// Names of a flow's files. Every part is of a closed grammar, so every path is valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Whose branch.
    pub(crate) tenant: &'a TenantSlug,
    /// Of which flow.
    pub(crate) flow: &'a FlowId,
}

impl Names<'_> {
    /// The tenant's Python package below `app.flows` and `app.runners`.
    pub(crate) fn package(&self) -> String {
        self.tenant.python_package()
    }

    /// `app/flows/<pkg>/flow_<flow>.py`.
    pub(crate) fn flow_module(&self) -> ArtifactPath {
        path(format!("app/flows/{}/flow_{}.py", self.package(), self.flow))
    }

    /// `app/flows/<pkg>/<flow>.json`.
    pub(crate) fn canonical_flow(&self) -> ArtifactPath {
        path(format!("app/flows/{}/{}.json", self.package(), self.flow))
    }

    /// `app/flows/<pkg>/<flow>.requirements.txt`.
    pub(crate) fn requirements(&self) -> ArtifactPath {
        path(format!("app/flows/{}/{}.requirements.txt", self.package(), self.flow))
    }

    /// `app/runners/<pkg>/<flow>_runner.py`.
    pub(crate) fn runner(&self) -> ArtifactPath {
        path(format!("app/runners/{}/{}_runner.py", self.package(), self.flow))
    }

    /// `tests/smoke/test_<flow>.py`.
    pub(crate) fn smoke_test(&self) -> ArtifactPath {
        path(format!("tests/smoke/test_{}.py", self.flow))
    }

    /// The empty `__init__.py` files that make the above importable.
    pub(crate) fn packages(&self) -> [ArtifactPath; 2] {
        let package = self.package();
        [
            path(format!("app/flows/{package}/__init__.py")),
            path(format!("app/runners/{package}/__init__.py")),
        ]
    }
}

/// A path made of fixed words and checked identifiers.
pub(crate) fn path(text: impl Into<String>) -> ArtifactPath {
    ArtifactPath::new(text).expect("made of fixed words and checked identifiers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name_all(flow: &FlowId) {
        let tenant = TenantSlug::new("acme-inc").unwrap();
        let names = Names { tenant: &tenant, flow };
        let paths =
            [names.flow_module(), names.canonical_flow(), names.runner(), names.smoke_test()];
        for path in paths {
            assert!(path.as_str().contains(flow.as_str()), "{path}");
        }
    }

    proptest! {
        /// `path` would panic: every flow identifier must be fit for every file name.
        #[test]
        fn every_flow_has_names(text in "[a-z][a-z0-9_]{0,47}|(com|lpt)[0-9]|con|nul|aux|prn") {
            if let Ok(flow) = FlowId::new(text.as_str()) {
                name_all(&flow);
            }
            name_all(&FlowId::from_name(&text.to_uppercase()));
        }
    }
}
