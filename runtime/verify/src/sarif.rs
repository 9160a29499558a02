//! Evidence as SARIF 2.1.0 (OASIS, 2020), for whatever shows findings beside the code.
//!
//! A pure function of the evidence and the verdict. Each step that speaks against the patch is a result of the rule
//! of its code, at the files it is about where it names some; each soft signal is a note of its name; each new finding of a linter
//! keeps its tool and rule, in a run of that tool.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::evidence::{Evidence, LintLevel, Step, StepResult, Verdict, VerdictKind};
use serde_json::{Value, json};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The most results of one run; what readers of the format take is bounded too.
const MOST: usize = 5000;

/// Returns the log. `version` is the program's own.
pub fn sarif(evidence: &Evidence, verdict: &Verdict, version: &str) -> Value {
    let mut ours: Vec<Value> = evidence.steps.iter().filter_map(|step| of_step(step, evidence)).collect();
    ours.extend(evidence.mutants.iter().flat_map(|mutants| &mutants.survivors).map(|mutant| {
        result(
            "surviving_mutant",
            "note",
            &format!("no test notices when this is wrong: {} ({})", mutant.detail, mutant.operator),
            Some((&mutant.path, mutant.line)),
        )
    }));
    ours.extend(
        evidence
            .signals
            .iter()
            .map(|signal| result(&signal.name, "note", &signal.detail, Some((&signal.path, signal.line)))),
    );
    let mut runs = vec![run("gloaming", Some(version), ours, evidence, verdict)];
    let mut by_tool: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for finding in &evidence.findings {
        let level = match finding.level {
            LintLevel::Note => "note",
            LintLevel::Warning => "warning",
            LintLevel::Error => "error",
        };
        // A rule needs an id of its own; what has none goes by its tool.
        let rule = if finding.rule.is_empty() { &finding.tool } else { &finding.rule };
        let found = result(rule, level, &finding.message, Some((&finding.path, finding.line)));
        by_tool.entry(&finding.tool).or_default().push(found);
    }
    runs.extend(by_tool.into_iter().map(|(tool, results)| run(tool, None, results, evidence, verdict)));
    json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": runs })
}

/// A step that ended the work, or stayed unknown.
fn of_step(step: &Step, evidence: &Evidence) -> Option<Value> {
    let level = match step.result {
        StepResult::Fail => "error",
        StepResult::Unknown => "warning",
        StepResult::Pass | StepResult::Skipped => return None,
    };
    let code = step
        .code
        .and_then(|code| serde_json::to_value(code).ok())
        .and_then(|code| code.as_str().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    let message = format!("{}: {}", step.step, step.detail);
    // A step names what it is about in words only: the changed file among them that comes first.
    let path = evidence
        .files
        .iter()
        .map(|file| &file.path)
        .filter_map(|path| Some((word_at(&step.detail, path.as_str())?, path)))
        .min_by_key(|(at, path)| (*at, std::cmp::Reverse(path.as_str().len())))
        .map(|(_, path)| (path, 0));
    Some(result(&code, level, &message, path))
}

/// Where a path stands in a text, not as a part of a longer one.
fn word_at(text: &str, path: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | '-');
    text.match_indices(path).map(|(at, _)| at).find(|at| {
        !text[..*at].chars().next_back().is_some_and(part)
            && !text[at + path.len()..].chars().next().is_some_and(part)
    })
}

fn result(rule: &str, level: &str, message: &str, place: Option<(&RelPath, u32)>) -> Value {
    let mut out = json!({ "ruleId": rule, "level": level, "message": { "text": plain(message) } });
    if let Some((path, line)) = place {
        let mut physical =
            json!({ "artifactLocation": { "uri": encoded(path.as_str()), "uriBaseId": "%SRCROOT%" } });
        if line > 0 {
            physical["region"] = json!({ "startLine": line });
        }
        out["locations"] = json!([{ "physicalLocation": physical }]);
    }
    out
}

fn run(
    tool: &str,
    version: Option<&str>,
    mut results: Vec<Value>,
    evidence: &Evidence,
    verdict: &Verdict,
) -> Value {
    results.truncate(MOST);
    let ids: BTreeSet<String> =
        results.iter().filter_map(|result| result["ruleId"].as_str().map(str::to_owned)).collect();
    let mut driver =
        json!({ "name": tool, "rules": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() });
    for result in &mut results {
        let index = result["ruleId"].as_str().and_then(|id| ids.iter().position(|other| other == id));
        if let Some(index) = index {
            result["ruleIndex"] = json!(index);
        }
    }
    if let Some(version) = version {
        driver["version"] = json!(version);
    }
    let mut out = json!({
        "tool": { "driver": driver },
        "columnKind": "unicodeCodePoints",
        // Where the sources lie is the reader's to know.
        "originalUriBaseIds": { "%SRCROOT%": { "description": { "text": "the root of the repository" } } },
        "results": results,
    });
    // The verdict is about the patch as a whole; linters know nothing of it.
    if version.is_some() {
        out["properties"] = json!({
            "verdict": match verdict.verdict {
                VerdictKind::Pass => "pass",
                VerdictKind::Block => "block",
                VerdictKind::BowOut => "bow_out",
            },
            "code": verdict.code,
            "confidence": verdict.confidence,
            "base": evidence.base,
            "patch": evidence.patch,
        });
    }
    out
}

/// A plain text message: control characters would end up on a reviewer's screen, and `[a](b)` would be a link (section
/// 3.11.6).
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '[' | ']' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    if out.trim().is_empty() { "no more is known".to_owned() } else { out }
}

/// A path as a relative URI reference (RFC 3986): all but unreserved characters and `/` are encoded.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn evidence_as_a_log() {
        let (evidence, verdict) = samples::blocked();
        insta::assert_snapshot!(serde_json::to_string_pretty(&sarif(&evidence, &verdict, "1.2.3")).unwrap(), @r#"
        {
          "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
          "runs": [
            {
              "columnKind": "unicodeCodePoints",
              "originalUriBaseIds": {
                "%SRCROOT%": {
                  "description": {
                    "text": "the root of the repository"
                  }
                }
              },
              "properties": {
                "base": "0123456789012345678901234567890123456789",
                "code": "new_lint_findings",
                "confidence": 0.7,
                "patch": "sha256:a4895eb44afc336fecbba6e520cd67e178dace0276655d102fceffa8e5f70570",
                "verdict": "block"
              },
              "results": [
                {
                  "level": "error",
                  "locations": [
                    {
                      "physicalLocation": {
                        "artifactLocation": {
                          "uri": "src/a%20b.py",
                          "uriBaseId": "%SRCROOT%"
                        }
                      }
                    }
                  ],
                  "message": {
                    "text": "V4: 1 new finding: src/a b.py:3: `os` imported | unused (ruff F401)"
                  },
                  "ruleId": "new_lint_findings",
                  "ruleIndex": 1
                },
                {
                  "level": "warning",
                  "message": {
                    "text": "V7: not known to hold: tests.test_a::t"
                  },
                  "ruleId": "regression",
                  "ruleIndex": 2
                },
                {
                  "level": "note",
                  "locations": [
                    {
                      "physicalLocation": {
                        "artifactLocation": {
                          "uri": "src/a%20b.py",
                          "uriBaseId": "%SRCROOT%"
                        },
                        "region": {
                          "startLine": 2
                        }
                      }
                    }
                  ],
                  "message": {
                    "text": "no test notices when this is wrong: `a < b` → `a >= b` (negate_comparison)"
                  },
                  "ruleId": "surviving_mutant",
                  "ruleIndex": 3
                },
                {
                  "level": "note",
                  "locations": [
                    {
                      "physicalLocation": {
                        "artifactLocation": {
                          "uri": "src/a%20b.py",
                          "uriBaseId": "%SRCROOT%"
                        },
                        "region": {
                          "startLine": 4
                        }
                      }
                    }
                  ],
                  "message": {
                    "text": "print('<script>')"
                  },
                  "ruleId": "debug_print",
                  "ruleIndex": 0
                }
              ],
              "tool": {
                "driver": {
                  "name": "gloaming",
                  "rules": [
                    {
                      "id": "debug_print"
                    },
                    {
                      "id": "new_lint_findings"
                    },
                    {
                      "id": "regression"
                    },
                    {
                      "id": "surviving_mutant"
                    }
                  ],
                  "version": "1.2.3"
                }
              }
            },
            {
              "columnKind": "unicodeCodePoints",
              "originalUriBaseIds": {
                "%SRCROOT%": {
                  "description": {
                    "text": "the root of the repository"
                  }
                }
              },
              "results": [
                {
                  "level": "error",
                  "locations": [
                    {
                      "physicalLocation": {
                        "artifactLocation": {
                          "uri": "src/a%20b.py",
                          "uriBaseId": "%SRCROOT%"
                        }
                      }
                    }
                  ],
                  "message": {
                    "text": "not formatted"
                  },
                  "ruleId": "black",
                  "ruleIndex": 0
                }
              ],
              "tool": {
                "driver": {
                  "name": "black",
                  "rules": [
                    {
                      "id": "black"
                    }
                  ]
                }
              }
            },
            {
              "columnKind": "unicodeCodePoints",
              "originalUriBaseIds": {
                "%SRCROOT%": {
                  "description": {
                    "text": "the root of the repository"
                  }
                }
              },
              "results": [
                {
                  "level": "warning",
                  "locations": [
                    {
                      "physicalLocation": {
                        "artifactLocation": {
                          "uri": "src/a%20b.py",
                          "uriBaseId": "%SRCROOT%"
                        },
                        "region": {
                          "startLine": 3
                        }
                      }
                    }
                  ],
                  "message": {
                    "text": "`os` imported | unused, says @someone"
                  },
                  "ruleId": "F401",
                  "ruleIndex": 0
                }
              ],
              "tool": {
                "driver": {
                  "name": "ruff",
                  "rules": [
                    {
                      "id": "F401"
                    }
                  ]
                }
              }
            }
          ],
          "version": "2.1.0"
        }
        "#);
        let (evidence, verdict) = samples::passed();
        let log = sarif(&evidence, &verdict, "1.2.3");
        assert_eq!(log["runs"][0]["results"], json!([]));
    }

    /// What the standard requires of the properties that are used (sections 3.13, 3.14, 3.19, 3.27, 3.28, 3.30).
    #[test]
    fn what_the_standard_requires() {
        for (evidence, verdict) in [samples::blocked(), samples::passed()] {
            let log = sarif(&evidence, &verdict, "1.2.3");
            assert_eq!(log["version"], "2.1.0");
            for run in log["runs"].as_array().unwrap() {
                let driver = &run["tool"]["driver"];
                assert!(!driver["name"].as_str().unwrap().is_empty());
                let rules = driver["rules"].as_array().unwrap();
                let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
                assert_eq!(ids.len(), rules.len(), "ids are unique");
                for result in run["results"].as_array().unwrap() {
                    let index = result["ruleIndex"].as_u64().unwrap();
                    assert_eq!(rules[usize::try_from(index).unwrap()]["id"], result["ruleId"]);
                    assert!(["note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
                    assert!(!result["message"]["text"].as_str().unwrap().is_empty());
                    for place in result["locations"].as_array().into_iter().flatten() {
                        let uri = place["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
                        assert!(!uri.starts_with('/') && !uri.contains([' ', '\\']), "{uri}");
                        if let Some(line) = place["physicalLocation"].get("region") {
                            assert!(line["startLine"].as_u64().unwrap() >= 1);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_path_is_named_as_a_whole() {
        assert_eq!(word_at("changed src/a.rs-old and src/a.rs.", "src/a.rs"), Some(25));
        assert_eq!(word_at("changed lib/src/a.rs", "src/a.rs"), None);
        assert_eq!(
            plain("see [here](https://evil.example)\u{1b}[2J"),
            "see \\[here\\](https://evil.example) \\[2J"
        );
        assert_eq!(encoded("a b/ü%.rs"), "a%20b/%C3%BC%25.rs");
    }
}
