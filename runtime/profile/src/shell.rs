//! Shell lines, as far as they are plain commands: everything that would need a shell is refused.

use std::collections::BTreeMap;

use gloaming_api::RelPath;

/// A plain command of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Variables set before it.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) words: Vec<String>,
    /// Whether a word holds a pattern that a shell would expand.
    pub(crate) glob: bool,
    /// The folder it runs in.
    pub(crate) cwd: RelPath,
}

/// One command of a script, or why it is not a plain one.
pub(crate) struct Step {
    /// As it stands in the script.
    pub(crate) text: String,
    pub(crate) line: u32,
    pub(crate) outcome: Result<Segment, &'static str>,
}

/// Scripts longer than this are programs; nothing about testing stands in their depths.
const MOST_LINES: usize = 500;

/// Splits a script into its commands. `cd` to a folder holds for what follows.
pub(crate) fn script(script: &str, first_line: u32, cwd: &RelPath) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut cwd = Some(cwd.clone());
    let mut lines = script.lines().zip(first_line..).take(MOST_LINES);
    while let Some((line, number)) = lines.next() {
        let mut text = line.trim().to_owned();
        while let Some(start) = text.strip_suffix('\\') {
            let Some((more, _)) = lines.next() else { break };
            text = format!("{} {}", start.trim_end(), more.trim());
        }
        if text.is_empty() {
            continue;
        }
        match split(&text) {
            Err(reason) => steps.push(Step { text, line: number, outcome: Err(reason) }),
            Ok(commands) => {
                for Plain { words, glob } in commands {
                    let (env, words) = assignments(words);
                    if words.first().is_some_and(|word| word == "cd" || word == "pushd") {
                        cwd = cwd.and_then(|cwd| change_folder(&cwd, &words));
                        continue;
                    }
                    let outcome = match &cwd {
                        Some(cwd) if !words.is_empty() => Ok(Segment { env, words, glob, cwd: cwd.clone() }),
                        Some(_) => continue,
                        None => Err("it runs in a folder that only the shell knows"),
                    };
                    steps.push(Step { text: text.clone(), line: number, outcome });
                }
            }
        }
    }
    steps
}

fn change_folder(cwd: &RelPath, words: &[String]) -> Option<RelPath> {
    match words {
        // `cd ..` after `cd folder` is common; beyond the root there is nothing.
        [_, up] if up == ".." => cwd.parent(),
        [_, folder] => cwd.join(folder).ok(),
        _ => None,
    }
}

fn assignments(words: Vec<String>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut env = BTreeMap::new();
    let mut rest = Vec::new();
    for word in words {
        let variable = word.split_once('=').filter(|(name, _)| is_variable(name));
        match variable {
            Some((name, value)) if rest.is_empty() => {
                env.insert(name.to_owned(), value.to_owned());
            }
            // Tools that set variables for the command after them.
            None if rest.is_empty() && matches!(word.as_str(), "cross-env" | "env") => {}
            _ => rest.push(word),
        }
    }
    (env, rest)
}

pub(crate) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

struct Plain {
    words: Vec<String>,
    glob: bool,
}

/// Splits a line into the commands of an `&&` chain.
fn split(line: &str) -> Result<Vec<Plain>, &'static str> {
    const OPERATORS: &str = "it holds shell operators";
    if line.len() > 4096 {
        return Err("it is too long");
    }
    let mut parts = vec![(String::new(), false)];
    let mut quote = None;
    let mut chars = line.chars().peekable();
    let mut word_start = true;
    while let Some(c) = chars.next() {
        let starts_word = word_start;
        word_start = c.is_whitespace();
        let (text, glob) = parts.last_mut().expect("it is never empty");
        match (quote, c) {
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '$') if chars.peek() == Some(&'{') && line.contains("${{") => {
                return Err("it uses an expression of the workflow");
            }
            (_, '$') => return Err("it uses a variable"),
            (_, '`') => return Err(OPERATORS),
            (_, '\\') => {
                text.push(c);
                text.extend(chars.next());
                continue;
            }
            (Some(_), '"') => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if starts_word => break,
            (None, '&') if chars.peek() == Some(&'&') => {
                chars.next();
                parts.push((String::new(), false));
                word_start = true;
                continue;
            }
            (None, '|' | ';' | '&' | '<' | '>' | '(' | ')') => return Err(OPERATORS),
            (None, '*' | '?' | '[') => *glob = true,
            (None, '~') if starts_word => return Err("it names a home folder"),
            (None, '{') if starts_word => return Err(OPERATORS),
            _ => {}
        }
        text.push(c);
    }
    const KEYWORDS: &[&str] = &[
        "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac",
        "function", "!",
    ];
    let mut commands = Vec::new();
    for (text, glob) in parts {
        let words = shell_words::split(&text).map_err(|_| "its quotes do not match")?;
        match words.first() {
            None => {}
            Some(word) if KEYWORDS.contains(&word.as_str()) => return Err("it is part of a larger script"),
            Some(_) => commands.push(Plain { words, glob }),
        }
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Vec<String> {
        script(text, 1, &RelPath::root())
            .into_iter()
            .map(|step| match step.outcome {
                Ok(segment) => {
                    let env: Vec<String> = segment.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    format!("{}: [{}] {:?} in {}", step.line, env.join(" "), segment.words, segment.cwd)
                }
                Err(reason) => format!("{}: {reason}", step.line),
            })
            .collect()
    }

    #[test]
    fn plain_commands_are_split_as_a_shell_splits_them() {
        assert_eq!(
            show(
                "set -e\n# comment\n\nA=1 cargo test --features 'a b' -- \"x y\" # more\ncargo \\\n  build\n"
            ),
            [
                "1: [] [\"set\", \"-e\"] in .",
                "4: [A=1] [\"cargo\", \"test\", \"--features\", \"a b\", \"--\", \"x y\"] in .",
                "5: [] [\"cargo\", \"build\"] in .",
            ]
        );
        assert_eq!(
            show("cd sub && cargo test && cd .. && go vet ./...\ncd $X\ncargo test"),
            [
                "1: [] [\"cargo\", \"test\"] in sub",
                "1: [] [\"go\", \"vet\", \"./...\"] in .",
                "2: it uses a variable",
                "3: [] [\"cargo\", \"test\"] in .",
            ]
        );
        assert_eq!(show("cd /etc && cat passwd"), ["1: it runs in a folder that only the shell knows"]);
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        for (line, reason) in [
            ("cargo test | tee log", "it holds shell operators"),
            ("cargo test; true", "it holds shell operators"),
            ("cargo test || true", "it holds shell operators"),
            ("cargo test > log", "it holds shell operators"),
            ("cargo test &", "it holds shell operators"),
            ("(cargo test)", "it holds shell operators"),
            ("`cargo test`", "it holds shell operators"),
            ("cargo test \"$X\"", "it uses a variable"),
            ("cargo test $(x)", "it uses a variable"),
            ("cargo test ${{ matrix.x }}", "it uses an expression of the workflow"),
            ("cargo test 'x", "its quotes do not match"),
            ("if cargo test", "it is part of a larger script"),
            ("~/bin/x", "it names a home folder"),
        ] {
            assert_eq!(show(line), [format!("1: {reason}")], "{line}");
        }
        // Quoted, they are data.
        assert_eq!(show("pytest -k 'a|b;c $x'"), ["1: [] [\"pytest\", \"-k\", \"a|b;c $x\"] in ."]);
    }
}
