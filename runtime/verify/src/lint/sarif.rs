//! SARIF 2.1.0 as any tool may print it.

use serde::Deserialize;

use super::{Raw, machine};

#[derive(Deserialize)]
struct Log {
    version: String,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    #[serde(default)]
    results: Option<Vec<Found>>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    name: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    #[serde(default)]
    default_configuration: Option<Configuration>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    level: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    #[serde(default)]
    rule_id: Option<String>,
    #[serde(default)]
    rule_index: Option<usize>,
    #[serde(default)]
    level: Option<String>,
    message: Message,
    #[serde(default)]
    locations: Vec<Location>,
    #[serde(default)]
    suppressions: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(default)]
    physical_location: Option<Physical>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    #[serde(default)]
    region: Option<Region>,
}

#[derive(Deserialize)]
struct Artifact {
    #[serde(default)]
    uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    #[serde(default)]
    start_line: u32,
}

/// Reads a log; none when it is none. Suppressed results are no findings.
pub(super) fn read(text: &str) -> Option<Vec<Raw>> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with('{') {
        return None;
    }
    let log: Log = serde_json::from_str(text).ok()?;
    if !log.version.starts_with("2.") {
        return None;
    }
    let mut found = Vec::new();
    for run in log.runs {
        let Driver { name, rules } = run.tool.driver;
        for result in run.results.into_iter().flatten() {
            if result.suppressions.is_some_and(|all| !all.is_empty()) {
                continue;
            }
            let by_index = result.rule_index.and_then(|index| rules.get(index));
            let rule = result.rule_id.or_else(|| by_index.map(|rule| rule.id.clone())).unwrap_or_default();
            let configured = || {
                let row = by_index.or_else(|| rules.iter().find(|row| row.id == rule))?;
                row.default_configuration.as_ref()?.level.clone()
            };
            let level = result.level.or_else(configured);
            let physical = result.locations.into_iter().next().and_then(|place| place.physical_location);
            let Some(physical) = physical else { continue };
            found.push(Raw {
                tool: name.clone(),
                rule,
                path: decoded(&physical.artifact_location.uri),
                line: physical.region.map_or(0, |region| region.start_line),
                message: result.message.text,
                level: level.as_deref().and_then(machine::level),
            });
        }
    }
    Some(found)
}

/// Undoes the percent-encoding of a URI's path.
fn decoded(uri: &str) -> String {
    let bytes = uri.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
