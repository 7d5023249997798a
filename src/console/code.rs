//! Code in colours: what is a comment, a text, a number, a word of the language. By lines, for the languages that
//! builds are made of. It knows tokens, not grammar: a mistake here is a wrong colour and nothing else, since the parts
//! of a line are always the line.

use serde::Serialize;

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `c` comment, `s` text, `n` number, `k` word of the language; empty: plain.
    pub class: &'static str,
    /// What it says.
    pub text: String,
}

/// How a language is written.
struct Language {
    comments: &'static [&'static str],
    /// Begin and end of comments over lines.
    block: Option<(&'static str, &'static str)>,
    quotes: &'static [&'static str],
    /// What takes the meaning from the sign after it.
    escape: char,
    words: &'static [&'static str],
}

const PYTHON: Language = Language {
    comments: &["#"],
    block: None,
    quotes: &["\"\"\"", "'''", "\"", "'"],
    escape: '\\',
    words: &[
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class",
        "continue", "def", "del", "elif", "else", "except", "finally", "for", "from", "global",
        "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return",
        "try", "while", "with", "yield",
    ],
};
const JSON: Language = Language {
    comments: &[],
    block: None,
    quotes: &["\""],
    escape: '\\',
    words: &["true", "false", "null"],
};
const SCRIPT: Language = Language {
    comments: &["//"],
    block: Some(("/*", "*/")),
    quotes: &["\"", "'", "`"],
    escape: '\\',
    words: &[
        "async",
        "await",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "continue",
        "default",
        "else",
        "export",
        "false",
        "finally",
        "for",
        "from",
        "function",
        "if",
        "import",
        "in",
        "let",
        "new",
        "null",
        "of",
        "return",
        "switch",
        "this",
        "throw",
        "true",
        "try",
        "typeof",
        "undefined",
        "var",
        "while",
    ],
};
const POWERSHELL: Language = Language {
    comments: &["#"],
    block: Some(("<#", "#>")),
    quotes: &["\"", "'"],
    escape: '`',
    words: &[
        "begin", "break", "catch", "continue", "do", "else", "elseif", "end", "finally", "for",
        "foreach", "function", "if", "in", "param", "process", "return", "switch", "throw", "try",
        "until", "while",
    ],
};
const AUTOHOTKEY: Language = Language {
    comments: &[";"],
    block: Some(("/*", "*/")),
    quotes: &["\"", "'"],
    escape: '`',
    words: &[
        "break", "case", "catch", "class", "continue", "else", "false", "finally", "for", "global",
        "if", "in", "local", "loop", "return", "static", "switch", "throw", "true", "try", "unset",
        "until", "while",
    ],
};
const SETTINGS: Language = Language {
    comments: &["#"],
    block: None,
    quotes: &["\"", "'"],
    escape: '\\',
    words: &["true", "false", "null"],
};
const PLAIN: Language =
    Language { comments: &[], block: None, quotes: &[], escape: '\\', words: &[] };

/// The language of a file, by the end of its name.
fn language(path: &str) -> &'static Language {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "py" => &PYTHON,
        "json" => &JSON,
        "js" | "mjs" | "ts" => &SCRIPT,
        "ps1" => &POWERSHELL,
        "ahk" => &AUTOHOTKEY,
        "toml" | "yml" | "yaml" | "txt" => &SETTINGS,
        _ => &PLAIN,
    }
}

/// What is open at the end of a line.
#[derive(Clone, Copy)]
struct Open {
    end: &'static str,
    class: &'static str,
}

/// The lines of `text`, in parts, as the language of `path` is written.
pub fn lines(path: &str, text: &str) -> Vec<Vec<Part>> {
    let language = language(path);
    let mut open = None;
    text.lines().map(|line| parts(language, line, &mut open)).collect()
}

fn parts(language: &Language, line: &str, open: &mut Option<Open>) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), line);
    if let Some(Open { end, class }) = *open {
        let at = closes(language, rest, end);
        if at.is_some() {
            *open = None;
        }
        rest = take(&mut parts, class, rest, at.unwrap_or(rest.len()));
    }
    while !rest.is_empty() {
        let (class, length) = next(language, rest, open);
        rest = take(&mut parts, class, rest, length);
    }
    parts
}

/// Moves `length` bytes of `rest` to the parts; joins what is alike.
fn take<'a>(parts: &mut Vec<Part>, class: &'static str, rest: &'a str, length: usize) -> &'a str {
    let (text, rest) = rest.split_at(length);
    match parts.last_mut() {
        Some(last) if last.class == class => last.text.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part { class, text: text.to_owned() }),
    }
    rest
}

/// The class and length of what `rest` begins with. `rest` is not empty.
fn next(language: &Language, rest: &str, open: &mut Option<Open>) -> (&'static str, usize) {
    if language.comments.iter().any(|mark| rest.starts_with(mark)) {
        return ("c", rest.len());
    }
    if let Some((begin, end)) = language.block
        && let Some(inner) = rest.strip_prefix(begin)
    {
        return begun(language, rest, inner, Open { end, class: "c" }, open);
    }
    for quote in language.quotes {
        if let Some(inner) = rest.strip_prefix(quote) {
            let text = Open { end: quote, class: "s" };
            let over_lines = quote.len() == 3 || *quote == "`";
            if over_lines {
                return begun(language, rest, inner, text, open);
            }
            // One that is not closed is a sign of its own, an apostrophe perhaps.
            let closed = closes(language, inner, quote);
            return closed.map_or(("", quote.len()), |inside| ("s", quote.len() + inside));
        }
    }
    word(language, rest)
}

/// Something over lines that begins here; it stays open unless it ends in this line.
fn begun(
    language: &Language,
    rest: &str,
    inner: &str,
    what: Open,
    open: &mut Option<Open>,
) -> (&'static str, usize) {
    if let Some(inside) = closes(language, inner, what.end) {
        return (what.class, rest.len() - inner.len() + inside);
    }
    *open = Some(what);
    (what.class, rest.len())
}

/// Behind which byte of `text` the `end` is over.
fn closes(language: &Language, text: &str, end: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, sign) in text.char_indices() {
        if !escaped && text[at..].starts_with(end) {
            return Some(at + end.len());
        }
        escaped = !escaped && sign == language.escape;
    }
    None
}

fn word(language: &Language, rest: &str) -> (&'static str, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '_';
    if !is_word(first) {
        return ("", first.len_utf8());
    }
    let in_number = |sign: char| is_word(sign) || (first.is_ascii_digit() && sign == '.');
    let length = rest.find(|sign| !in_number(sign)).unwrap_or(rest.len());
    let class = if first.is_ascii_digit() {
        "n"
    } else if language.words.contains(&&rest[..length]) {
        "k"
    } else {
        ""
    };
    (class, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, text: &str) -> String {
        let part = |part: &Part| match part.class {
            "" => part.text.clone(),
            class => format!("[{class}:{}]", part.text),
        };
        let line = |line: &Vec<Part>| line.iter().map(part).collect::<String>();
        lines(path, text).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn tokens_are_told_apart() {
        assert_eq!(
            told("a.py", "def f(x=1.5):  # note\n    return \"a\\\"b\" + x_2"),
            "[k:def] f(x=[n:1.5]):  [c:# note]\n    [k:return] [s:\"a\\\"b\"] + x_2"
        );
        assert_eq!(
            told("a.py", "\"\"\"One\ntwo # no comment\nthree\"\"\" + 'x'"),
            "[s:\"\"\"One]\n[s:two # no comment]\n[s:three\"\"\"] + [s:'x']"
        );
        assert_eq!(told("a.ps1", "<# a\nb #> if ($x) {}"), "[c:<# a]\n[c:b #>] [k:if] ($x) {}");
        assert_eq!(told("a.ahk", "x := \"`\"\" ; note"), "x := [s:\"`\"\"] [c:; note]");
        assert_eq!(told("a.json", "{\"a\": null}"), "{[s:\"a\"]: [k:null]}");
        assert_eq!(told("README.md", "def # 'x"), "def # 'x");
    }

    /// Whatever is in a file, the reader sees it and no more.
    #[test]
    fn the_parts_of_a_line_are_the_line() {
        let signs = [
            "a", "\"", "'", "`", "\"\"\"", "#", "/*", "*/", "<#", "\\", "1.é", " ", "\n", ";", "if",
        ];
        let mut number = 7usize;
        for end in ["py", "json", "mjs", "ps1", "ahk", "toml", "md"] {
            for _ in 0..2_000 {
                let mut text = String::new();
                for _ in 0..24 {
                    number = number
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    text.push_str(signs[(number >> 33) % signs.len()]);
                }
                let parts = lines(&format!("x.{end}"), &text);
                let joined = parts
                    .iter()
                    .map(|line| line.iter().map(|p| p.text.as_str()).collect::<String>());
                assert_eq!(joined.collect::<Vec<_>>(), text.lines().collect::<Vec<_>>(), "{end}");
            }
        }
    }
}
