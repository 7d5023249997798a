//! docs/edge-attacks.md says which test shows what happens in which attack. What it names is there.

use std::path::Path;

const TABLE: &str = include_str!("../../../docs/edge-attacks.md");

/// The rows of the table: number, tests, and what is said of what they do not show.
fn rows() -> Vec<(&'static str, Vec<&'static str>, &'static str)> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| A-"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, number, _attack, _outcome, shown, missing, _] = cells[..] else { panic!("{row}") };
        let tests = shown.split("<br>").map(|test| test.trim_matches('`'));
        (number, tests.filter(|test| !test.is_empty()).collect(), missing)
    })
    .collect()
}

#[test]
fn every_attack_of_the_design_has_a_row() {
    let expected: Vec<_> = (1..=32).map(|n| format!("A-{n}")).collect();
    assert_eq!(rows().iter().map(|row| row.0).collect::<Vec<_>>(), expected);
    for (number, tests, missing) in rows() {
        assert!(!tests.is_empty() || !missing.is_empty(), "{number} says nothing");
    }
}

#[test]
fn every_test_that_the_table_names_is_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (number, tests, _) in rows() {
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            let text = std::fs::read_to_string(top.join(file));
            let text = text.unwrap_or_else(|error| panic!("{number}: {file}: {error}"));
            assert!(name.is_empty() || is_test(&text, name), "{number}: {test} is not a test");
        }
    }
}

/// Whether the file has a function of this name with `#[test]` among the attributes above it.
fn is_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    lines.iter().position(|line| line.starts_with(&head)).is_some_and(|at| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with('#'));
        above.into_iter().any(|line| *line == "#[test]")
    })
}
