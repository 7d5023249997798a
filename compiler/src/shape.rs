//! The shape gate: the second lock behind the literal filter.
//!
//! If data ever became code, the module would most likely gain a statement that no template writes.
//! So the kinds of top-level statements are listed here, per kind of module.

use ruff_python_ast::{CmpOp, Expr, ModModule, Stmt};

/// What a kind of module may hold at its top level.
pub(crate) struct Shape {
    /// Modules it may import: exact, or everything below when the entry ends in a dot.
    imports: &'static [&'static str],
    /// Functions it may define: exact, or a prefix when the entry ends in `_`.
    functions: &'static [&'static str],
    /// Whether it ends in `if __name__ == "__main__":`.
    main: bool,
}

/// `flow_<flow>.py`.
pub(crate) const FLOW: Shape = Shape {
    imports: &["__future__", "langgraph.graph", "app.colophon_rt"],
    functions: &["n_", "body_", "entry_", "build"],
    main: false,
};

/// `<flow>_runner.py`.
pub(crate) const RUNNER: Shape = Shape {
    imports: &["__future__", "app.colophon_rt", "app.flows."],
    functions: &["main", "invoke"],
    main: true,
};

/// `test_<flow>.py`.
pub(crate) const SMOKE: Shape = Shape {
    imports: &["__future__", "app.flows.", "app.runners."],
    functions: &["test_"],
    main: false,
};

/// A script of an edge bundle.
pub(crate) const EDGE: Shape =
    Shape { imports: &["__future__", "colophon_edge"], functions: &["n_"], main: true };

impl Shape {
    /// Names the first statement that does not belong.
    pub(crate) fn check(&self, module: &ModModule) -> Result<(), String> {
        match module.body.iter().position(|statement| !self.allows(statement)) {
            None => Ok(()),
            Some(index) => Err(format!("top-level statement {} is not expected", index + 1)),
        }
    }

    fn allows(&self, statement: &Stmt) -> bool {
        match statement {
            Stmt::Import(import) => import.names.iter().all(|name| self.may_import(&name.name)),
            Stmt::ImportFrom(import) => {
                import.level == 0 && import.module.as_ref().is_some_and(|m| self.may_import(m))
            }
            Stmt::Assign(assign) => match assign.targets.as_slice() {
                [Expr::Name(target)] => is_constant(&target.id),
                _ => false,
            },
            Stmt::FunctionDef(function) => {
                function.decorator_list.is_empty() && self.may_define(&function.name)
            }
            Stmt::If(branch) => self.main && is_main_guard(&branch.test),
            _ => false,
        }
    }

    fn may_import(&self, module: &str) -> bool {
        self.imports.iter().any(|allowed| match allowed.strip_suffix('.') {
            Some(package) => module == package || module.starts_with(allowed),
            None => module == *allowed,
        })
    }

    fn may_define(&self, name: &str) -> bool {
        let allows = |allowed: &&str| {
            name == *allowed || (allowed.ends_with('_') && name.starts_with(allowed))
        };
        self.functions.iter().any(allows)
    }
}

/// `NAME`, or `C_<ident>` and `I_<ident>` for the parts of a node.
fn is_constant(name: &str) -> bool {
    name.starts_with("C_")
        || name.starts_with("I_")
        || name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

fn is_main_guard(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    let name = matches!(&*compare.left, Expr::Name(left) if left.id == "__name__");
    let main = |e: &Expr| matches!(e, Expr::StringLiteral(s) if s.value.to_str() == "__main__");
    name && *compare.ops == [CmpOp::Eq] && compare.comparators.iter().all(main)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(source: &str, shape: &Shape) -> bool {
        shape.check(ruff_python_parser::parse_module(source).unwrap().syntax()).is_ok()
    }

    #[test]
    fn what_templates_write_fits() {
        assert!(fits(
            "from app.colophon_rt import builder as rt\nNAME = 'x'\nC_a = rt.A()\n",
            &FLOW
        ));
        assert!(fits("async def n_a(state): ...\ndef build(): ...\n", &FLOW));
        assert!(fits("if __name__ == '__main__':\n    main()\n", &RUNNER));
    }

    /// What an injection would look like.
    #[test]
    fn foreign_statements_do_not_fit() {
        for source in [
            "import os",
            "from os import system",
            "from . import x",
            "from app.other import x",
            "print('x')",
            "os.system('id')",
            "name = 1",
            "a, B = 1, 2",
            "C_a.b = 1",
            "NAME += 'x'",
            "def other(): ...",
            "@d\ndef n_a(): ...",
            "class A: ...",
            "if True: ...",
            "for x in y: ...",
            "\"text\"",
            "if __name__ == '__main__': ...",
            "del NAME",
            "NAME: int = 1",
            "exec('x')",
        ] {
            assert!(!fits(source, &FLOW), "{source}");
        }
        assert!(!fits("if __name__ == 'x': ...", &RUNNER));
    }
}
