//! A workspace in memory, for the tests and the fuzzers.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::files::{Batch, Change, Changed, Content, Expected, Info, Kind, Range, Visited, WalkOptions};
use crate::{Base, Changes, Code, Failure, Files, Walks};

/// A file: its content and whether it is executable.
pub type File = (Vec<u8>, bool);

/// Files by path. Folders are there when something is in them; globs are the host's and ignored.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: RefCell<BTreeMap<String, File>>,
    /// Kinds of paths that are no files.
    pub others: BTreeMap<String, Kind>,
    /// Every commit and write, in words.
    pub log: RefCell<Vec<String>>,
    /// Paths that may not be written.
    pub denied: Vec<String>,
    /// What was there before.
    pub base: Option<BTreeMap<String, File>>,
    /// The largest file read whole.
    pub whole: u64,
}

impl Memory {
    /// Returns a workspace of these files, by path.
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self::of_bytes(&files.iter().map(|(path, text)| (*path, text.as_bytes())).collect::<Vec<_>>())
    }

    /// Returns a workspace of these files, by path.
    pub fn of_bytes(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, data)| ((*path).to_owned(), (data.to_vec(), false))).collect();
        Self { files: RefCell::new(files), whole: 8 << 20, ..Self::default() }
    }

    /// Makes what is there now the base.
    #[must_use]
    pub fn with_base(mut self) -> Self {
        self.base = Some(self.files.borrow().clone());
        self
    }

    /// Makes a file executable.
    #[must_use]
    pub fn executable(self, path: &str) -> Self {
        if let Some(file) = self.files.borrow_mut().get_mut(path) {
            file.1 = true;
        }
        self
    }

    /// Returns every file.
    pub fn contents(&self) -> BTreeMap<String, File> {
        self.files.borrow().clone()
    }

    /// Every file as `path: content`, executable ones with a star.
    pub fn show(&self) -> Vec<String> {
        let files = self.files.borrow();
        files
            .iter()
            .map(|(path, (data, exec))| {
                format!("{path}{}: {}", if *exec { "*" } else { "" }, String::from_utf8_lossy(data))
            })
            .collect()
    }

    /// Returns a file's text.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn text(&self, path: &str) -> String {
        String::from_utf8_lossy(&self.files.borrow()[path].0).into_owned()
    }

    fn version(data: &[u8]) -> String {
        format!("v{}", String::from_utf8_lossy(data))
    }

    fn check(&self, path: &str, expected: &Expected) -> Result<(), Failure> {
        if accepted(path)?.is_empty() || self.stat(path).is_ok_and(|info| info.kind != Kind::File) {
            return Err(Failure::new(Code::InvalidInput, format!("{path} is no file")));
        }
        if self.denied.iter().any(|denied| denied == path) {
            return Err(Failure::new(Code::Denied, format!("{path} may not be written")));
        }
        let files = self.files.borrow();
        if path.match_indices('/').any(|(at, _)| files.contains_key(&path[..at])) {
            return Err(Failure::new(Code::NotFound, format!("{path} lies in no folder")));
        }
        let now = files.get(path).map(|(data, _)| Self::version(data));
        let fits = match expected {
            Expected::Absent => now.is_none(),
            Expected::Version(version) => now.as_ref() == Some(version),
            Expected::Any => true,
        };
        if fits { Ok(()) } else { Err(Failure::new(Code::Conflict, format!("{path} is not as expected"))) }
    }
}

/// Refuses what the host would.
fn accepted(path: &str) -> Result<String, Failure> {
    let path = crate::path::normal(path);
    if path.starts_with('/') || path.contains('\0') || path.split('/').any(|name| name == "..") {
        return Err(Failure::new(Code::InvalidInput, "no path of the workspace"));
    }
    Ok(path)
}

impl Files for Memory {
    fn stat(&self, path: &str) -> Result<Info, Failure> {
        let path = accepted(path)?;
        if let Some(&kind) = self.others.get(&path) {
            return Ok(Info { kind, size: 0, executable: false });
        }
        let files = self.files.borrow();
        if let Some((data, executable)) = files.get(&path) {
            return Ok(Info { kind: Kind::File, size: data.len() as u64, executable: *executable });
        }
        if path.is_empty() || files.keys().any(|other| other.starts_with(&format!("{path}/"))) {
            return Ok(Info { kind: Kind::Directory, size: 0, executable: false });
        }
        Err(Failure::new(Code::NotFound, format!("{path} does not exist")))
    }

    fn read(&self, path: &str, range: Option<Range>) -> Result<Content, Failure> {
        let info = self.stat(path)?;
        if info.kind != Kind::File {
            return Err(Failure::new(Code::InvalidInput, format!("{path} is no file")));
        }
        let files = self.files.borrow();
        let data = &files[&crate::path::normal(path)].0;
        let size = data.len() as u64;
        match range {
            None if size > self.whole => {
                Err(Failure::new(Code::TooLarge, format!("{path} has {size} bytes")))
            }
            None => Ok(Content { data: data.clone(), size, version: Some(Self::version(data)) }),
            Some(range) => {
                let start = range.offset.min(size) as usize;
                let end = (range.offset + range.length.min(self.whole)).min(size) as usize;
                Ok(Content { data: data[start..end].to_vec(), size, version: None })
            }
        }
    }
}

impl Walks for Memory {
    fn walk(
        &self,
        root: &str,
        options: &WalkOptions,
        each: &mut dyn FnMut(Batch) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        self.stat(root)?;
        let root = crate::path::normal(root);
        let prefix = if root.is_empty() { String::new() } else { format!("{root}/") };
        let mut visited: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        for (path, (data, _)) in self.files.borrow().iter() {
            let Some(below) = path.strip_prefix(&prefix).or((*path == root).then_some("")) else { continue };
            let names: Vec<&str> = below.split('/').collect();
            if !options.hidden && names.iter().any(|name| name.starts_with('.')) {
                continue;
            }
            let deep = options.depth.map_or(usize::MAX, |depth| depth as usize);
            if options.directories {
                for n in 1..names.len().min(deep.saturating_add(1)) {
                    visited.insert(format!("{prefix}{}", names[..n].join("/")), None);
                }
            }
            if names.len() <= deep {
                visited.insert(path.clone(), Some(data.clone()));
            }
        }
        // One batch for every two paths, to have borders.
        let visited: Vec<_> = visited.into_iter().collect();
        for two in visited.chunks(2) {
            let mut batch = Batch { visited: Vec::new(), bytes: Vec::new() };
            for (path, data) in two {
                let size = data.as_ref().map_or(0, Vec::len) as u64;
                let at = (options.contents && data.is_some() && size <= options.max_file_size)
                    .then_some(Range { offset: batch.bytes.len() as u64, length: size });
                if at.is_some() {
                    batch.bytes.extend(data.iter().flatten());
                }
                let kind = if data.is_some() { Kind::File } else { Kind::Directory };
                batch.visited.push(Visited {
                    path: path.clone(),
                    info: Info { kind, size, executable: false },
                    at,
                    escaped: false,
                });
            }
            if !each(batch)? {
                break;
            }
        }
        Ok(())
    }
}

impl Base for Memory {
    fn changed(&self, below: &str) -> Result<Vec<Changed>, Failure> {
        let none = || Failure::new(Code::NotFound, "there is no base");
        let base = self.base.as_ref().ok_or_else(none)?;
        let below = crate::path::normal(below);
        let within = |path: &str| {
            below.is_empty()
                || path.strip_prefix(&below).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let files = self.files.borrow();
        let info = |file: &File| Info { kind: Kind::File, size: file.0.len() as u64, executable: file.1 };
        let paths: std::collections::BTreeSet<&String> = base.keys().chain(files.keys()).collect();
        let changed = paths.into_iter().filter(|path| within(path) && base.get(*path) != files.get(*path));
        Ok(changed
            .map(|path| Changed {
                path: path.clone(),
                before: base.get(path).map(info),
                after: files.get(path).map(info),
            })
            .collect())
    }

    fn read_base(&self, path: &str) -> Result<Content, Failure> {
        let file = self.base.as_ref().and_then(|base| base.get(path));
        let (data, _) = file.ok_or_else(|| Failure::new(Code::NotFound, "it is not in the base"))?;
        Ok(Content { data: data.clone(), size: data.len() as u64, version: Some(Self::version(data)) })
    }
}

impl Changes for Memory {
    fn write(&self, path: &str, data: &[u8], expected: Expected) -> Result<(), Failure> {
        let path = crate::path::normal(path);
        self.commit(vec![Change::Put { path, data: data.to_vec(), expected }])
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), Failure> {
        let mut seen = std::collections::BTreeSet::new();
        for change in &changes {
            let (path, to, expected) = match change {
                Change::Put { path, expected, .. } | Change::Remove { path, expected } => {
                    (path, None, expected)
                }
                Change::Rename { from, to, expected } => (from, Some(to), expected),
            };
            self.check(path, expected)?;
            if !matches!(change, Change::Put { .. }) && !self.files.borrow().contains_key(path) {
                return Err(Failure::new(Code::NotFound, format!("{path} does not exist")));
            }
            to.map_or(Ok(()), |to| self.check(to, &Expected::Absent))?;
            for path in [Some(path), to].into_iter().flatten() {
                if !seen.insert(path.clone()) {
                    return Err(Failure::new(Code::InvalidInput, format!("{path} occurs twice")));
                }
            }
        }
        // As on the host, where the folder for the one is in the way of the other.
        if seen.iter().any(|path| path.match_indices('/').any(|(at, _)| seen.contains(&path[..at]))) {
            return Err(Failure::new(Code::Conflict, "a file cannot lie in a file"));
        }
        let mut files = self.files.borrow_mut();
        let mut words = Vec::new();
        for change in changes {
            match change {
                Change::Put { path, data, .. } => {
                    words.push(format!("put {path}"));
                    files.entry(path).or_default().0 = data;
                }
                Change::Remove { path, .. } => {
                    words.push(format!("remove {path}"));
                    files.remove(&path);
                }
                Change::Rename { from, to, .. } => {
                    words.push(format!("rename {from} {to}"));
                    if let Some(file) = files.remove(&from) {
                        files.insert(to, file);
                    }
                }
            }
        }
        self.log.borrow_mut().push(words.join(", "));
        Ok(())
    }
}
