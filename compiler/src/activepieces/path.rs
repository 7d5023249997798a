//! Paths: the part of JavaScript that expressions may use. `a.b['c'][0]`, also with `?.`.

/// The names along a path, its root first; None for any other JavaScript.
pub(super) fn parse(text: &str) -> Option<Vec<String>> {
    let mut rest = text;
    let mut path = vec![identifier(&mut rest)?];
    while !rest.is_empty() {
        path.push(step(&mut rest)?);
    }
    Some(path)
}

/// `flattenNestedKeys(path, ['key', …])`, which ActivePieces' editor writes for values inside lists.
pub(super) fn parse_flatten(text: &str) -> Option<(Vec<String>, Vec<String>)> {
    let inside = text.strip_prefix("flattenNestedKeys")?.trim().strip_prefix('(')?;
    let (path, keys) = inside.strip_suffix(')')?.split_once(',')?;
    let keys = keys.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut rest = keys.trim();
    let mut list = Vec::new();
    while !rest.is_empty() {
        list.push(quoted(&mut rest)?);
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some((parse(path.trim())?, list))
}

/// One `.name`, `['name']` or `[0]`, cut off the front. An optional one (`?.`) means the same here:
/// what is missing resolves to an empty text either way.
fn step(rest: &mut &str) -> Option<String> {
    *rest = rest.trim_start();
    let optional = rest.strip_prefix("?.");
    let after = optional.or_else(|| rest.strip_prefix('.')).unwrap_or(rest);
    if let Some(inside) = after.strip_prefix('[') {
        if optional.is_none() && rest.starts_with('.') {
            return None;
        }
        *rest = inside.trim_start();
        let key = quoted(rest).or_else(|| index(rest))?;
        *rest = rest.trim_start().strip_prefix(']')?.trim_start();
        return Some(key);
    }
    if after.len() == rest.len() {
        return None;
    }
    *rest = after.trim_start();
    identifier(rest)
}

fn identifier(rest: &mut &str) -> Option<String> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) {
        return None;
    }
    *rest = after.trim_start();
    Some(name.to_owned())
}

/// A text without escapes: those would make it another text.
fn quoted(rest: &mut &str) -> Option<String> {
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (text, after) = rest[1..].split_once(quote)?;
    if text.contains(['\\', '\n']) {
        return None;
    }
    *rest = after;
    Some(text.to_owned())
}

/// An index as JavaScript writes a number: no leading zero, and few enough digits to be exact.
fn index(rest: &mut &str) -> Option<String> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    let exact = matches!(digits.len(), 1..=15) && (digits == "0" || !digits.starts_with('0'));
    if !exact {
        return None;
    }
    *rest = after;
    Some(digits.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_read_and_nothing_else() {
        for (text, want) in [
            ("a", vec!["a"]),
            ("step_1.body", vec!["step_1", "body"]),
            ("a['b c'][\"d\"].e[0][12]", vec!["a", "b c", "d", "e", "0", "12"]),
            ("a?.b?.['c']?.[0]", vec!["a", "b", "c", "0"]),
            ("a . b [ 'c' ] [ 0 ]", vec!["a", "b", "c", "0"]),
            ("$a._b.ünïcode", vec!["$a", "_b", "ünïcode"]),
        ] {
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
        for text in [
            "",
            "1",
            "1a",
            "a.",
            "a..b",
            "a.['b']",
            "a[",
            "a[]",
            "a['b'",
            "a['b\\'c']",
            "a[01]",
            "a[b]",
            "a[-1]",
            "a[1.5]",
            "a()",
            "a + 1",
            "a | b",
            "a ? b : c",
            "'a'",
            "{}",
            "a.b()",
            "a['b']x",
            "a;b",
            "a,b",
            "a[9999999999999999]",
            "a b",
            "!a",
            "`a`",
            "a?b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_way_through_lists_is_read() {
        let flatten = |text| parse_flatten(text);
        let want = (vec!["trigger".into(), "a".into()], vec!["users".into(), "name".into()]);
        assert_eq!(flatten("flattenNestedKeys(trigger.a, ['users', \"name\"])"), Some(want));
        assert_eq!(flatten("flattenNestedKeys(a,[])"), Some((vec!["a".into()], vec![])));
        for text in [
            "flattenNestedKeys(a)",
            "flattenNestedKeys(f(), ['b'])",
            "flattenNestedKeys(a, ['b' 'c'])",
            "flattenNestedKeys(a, [b])",
            "flattenNestedKeys(a, ['b']) + 1",
        ] {
            assert_eq!(flatten(text), None, "{text}");
        }
    }

    proptest! {
        /// Whatever stands between the braces, reading it ends and does not panic.
        #[test]
        fn any_text_is_read_to_an_end(text in "\\PC{0,40}|[a\\[\\]'\"?. 0-9(),]{0,30}") {
            let _ = (parse(&text), parse_flatten(&text));
        }
    }
}
