//! What a call did, for its record.

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use gloaming_api::path::escape_name;
use gloaming_api::tool::{CallRecord, Decided, PathBytes, PathDenial};
use gloaming_policies::{Access, ToolPermit};
use serde_json::Value;

/// How many paths of each kind a record names.
const PATHS: usize = 1_000;
/// How many denials a record names.
const DENIALS: usize = 100;

/// Reads, writes and denials of one call.
#[derive(Debug, Default)]
pub(crate) struct AccessLog {
    reads: BTreeMap<RelPath, u64>,
    pub(crate) reads_total: u64,
    pub(crate) bytes_read: u64,
    writes: BTreeMap<RelPath, u64>,
    pub(crate) bytes_written: u64,
    denials: Vec<PathDenial>,
    denied: bool,
}

impl AccessLog {
    /// Returns what is recorded of a call of this permit, as far as it is known here.
    pub(crate) fn record(&self, permit: &ToolPermit) -> CallRecord {
        CallRecord {
            denials: self.denials(),
            warnings: self.warnings(permit),
            reads: self.reads(),
            reads_total: self.reads_total,
            writes: self.writes(),
            bytes_read: self.bytes_read,
            bytes_written: self.bytes_written,
            ..CallRecord::without_run(permit.tool(), permit.grant().digest(), &Value::Null, self.decision())
        }
    }

    /// Notes bytes read of a file. A file read twice counts once while it is among those named.
    pub(crate) fn read(&mut self, path: &RelPath, bytes: u64) {
        self.bytes_read += bytes;
        if let Some(known) = self.reads.get_mut(path) {
            *known += bytes;
            return;
        }
        self.reads_total += 1;
        if self.reads.len() < PATHS {
            self.reads.insert(path.clone(), bytes);
        }
    }

    /// Notes a change; `bytes` is 0 for a removal or a new name.
    pub(crate) fn write(&mut self, path: &RelPath, bytes: u64) {
        self.bytes_written += bytes;
        if let Some(known) = self.writes.get_mut(path) {
            *known += bytes;
        } else if self.writes.len() < PATHS {
            self.writes.insert(path.clone(), bytes);
        }
    }

    /// Notes a denial.
    pub(crate) fn deny(&mut self, path: &RelPath, rule: &str) {
        self.denied = true;
        let denial = PathDenial { path: escape_name(path.as_str().as_bytes()), rule: rule.to_owned() };
        if self.denials.len() < DENIALS && !self.denials.contains(&denial) {
            self.denials.push(denial);
        }
    }

    /// Whether anything was denied.
    pub(crate) fn decision(&self) -> Decided {
        if self.denied { Decided::Deny } else { Decided::Allow }
    }

    /// Returns the denials.
    pub(crate) fn denials(&self) -> Vec<PathDenial> {
        self.denials.clone()
    }

    /// Returns what rules that only warn would have denied.
    pub(crate) fn warnings(&self, permit: &ToolPermit) -> Vec<PathDenial> {
        let reads = self.reads.keys().map(|path| (Access::Read, path));
        let touched = reads.chain(self.writes.keys().map(|path| (Access::Write, path)));
        let warned = touched.flat_map(|(access, path)| {
            let path_shown = escape_name(path.as_str().as_bytes());
            let rules = permit.warnings(access, path).into_iter();
            rules.map(move |rule| PathDenial { path: path_shown.clone(), rule: rule.id })
        });
        let mut warned: Vec<PathDenial> = warned.take(DENIALS).collect();
        warned.sort_by(|a, b| (&a.path, &a.rule).cmp(&(&b.path, &b.rule)));
        warned.dedup();
        warned
    }

    /// Returns the files read, by path.
    pub(crate) fn reads(&self) -> Vec<PathBytes> {
        listed(&self.reads)
    }

    /// Returns the files changed, by path.
    pub(crate) fn writes(&self) -> Vec<PathBytes> {
        listed(&self.writes)
    }
}

fn listed(map: &BTreeMap<RelPath, u64>) -> Vec<PathBytes> {
    map.iter().map(|(path, bytes)| PathBytes { path: path.clone(), bytes: *bytes }).collect()
}
