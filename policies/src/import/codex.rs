//! Codex's `config.toml`: what its sandbox lets be written and read.
//!
//! What its documentation says, and this goes by:
//!
//! - `sandbox_mode` (or that of the profile that `profile` chooses) switches `default_permissions` and
//!   `[permissions]` off, wherever it stands;
//! - of a permission profile's paths the more precise one decides; `none` is the old word for `deny`;
//! - `approval_policy` says when a person is asked to let a command out of the sandbox.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::NoteKind;
use super::draft::{Cited, Draft, MOST_FAULTS, MOST_RULES, Reach};
use super::origin::Origin;
use crate::Diagnostic;
use crate::suggest::did_you_mean;

type Value<'i> = Spanned<DeValue<'i>>;

const KEYS: &[&str] = &[
    "approval_policy",
    "sandbox_mode",
    "sandbox_workspace_write",
    "default_permissions",
    "permissions",
    "profile",
    "profiles",
];
const NOTHING: &str = "`sandbox_mode`, `approval_policy`, `sandbox_workspace_write`, `default_permissions` and \
                       `permissions` are what is imported";

pub(super) fn draft(origin: Origin<'_>) -> Result<Draft<'_>, Vec<Diagnostic>> {
    let text = origin.text;
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let fault = |error: &toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            origin.fault(at, format!("this is not TOML: {}", error.message()), "mend the file")
        };
        return Err(errors.iter().map(fault).collect());
    }
    let root = table.get_ref();
    if !KEYS.iter().any(|key| root.contains_key(*key)) {
        return Err(vec![origin.fault(0, "there is nothing about permissions in the file", NOTHING)]);
    }
    let mut reader = Reader { draft: Draft::new(origin, "Codex"), faults: Vec::new() };
    reader.root(root);
    if reader.faults.is_empty() { Ok(reader.draft) } else { Err(reader.faults) }
}

struct Reader<'a> {
    draft: Draft<'a>,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, message: impl Into<String>, hint: &str) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(self.draft.origin.fault(at, message, hint));
        }
    }

    /// A key with its value as it is written.
    fn cite(&self, table: &DeTable<'_>, key: &str) -> Option<Cited> {
        let (key, value) = table.get_key_value(key)?;
        let name = key.get_ref();
        let written = match value.get_ref() {
            DeValue::Table(_) => format!("[{name}]"),
            _ => format!("{name} = {}", self.draft.origin.written(value.span())),
        };
        Some(self.draft.cite(key.span().start, &written))
    }

    fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.fault(value.span().start, format!("`{key}` is not a string"), "write it in quotes");
                None
            }
        }
    }

    fn table<'t, 'i>(&mut self, value: &'t Value<'i>, what: &str) -> Option<&'t DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.fault(value.span().start, format!("{what} is not a table"), "write it as `[a.table]`");
                None
            }
        }
    }

    fn root(&mut self, root: &DeTable<'_>) {
        let chosen = self.text(root, "profile");
        let mut settings = root;
        if let Some(value) = root.get("profiles")
            && let Some(profiles) = self.table(value, "`profiles`")
        {
            for (key, value) in profiles {
                let name = key.get_ref().to_string();
                let Some(table) = self.table(value, "a profile") else { continue };
                let cited = self.draft.cite(key.span().start, &format!("[profiles.{name}]"));
                if chosen.as_deref() == Some(name.as_str()) {
                    settings = table;
                } else if ["sandbox_mode", "approval_policy"].iter().any(|key| table.contains_key(*key)) {
                    let message = "`profile` does not choose it; import it by itself where it is wanted";
                    self.draft.left_out(&cited, message);
                }
            }
        }
        // What the chosen profile does not say the file says.
        let of = |key: &str| if settings.contains_key(key) { settings } else { root };
        let approvals = of("approval_policy");
        if let Some(cited) = self.cite(approvals, "approval_policy") {
            self.approvals(approvals, &cited);
        }
        let sandbox = of("sandbox_mode");
        let mode = self.text(sandbox, "sandbox_mode");
        if let (Some(mode), Some(cited)) = (&mode, self.cite(sandbox, "sandbox_mode")) {
            self.sandbox(mode, &cited);
        }
        if let Some(value) = root.get("sandbox_workspace_write")
            && let Some(table) = self.table(value, "`sandbox_workspace_write`")
        {
            self.workspace_write(table, mode.as_deref());
        }
        self.profiles(root, mode.is_some());
    }

    fn approvals(&mut self, table: &DeTable<'_>, cited: &Cited) {
        let known = ["untrusted", "on-request", "on-failure", "never", "granular"];
        let (kind, message) = match table.get("approval_policy").map(Spanned::get_ref) {
            Some(DeValue::String(text)) if text == "never" => {
                (NoteKind::Carried, "nobody is asked here either".to_owned())
            }
            Some(DeValue::String(text)) if !known.contains(&text.as_ref()) => {
                let near = did_you_mean(text, &known).map_or(String::new(), |near| format!("; {near}"));
                (NoteKind::Inert, format!("Codex knows no such value{near}"))
            }
            _ => (
                NoteKind::Changed,
                "nobody is there to be asked: what would leave the sandbox is denied, and builds, tests and lints \
                 of the repository's profile run inside of theirs"
                    .to_owned(),
            ),
        };
        self.draft.note(cited, kind, message, None);
    }

    fn sandbox(&mut self, mode: &str, cited: &Cited) {
        match mode {
            "read-only" => {
                self.deny(cited, Reach::Writing, "**", NoteKind::Carried, "nothing may be changed")
            }
            "workspace-write" => self.draft.note(
                cited,
                NoteKind::Carried,
                "files of the repository may be changed; what the preset denies stays denied",
                None,
            ),
            "danger-full-access" => self.draft.left_out(
                cited,
                "nothing here is let out of its sandbox: an attempt has the repository and no network",
            ),
            other => {
                let known = ["read-only", "workspace-write", "danger-full-access"];
                let near = did_you_mean(other, &known).map_or(String::new(), |near| format!("; {near}"));
                self.draft.inert(cited, format!("Codex knows no such mode{near}"));
            }
        }
    }

    fn workspace_write(&mut self, table: &DeTable<'_>, mode: Option<&str>) {
        for key in table.keys() {
            let name = key.get_ref().to_string();
            let Some(cited) = self.cite(table, &name) else { continue };
            if mode.is_some_and(|mode| mode != "workspace-write") {
                self.draft.inert(&cited, "it counts in the mode `workspace-write` alone");
                continue;
            }
            match name.as_str() {
                "writable_roots" => {
                    self.draft.left_out(&cited, "nothing outside the repository is ever given to an attempt")
                }
                "network_access" => match table.get("network_access").map(Spanned::get_ref) {
                    Some(DeValue::Boolean(false)) => {
                        self.draft.note(&cited, NoteKind::Carried, "jobs have no network", None);
                    }
                    _ => self.draft.left_out(&cited, "jobs have no network at all"),
                },
                "exclude_tmpdir_env_var" | "exclude_slash_tmp" => {
                    self.draft.left_out(&cited, "each job has a folder for temporary files of its own");
                }
                _ => self.draft.inert(&cited, "Codex knows no such key of `sandbox_workspace_write`"),
            }
        }
    }

    fn profiles(&mut self, root: &DeTable<'_>, old_sandbox: bool) {
        let chosen = self.text(root, "default_permissions");
        let chosen_cited = self.cite(root, "default_permissions");
        let profiles = match root.get("permissions") {
            Some(value) => self.table(value, "`permissions`"),
            None => None,
        };
        if old_sandbox {
            let message =
                "`sandbox_mode` stands in the file too, and then Codex looks at no permission profile";
            if let Some(cited) = chosen_cited {
                self.draft.inert(&cited, message);
            }
            if let Some(profiles) = profiles {
                for key in profiles.keys() {
                    let written = format!("[permissions.{}]", key.get_ref());
                    let cited = self.draft.cite(key.span().start, &written);
                    self.draft.inert(&cited, message);
                }
            }
            // What the profile denies was meant to be denied.
            if let (Some(name), Some(profiles)) = (&chosen, profiles) {
                self.profile(profiles, name, true, 0);
            }
            return;
        }
        if let (Some(name), Some(cited)) = (&chosen, &chosen_cited) {
            self.built_in(name, cited);
            if !name.starts_with(':') {
                match profiles.filter(|profiles| profiles.contains_key(name.as_str())) {
                    Some(profiles) => {
                        let message = "its profile is imported";
                        self.draft.note(cited, NoteKind::Carried, message, None);
                        self.profile(profiles, name, false, 0);
                    }
                    None => self.draft.inert(cited, "there is no such profile"),
                }
            }
        }
        for key in profiles.into_iter().flat_map(DeTable::keys) {
            if chosen.as_deref() != Some(key.get_ref().as_ref()) {
                let cited = self.draft.cite(key.span().start, &format!("[permissions.{}]", key.get_ref()));
                let message = match &chosen {
                    Some(_) => {
                        "`default_permissions` chooses another; where it is extended its paths are imported"
                    }
                    None => "no `default_permissions` chooses it",
                };
                self.draft.inert(&cited, message);
            }
        }
    }

    fn built_in(&mut self, name: &str, cited: &Cited) {
        match name {
            ":read-only" => self.sandbox("read-only", cited),
            ":workspace" => self.sandbox("workspace-write", cited),
            ":danger-full-access" => self.sandbox("danger-full-access", cited),
            other if other.starts_with(':') => {
                self.draft.inert(cited, "Codex has no profile of this name built in");
            }
            _ => {}
        }
    }

    /// One permission profile, and those it extends. Of a `dead` one only denials are taken.
    fn profile(&mut self, profiles: &DeTable<'_>, name: &str, dead: bool, depth: usize) {
        let Some(value) = profiles.get(name) else { return };
        let Some(profile) = self.table(value, "a permission profile") else { return };
        for key in profile.keys() {
            let name = key.get_ref().to_string();
            let Some(cited) = self.cite(profile, &name) else { continue };
            match name.as_str() {
                "extends" => {
                    let Some(parent) = self.text(profile, "extends") else { continue };
                    if depth > 8 {
                        self.fault(key.span().start, "the profile extends itself", "leave `extends` out");
                    } else if parent.starts_with(':') {
                        // A profile's own `"."` is looked at below; what it extends stands for the rest.
                        let own = profile.get("filesystem").is_some_and(speaks_of_root);
                        if own {
                            let message = "the profile's own `\".\"` says what holds for the repository";
                            self.draft.inert(&cited, message);
                        } else if !dead {
                            self.built_in(&parent, &cited);
                        }
                    } else {
                        let message = "what it extends is imported with it; denials of both hold";
                        self.draft.note(&cited, NoteKind::Changed, message, None);
                        self.profile(profiles, &parent, dead, depth + 1);
                    }
                }
                "filesystem" => {
                    if let Some(value) = profile.get("filesystem")
                        && let Some(table) = self.table(value, "`filesystem`")
                    {
                        self.filesystem(table, dead);
                    }
                }
                "network" => self.draft.left_out(&cited, "jobs have no network at all"),
                "workspace_roots" => {
                    self.draft.left_out(&cited, "nothing outside the repository is ever given to an attempt")
                }
                "description" => {}
                _ => self.draft.left_out(&cited, "it says nothing that has a place here"),
            }
        }
    }

    fn filesystem(&mut self, table: &DeTable<'_>, dead: bool) {
        let scanned = table.contains_key("glob_scan_max_depth");
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let Some(cited) = self.cite(table, &name) else { continue };
            match (name.as_str(), value.get_ref()) {
                ("glob_scan_max_depth", _) => {
                    self.draft.left_out(&cited, "a pattern binds at every depth here");
                }
                (":workspace_roots" | ":project_roots", DeValue::Table(paths)) => {
                    self.paths(paths, dead, scanned);
                }
                (":workspace_roots" | ":project_roots", DeValue::String(access)) => {
                    self.root_access(access, &cited, dead, Vec::new());
                }
                _ => self
                    .draft
                    .left_out(&cited, "it is no path of the repository, and an attempt sees nothing else"),
            }
        }
    }

    fn paths(&mut self, paths: &DeTable<'_>, dead: bool, scanned: bool) {
        if paths.len() > MOST_RULES {
            let at = paths.keys().map(|key| key.span().start).min().unwrap_or(0);
            let message = format!("these are more than {MOST_RULES} paths");
            return self.fault(at, message, "name folders instead of files");
        }
        let mut root = None;
        let mut writes: Vec<(Cited, String)> = Vec::new();
        let mut closed: Vec<String> = Vec::new();
        for (key, value) in paths {
            let path = key.get_ref().to_string();
            let Some(access) = self.access(value) else { continue };
            let cited = self.draft.cite(key.span().start, &format!("{path:?} = {access:?}"));
            if matches!(path.as_str(), "." | "./" | "**" | "./**") {
                root = Some((access, cited));
                continue;
            }
            let Some(pattern) = relative(&path) else {
                self.draft
                    .left_out(&cited, "it is no path of the repository, and an attempt sees nothing else");
                continue;
            };
            match access.as_str() {
                "deny" | "none" => {
                    closed.push(path.clone());
                    let glob = path.contains(['*', '?', '[']);
                    let (kind, message) = match (dead, glob && !scanned) {
                        (true, _) => (NoteKind::Inert, "`sandbox_mode` switched it off there; here it binds"),
                        (_, true) => (
                            NoteKind::Changed,
                            "it binds every tool and every job; without `glob_scan_max_depth` Codex does not hold \
                             such a pattern everywhere (#22179)",
                        ),
                        _ => (NoteKind::Carried, "it binds every tool, and every job's copy is without it"),
                    };
                    self.deny(&cited, Reach::Everything, &pattern, kind, message);
                }
                "read" => {
                    closed.push(path.clone());
                    let kind = if dead { NoteKind::Inert } else { NoteKind::Carried };
                    self.deny(&cited, Reach::Writing, &pattern, kind, "it may be looked at and not changed");
                }
                "write" if path.trim_end_matches("/**").contains(['*', '?', '[']) => self.draft.inert(
                    &cited,
                    "Codex gives exact paths and whole folders only, and refuses such a pattern",
                ),
                "write" => writes.push((cited, path)),
                _ => self.draft.inert(&cited, "an access is `read`, `write` or `deny`"),
            }
        }
        let mut open = Vec::new();
        for (cited, path) in writes {
            let beneath = |closed: &&String| {
                path.strip_prefix(closed.trim_end_matches("/**")).is_some_and(|rest| rest.starts_with('/'))
            };
            if let Some(closed) = closed.iter().find(beneath) {
                let message =
                    format!("{closed:?} stands above it, and here the denial wins over what lies beneath");
                self.draft.note(&cited, NoteKind::Changed, message, None);
            } else {
                open.push((cited, path));
            }
        }
        match root {
            Some((access, cited)) => self.root_access(&access, &cited, dead, open),
            None => self.unrooted(open, dead),
        }
    }

    /// Writes where nothing is said of the repository as a whole.
    fn unrooted(&mut self, writes: Vec<(Cited, String)>, dead: bool) {
        for (cited, _) in writes {
            if dead {
                self.draft.inert(&cited, "`sandbox_mode` switched it off");
            } else {
                let message = "it narrows nothing: no `\".\"` says that the rest may not be written";
                self.draft.note(&cited, NoteKind::Changed, message, None);
            }
        }
    }

    /// What holds for the repository as a whole, but for the paths in it that may be written.
    fn root_access(&mut self, access: &str, cited: &Cited, dead: bool, writes: Vec<(Cited, String)>) {
        if dead {
            return self.unrooted(writes, true);
        }
        match access {
            "write" => {
                let message = "files of the repository may be changed; what the preset denies stays denied";
                self.draft.note(cited, NoteKind::Carried, message, None);
                for (cited, _) in writes {
                    self.draft.inert(&cited, "the whole repository may be written anyway");
                }
            }
            "read" => {
                let mut narrowed = false;
                for (cited, path) in writes {
                    // Only exact paths and whole folders can be given by Codex.
                    let paths = relative(&path).map(|path| vec![path]).unwrap_or_default();
                    match self.draft.allow(&cited, Reach::Writing, paths) {
                        Ok(id) => {
                            narrowed = true;
                            let message = "only such paths may be changed";
                            self.draft.note(&cited, NoteKind::Carried, message, Some(id));
                        }
                        Err(bad) => self.draft.left_out(&cited, bad.message),
                    }
                }
                if narrowed {
                    let message = "what no path with `write` names may not be changed";
                    self.draft.note(cited, NoteKind::Carried, message, None);
                } else {
                    self.deny(cited, Reach::Writing, "**", NoteKind::Carried, "nothing may be changed");
                }
            }
            "deny" | "none" => {
                for (cited, _) in writes {
                    let message =
                        "the whole repository is denied, and here a denial wins over what lies beneath";
                    self.draft.note(&cited, NoteKind::Changed, message, None);
                }
                self.deny(cited, Reach::Everything, "**", NoteKind::Carried, "no file may be looked at");
            }
            _ => self.draft.inert(cited, "an access is `read`, `write` or `deny`"),
        }
    }

    fn access(&mut self, value: &Value<'_>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.fault(
                    value.span().start,
                    "an access is a string",
                    "write `\"read\"`, `\"write\"` or `\"deny\"`",
                );
                None
            }
        }
    }

    fn deny(&mut self, cited: &Cited, reach: Reach, pattern: &str, kind: NoteKind, message: &str) {
        match self.draft.deny(cited, reach, vec![pattern.to_owned()], false, None) {
            Ok(id) => self.draft.note(cited, kind, message, Some(id)),
            Err(bad) => self.draft.left_out(cited, format!("{}; {}", bad.message, bad.hint)),
        }
    }
}

fn speaks_of_root(filesystem: &Value<'_>) -> bool {
    let DeValue::Table(table) = filesystem.get_ref() else { return false };
    [":workspace_roots", ":project_roots"].iter().any(|key| match table.get(*key).map(Spanned::get_ref) {
        Some(DeValue::Table(paths)) => paths.contains_key("."),
        Some(DeValue::String(_)) => true,
        _ => false,
    })
}

/// A path below a workspace root as a pattern; none for one that leads elsewhere.
fn relative(path: &str) -> Option<String> {
    let path = path.trim_start_matches("./");
    let outside = path.starts_with(['/', '~', ':', '\\'])
        || path.as_bytes().get(1) == Some(&b':')
        || path.split('/').any(|name| name == "..");
    if outside || path.is_empty() {
        return None;
    }
    // What a lone `*` stops at is not told, so such a pattern binds at any depth.
    let anywhere = path.starts_with("**/") || (path.contains('*') && !path.contains('/'));
    Some(if anywhere { path.to_owned() } else { format!("/{path}") })
}
