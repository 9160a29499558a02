//! The texts that a grant is made of, as journals and leases carry them.

use std::cell::RefCell;

use gloaming_api::RepoId;
use gloaming_api::journal::PolicyLayerText;

use crate::grant::Lanes;
use crate::{Diagnostic, Grant, Layer, PolicyFile, load, parse};

/// The layer that names a file which one of the operator's extends.
const BASE: &str = "base";

/// Returns an operator's files as layers, with those that they extend; of `only_for`, where it is given, the files that
/// are for that repository. `files` are names and texts, and `read` is as in [`load`].
///
/// # Errors
/// Every fault of any of the files, also of those for other repositories.
pub fn operator_layers(
    files: &[(String, String)],
    only_for: Option<&RepoId>,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Vec<PolicyLayerText>, Vec<Diagnostic>> {
    let mut layers = Vec::new();
    let mut faults = Vec::new();
    for (file, text) in files {
        let bases = RefCell::new(Vec::new());
        let read = |name: &str| {
            let text = read(name)?;
            let (layer, file) = (BASE.to_owned(), name.to_owned());
            bases.borrow_mut().push(PolicyLayerText { layer, file, text: text.clone() });
            Ok(text)
        };
        match load(file, text, &read) {
            Err(found) => faults.extend(found),
            Ok(loaded) if only_for.is_some_and(|repo| !loaded.applies_to(repo)) => {}
            Ok(_) => {
                layers.append(&mut bases.into_inner());
                layers.push(PolicyLayerText {
                    layer: "operator".into(),
                    file: file.clone(),
                    text: text.clone(),
                });
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    layers.sort_by(|a, b| (a.layer != BASE, &a.file).cmp(&(b.layer != BASE, &b.file)));
    layers.dedup();
    Ok(layers)
}

impl Grant {
    /// Makes a grant of layers as a journal or a lease carries them; nothing is read but what is among them.
    ///
    /// # Errors
    /// As [`Grant::resolve`], and the faults of the files themselves.
    pub fn of_layers(repo: &RepoId, layers: &[PolicyLayerText]) -> Result<Self, Vec<Diagnostic>> {
        let read = |name: &str| {
            let base = layers.iter().find(|layer| layer.layer == BASE && layer.file == name);
            match base {
                Some(base) => Ok(base.text.clone()),
                None => Err("it is not among the layers".to_owned()),
            }
        };
        let mut files: Vec<(Layer, PolicyFile)> = Vec::new();
        for layer in layers.iter().filter(|layer| layer.layer != BASE) {
            let kind = match layer.layer.as_str() {
                "operator" => Layer::Operator,
                "repository" => Layer::Repository,
                _ => Layer::Task,
            };
            let parsed = match kind {
                Layer::Repository => parse(&layer.file, &layer.text)?,
                _ => load(&layer.file, &layer.text, &read)?,
            };
            files.push((kind, parsed));
        }
        Self::resolve_on(repo, files, Lanes::ALL)
    }
}
