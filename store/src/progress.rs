//! How far long work has come.

/// One report about long work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, a short phrase such as `marking`.
    pub stage: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is, as far as it is known.
    pub total: Option<u64>,
}

impl Progress {
    pub(crate) const fn new(stage: &'static str, done: u64, total: u64) -> Self {
        Self { stage, done, total: Some(total) }
    }

    pub(crate) const fn begin(stage: &'static str) -> Self {
        Self { stage, done: 0, total: None }
    }
}

/// Is told about progress, from the thread that does the work. It must be quick.
pub type Report<'a> = &'a dyn Fn(Progress);
