//! C and C++: CMake with CTest, and the targets `check` and `test` of a Makefile.

use gloaming_api::RelPath;
use gloaming_api::profile::{CommandKind, Ecosystem, PackageManager};

use super::{has_extension, roots};
use crate::commands::{Tool, ctest_build, ctest_test};
use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;

pub(super) const EXTENSIONS: &[&str] = &["c", "h", "cc", "cpp", "cxx", "hpp", "hh", "hxx"];

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let has_source = tree.files().iter().any(|file| has_extension(file, EXTENSIONS));
    if !has_source {
        return false;
    }
    let mut found = false;
    for (file, folder) in roots(tree, "CMakeLists.txt") {
        found |= mine_cmake(tree, file, &folder, mined);
    }
    // A Makefile beside another language's manifest drives that language.
    if !found && !mined.others {
        found |= mine_make(tree, mined);
    }
    found
}

fn mine_cmake(tree: &Tree, file: &RelPath, folder: &RelPath, mined: &mut Mined) -> bool {
    let Some(text) = tree.read(file) else { return false };
    let command = |name: &str| {
        text.lines().zip(1_u32..).find_map(|(line, number)| {
            let (word, arguments) = line.trim_start().split_once('(')?;
            word.trim_end().eq_ignore_ascii_case(name).then(|| (number, arguments.trim()))
        })
    };
    let Some((line, _)) = command("project") else { return false };
    if let Some((line, arguments)) = command("cmake_minimum_required") {
        let version = arguments.trim_start_matches("VERSION").trim().trim_end_matches(')');
        mined.pin("cmake", version, source(file, line, "cmake_minimum_required"));
    }
    let place = || source(file, line, "a CMake project");
    mined.manager(PackageManager::Cmake, folder, None, place());
    mined.add(Origin::Manifest, ctest_build(), folder, place());
    let tests = command("enable_testing")
        .map(|(line, _)| (line, "enable_testing()"))
        .or_else(|| {
            let (line, arguments) = command("include")?;
            arguments.starts_with("CTest").then_some((line, "include(CTest)"))
        })
        .or_else(|| command("add_test").map(|(line, _)| (line, "add_test()")));
    match tests {
        Some((line, because)) => {
            mined.add(Origin::Manifest, ctest_test(), folder, source(file, line, because));
        }
        None => {
            let reason = "no enable_testing() or include(CTest) in the file: CTest has no test to run";
            mined.reject("ctest", place(), reason);
        }
    }
    true
}

/// The targets that a project's own Makefile runs its tests by.
const TEST_TARGETS: &[&str] = &["check", "test", "tests"];

fn mine_make(tree: &Tree, mined: &mut Mined) -> bool {
    let root = RelPath::root();
    if let Some((file, _)) = ["meson.build"].iter().find_map(|name| roots(tree, name).into_iter().next()) {
        mined.reject("meson test", source(file, 1, "a Meson project"), "Meson is not driven yet");
    }
    let configure = ["configure", "configure.ac", "configure.in"]
        .iter()
        .find_map(|name| super::beside(tree, &root, name));
    let makefile =
        ["GNUmakefile", "makefile", "Makefile"].iter().find_map(|name| super::beside(tree, &root, name));
    let Some(file) = makefile else {
        let Some(file) = configure else { return false };
        let reason = "the Makefile is made by ./configure, and a command is one program: write the two into one \
                      script, and name it in .gloaming/profile.toml";
        mined.reject("make check", source(&file, 1, "an Autotools project"), reason);
        return true;
    };
    let Some(text) = tree.read(&file) else { return false };
    let targets: Vec<(&str, u32)> = text
        .lines()
        .zip(1_u32..)
        .filter_map(|(line, number)| Some((crate::makefile::target_name(line)?, number)))
        .collect();
    let place = |line| source(&file, line, "a Makefile beside C sources");
    mined.manager(PackageManager::Make, &root, None, place(1));
    let tool = |kind, argv: &[&str]| Tool::new(Ecosystem::C, kind, argv);
    let first = targets.iter().find(|(name, _)| !name.starts_with('.') && !name.contains(['$', '%']));
    if let Some((_, line)) = first.filter(|(name, _)| !TEST_TARGETS.contains(name)) {
        mined.add(Origin::Manifest, tool(CommandKind::Build, &["make"]), &root, place(*line));
    }
    for wanted in TEST_TARGETS {
        if let Some((name, line)) = targets.iter().find(|(name, _)| name == wanted) {
            let because = format!("target {name:?} of the Makefile; make tells of no single test");
            let tool = tool(CommandKind::Test, &["make", name]).weight(9);
            mined.add(Origin::Convention, tool, &root, source(&file, *line, because));
        }
    }
    true
}
