//! What the AutoHotkey templates write.

use std::sync::LazyLock;

use tree_sitter::Node;

use super::{Rules, code_point};

pub(super) static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    grammar: tree_sitter_autohotkey::LANGUAGE.into(),
    kinds: KINDS,
    words: &["identifier", "file_or_dir_name", "single_instance_mode", "requirement"],
    known: KNOWN,
    fixed: &[],
    is_text,
    part,
});

const KINDS: &[&str] = &[
    "arg_sequence",
    "array_literal",
    "assignment_operation",
    "assignment_operator",
    "block",
    "concat_operator",
    "directive_name",
    "explicit_concat_operation",
    "expression_sequence",
    "file_or_dir_name",
    "function_body",
    "function_call",
    "function_declaration",
    "function_head",
    "hex_literal",
    "identifier",
    "include_directive",
    "index_access",
    "integer_literal",
    "line_comment",
    "member_access",
    "no_tray_icon_directive",
    "param_sequence",
    "parenthesized_expression",
    "requirement",
    "requires_directive",
    "return",
    "return_statement",
    "single_instance_directive",
    "single_instance_mode",
    "source_file",
    "string_literal",
    "version_requirement",
];

const KNOWN: &[&str] = &[
    "colophon_edge.ahk",
    "Off",
    "AutoHotkey",
    "Map",
    "Chr",
    "ExitApp",
    "RunSegment",
    "EdgeStep",
    "at",
    "out",
    "Activate",
    "Close",
    "Keys",
    "ReadClipboard",
    "SetClipboard",
    "Start",
    "Type",
    "WaitWindow",
];

fn is_text(node: Node<'_>, source: &str) -> bool {
    match node.kind() {
        "string_literal" | "explicit_concat_operation" => true,
        "function_call" => source[node.byte_range()].starts_with("Chr("),
        _ => false,
    }
}

fn part(node: Node<'_>, source: &str) -> Option<String> {
    let text = &source[node.byte_range()];
    match node.kind() {
        "string_literal" => unquote(text),
        "hex_literal" => code_point(text),
        _ => None,
    }
}

/// What a literal stands for. None when AutoHotkey could read it otherwise than the grammar does: a
/// bare `;` can begin a comment, and `::` can make the line a hotkey.
fn unquote(literal: &str) -> Option<String> {
    if literal.contains("::") {
        return None;
    }
    let mut out = String::new();
    let mut chars = literal.strip_prefix('"')?.strip_suffix('"')?.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '`' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            },
            ';' => return None,
            plain => plain,
        });
    }
    Some(out)
}
