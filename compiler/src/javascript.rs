//! The code that a flow brings, read by oxc: checked, and for TypeScript the types taken out. Nothing
//! else changes.

use std::fmt;
use std::path::Path;

use oxc::allocator::Allocator;
use oxc::ast::ast::{
    CallExpression, Decorator, ExportAllDeclaration, ExportFromDeclaration, Expression,
    ImportDeclaration, ImportExpression, Program, Statement, TSImportEqualsDeclaration,
};
use oxc::ast_visit::{Visit, walk};
use oxc::codegen::Codegen;
use oxc::diagnostics::{Diagnostics, OxcDiagnostic};
use oxc::parser::Parser;
use oxc::semantic::{Scoping, SemanticBuilder};
use oxc::span::{SourceType, Span};
use oxc::transformer::{TransformOptions, Transformer};

/// A place in a source, counted from one; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: usize,
    /// The column.
    pub(crate) column: usize,
}

/// Why a source is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is no JavaScript, or TypeScript.
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// It imports something.
    Import {
        /// Where.
        place: Place,
        /// The construct.
        what: &'static str,
    },
    /// It does not export what is called.
    NoExport,
    /// The compiler gave up.
    Failed,
}

/// Stack of the thread that compiles, in bytes. The parser goes down with every open bracket, and a
/// stack that overflows ends the process, so it has room for a source of nothing but brackets four
/// times over. Memory that is not used is not taken.
const STACK: usize = 256 << 20;

/// At most so many faults of one source are told.
const MOST: usize = 10;

impl Fault {
    /// Whether the fault is that other code comes in.
    pub(crate) const fn is_import(&self) -> bool {
        matches!(self, Self::Import { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { place: Place { line, column }, message } => {
                write!(f, "line {line}, column {column}: {message}")
            }
            Self::Import { place: Place { line, column }, what } => write!(
                f,
                "line {line}, column {column}: {what} brings in other code; only the language itself \
                 is there"
            ),
            Self::NoExport => f.write_str("the source does not export the function that is called"),
            Self::Failed => f.write_str("the source could not be read"),
        }
    }
}

/// What is called of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Export {
    /// `export const code = …`.
    Code,
    /// `export default …`.
    Default,
}

/// JavaScript from a TypeScript module that exports the function `code`.
pub(crate) fn compile(source: &str) -> Result<String, Vec<Fault>> {
    deep(|| {
        let allocator = Allocator::default();
        let (mut program, scoping) = read(&allocator, source, SourceType::ts(), Export::Code)?;
        let options = TransformOptions::default();
        let work = Transformer::new(&allocator, Path::new("code.ts"), &options);
        let done = work.build_with_scoping(scoping, &mut program);
        refuse(source, &done.diagnostics)?;
        Ok(Codegen::new().build(&program).code)
    })
}

/// Checks a JavaScript module that exports a function by default.
pub(crate) fn check(source: &str) -> Result<(), Vec<Fault>> {
    deep(|| read(&Allocator::default(), source, SourceType::mjs(), Export::Default).map(|_| ()))
}

fn deep<T: Send>(work: impl FnOnce() -> Result<T, Vec<Fault>> + Send) -> Result<T, Vec<Fault>> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let work = thread.spawn_scoped(scope, work);
        let done = work.ok().and_then(|work| work.join().ok());
        done.unwrap_or_else(|| Err(vec![Fault::Failed]))
    })
}

fn read<'a>(
    allocator: &'a Allocator,
    source: &'a str,
    kind: SourceType,
    export: Export,
) -> Result<(Program<'a>, Scoping), Vec<Fault>> {
    let parsed = Parser::new(allocator, source, kind).parse();
    refuse(source, &parsed.diagnostics)?;
    let program = parsed.program;
    let is_default =
        |statement: &Statement<'_>| matches!(statement, Statement::ExportDefaultDeclaration(_));
    let exported = match export {
        Export::Code => parsed.module_record.exported_bindings.keys().any(|name| name == "code"),
        Export::Default => program.body.iter().any(is_default),
    };
    let analysis =
        SemanticBuilder::new().with_check_syntax_error(true).with_enum_eval(true).build(&program);
    refuse(source, &analysis.diagnostics)?;
    let scoping = analysis.semantic.into_scoping();
    check_imports(source, &program)?;
    if exported { Ok((program, scoping)) } else { Err(vec![Fault::NoExport]) }
}

fn refuse(source: &str, diagnostics: &Diagnostics) -> Result<(), Vec<Fault>> {
    let faults: Vec<_> = diagnostics.errors().take(MOST).map(|d| syntax(source, d)).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn syntax(source: &str, diagnostic: &OxcDiagnostic) -> Fault {
    let offset = diagnostic.labels.first().map_or(0, |label| label.offset() as usize);
    let message = diagnostic.message.chars().take(200).collect();
    Fault::Syntax { place: place(source, offset), message }
}

fn place(source: &str, offset: usize) -> Place {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

fn check_imports(source: &str, program: &Program<'_>) -> Result<(), Vec<Fault>> {
    let mut imports = Imports { source, found: Vec::new() };
    imports.visit_program(program);
    imports.found.truncate(MOST);
    if imports.found.is_empty() { Ok(()) } else { Err(imports.found) }
}

/// Everything by which a module brings in another. Types come from nowhere at run time.
struct Imports<'s> {
    source: &'s str,
    found: Vec<Fault>,
}

impl Imports<'_> {
    fn add(&mut self, span: Span, what: &'static str) {
        let place = place(self.source, span.start as usize);
        self.found.push(Fault::Import { place, what });
    }
}

impl<'a> Visit<'a> for Imports<'_> {
    fn visit_import_declaration(&mut self, import: &ImportDeclaration<'a>) {
        if !import.import_kind.is_type() {
            self.add(import.span, "an `import`");
        }
    }

    fn visit_import_expression(&mut self, import: &ImportExpression<'a>) {
        self.add(import.span, "an `import()`");
    }

    fn visit_ts_import_equals_declaration(&mut self, import: &TSImportEqualsDeclaration<'a>) {
        if !import.import_kind.is_type() {
            self.add(import.span, "an `import =`");
        }
    }

    fn visit_export_all_declaration(&mut self, export: &ExportAllDeclaration<'a>) {
        if !export.export_kind.is_type() {
            self.add(export.span, "an `export … from`");
        }
    }

    fn visit_export_from_declaration(&mut self, export: &ExportFromDeclaration<'a>) {
        if !export.export_kind.is_type() {
            self.add(export.span, "an `export … from`");
        }
    }

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        if matches!(&call.callee, Expression::Identifier(name) if name.name == "require") {
            self.add(call.span, "a `require`");
        }
        walk::walk_call_expression(self, call);
    }

    /// Decorators would need helpers from a package.
    fn visit_decorator(&mut self, decorator: &Decorator<'a>) {
        self.add(decorator.span, "a decorator");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(source: &str) -> Vec<Fault> {
        compile(source).unwrap_err()
    }

    #[test]
    fn types_go_and_nothing_else() {
        let source = "type In = { a: number };\nenum E { A = 2 }\n\
            export const code = async (inputs: In): Promise<number> => {\n  \
            const m = inputs as any;\n  return m!.a * E.A;\n};\n";
        let javascript = compile(source).unwrap();
        assert!(
            !javascript.contains("type In") && !javascript.contains("Promise<"),
            "{javascript}"
        );
        assert!(javascript.contains("export const code = async (inputs) =>"), "{javascript}");
        assert_eq!(compile(source).unwrap(), javascript);
        assert!(compile("import type { A } from 'x';\nexport const code = (a: A) => a").is_ok());
        assert!(compile("export function code() {}").is_ok());
        assert!(compile("const code = () => 1; export { code };").is_ok());
    }

    #[test]
    fn faults_have_places() {
        let [Fault::Syntax { place, message }] = &faults("export const code = 1;\nlet é = = 2")[..]
        else {
            panic!()
        };
        assert_eq!((place.line, place.column), (2, 9), "{message}");
        assert!(matches!(faults("let a; let a; export const code = 1")[0], Fault::Syntax { .. }));
        assert_eq!(faults("export const cod = 1"), [Fault::NoExport]);
        assert_eq!(faults(""), [Fault::NoExport]);
    }

    #[test]
    fn javascript_is_checked_as_such() {
        assert_eq!(check("export default async ({ a }) => a"), Ok(()));
        assert_eq!(check("const f = () => 1;\nexport default f;"), Ok(()));
        for source in ["export const code = () => 1", "", "(a) => a"] {
            assert_eq!(check(source), Err(vec![Fault::NoExport]), "{source}");
        }
        let typed = check("export default (a: number) => a").unwrap_err();
        assert!(matches!(typed[..], [Fault::Syntax { .. }, ..]), "{typed:?}");
        let imported = check("import fs from 'fs';\nexport default () => fs").unwrap_err();
        assert!(imported[0].is_import() && imported[0].to_string().contains("line 1, column 1"));
    }

    /// Whatever way another module would come in.
    #[test]
    fn imports_are_found() {
        for source in [
            "import fs from 'fs';",
            "import 'x';",
            "import * as x from 'x'; x;",
            "const f = () => import('x');",
            "const f = { g: () => [require('child_process')] };",
            "import x = require('x'); x;",
            "export * from 'x';",
            "export { a } from 'x';",
            "@d class A {}",
        ] {
            let found = faults(&format!("{source}\nexport const code = 1;"));
            assert!(matches!(found[..], [Fault::Import { .. }]), "{source}: {found:?}");
        }
    }

    /// A stack that overflows would end the service: every way to nest that one byte or two buy.
    #[test]
    fn deep_sources_are_compiled_or_refused() {
        let size = 64 << 10;
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{", "}"),
            ("!", ""),
            ("-", ""),
            ("~", ""),
            ("a=>", ""),
            ("a?", ":b"),
            ("1+", ""),
            ("a=", ""),
            ("new ", ""),
            ("f(", ")"),
            ("`${", "}`"),
            ("if(a)", ""),
            ("a.b", ""),
            ("a??", ""),
            ("1**", ""),
            ("<a>", ""),
            ("a,", ""),
            ("await ", ""),
            ("x:", ""),
            ("()=>{", "}"),
            ("class{a=", "}"),
            ("a[", "]"),
        ] {
            let times = size / (open.len() + close.len()) - 16;
            let expression = format!("{}a{}", open.repeat(times), close.repeat(times));
            let _ = compile(&format!("export const code=1;{expression}"));
            let _ = compile(&format!("export let code:{expression}"));
        }
    }
}
