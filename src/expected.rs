//! What somebody expects to find where they change something, so that nobody's work is undone unseen.

/// Which version of a thing a change is meant for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there.
    #[default]
    Anything,
    /// Something, whatever it is.
    Something,
    /// One of these versions.
    OneOf(Vec<String>),
}

impl Expected {
    /// Whether it is met by what is there: `version` names it, `None` is nothing.
    pub fn is_met(&self, version: Option<&str>) -> bool {
        match self {
            Self::Anything => true,
            Self::Something => version.is_some(),
            Self::OneOf(versions) => {
                version.is_some_and(|version| versions.iter().any(|one| one == version))
            }
        }
    }
}
