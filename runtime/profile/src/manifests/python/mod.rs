//! Python projects: pytest or unittest, and where the packages lie.

mod more;

use gloaming_api::RelPath;
use gloaming_api::path::WORKSPACE_MOUNT;
use gloaming_api::profile::{CommandKind, Ecosystem, Source, TestRunner};
use toml::de::DeValue;

use super::toml_lines::Toml;
use crate::commands::Tool;
use crate::mine::{Mined, Origin, line_at, source};
use crate::tree::Tree;

/// Enough tests to see what they are written for.
const MOST_TESTS: usize = 100;

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let Some(project) = Project::find(tree) else { return false };
    mine_project(tree, &project, mined);
    true
}

/// Mines one project.
pub(super) fn mine_project(tree: &Tree, project: &Project, mined: &mut Mined) {
    let path = project.packages.as_ref().map(|packages| format!("{WORKSPACE_MOUNT}/{packages}"));
    mined.python_path = path.clone();
    let tests = project.tests(tree);
    if let Some((source, origin)) = project.pytest(&tests) {
        let tool = Tool::new(Ecosystem::Python, CommandKind::Test, &["python3", "-m", "pytest"]);
        mined.add(origin, with_path(tool.runner(TestRunner::Pytest), &path), &project.folder, source);
    }
    if let Some((mut tool, place)) = project.unittest(tree, &tests) {
        // pytest runs unittest's tests too, so it is preferred where anything speaks for it.
        tool.weight = 5;
        mined.add(Origin::Convention, with_path(tool, &path), &project.folder, place);
    }
    project.mine_more(tree, mined);
}

/// A configuration file that was read.
struct File {
    path: RelPath,
    text: String,
}

pub(super) struct Project {
    folder: RelPath,
    pyproject: Option<File>,
    /// pytest.ini, tox.ini and their like.
    ini: Vec<File>,
    /// The folder of packages, where it is not the project's own.
    packages: Option<RelPath>,
}

/// What a test file is written for.
struct TestFile {
    path: RelPath,
    pytest: Option<u32>,
    unittest: Option<u32>,
    /// The first function that pytest alone would take for a test.
    function: Option<u32>,
}

impl Project {
    /// Finds the project nearest to the root.
    fn find(tree: &Tree) -> Option<Self> {
        let manifests =
            ["pyproject.toml", "setup.cfg", "setup.py", "pytest.ini", "requirements.txt", "tox.ini"];
        let folder = manifests
            .iter()
            .flat_map(|name| tree.named(name))
            .filter_map(RelPath::parent)
            .min_by_key(|folder| (folder.names().count(), folder.clone()));
        let is_source = |file: &RelPath| file.as_str().ends_with(".py");
        let folder = match folder {
            // A manifest of tools in a project of another language is no Python project.
            Some(folder) if tree.within(&folder).any(is_source) => folder,
            Some(_) => return None,
            None if tree.files().iter().any(|file| is_source(file) && is_test(file)) => RelPath::root(),
            None => return None,
        };
        Some(Self::of(tree, folder))
    }

    /// Reads the project in a folder.
    pub(super) fn of(tree: &Tree, folder: RelPath) -> Self {
        let read = |name: &str| {
            let path = folder.join(name).ok()?;
            Some(File { text: tree.read(&path)?, path })
        };
        let ini = [
            "pytest.ini",
            ".pytest.ini",
            "tox.ini",
            "setup.cfg",
            ".flake8",
            "mypy.ini",
            ".mypy.ini",
            "ruff.toml",
            ".ruff.toml",
        ];
        let pyproject = read("pyproject.toml");
        let ini = ini.iter().filter_map(|name| read(name)).collect();
        let mut project = Self { folder, pyproject, ini, packages: None };
        project.packages = project.packages_folder(tree);
        project
    }

    /// Finds the folder of packages that Python would not look into by itself.
    fn packages_folder(&self, tree: &Tree) -> Option<RelPath> {
        let text = self.pyproject.as_ref().map(|file| file.text.as_str()).unwrap_or_default();
        let named = Toml::parse(text).and_then(|pyproject| {
            let first = |value: &DeValue<'_>| match value {
                DeValue::Array(items) => {
                    items.iter().find_map(|item| item.as_ref().as_str().map(str::to_owned))
                }
                _ => None,
            };
            let from = |value: &DeValue<'_>| match value {
                DeValue::Array(items) => items.iter().find_map(|item| match item.as_ref() {
                    DeValue::Table(table) => table
                        .iter()
                        .find(|(key, _)| key.as_ref() == "from")
                        .and_then(|(_, value)| value.as_ref().as_str().map(str::to_owned)),
                    _ => None,
                }),
                _ => None,
            };
            let find = ["tool", "setuptools", "packages", "find", "where"];
            pyproject
                .value(&find)
                .and_then(first)
                .or_else(|| {
                    pyproject.value(&["tool", "setuptools", "package-dir", ""])?.as_str().map(str::to_owned)
                })
                .or_else(|| pyproject.value(&["tool", "poetry", "packages"]).and_then(from))
        });
        let holds_modules = |folder: &RelPath| {
            tree.within(folder).any(|file| {
                file.as_str().ends_with(".py") && file.names().count() <= folder.names().count() + 2
            })
        };
        [named.as_deref(), Some("src")]
            .into_iter()
            .flatten()
            .filter_map(|name| self.folder.join(name).ok())
            .find(|folder| *folder != self.folder && holds_modules(folder))
            // `src` that is itself a package is imported by that name.
            .filter(|folder| !folder.join("__init__.py").is_ok_and(|init| tree.has(init.as_str())))
    }

    fn tests(&self, tree: &Tree) -> Vec<TestFile> {
        tree.within(&self.folder)
            .filter(|file| file.as_str().ends_with(".py") && is_test(file))
            .take(MOST_TESTS)
            .filter_map(|path| {
                let text = tree.peek(path)?;
                let imports = |module: &str| {
                    let starts = [format!("import {module}"), format!("from {module}")];
                    text.lines().zip(1_u32..).find_map(|(line, number)| {
                        let line = line.trim_start();
                        starts
                            .iter()
                            .filter_map(|start| line.strip_prefix(start.as_str()))
                            .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                            .then_some(number)
                    })
                };
                Some(TestFile {
                    path: path.clone(),
                    pytest: imports("pytest"),
                    unittest: imports("unittest"),
                    function: text
                        .lines()
                        .zip(1_u32..)
                        .find(|(line, _)| {
                            line.starts_with("def test_") || line.starts_with("async def test_")
                        })
                        .map(|(_, number)| number),
                })
            })
            .collect()
    }

    /// Returns what says that pytest runs the tests.
    fn pytest(&self, tests: &[TestFile]) -> Option<(Source, Origin)> {
        if let Some(file) = &self.pyproject
            && let Some(pyproject) = Toml::parse(&file.text)
        {
            let tables = [&["tool", "pytest", "ini_options"][..], &["tool", "pytest"]];
            if let Some(line) = tables.iter().find_map(|path| pyproject.line(path)) {
                return Some((source(&file.path, line, "pytest is configured"), Origin::Manifest));
            }
        }
        for file in &self.ini {
            let section = match file.path.name() {
                Some("setup.cfg") => "tool:pytest",
                Some("pytest.ini" | ".pytest.ini" | "tox.ini") => "pytest",
                _ => continue,
            };
            let line = section_line(&file.text, section);
            // An empty pytest.ini is a configuration too.
            let line = line.or((file.path.name() == Some("pytest.ini")).then_some(1));
            if let Some(line) = line {
                return Some((source(&file.path, line, "pytest is configured"), Origin::Manifest));
            }
        }
        let conftest = tests.iter().find(|test| test.path.name() == Some("conftest.py"));
        if let Some(test) = conftest {
            return Some((source(&test.path, 1, "pytest's own file"), Origin::Tests));
        }
        if let Some((test, line)) = tests.iter().find_map(|test| Some((test, test.pytest?))) {
            return Some((source(&test.path, line, "a test imports pytest"), Origin::Tests));
        }
        let (test, line) = tests.iter().find_map(|test| Some((test, test.function?)))?;
        Some((
            source(&test.path, line, "a test is a plain function, which only pytest runs"),
            Origin::Convention,
        ))
    }

    /// Returns the command that runs unittest's tests, where there are any.
    fn unittest(&self, tree: &Tree, tests: &[TestFile]) -> Option<(Tool, Source)> {
        let (test, line) = tests.iter().find_map(|test| Some((test, test.unittest?)))?;
        let mut argv = vec!["python3", "-m", "unittest", "discover"];
        let folder = test.path.parent()?;
        let top = folder.names().nth(self.folder.names().count()).map(str::to_owned);
        // From the project's folder on, discovery only enters packages.
        if let Some(top) = &top {
            let init = self.folder.join(top).ok()?.join("__init__.py").ok()?;
            if !tree.has(init.as_str()) {
                argv.extend(["-s", top]);
            }
        }
        if test.path.name().is_some_and(|name| name.ends_with("_test.py")) {
            argv.extend(["-p", "*_test.py"]);
        }
        let tool = Tool::new(Ecosystem::Python, CommandKind::Test, &argv).runner(TestRunner::Unittest);
        Some((tool, source(&test.path, line, "a test imports unittest")))
    }
}

fn with_path(mut tool: Tool, path: &Option<String>) -> Tool {
    if let Some(path) = path {
        tool.env.insert("PYTHONPATH".into(), path.clone());
    }
    tool
}

fn is_test(file: &RelPath) -> bool {
    let name = file.name().unwrap_or_default();
    name.starts_with("test") || name.ends_with("_test.py") || name == "conftest.py"
}

/// Returns the line of a section of an ini file.
fn section_line(text: &str, section: &str) -> Option<u32> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if line.trim() == format!("[{section}]") {
            return Some(line_at(text, offset));
        }
        offset += line.len();
    }
    None
}
