//! `patch`: the `apply_patch` format of Codex, or a unified diff; all or nothing.
//!
//! What differs from Codex: nothing is written before everything fits; `Add File` and `Move to` never
//! overwrite; context that matched loosely keeps the file's own text; line endings, a byte order mark and
//! a file's mode are kept; added lines below a `@@ header` without context go below that header, not to
//! the file's end.
//!
//! What differs from `git apply`: line numbers only say where to look first, so wrong ones do no harm; modes
//! are left as they are, which is told; nothing binary.

mod apply;
mod parse;
mod unified;

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::files::{Change, Expected, Kind};
use crate::lines;
use crate::path::{normal, shown};
use crate::{Changes, Code, Failure};

use parse::{Form, Section, What};

/// How many changed files are named to a model, and how many remarks are made.
const FILES: usize = 200;
const REMARKS: usize = 50;

/// What a model is told of the form when it got it wrong.
const FORM: &str = "A patch is `*** Begin Patch`, then for each file `*** Add File: PATH` with lines that \
    begin with +, `*** Delete File: PATH`, or `*** Update File: PATH` with hunks that begin with @@ and \
    hold lines that begin with a space, - or +; then `*** End Patch`.";

/// The same, of the other form.
const UNIFIED: &str = "A unified diff has for each file `--- a/PATH` and `+++ b/PATH` (`/dev/null` where there is no \
    file), then hunks that begin with `@@ -LINE,COUNT +LINE,COUNT @@` and hold lines that begin with a space, - \
    or +.";

/// A changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchedFile {
    /// The file.
    pub path: String,
    /// `added`, `modified`, `deleted` or `moved`.
    pub change: &'static str,
    /// The new path of a moved file.
    pub to: Option<String>,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What to tell.
    pub text: String,
    /// The files.
    pub files: Vec<PatchedFile>,
}

/// Applies a patch.
pub fn patch(files: &impl Changes, patch: &str) -> Result<Output, Failure> {
    let sections = parse::parse(patch).map_err(|error| {
        let form = match parse::form(patch) {
            Form::ApplyPatch => FORM,
            Form::Unified => UNIFIED,
        };
        let error = error.to_string();
        let (error, _) = lines::cut(&error, 500);
        Failure::new(Code::InvalidInput, format!("the patch cannot be read: {error}")).instead(form)
    })?;
    let mut planned = Planned {
        files,
        form: parse::form(patch),
        slots: BTreeMap::new(),
        done: Vec::new(),
        remarks: Vec::new(),
    };
    for section in &sections {
        planned.section(section)?;
    }
    planned.commit()
}

/// The workspace as it will be.
struct Planned<'a, F> {
    files: &'a F,
    form: Form,
    slots: BTreeMap<String, Slot>,
    done: Vec<PatchedFile>,
    /// What fitted only loosely, or was not done.
    remarks: Vec<String>,
}

/// One path: what is there, and what will be.
struct Slot {
    original: Option<Original>,
    current: Option<Vec<u8>>,
    /// The path whose file was moved here.
    moved_from: Option<String>,
}

struct Original {
    data: Vec<u8>,
    version: Expected,
    executable: bool,
}

impl<F: Changes> Planned<'_, F> {
    fn section(&mut self, section: &Section<'_>) -> Result<(), Failure> {
        let path = normal(&section.path);
        let name = shown(&path).into_owned();
        match &section.what {
            What::Add { lines, ended } => {
                if self.slot(&path)?.current.is_some() {
                    return Err(self.exists("Add", &name));
                }
                let mut data = lines.join("\n").into_bytes();
                if !lines.is_empty() && *ended {
                    data.push(b'\n');
                }
                self.slot(&path)?.current = Some(data);
                self.note(path, "added", None, lines.len(), 0);
            }
            What::Delete => {
                let Some(data) = self.slot(&path)?.current.take() else {
                    return Err(self.missing("Delete", &name));
                };
                self.note(path, "deleted", None, 0, lines::split(&data).len());
            }
            What::DeleteAll(hunks) => {
                let Some(data) = self.slot(&path)?.current.take() else {
                    return Err(self.missing("Delete", &name));
                };
                let applied = apply::apply(&name, &data, hunks)?;
                if !applied.data.is_empty() {
                    let left = lines::split(&applied.data).len();
                    return Err(Failure::new(
                        Code::Conflict,
                        format!("{name} holds {left} lines that the patch does not remove with the file"),
                    )
                    .instead("Make the diff against the file as it is, or use `remove`."));
                }
                self.remarks.extend(applied.loose);
                self.note(path, "deleted", None, 0, applied.removed);
            }
            What::Update { to, hunks } => {
                let Some(data) = self.slot(&path)?.current.clone() else {
                    return Err(self.missing("Update", &name));
                };
                if lines::is_binary(&data) && !hunks.is_empty() {
                    return Err(Failure::new(Code::InvalidInput, format!("{name} is binary"))
                        .instead("Only text files can be patched."));
                }
                let applied = apply::apply(&name, &data, hunks)?;
                self.remarks.extend(applied.loose);
                self.slot(&path)?.current = Some(applied.data);
                let to = to.as_deref().map(normal).filter(|to| *to != path);
                if let Some(to) = &to {
                    if self.slot(to)?.current.is_some() {
                        let subject = match self.form {
                            Form::ApplyPatch => format!("`*** Move to: {}`", shown(to)),
                            Form::Unified => format!("rename to {}", shown(to)),
                        };
                        return Err(Failure::new(
                            Code::Conflict,
                            format!("{subject}: something is there already"),
                        )
                        .instead("Choose another path, or delete that file first in the same patch."));
                    }
                    let from = self.slot(&path)?;
                    let data = from.current.take();
                    let origin = from.moved_from.take().unwrap_or_else(|| path.clone());
                    let slot = self.slot(to)?;
                    slot.current = data;
                    slot.moved_from = Some(origin);
                }
                let change = if to.is_some() { "moved" } else { "modified" };
                if to.is_some() || !hunks.is_empty() {
                    self.note(path, change, to, applied.added, applied.removed);
                }
            }
        }
        self.remarks.extend(section.remark.clone());
        Ok(())
    }

    fn exists(&self, verb: &str, name: &str) -> Failure {
        let (subject, advice) = match self.form {
            Form::ApplyPatch => (
                format!("`*** {verb} File: {name}`"),
                "Change it with `*** Update File:`, or delete it first in the same patch.",
            ),
            Form::Unified => (format!("new file {name}"), "Make the diff against the file as it is."),
        };
        Failure::new(Code::Conflict, format!("{subject}: it exists already")).instead(advice)
    }

    fn missing(&self, verb: &str, name: &str) -> Failure {
        let (subject, advice) = match self.form {
            Form::ApplyPatch => (
                format!("`*** {verb} File: {name}`"),
                "Find its path with `list`; a new file is made with `*** Add File:`.",
            ),
            Form::Unified => (
                name.to_owned(),
                "Find its path with `list`; a new file has `--- /dev/null` above its `+++`.",
            ),
        };
        Failure::new(Code::NotFound, format!("{subject}: there is no such file")).instead(advice)
    }

    /// Returns a path's slot, reading the file when the patch names it for the first time.
    fn slot(&mut self, path: &str) -> Result<&mut Slot, Failure> {
        if !self.slots.contains_key(path) {
            let original = match self.files.stat(path) {
                Err(failure) if failure.code == Code::NotFound => None,
                Err(failure) => return Err(failure),
                Ok(info) if info.kind != Kind::File => {
                    let what = info.kind.in_words();
                    return Err(Failure::new(Code::InvalidInput, format!("{} is {what}", shown(path)))
                        .instead("Name files only; `list` shows what there is."));
                }
                Ok(info) => {
                    let content = self.files.read(path, None)?;
                    let version = content.version.map_or(Expected::Any, Expected::Version);
                    Some(Original { data: content.data, version, executable: info.executable })
                }
            };
            let current = original.as_ref().map(|original| original.data.clone());
            self.slots.insert(path.to_owned(), Slot { original, current, moved_from: None });
        }
        Ok(self.slots.get_mut(path).expect("the slot was made above"))
    }

    fn note(&mut self, path: String, change: &'static str, to: Option<String>, added: usize, removed: usize) {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (added, removed) = (number(added), number(removed));
        if change == "modified"
            && let Some(file) =
                self.done.iter_mut().find(|file| file.path == path && file.change == "modified")
        {
            file.added = file.added.saturating_add(added);
            file.removed = file.removed.saturating_add(removed);
            return;
        }
        self.done.push(PatchedFile { path, change, to, added, removed });
    }

    fn commit(self) -> Result<Output, Failure> {
        let (renames, changes) = self.changes();
        if renames.is_empty() && changes.is_empty() {
            let mut message = "the patch changes nothing".to_owned();
            for remark in self.remarks.iter().take(REMARKS) {
                let _ = write!(message, "; {remark}");
            }
            return Err(Failure::new(Code::InvalidInput, message)
                .instead("Mark what is to go with - and what is to come with +."));
        }
        if !renames.is_empty() {
            self.files
                .commit(renames.iter().map(|(from, to, expected)| rename(from, to, expected)).collect())?;
        }
        if !changes.is_empty()
            && let Err(failure) = self.files.commit(changes)
        {
            let back: Vec<Change> =
                renames.iter().map(|(from, to, expected)| rename(to, from, expected)).collect();
            if !back.is_empty() {
                self.files.commit(back)?;
            }
            return Err(failure);
        }
        let mut text = String::from("Applied the patch:\n");
        for file in self.done.iter().take(FILES) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{} {}", file.change, shown(&file.path));
            if let Some(to) = &file.to {
                let _ = write!(text, " to {}", shown(to));
            }
            let _ = writeln!(text, " (+{} -{})", file.added, file.removed);
        }
        if self.done.len() > FILES {
            let _ = writeln!(text, "[{} more files]", self.done.len() - FILES);
        }
        for remark in self.remarks.iter().take(REMARKS) {
            let _ = writeln!(text, "[{remark}]");
        }
        if self.remarks.len() > REMARKS {
            let _ = writeln!(text, "[{} more remarks]", self.remarks.len() - REMARKS);
        }
        Ok(Output { text, files: self.done })
    }

    /// Returns the renames to make first, and the changes.
    ///
    /// A moved file whose content changes is a removal and a new file. An executable one would lose its mode
    /// that way, and a commit takes each path once: such files are renamed beforehand, and renamed back when
    /// the commit then fails.
    fn changes(&self) -> (Vec<(String, String, Expected)>, Vec<Change>) {
        let (mut renames, mut changes) = (Vec::new(), Vec::new());
        let mut gone: Vec<&str> = Vec::new();
        for (path, slot) in &self.slots {
            let Some(from) = &slot.moved_from else { continue };
            let (Some(data), None) = (&slot.current, &slot.original) else { continue };
            let Some(Slot { original: Some(origin), current: None, .. }) = self.slots.get(from) else {
                continue;
            };
            if *data == origin.data {
                changes.push(rename(from, path, &origin.version));
            } else if origin.executable {
                renames.push((from.clone(), path.clone(), origin.version.clone()));
                changes.push(Change::Put {
                    path: path.clone(),
                    data: data.clone(),
                    expected: origin.version.clone(),
                });
            } else {
                continue;
            }
            gone.extend([from.as_str(), path.as_str()]);
        }
        for (path, slot) in &self.slots {
            if gone.contains(&path.as_str()) {
                continue;
            }
            let path = path.clone();
            match (&slot.original, &slot.current) {
                (Some(original), Some(data)) if original.data == *data => {}
                (Some(original), Some(data)) => {
                    changes.push(Change::Put {
                        path,
                        data: data.clone(),
                        expected: original.version.clone(),
                    });
                }
                (Some(original), None) => {
                    changes.push(Change::Remove { path, expected: original.version.clone() });
                }
                (None, Some(data)) => {
                    changes.push(Change::Put { path, data: data.clone(), expected: Expected::Absent });
                }
                (None, None) => {}
            }
        }
        (renames, changes)
    }
}

fn rename(from: &str, to: &str, expected: &Expected) -> Change {
    Change::Rename { from: from.to_owned(), to: to.to_owned(), expected: expected.clone() }
}

#[cfg(test)]
mod tests;
