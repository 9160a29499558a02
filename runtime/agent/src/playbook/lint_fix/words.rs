//! Reading a task's text: the linter's or the formatter's own fixes and nothing else, or not ours.

use gloaming_api::profile::CommandKind;

use super::LintFix;
use crate::playbook::Playbook;
use crate::playbook::form::Fit;
use crate::playbook::said::{ASKING, Reader, THANKS};

const LINTERS: &str = "clippy ruff eslint biome golangci-lint";
const FORMATTERS: &str = "rustfmt gofmt prettier black isort";
const FINDINGS: &str = "finding findings error errors warning warnings issue issues problem problems complaint complaints violation \
    violations fix fixes suggestion suggestions";
/// Words that say nothing more.
const FILLING: &str = "the all every each of by from that it can its own automatic automatically auto fixable reported reports \
    itself throughout in this our whole entire repository repo project codebase code";

/// Says whether a text asks for a tool's own fixes and nothing else.
pub(crate) fn fit(text: &str) -> Fit {
    match Reader::new(text).and_then(read) {
        None => Fit::No,
        Some((kind, tool)) => Fit::Yes(Box::new(Playbook::LintFix(LintFix::new(kind, tool)))),
    }
}

/// "Fix the findings of the linter", "Fix all clippy warnings", "Fix the formatting", "Format the code with rustfmt".
fn read(mut reader: Reader) -> Option<(CommandKind, Option<String>)> {
    reader.any(ASKING);
    let verb = reader.one("fix resolve apply run format reformat")?;
    let (mut lint, mut findings, mut formatting, mut code) = (false, false, verb.ends_with("format"), false);
    let mut tool = None;
    loop {
        if reader.one("lint linter linter's linters lints linting").is_some() {
            lint = true;
        } else if let Some(named) = reader.one(LINTERS) {
            (lint, tool) = (true, Some(named));
        } else if let Some(named) = reader.one(FORMATTERS) {
            formatting = true;
            tool = Some(named);
        } else if reader.one(FINDINGS).is_some() {
            findings = true;
        } else if reader.one("formatting formatter formatter's").is_some() {
            formatting = true;
        } else if reader.one("code repository repo project codebase everything files").is_some() {
            code = true;
        } else if !(reader.any(FILLING) || (formatting && reader.any("with using"))) {
            break;
        }
    }
    reader.any(THANKS);
    if !reader.is_over() || (lint && formatting) {
        return None;
    }
    match verb.as_str() {
        "fix" | "resolve" | "apply" if lint && findings => Some((CommandKind::Lint, tool)),
        // To fix the formatter is something else than to fix the formatting.
        "fix" if formatting && (findings || reader.says("formatting")) => Some((CommandKind::Format, tool)),
        "run" | "apply" if formatting && !findings => Some((CommandKind::Format, tool)),
        "format" | "reformat" if code || tool.is_some() => Some((CommandKind::Format, tool)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match fit(text) {
            Fit::Yes(playbook) => playbook.describe(),
            _ => "no".into(),
        }
    }

    #[test]
    fn texts_that_ask_for_a_tools_own_fixes() {
        for (text, want) in [
            ("Fix the findings of the linter", "the linter's findings"),
            ("Please fix all lint errors.", "the linter's findings"),
            ("Apply the linter's own fixes", "the linter's findings"),
            ("Fix all clippy warnings in the repository", "the linter's findings with clippy"),
            ("Fix the formatting of the code", "the formatting"),
            ("Run the formatter", "the formatting"),
            ("Format the code with rustfmt", "the formatting with rustfmt"),
            ("Run prettier", "the formatting with prettier"),
        ] {
            assert_eq!(told(text), want, "{text}");
        }
    }

    #[test]
    fn texts_that_ask_for_something_else_or_more() {
        for text in [
            "Fix the linter",
            "Fix the formatter",
            "Run the linter",
            "Fix the lint errors in src/a.rs",
            "Fix the findings of the linter and the failing test",
            "Fix the lint warnings and the formatting",
            "Do not fix the findings of the linter",
            "Fix the error in the formatter's output",
            "Format the code of the error message as JSON",
            "Fix all errors",
            "Format dates",
        ] {
            assert_eq!(told(text), "no", "{text}");
        }
    }
}
