//! How environments for work on the repository are set up: dev containers, and the steps of Copilot's agent.

use gloaming_api::RelPath;
use gloaming_api::bowout::shorten;
use gloaming_api::profile::{Setup, SetupKind, SetupStep};
use serde_json::Value;

use crate::manifests::beside;
use crate::mine::{Mined, Origin, line_of, source};
use crate::tree::Tree;
use crate::yaml::Node;

const MOST_SETUPS: usize = 5;
const MOST_STEPS: usize = 30;

/// The commands of a dev container, in the order in which they are run.
const LIFECYCLE: &[&str] = &["onCreateCommand", "updateContentCommand", "postCreateCommand"];

/// Returns the set-ups; what installs in them is mined as a command.
pub(super) fn mine(tree: &Tree, workflows: &[(RelPath, Node)], mined: &mut Mined) -> Vec<Setup> {
    let root = RelPath::root();
    let mut files: Vec<RelPath> = [".devcontainer/devcontainer.json", ".devcontainer.json"]
        .iter()
        .filter_map(|name| beside(tree, &root, name))
        .collect();
    let nested = |file: &&RelPath| {
        file.name() == Some("devcontainer.json")
            && file.names().count() == 3
            && file.names().next() == Some(".devcontainer")
    };
    files.extend(tree.files().iter().filter(nested).cloned());
    let mut setups: Vec<Setup> =
        files.iter().take(MOST_SETUPS).filter_map(|file| devcontainer(tree, file, mined)).collect();
    let copilot =
        |file: &RelPath| matches!(file.name(), Some("copilot-setup-steps.yml" | "copilot-setup-steps.yaml"));
    // Its commands are mined with the other workflows'.
    setups.extend(workflows.iter().filter(|(file, _)| copilot(file)).map(|(file, node)| steps(file, node)));
    setups
}

fn devcontainer(tree: &Tree, file: &RelPath, mined: &mut Mined) -> Option<Setup> {
    let text = tree.read(file)?;
    let Ok(value) = serde_json::from_str::<Value>(&plain_json(&text)) else {
        mined.reject("devcontainer", source(file, 1, "a dev container"), "the file is not valid JSON");
        return None;
    };
    let text_of = |key: &str| value.get(key).and_then(Value::as_str).map(|text| shorten(text, 200));
    let dockerfile = || {
        value
            .pointer("/build/dockerfile")
            .and_then(Value::as_str)
            .map(|file| format!("built from {}", shorten(file, 200)))
    };
    let image = text_of("image").or_else(dockerfile).or_else(|| text_of("dockerComposeFile"));
    let features = value.get("features").and_then(Value::as_object);
    let features =
        features.map(|features| features.keys().take(MOST_STEPS).map(|name| shorten(name, 200)).collect());
    let mut steps = Vec::new();
    for key in LIFECYCLE {
        let Some(command) = value.get(key) else { continue };
        let line = line_of(&text, &format!("\"{key}\"")).unwrap_or(1);
        // A string, an array of words, or an object of either.
        let commands: Vec<&Value> =
            command.as_object().map_or_else(|| vec![command], |all| all.values().collect());
        for command in commands {
            let words =
                command.as_array().map(|words| shell_words::join(words.iter().filter_map(Value::as_str)));
            let Some(command) = words.or_else(|| command.as_str().map(str::to_owned)) else { continue };
            let place = source(file, line, format!("{key} of the dev container"));
            mined.add_script(
                Origin::Instructions,
                &command,
                line,
                &RelPath::root(),
                &Default::default(),
                |_| place.clone(),
            );
            if steps.len() < MOST_STEPS {
                steps.push(SetupStep { command: shorten(&command, 300), source: place });
            }
        }
    }
    Some(Setup {
        kind: SetupKind::Devcontainer,
        file: file.clone(),
        image,
        features: features.unwrap_or_default(),
        steps,
    })
}

fn steps(file: &RelPath, workflow: &Node) -> Setup {
    let mut setup = Setup {
        kind: SetupKind::CopilotSetupSteps,
        file: file.clone(),
        image: None,
        features: Vec::new(),
        steps: Vec::new(),
    };
    for (_, job) in workflow.get("jobs").map(Node::entries).unwrap_or_default() {
        let runner = job.get("runs-on").and_then(Node::text).map(|runner| shorten(runner, 200));
        setup.image = setup.image.take().or(runner);
        for step in job.get("steps").map(Node::items).unwrap_or_default().iter().take(MOST_STEPS) {
            if let Some(uses) = step.get("uses").and_then(Node::text) {
                setup.features.push(shorten(uses, 200));
            }
            if let Some(run) = step.get("run")
                && let Some(text) = run.text()
            {
                let source = source(file, run.line, "a step of the set-up");
                setup.steps.push(SetupStep { command: shorten(text.trim(), 300), source });
            }
        }
    }
    setup
}

/// Returns JSON with comments as JSON: comments are blanked, and commas before a closing bracket.
fn plain_json(text: &str) -> String {
    let mut plain: Vec<u8> = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut comma = None;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match rest {
            [b'"', ..] => {
                comma = None;
                plain.push(b'"');
                at += 1;
                while at < bytes.len() {
                    let byte = bytes[at];
                    plain.push(byte);
                    at += 1;
                    if byte == b'"' {
                        break;
                    }
                    if byte == b'\\' && at < bytes.len() {
                        plain.push(bytes[at]);
                        at += 1;
                    }
                }
                continue;
            }
            [b'/', b'/', ..] => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
                continue;
            }
            [b'/', b'*', ..] => {
                let end = rest[2..]
                    .windows(2)
                    .position(|pair| pair == b"*/")
                    .map_or(bytes.len(), |end| at + end + 4);
                plain.extend(bytes[at..end].iter().filter(|byte| **byte == b'\n'));
                at = end;
                continue;
            }
            [b',', ..] => comma = Some(plain.len()),
            [b'}' | b']', ..] => {
                if let Some(comma) = comma.take() {
                    plain[comma] = b' ';
                }
            }
            [byte, ..] if !byte.is_ascii_whitespace() => comma = None,
            _ => {}
        }
        plain.push(bytes[at]);
        at += 1;
    }
    // Only whole characters of comments were dropped.
    String::from_utf8(plain).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_are_taken_off() {
        for (text, expected) in [
            ("{\"a\": 1, // x\n}", "{\"a\": 1  \n}"),
            ("[1, /* é\n */ 2,]", "[1, \n 2 ]"),
            ("{\"u\": \"http://x/*\\\"//,]\"}", "{\"u\": \"http://x/*\\\"//,]\"}"),
            ("/*", ""),
            ("\"", "\""),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(plain_json(text), expected, "{text}");
        }
    }
}
