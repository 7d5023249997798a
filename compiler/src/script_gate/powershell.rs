//! What the PowerShell templates write.

use std::sync::LazyLock;

use tree_sitter::Node;

use super::{Rules, code_point};

pub(super) static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    grammar: tree_sitter_powershell::LANGUAGE.into(),
    kinds: KINDS,
    words: &[
        "command_invokation_operator",
        "command_name",
        "function_name",
        "simple_name",
        "type_name",
        "variable",
    ],
    known: KNOWN,
    fixed: &["colophon_edge.ps1"],
    is_text,
    part,
});

const KINDS: &[&str] = &[
    "additive_argument_expression",
    "additive_expression",
    "argument_expression",
    "argument_expression_list",
    "argument_list",
    "array_expression",
    "array_literal_expression",
    "assignement_operator",
    "assignment_expression",
    "bitwise_argument_expression",
    "bitwise_expression",
    "braced_variable",
    "cast_expression",
    "command",
    "command_argument_sep",
    "command_elements",
    "command_invokation_operator",
    "command_name",
    "command_name_expr",
    "comment",
    "comparison_argument_expression",
    "comparison_expression",
    "decimal_integer_literal",
    "element_access",
    "empty_statement",
    "expression_with_unary_operator",
    "flow_control_statement",
    "format_argument_expression",
    "format_expression",
    "function_name",
    "function_parameter_declaration",
    "function_statement",
    "hash_entry",
    "hash_literal_body",
    "hash_literal_expression",
    "hexadecimal_integer_literal",
    "integer_literal",
    "invokation_expression",
    "key_expression",
    "left_assignment_expression",
    "logical_argument_expression",
    "logical_expression",
    "member_name",
    "multiplicative_argument_expression",
    "multiplicative_expression",
    "parameter_list",
    "parenthesized_expression",
    "pipeline",
    "pipeline_chain",
    "program",
    "range_argument_expression",
    "range_expression",
    "script_block",
    "script_block_body",
    "script_parameter",
    "simple_name",
    "statement_list",
    "string_literal",
    "type_identifier",
    "type_literal",
    "type_name",
    "type_spec",
    "unary_expression",
    "variable",
    "verbatim_string_characters",
];

const KNOWN: &[&str] = &[
    ".",
    "Join-Path",
    "Invoke-EdgeSegment",
    "Invoke-EdgeStep",
    "ConvertFromUtf32",
    "char",
    "$PSScriptRoot",
    "$at",
    "$false",
    "$null",
    "$out",
    "$steps",
    "$true",
];

fn is_text(node: Node<'_>, source: &str) -> bool {
    let joins = node.kind() == "expression_with_unary_operator"
        && source[node.byte_range()].starts_with("-join ");
    joins || node.kind() == "string_literal"
}

fn part(node: Node<'_>, source: &str) -> Option<String> {
    let text = &source[node.byte_range()];
    match node.kind() {
        "string_literal" => Some(text.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'")),
        "hexadecimal_integer_literal" => code_point(text),
        _ => None,
    }
}
