//! What can go wrong that is not the flow's fault.

use crate::overrides::TemplateProblem;

/// Why a compiler cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A template that was built into the program is malformed. Rebuild the program.
    #[error("a built-in template does not parse")]
    Template(#[from] tera::Error),
    /// An operator's templates cannot be used: everything that is wrong with them.
    #[error("the operator's templates cannot be used:\n{}", lines(.0))]
    Overrides(Vec<TemplateProblem>),
}

fn lines(problems: &[TemplateProblem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}
