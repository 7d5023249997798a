//! The flows that people draw in this test, and where each stands.

use serde_json::Value;

use crate::support::{ORDER_INTAKE, small_flow};

/// A flow of one worker. Nobody else changes it, so what each answer must be is known.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) slug: String,
    form: Form,
    /// Contents that were built, with the delivery that brought each.
    pub(super) past: Vec<Built>,
    /// Index in `past` of the content that stands, and the build that stands for it.
    pub(super) head: Option<(usize, String)>,
    /// No later than this, in milliseconds, was it delivered or changed last.
    pub(super) last: u64,
    drawn: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Ordered by time or content.
    Plain,
    /// Ordered by its revision.
    Revised,
    /// With a part for the edge, ordered by its revision.
    Edge,
}

/// A content that was built.
#[derive(Debug, Clone)]
pub(super) struct Built {
    pub(super) body: Vec<u8>,
    pub(super) build: String,
    /// How the delivery was signed, and its id, if it had one.
    pub(super) delivery: Option<super::deliver::Delivered>,
}

impl Flow {
    pub(super) fn new(slug: String, form: Form) -> Self {
        Self { slug, form, past: Vec::new(), head: None, last: 0, drawn: 0 }
    }

    pub(super) fn has_revisions(&self) -> bool {
        self.form != Form::Plain
    }

    pub(super) fn is_edge(&self) -> bool {
        self.form == Form::Edge
    }

    /// A drawing that was never there before.
    pub(super) fn draw(&mut self) -> Vec<u8> {
        self.drawn += 1;
        let text = format!("{} as drawn for the {}. time", self.slug, self.drawn);
        match self.form {
            Form::Plain => small_flow(&self.slug, None, &text),
            Form::Revised => small_flow(&self.slug, Some(self.drawn), &text),
            Form::Edge => self.edge(&text),
        }
    }

    fn edge(&self, text: &str) -> Vec<u8> {
        let mut flow: Value = serde_json::from_slice(ORDER_INTAKE).unwrap();
        flow["id"] = format!("native-{}", self.slug).into();
        flow["slug"] = self.slug.clone().into();
        flow["name"] = text.into();
        flow["revision"] = self.drawn.into();
        // The bundle changes only when its scripts do.
        flow.to_string().replace("#order", &format!("#order-{}", self.drawn)).into_bytes()
    }

    /// A drawing was built, and stands.
    pub(super) fn stands(&mut self, built: Built) {
        self.head = Some((self.past.len(), built.build.clone()));
        self.past.push(built);
    }

    pub(super) fn standing(&self) -> Option<(&Built, &str)> {
        self.head.as_ref().map(|(at, build)| (&self.past[*at], build.as_str()))
    }

    /// What was built before and does not stand.
    pub(super) fn replaced(&self) -> Vec<&Built> {
        let standing = self.head.as_ref().map(|(at, _)| *at);
        let past = self.past.iter().enumerate();
        past.filter(|(at, _)| Some(*at) != standing).map(|(_, built)| built).collect()
    }
}
