//! Maven and Gradle projects.

use gloaming_api::RelPath;
use gloaming_api::profile::{CommandKind, Ecosystem, PackageManager};

use super::{beside, roots};
use crate::commands::{Tool, gradle_command, maven_command};
use crate::mine::{Mined, Origin, line_of, source};
use crate::tree::Tree;

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let mut found = false;
    for (file, folder) in roots(tree, "pom.xml") {
        found |= mine_pom(tree, file, &folder, mined);
    }
    let mut gradle = [roots(tree, "build.gradle"), roots(tree, "build.gradle.kts")].concat();
    gradle.sort_by_key(|(_, folder)| folder.names().count());
    for (at, (file, folder)) in gradle.iter().enumerate() {
        // Of two projects of which one lies in the other's folder, the outer one builds both.
        if !gradle[..at].iter().any(|(_, outer)| folder.is_within(outer)) {
            found |= mine_gradle(tree, file, folder, mined);
        }
    }
    found
}

/// Mines one Maven project; returns whether the file is one.
pub(super) fn mine_pom(tree: &Tree, file: &RelPath, folder: &RelPath, mined: &mut Mined) -> bool {
    let Some(text) = tree.read(file) else { return false };
    let document = match roxmltree::Document::parse(&text) {
        // In whatever namespace: old projects declare none.
        Ok(document) if document.root_element().tag_name().name() == "project" => document,
        _ => {
            mined.reject("mvn test", source(file, 1, "a pom.xml"), "the file is no project that can be read");
            return false;
        }
    };
    let place = || source(file, line_of(&text, "<project").unwrap_or(1), "a Maven project");
    mined.manager(PackageManager::Maven, folder, None, place());
    for (tag, because) in [
        ("maven.compiler.release", "maven.compiler.release"),
        ("maven.compiler.source", "maven.compiler.source"),
        ("java.version", "java.version"),
    ] {
        let element = document.descendants().find(|node| node.is_element() && node.tag_name().name() == tag);
        if let Some(version) = element.and_then(|node| node.text()).map(str::trim)
            && version.starts_with(|c: char| c.is_ascii_digit())
        {
            let line = line_of(&text, &format!("<{tag}>")).unwrap_or(1);
            mined.pin("java", version, source(file, line, because));
            break;
        }
    }
    let fetch = Tool::new(Ecosystem::Java, CommandKind::Install, &["mvn", "-B", "dependency:go-offline"]);
    mined.add(Origin::Manifest, fetch, folder, place());
    mined.add(Origin::Manifest, maven_command("test-compile"), folder, place());
    mined.add(Origin::Manifest, maven_command("test"), folder, place());
    for (plugin, kind, goal) in [
        ("maven-checkstyle-plugin", CommandKind::Lint, "checkstyle:check"),
        ("spotless-maven-plugin", CommandKind::Format, "spotless:check"),
    ] {
        if let Some(line) = line_of(&text, plugin) {
            let tool = Tool::new(Ecosystem::Java, kind, &["mvn", "-B", "-o", goal]);
            mined.add(Origin::Manifest, tool, folder, source(file, line, format!("{plugin} is configured")));
        }
    }
    true
}

/// Mines one Gradle project. Its file is a program: only a few plain words are looked for.
pub(super) fn mine_gradle(tree: &Tree, file: &RelPath, folder: &RelPath, mined: &mut Mined) -> bool {
    let Some(text) = tree.read(file) else { return false };
    let applies = |line: &str| {
        // `id 'java'`, `id("java-library")`, `apply plugin: 'groovy'`, `` `java-library` ``, `kotlin("jvm")`.
        let words = line.split(['\'', '"', '`', '(', ')', ' ']);
        (line.starts_with("id")
            || line.starts_with("apply")
            || line.starts_with('`')
            || line.contains("kotlin("))
            && words.into_iter().any(|word| {
                matches!(word, "java" | "java-library" | "application" | "groovy" | "scala" | "kotlin")
                    || word == "org.jetbrains.kotlin.jvm"
            })
            || line == "java"
    };
    let line = text.lines().zip(1_u32..).find(|(line, _)| applies(line.trim())).map(|(_, number)| number);
    let because = if line.is_some() { "a Gradle project with a JVM plugin" } else { "a Gradle project" };
    let place = || source(file, line.unwrap_or(1), because);
    let lockfile = beside(tree, folder, "gradle.lockfile");
    mined.manager(PackageManager::Gradle, folder, lockfile, place());
    for key in ["JavaLanguageVersion.of(", "sourceCompatibility"] {
        let Some(number) = line_of(&text, key) else { continue };
        let rest = text
            .lines()
            .nth(number as usize - 1)
            .and_then(|line| line.split_once(key))
            .map_or("", |(_, rest)| rest);
        let version: String = rest
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        if !version.is_empty() {
            mined.pin("java", &version, source(file, number, key.trim_end_matches(['(', '.'])));
            break;
        }
    }
    mined.add(Origin::Manifest, gradle_command("testClasses"), folder, place());
    mined.add(Origin::Manifest, gradle_command("test"), folder, place());
    true
}
