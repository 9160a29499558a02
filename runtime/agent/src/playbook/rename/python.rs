//! Python's strings: which of them are documentation, and which export a name.

/// What a string literal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A statement of its own: a docstring.
    Documentation,
    /// An entry of `__all__`.
    Export,
    /// Any other.
    Value,
}

/// A string literal with its prefix and quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) role: Role,
}

/// Returns a module's string literals.
///
/// A scanner, not a parser: it knows quotes, prefixes, escapes, comments, brackets and line ends. What it
/// gets wrong (quotes of the same kind nested in an f-string) makes a string a plain value, which is then
/// left alone.
pub(crate) fn literals(text: &str) -> Vec<Literal> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut depth) = (0usize, 0usize);
    let (mut fresh, mut exports) = (true, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\n' => {
                if depth == 0 {
                    (fresh, exports) = (true, false);
                }
                at += 1;
            }
            b' ' | b'\t' | b'\r' => at += 1,
            b'\\' => at += 2,
            b'#' => at = find(bytes, at, b'\n'),
            b'"' | b'\'' => {
                let end = literal_end(bytes, at);
                found.push(Literal { start: at, end, role: role(bytes, end, fresh && depth == 0, exports) });
                (fresh, at) = (false, end);
            }
            b'(' | b'[' | b'{' => (depth, fresh, at) = (depth + 1, false, at + 1),
            b')' | b']' | b'}' => (depth, fresh, at) = (depth.saturating_sub(1), false, at + 1),
            _ if byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80 => {
                let start = at;
                while bytes.get(at).is_some_and(|b| *b == b'_' || b.is_ascii_alphanumeric() || *b >= 0x80) {
                    at += 1;
                }
                let word = &bytes[start..at];
                let prefix = word.len() <= 2 && word.iter().all(|b| b"rRbBuUfFtT".contains(b));
                if prefix && matches!(bytes.get(at), Some(b'"' | b'\'')) {
                    let end = literal_end(bytes, at);
                    let role = role(bytes, end, fresh && depth == 0, exports);
                    found.push(Literal { start, end, role });
                    at = end;
                } else if word == b"__all__" && fresh {
                    exports = true;
                }
                fresh = false;
            }
            _ => (fresh, at) = (false, at + 1),
        }
    }
    found
}

fn role(bytes: &[u8], end: usize, statement: bool, exports: bool) -> Role {
    if exports {
        return Role::Export;
    }
    let rest = bytes.get(end..).unwrap_or(&[]);
    let alone = rest
        .iter()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'))
        .is_none_or(|byte| matches!(byte, b'\n' | b'#'));
    if statement && alone { Role::Documentation } else { Role::Value }
}

/// Returns the byte after the literal whose first quote is at `at`.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let triple = bytes.get(at..at + 3) == Some(&[quote; 3][..]);
    let mut here = at + if triple { 3 } else { 1 };
    while let Some(&byte) = bytes.get(here) {
        match byte {
            b'\\' => here += 2,
            b'\n' if !triple => return here,
            _ if byte == quote && !triple => return here + 1,
            _ if byte == quote && bytes.get(here..here + 3) == Some(&[quote; 3][..]) => return here + 3,
            _ => here += 1,
        }
    }
    bytes.len()
}

fn find(bytes: &[u8], from: usize, wanted: u8) -> usize {
    bytes[from..].iter().position(|byte| *byte == wanted).map_or(bytes.len(), |offset| from + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docstrings_and_exports_are_told_from_values() {
        let source = "\"\"\"Module doc, with 'quotes'.\"\"\"\n\
            __all__ = [\n    \"a\",  # comment with \"quotes\"\n    'b',\n]\n\
            __all__ += ['c']\n\
            x = \"value\"\n\
            def f(a=\"default\"):\n    r'''Doc \\' of f.'''\n    g(\n        \"argument\"\n    )\n    return f\"x{a}\"\n\
            \"a\" + x\n\
            y = not_all[\"d\"]\n";
        let told: Vec<(Role, &str)> =
            literals(source).iter().map(|l| (l.role, &source[l.start..l.end])).collect();
        assert_eq!(
            told,
            [
                (Role::Documentation, "\"\"\"Module doc, with 'quotes'.\"\"\""),
                (Role::Export, "\"a\""),
                (Role::Export, "'b'"),
                (Role::Export, "'c'"),
                (Role::Value, "\"value\""),
                (Role::Value, "\"default\""),
                (Role::Documentation, "r'''Doc \\' of f.'''"),
                (Role::Value, "\"argument\""),
                (Role::Value, "f\"x{a}\""),
                (Role::Value, "\"a\""),
                (Role::Value, "\"d\""),
            ]
        );
    }

    #[test]
    fn broken_source_is_read_to_its_end() {
        for source in ["'", "\"\"\"", "'\\", "x = '\ny", "\\", ")))", "b'é\\"] {
            let _ = literals(source);
        }
    }
}
