//! Services that tests may need: of compose files and of CI jobs.

use gloaming_api::RelPath;
use gloaming_api::bowout::shorten;
use gloaming_api::profile::Service;

use crate::mine::source;
use crate::tree::Tree;
use crate::yaml::{Node, parse};

const MOST_SERVICES: usize = 50;
const MOST_PORTS: usize = 10;
const MOST_FILES: usize = 10;

/// Returns them, each image once, CI's first: those are what its tests run against.
pub(super) fn mine(tree: &Tree, workflows: &[(RelPath, Node)]) -> Vec<Service> {
    let mut services = Vec::new();
    for (file, workflow) in workflows {
        for (job_name, job) in workflow.get("jobs").map(Node::entries).unwrap_or_default() {
            for (name, service) in job.get("services").map(Node::entries).unwrap_or_default() {
                let because = format!("a service of the CI job {:?}", shorten(job_name, 80));
                add(file, name, service, because, &mut services);
            }
        }
    }
    let is_compose = |file: &&RelPath| {
        let name = file.name().unwrap_or_default();
        let ends = name.ends_with(".yml") || name.ends_with(".yaml");
        ends && (name.starts_with("docker-compose") || name.starts_with("compose"))
            && file.names().count() <= 3
    };
    for file in tree.files().iter().filter(is_compose).take(MOST_FILES) {
        let Some(compose) = tree.read(file).as_deref().and_then(parse) else { continue };
        for (name, service) in compose.get("services").map(Node::entries).unwrap_or_default() {
            // What is built here is the repository's own program, not something its tests lack.
            if service.get("build").is_none() {
                add(file, name, service, "a service of the compose file".to_owned(), &mut services);
            }
        }
    }
    services
}

fn add(file: &RelPath, name: &str, service: &Node, because: String, services: &mut Vec<Service>) {
    // `postgres: postgres:16` is CI's short form.
    let image = service.text().or_else(|| service.get("image")?.text()).map(|image| shorten(image, 200));
    let port = |node: &Node| {
        let port = node.text().or_else(|| node.get("target")?.text())?;
        Some(shorten(port, 80))
    };
    let ports = service.get("ports").map(Node::items).unwrap_or_default();
    let ports: Vec<String> = ports.iter().filter_map(port).take(MOST_PORTS).collect();
    let known = |other: &Service| other.image.is_some() && other.image == image;
    if services.len() < MOST_SERVICES && !services.iter().any(known) {
        let source = source(file, service.line, because);
        services.push(Service { name: shorten(name, 80), image, ports, source });
    }
}
