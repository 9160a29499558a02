//! Commands of the steps of GitHub workflows.

use std::collections::BTreeMap;

use gloaming_api::RelPath;

use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;
use crate::yaml::{Node, parse};

/// No repository's tests hide behind more workflows than this.
const MOST_WORKFLOWS: usize = 30;

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) {
    for (file, workflow) in parsed(tree) {
        mine_workflow(&file, &workflow, mined);
    }
}

/// Returns the workflows that can be parsed.
pub(crate) fn parsed(tree: &Tree) -> Vec<(RelPath, Node)> {
    let is_workflow = |file: &&RelPath| {
        file.parent().is_some_and(|folder| folder.as_str() == ".github/workflows")
            && file.name().is_some_and(|name| name.ends_with(".yml") || name.ends_with(".yaml"))
    };
    let files = tree.files().iter().filter(is_workflow).take(MOST_WORKFLOWS);
    files.filter_map(|file| Some((file.clone(), parse(&tree.read(file)?)?))).collect()
}

fn mine_workflow(file: &RelPath, workflow: &Node, mined: &mut Mined) {
    let everywhere = folder(workflow.get("defaults").and_then(|defaults| defaults.get("run")));
    for (job_name, job) in workflow.get("jobs").map(Node::entries).unwrap_or_default() {
        let in_job = folder(job.get("defaults").and_then(|defaults| defaults.get("run")));
        for step in job.get("steps").map(Node::items).unwrap_or_default() {
            let Some(run) = step.get("run") else { continue };
            let Some(text) = run.text() else { continue };
            let shell = step.get("shell").and_then(Node::text).unwrap_or("bash");
            if !matches!(shell, "bash" | "sh") {
                continue;
            }
            let place = folder(Some(step)).or(in_job.clone()).or(everywhere.clone());
            let Ok(cwd) = RelPath::parse(place.as_deref().unwrap_or("")) else { continue };
            let name = step.get("name").and_then(Node::text).unwrap_or(job_name);
            let because = format!("CI step {:?}", gloaming_api::bowout::shorten(name, 80));
            mined.add_script(Origin::Workflow, text, run.line, &cwd, &variables(step), |line| {
                source(file, line, because.clone())
            });
        }
    }
}

fn folder(node: Option<&Node>) -> Option<String> {
    Some(node?.get("working-directory")?.text()?.to_owned())
}

/// Returns the step's variables that are plain values.
fn variables(step: &Node) -> BTreeMap<String, String> {
    let entries = step.get("env").map(Node::entries).unwrap_or_default();
    entries
        .iter()
        .filter_map(|(name, value)| Some((name, value.text()?)))
        .filter(|(name, value)| {
            crate::shell::is_variable(name) && !value.contains("${{") && value.len() <= 1000
        })
        .map(|(name, value)| (name.clone(), value.to_owned()))
        .take(50)
        .collect()
}
