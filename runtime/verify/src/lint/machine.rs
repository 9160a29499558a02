//! The machine formats of linters and type checkers. Each reader says none for what is not of its form.

use std::collections::BTreeMap;

use gloaming_api::evidence::LintLevel;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Raw;

/// The whole output as one value, in front of which a script may have printed lines of its own.
fn whole<T: DeserializeOwned>(text: &str, opens: char) -> Option<T> {
    let mut at = 0;
    for line in text.split_inclusive('\n').take(50) {
        if line.starts_with(opens)
            && let Some(Ok(value)) = serde_json::Deserializer::from_str(&text[at..]).into_iter::<T>().next()
        {
            return Some(value);
        }
        at += line.len();
    }
    None
}

/// Cargo's and rustc's `--message-format=json`: one message a line.
pub(super) fn rustc(stdout: &str, _: &str) -> Option<Vec<Raw>> {
    #[derive(Deserialize)]
    struct Line {
        reason: String,
        message: Option<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
        level: String,
        code: Option<Code>,
        spans: Vec<Span>,
    }
    #[derive(Deserialize)]
    struct Code {
        code: String,
    }
    #[derive(Deserialize)]
    struct Span {
        file_name: String,
        line_start: u32,
        is_primary: bool,
    }
    let lines: Vec<Line> = stdout
        .lines()
        .filter(|line| line.starts_with("{\"reason\":"))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    if !lines.iter().any(|line| line.reason == "build-finished" || line.reason == "compiler-message") {
        return None;
    }
    let found = lines.into_iter().filter_map(|line| line.message).filter_map(|message| {
        let span = message.spans.iter().find(|span| span.is_primary)?;
        let rule = message.code.map(|code| code.code).unwrap_or_default();
        let level = match message.level.as_str() {
            "warning" => LintLevel::Warning,
            "note" | "help" | "failure-note" => LintLevel::Note,
            _ => LintLevel::Error,
        };
        Some(Raw {
            tool: if rule.starts_with("clippy::") { "clippy" } else { "rustc" }.to_owned(),
            rule,
            path: span.file_name.clone(),
            line: span.line_start,
            message: message.message,
            level: Some(level),
        })
    });
    Some(found.collect())
}

/// `ruff check --output-format=json`.
pub(super) fn ruff(stdout: &str, _: &str) -> Option<Vec<Raw>> {
    #[derive(Deserialize)]
    struct Found {
        code: Option<String>,
        filename: String,
        location: Location,
        message: String,
    }
    #[derive(Deserialize)]
    struct Location {
        row: u32,
    }
    let found: Vec<Found> = whole(stdout, '[')?;
    let raw = |found: Found| Raw {
        tool: "ruff".to_owned(),
        // A syntax error has no code, or a word of its own.
        level: Some(match &found.code {
            Some(code) if code.starts_with(|c: char| c.is_ascii_uppercase()) => LintLevel::Warning,
            _ => LintLevel::Error,
        }),
        rule: found.code.unwrap_or_default(),
        path: found.filename,
        line: found.location.row,
        message: found.message,
    };
    Some(found.into_iter().map(raw).collect())
}

/// `eslint --format=json`.
pub(super) fn eslint(stdout: &str, _: &str) -> Option<Vec<Raw>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct File {
        file_path: String,
        messages: Vec<Message>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Message {
        rule_id: Option<String>,
        severity: u8,
        message: String,
        #[serde(default)]
        line: Option<u32>,
    }
    let files: Vec<File> = whole(stdout, '[')?;
    let found = files.into_iter().flat_map(|file| {
        let path = file.file_path;
        file.messages.into_iter().map(move |message| Raw {
            tool: "eslint".to_owned(),
            rule: message.rule_id.unwrap_or_default(),
            path: path.clone(),
            line: message.line.unwrap_or(0),
            message: message.message,
            level: Some(if message.severity >= 2 { LintLevel::Error } else { LintLevel::Warning }),
        })
    });
    Some(found.collect())
}

/// `pyright --outputjson`.
pub(super) fn pyright(stdout: &str, _: &str) -> Option<Vec<Raw>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        general_diagnostics: Vec<Diagnostic>,
    }
    #[derive(Deserialize)]
    struct Diagnostic {
        file: String,
        severity: String,
        message: String,
        rule: Option<String>,
        range: Option<Range>,
    }
    #[derive(Deserialize)]
    struct Range {
        start: Start,
    }
    #[derive(Deserialize)]
    struct Start {
        line: u32,
    }
    let report: Report = whole(stdout, '{')?;
    let raw = |found: Diagnostic| Raw {
        tool: "pyright".to_owned(),
        rule: found.rule.unwrap_or_default(),
        path: found.file,
        // Counted from 0 there.
        line: found.range.map_or(0, |range| range.start.line.saturating_add(1)),
        message: found.message,
        level: Some(match found.severity.as_str() {
            "error" => LintLevel::Error,
            "warning" => LintLevel::Warning,
            _ => LintLevel::Note,
        }),
    };
    Some(report.general_diagnostics.into_iter().map(raw).collect())
}

/// `mypy --output=json`: one object a line.
pub(super) fn mypy(stdout: &str, _: &str) -> Option<Vec<Raw>> {
    #[derive(Deserialize)]
    struct Line {
        file: String,
        line: i64,
        message: String,
        code: Option<String>,
        severity: String,
    }
    let found: Vec<Raw> = stdout
        .lines()
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .map(|found| Raw {
            tool: "mypy".to_owned(),
            rule: found.code.unwrap_or_default(),
            path: found.file,
            line: u32::try_from(found.line).unwrap_or(0),
            message: found.message,
            level: Some(if found.severity == "error" { LintLevel::Error } else { LintLevel::Note }),
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

/// `golangci-lint run` with JSON, of either version.
pub(super) fn golangci(stdout: &str, _: &str) -> Option<Vec<Raw>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Report {
        issues: Option<Vec<Issue>>,
        #[serde(rename = "Report")]
        _report: Value,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Issue {
        from_linter: String,
        text: String,
        #[serde(default)]
        severity: String,
        pos: Pos,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Pos {
        filename: String,
        line: u32,
    }
    let report: Report = whole(stdout, '{')?;
    let raw = |issue: Issue| Raw {
        tool: "golangci-lint".to_owned(),
        rule: issue.from_linter,
        path: issue.pos.filename,
        line: issue.pos.line,
        message: issue.text,
        level: Some(match issue.severity.as_str() {
            "warning" => LintLevel::Warning,
            "info" | "hint" => LintLevel::Note,
            _ => LintLevel::Error,
        }),
    };
    Some(report.issues.unwrap_or_default().into_iter().map(raw).collect())
}

/// `go vet -json`: an object per package, by analyzer; older versions print to standard error. A package that does not
/// compile is told as text, and then this is not its form.
pub(super) fn go_vet(stdout: &str, stderr: &str) -> Option<Vec<Raw>> {
    let mut found = Vec::new();
    let mut comments = false;
    for text in [stdout, stderr] {
        let mut json = String::new();
        for line in text.lines() {
            if line.starts_with("# ") {
                comments = true;
            } else {
                json.push_str(line);
                json.push('\n');
            }
        }
        for value in serde_json::Deserializer::from_str(&json).into_iter::<Value>() {
            for (analyzer, diagnostics) in
                value.ok()?.as_object()?.values().filter_map(Value::as_object).flatten()
            {
                for diagnostic in diagnostics.as_array().into_iter().flatten() {
                    let place = diagnostic["posn"].as_str().unwrap_or("");
                    // file:line:column
                    let mut parts = place.rsplitn(3, ':');
                    let line = parts.nth(1).and_then(|line| line.parse().ok()).unwrap_or(0);
                    found.push(Raw {
                        tool: "go vet".to_owned(),
                        rule: analyzer.clone(),
                        path: parts.next().unwrap_or("").to_owned(),
                        line,
                        message: diagnostic["message"].as_str().unwrap_or("").to_owned(),
                        level: Some(LintLevel::Warning),
                    });
                }
            }
        }
    }
    (comments || !found.is_empty() || (stdout.trim().is_empty() && stderr.trim().is_empty())).then_some(found)
}

/// The levels of a form, by its words.
pub(super) fn level(word: &str) -> Option<LintLevel> {
    let levels: BTreeMap<&str, LintLevel> = BTreeMap::from([
        ("error", LintLevel::Error),
        ("fatal", LintLevel::Error),
        ("warning", LintLevel::Warning),
        ("note", LintLevel::Note),
        ("none", LintLevel::Note),
        ("info", LintLevel::Note),
    ]);
    levels.get(word).copied()
}
