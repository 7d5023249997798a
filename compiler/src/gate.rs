//! The gates that every generated Python module passes before it becomes an artifact.

use colophon_model::GateResult;
use ruff_python_ast::Mod;
use ruff_python_formatter::{PyFormatOptions, format_module_ast};
use ruff_python_parser::{ParseOptions, parse};
use ruff_python_trivia::TriviaRanges;

use crate::shape::Shape;
use crate::texts::Rendered;

/// Which gate refused a module, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The problem's code.
    pub(crate) code: &'static str,
    /// What the gate found.
    pub(crate) detail: String,
}

/// Parses a module, checks that its statements are of the kinds `shape` allows and its texts those
/// that the template wrote or was given, and formats it in the style of black (which is ruff's
/// default). Calls `pause` in between.
pub(crate) fn python(
    rendered: &Rendered<'_>,
    shape: &Shape,
    pause: fn(),
) -> Result<String, Refusal> {
    let refuse = |code, detail| Refusal { code, detail };
    let (source, options) = (&rendered.source, PyFormatOptions::default());
    let parsed = parse(source, ParseOptions::from(options.source_type()));
    let parsed = parsed.map_err(|e| refuse("E_GATE_PARSE", e.to_string()))?;
    let Mod::Module(module) = parsed.syntax() else {
        return Err(refuse("E_GATE_PARSE", "not a module".to_owned()));
    };
    shape.check(module).map_err(|detail| refuse("E_GATE_SHAPE", detail))?;
    rendered.check(module).map_err(|detail| refuse("E_GATE_SHAPE", detail))?;
    pause();
    // What `format_module_source` does, but for parsing it once more.
    let trivia = TriviaRanges::from(parsed.tokens());
    let formatted = format_module_ast(&parsed, &trivia, source, options)
        .map_err(|e| refuse("E_GATE_FORMAT", e.to_string()))?;
    pause();
    let printed = formatted.print().map_err(|e| refuse("E_GATE_FORMAT", e.to_string()))?;
    Ok(printed.into_code())
}

/// What the record of a build says of the gates in this file.
pub(crate) fn passed() -> Vec<GateResult> {
    ["parse", "shape", "format"].map(GateResult::passed).to_vec()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::shape;

    /// A module whose template is all of it.
    fn check(source: &str) -> Result<String, Refusal> {
        let rendered = Rendered { source: source.to_owned(), passed: Vec::new(), fixed: source };
        python(&rendered, &shape::FLOW, || {})
    }

    #[test]
    fn formats_in_blacks_style() {
        let source = "from __future__ import annotations\nNAME = {'x':1 , \"y\" : 2}\n";
        assert_eq!(
            check(source).unwrap(),
            "from __future__ import annotations\n\nNAME = {\"x\": 1, \"y\": 2}\n"
        );
    }

    #[test]
    fn each_gate_refuses_with_its_own_code() {
        for (source, code) in [
            ("def f(:\n", "E_GATE_PARSE"),
            ("x = \"a\nb\"\n", "E_GATE_PARSE"),
            ("import os\n", "E_GATE_SHAPE"),
        ] {
            assert_eq!(check(source).unwrap_err().code, code, "{source}");
        }
    }

    /// To check, format and print a long module takes too long in one piece for whoever waits for the processor.
    #[test]
    fn a_module_is_not_checked_formatted_and_printed_in_one_piece() {
        static PAUSES: AtomicUsize = AtomicUsize::new(0);
        let source = "from __future__ import annotations\n";
        let rendered = Rendered { source: source.to_owned(), passed: Vec::new(), fixed: source };
        let pause = || {
            PAUSES.fetch_add(1, Ordering::Relaxed);
        };
        python(&rendered, &shape::FLOW, pause).unwrap();
        assert_eq!(PAUSES.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_text_that_no_template_wrote_is_refused() {
        let rendered =
            Rendered { source: "NAME = \"a\"\n".to_owned(), passed: Vec::new(), fixed: "" };
        assert_eq!(python(&rendered, &shape::FLOW, || {}).unwrap_err().code, "E_GATE_SHAPE");
    }
}
