//! The gate of scripts in AutoHotkey and PowerShell: a grammar's reading of the script must hold
//! nothing but what the templates write.
//!
//! Three closed lists: kinds of syntax, words that are not data, and the texts that were passed in. A
//! text that became code would add a kind or a word, and one that was cut would change the texts.

mod autohotkey;
mod powershell;

use tree_sitter::{Node, Parser};

use crate::gate::Refusal;

/// A language with a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// AutoHotkey v2.
    AutoHotkey,
    /// PowerShell 5.1 and 7.
    PowerShell,
}

/// What the templates of a language write.
struct Rules {
    /// The grammar.
    grammar: tree_sitter::Language,
    /// Kinds of syntax, sorted.
    kinds: &'static [&'static str],
    /// Kinds of syntax that are words: names of functions, variables, types.
    words: &'static [&'static str],
    /// Words beside those that begin as functions of nodes do.
    known: &'static [&'static str],
    /// Texts that the template writes by itself.
    fixed: &'static [&'static str],
    /// Whether a text begins here, which may be put together from several parts.
    is_text: fn(Node<'_>, &str) -> bool,
    /// The part of a text that this is: a literal or a code point.
    part: fn(Node<'_>, &str) -> Option<String>,
}

impl Language {
    const fn rules(self) -> &'static std::sync::LazyLock<Rules> {
        match self {
            Self::AutoHotkey => &autohotkey::RULES,
            Self::PowerShell => &powershell::RULES,
        }
    }
}

/// Checks that `source` is what a template writes when it is passed `texts`, in any order.
pub(crate) fn check(
    source: &str,
    language: Language,
    mut texts: Vec<String>,
) -> Result<(), Refusal> {
    let rules = language.rules();
    let refuse = |code, detail| Refusal { code, detail };
    if let Some(line) = source.lines().position(|line| !line.bytes().all(is_plain)) {
        let detail = format!("line {} is not printable ASCII", line + 1);
        return Err(refuse("E_GATE_SHAPE", detail));
    }
    let mut parser = Parser::new();
    let set = parser.set_language(&rules.grammar);
    set.map_err(|error| refuse("E_GATE_PARSE", error.to_string()))?;
    let tree = parser.parse(source, None).filter(|tree| !tree.root_node().has_error());
    let tree = tree.ok_or_else(|| refuse("E_GATE_PARSE", "the grammar cannot read it".into()))?;
    let mut found =
        read(tree.root_node(), source, rules).map_err(|detail| refuse("E_GATE_SHAPE", detail))?;
    texts.extend(rules.fixed.iter().copied().map(str::to_owned));
    texts.sort();
    found.sort();
    if texts == found {
        return Ok(());
    }
    let detail =
        format!("{} texts were passed in, and {} others came out", texts.len(), found.len());
    Err(refuse("E_GATE_SHAPE", detail))
}

fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// The texts below `root`, or the first thing that no template writes. Goes by a cursor: a sum of
/// many texts nests as deep as it is long.
fn read(root: Node<'_>, source: &str, rules: &Rules) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    let mut open: Option<(u32, String)> = None;
    let mut cursor = root.walk();
    loop {
        let (node, depth) = (cursor.node(), cursor.depth());
        if open.as_ref().is_some_and(|(above, _)| depth <= *above) {
            texts.extend(open.take().map(|(_, text)| text));
        }
        check_node(node, source, rules)?;
        if open.is_none() && (rules.is_text)(node, source) {
            open = Some((depth, String::new()));
        }
        if let Some((text, part)) = open.as_mut().zip((rules.part)(node, source)) {
            text.1.push_str(&part);
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                texts.extend(open.map(|(_, text)| text));
                return Ok(texts);
            }
        }
    }
}

fn check_node(node: Node<'_>, source: &str, rules: &Rules) -> Result<(), String> {
    let (kind, text) = (node.kind(), &source[node.byte_range()]);
    let here = || node.start_position().row + 1;
    if node.is_named() && rules.kinds.binary_search(&kind).is_err() {
        return Err(format!("line {}: `{kind}` is not expected", here()));
    }
    let is_word = rules.words.contains(&kind);
    if is_word && !rules.known.contains(&text) && !is_of_node(text) {
        let text: String = text.chars().take(40).collect();
        return Err(format!("line {}: `{text}` is not expected", here()));
    }
    Ok(())
}

/// Whether a word is the function of a node.
fn is_of_node(word: &str) -> bool {
    let name = word.strip_prefix("${function:").and_then(|rest| rest.strip_suffix('}'));
    let ident = name.unwrap_or(word).strip_prefix("n_").and_then(crate::plan::Ident::new);
    ident.is_some()
}

/// `text` from its code point in hexadecimal after `0x`.
fn code_point(text: &str) -> Option<String> {
    let code = u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()?;
    char::from_u32(code).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(source: &str, language: Language, texts: &[&str]) -> bool {
        check(source, language, texts.iter().copied().map(str::to_owned).collect()).is_ok()
    }

    #[test]
    fn what_the_template_of_autohotkey_writes_passes() {
        let source = "n_a(at) {\n    at.Type(Map(\"lit\", (\"a`;\" . Chr(0x3A) . \"b\")))\n}\n";
        assert!(passes(source, Language::AutoHotkey, &["lit", "a;:b"]));
        assert!(!passes(source, Language::AutoHotkey, &["lit", "a;:c"]));
        assert!(!passes(source, Language::AutoHotkey, &["lit", "a;:b", "x"]));
        assert!(!passes(source, Language::AutoHotkey, &["lit", "a;", "b"]));
        // The grammar reads these as texts, AutoHotkey as a comment and a hotkey.
        assert!(!passes("at.Type(\"a ;b\")", Language::AutoHotkey, &["a ;b"]));
        assert!(!passes("at.Type(\"a::b\")", Language::AutoHotkey, &["a::b"]));
    }

    /// What an injection would look like.
    #[test]
    fn other_statements_of_autohotkey_do_not_pass() {
        for source in [
            "Run(\"calc\")",
            "#Include \"evil.ahk\"",
            "MsgBox \"a\"",
            "^c::Run(\"calc\")",
            "::btw::by the way",
            "at.%\"Type\"%(\"a\")",
            "n_a() => Run(\"calc\")",
            "DllCall(\"MessageBox\")",
            "if 1 {\n}",
            "x := 1",
            "class n_a {\n}",
            "at.Other(\"a\")",
            "Hotkey \"a\", n_a",
        ] {
            let texts = ["a", "b", "calc", "Type", "MessageBox", "evil.ahk"].map(str::to_owned);
            let refused = check(source, Language::AutoHotkey, texts.to_vec()).unwrap_err();
            let by_texts = refused.detail.contains("texts were passed in");
            assert!(!by_texts, "{source}: {}", refused.detail);
        }
    }

    #[test]
    fn what_the_template_of_powershell_writes_passes() {
        let source = ". (Join-Path $PSScriptRoot 'colophon_edge.ps1')\nfunction n_a($at) {\n    \
                      $null = Invoke-EdgeStep $at 'x' @{'v' = @(,(-join @('it''s', [char]0x2019, \
                      [char]::ConvertFromUtf32(0x1F366))))}\n}\n";
        assert!(passes(source, Language::PowerShell, &["x", "v", "it's\u{2019}\u{1f366}"]));
        assert!(!passes(source, Language::PowerShell, &["x", "v", "it's\u{2019}"]));
        assert!(!passes(source, Language::PowerShell, &["x", "it's\u{2019}\u{1f366}"]));
    }

    #[test]
    fn other_statements_of_powershell_do_not_pass() {
        for source in [
            "Start-Process calc",
            "iex 'a'",
            "& 'calc'",
            "$x = 1",
            "$(calc)",
            "$out = \"a\"",
            "$out = \"$(calc)\"",
            "$out = @'\na\n'@",
            "[System.Diagnostics.Process]::Start('calc')",
            "[char]::Other(0x41)",
            "Invoke-EdgeStep $at 'a' | Out-Null",
            "$null = Invoke-EdgeOther $at",
            "function other($at) {\n}",
            "Invoke-EdgeStep $at { calc }",
            "Invoke-EdgeStep $env:PATH",
            "Invoke-EdgeStep -Verbose",
            "Invoke-EdgeStep $at a",
            "if ($out) { }",
            "class n_a { }",
            "Invoke-EdgeStep $at > 'a'",
            "Invoke-EdgeStep $at && Invoke-EdgeStep $at",
        ] {
            let texts = ["a", "calc"].map(str::to_owned);
            let refused = check(source, Language::PowerShell, texts.to_vec()).unwrap_err();
            let by_texts = refused.detail.contains("texts were passed in");
            assert!(!by_texts, "{source}: {}", refused.detail);
        }
    }

    /// Nobody here can run them, so at least a grammar reads the files that every bundle has.
    #[test]
    fn the_runtimes_are_what_their_grammars_know() {
        let files = [
            (Language::AutoHotkey, include_str!("../../templates/runtime/edge/colophon_edge.ahk")),
            (Language::PowerShell, include_str!("../../templates/runtime/edge/colophon_edge.ps1")),
        ];
        for (language, source) in files {
            let mut parser = Parser::new();
            parser.set_language(&language.rules().grammar).unwrap();
            assert!(!parser.parse(source, None).unwrap().root_node().has_error(), "{language:?}");
            assert!(source.is_ascii(), "{language:?}");
        }
    }

    #[test]
    fn the_lists_can_be_searched() {
        for language in [Language::AutoHotkey, Language::PowerShell] {
            assert!(language.rules().kinds.is_sorted(), "{language:?}");
        }
    }
}
