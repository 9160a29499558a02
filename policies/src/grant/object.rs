//! The grant as an object that is named by what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use gloaming_api::Digest;
use gloaming_api::job::JobPurpose;
use serde_json::{Value, json};

use super::{Grant, Inner};

impl Grant {
    /// Adds the components that serve the tools, by name: from here on the digest names them too. Tools that the
    /// policy does not offer are left out.
    #[must_use]
    pub fn with_tools(self, tools: BTreeMap<String, Digest>) -> Self {
        let offered = tools.into_iter().filter(|(name, _)| self.offers(name)).collect();
        let tools = Arc::new(offered);
        Self { digest: digest(&self.inner, &tools), tools, inner: self.inner }
    }

    /// Returns the digest of the grant without the components that serve the tools: jobs are the same, whichever do.
    pub fn digest_for_jobs(&self) -> Digest {
        digest(&self.inner, &BTreeMap::new())
    }

    /// Returns the components that serve the tools, as they were given to [`Grant::with_tools`].
    pub fn tools(&self) -> &BTreeMap<String, Digest> {
        &self.tools
    }

    /// Returns everything the grant holds. Its canonical JSON (sorted keys, no space, as
    /// [`gloaming_api::canonical_json`] writes it) is what [`Grant::digest`] is the SHA-256 of; no name of a file and
    /// no place in one is part of it, so neither is the order of files and rules.
    pub fn to_json(&self) -> Value {
        object(&self.inner, &self.tools)
    }
}

pub(super) fn digest(inner: &Inner, tools: &BTreeMap<String, Digest>) -> Digest {
    Digest::of_json(&object(inner, tools))
}

fn object(inner: &Inner, tools: &BTreeMap<String, Digest>) -> Value {
    let mut layers: Vec<(crate::Layer, Value)> = inner
        .units
        .iter()
        .map(|unit| {
            let content = unit.file.content();
            let layer = json!({"layer": unit.layer, "digest": Digest::of_json(&content), "content": content});
            (unit.layer, layer)
        })
        .collect();
    layers.sort_by_cached_key(|(layer, value)| (*layer, value["digest"].to_string()));
    let layers: Vec<Value> = layers.into_iter().map(|(_, value)| value).collect();
    let limits = &inner.limits;
    let jobs: BTreeMap<&str, Value> = JobPurpose::ALL
        .iter()
        .zip(&limits.jobs)
        .map(|(purpose, limits)| (purpose.as_str(), json!(limits)))
        .collect();
    let mut object = json!({
        "schema": 1,
        "layers": layers,
        "tools": tools,
        "budget": {
            "cost_usd": limits.budget.cost_usd,
            "steps": limits.budget.steps,
            "wall_s": limits.budget.wall.as_secs(),
            "tokens": limits.budget.tokens,
            "tool_bytes": limits.budget.tool_bytes,
            "day": limits.budget.day,
        },
        "change": {"files": limits.change.files, "lines": limits.change.lines},
        "jobs": jobs,
    });
    if limits.change.existing_tests {
        object["change"]["existing_tests"] = json!("change");
    }
    if limits.change.dependencies {
        object["change"]["dependencies"] = json!("change");
    }
    // Left out where no layer moves it, so that a grant from before there was one keeps its digest.
    if limits.cost_ratio != crate::limits::COST_RATIO {
        object["gate"] = json!({"cost_ratio": limits.cost_ratio});
    }
    object
}
