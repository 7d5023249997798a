//! Who is told of one delivery's stages while it is worked on.

use std::fmt;
use std::sync::Arc;

use super::Stage;

/// Somebody who is told of stages, or nobody. What it does must be quick: the build waits for it.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<dyn Fn(Stage) + Send + Sync>>);

impl Watch {
    /// Tells `told`.
    pub fn new(told: impl Fn(Stage) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    /// Tells of a stage, which is made only when there is somebody to tell.
    pub fn tell(&self, stage: impl FnOnce() -> Stage) {
        if let Some(told) = &self.0 {
            told(stage());
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}
