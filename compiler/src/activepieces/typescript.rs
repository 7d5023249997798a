//! TypeScript to JavaScript, by oxc: types go, nothing else changes.

use oxc::allocator::Allocator;
use oxc::ast::ast::{
    CallExpression, Decorator, ExportAllDeclaration, ExportFromDeclaration, Expression,
    ImportDeclaration, ImportExpression, Program, TSImportEqualsDeclaration,
};
use oxc::ast_visit::{Visit, walk};
use oxc::codegen::Codegen;
use oxc::diagnostics::{Diagnostics, OxcDiagnostic};
use oxc::parser::Parser;
use oxc::semantic::SemanticBuilder;
use oxc::span::{SourceType, Span};
use oxc::transformer::{TransformOptions, Transformer};

/// A place in a source, counted from one; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The line.
    pub(super) line: usize,
    /// The column.
    pub(super) column: usize,
}

/// Why a source is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no TypeScript.
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
    /// It exports no `code`.
    NoCode,
    /// The compiler gave up.
    Failed,
}

/// Stack of the thread that compiles, in bytes. The parser goes down with every open bracket, and a
/// stack that overflows ends the process, so it has room for a source of nothing but brackets four
/// times over. Memory that is not used is not taken.
const STACK: usize = 256 << 20;

/// At most so many faults of one source are told.
const MOST: usize = 10;

/// Compiles a module that exports the function `code`.
pub(super) fn compile(source: &str) -> Result<String, Vec<Fault>> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let work = thread.spawn_scoped(scope, || compile_here(source));
        let done = work.ok().and_then(|work| work.join().ok());
        done.unwrap_or_else(|| Err(vec![Fault::Failed]))
    })
}

fn compile_here(source: &str) -> Result<String, Vec<Fault>> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::ts()).parse();
    refuse(source, &parsed.diagnostics)?;
    let mut program = parsed.program;
    let exports_code = parsed.module_record.exported_bindings.keys().any(|name| name == "code");
    let analysis =
        SemanticBuilder::new().with_check_syntax_error(true).with_enum_eval(true).build(&program);
    refuse(source, &analysis.diagnostics)?;
    let scoping = analysis.semantic.into_scoping();
    check_imports(source, &program)?;
    if !exports_code {
        return Err(vec![Fault::NoCode]);
    }
    let options = TransformOptions::default();
    let work = Transformer::new(&allocator, std::path::Path::new("code.ts"), &options);
    let done = work.build_with_scoping(scoping, &mut program);
    refuse(source, &done.diagnostics)?;
    Ok(Codegen::new().build(&program).code)
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
        assert_eq!(faults("export const cod = 1"), [Fault::NoCode]);
        assert_eq!(faults(""), [Fault::NoCode]);
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
