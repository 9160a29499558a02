//! A fix as a patch on its parent, and the same with one of its lines mutated.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use gloaming_api::evidence::FileRole;
use gloaming_syntax::Language;

use crate::{Fault, Outcome};

/// Asks git in a clone. `index` is an index of its own.
#[expect(clippy::disallowed_methods, reason = "a program for people: it asks git")]
pub(crate) fn git(clone: &Path, index: Option<&Path>, args: &[&str], input: &[u8]) -> Outcome<Vec<u8>> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(clone)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("git {args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(output.stdout)
}

fn word(bytes: Vec<u8>) -> Outcome<String> {
    Ok(String::from_utf8(bytes)?.trim().to_owned())
}

/// The diff from a commit's parent to a tree.
pub(crate) fn diff(clone: &Path, commit: &str, tree: &str) -> Outcome<Vec<u8>> {
    let base = format!("{commit}^");
    git(clone, None, &["diff", "--binary", "--no-renames", "--no-ext-diff", &base, tree], &[])
}

/// A fault in a line the fix adds, and the tree that has it.
pub(crate) struct Mutated {
    pub(crate) fault: Fault,
    pub(crate) tree: String,
}

/// At most so many faults in lines of code that a commit adds, in the order of files and lines.
pub(crate) fn mutants(clone: &Path, commit: &str, most: usize, seed: u64) -> Outcome<Vec<Mutated>> {
    let base = format!("{commit}^");
    let names = git(
        clone,
        None,
        &["diff", "--name-only", "--no-renames", "--diff-filter=AM", "-z", &base, commit],
        &[],
    )?;
    let mut found = Vec::new();
    for path in String::from_utf8(names)?.split('\0').filter(|path| !path.is_empty()) {
        let role = gloaming_workspace::role(&gloaming_api::RelPath::parse(path)?);
        let Some(language) = Language::of(path).filter(|_| role == FileRole::Code) else { continue };
        let source = git(clone, None, &["show", &format!("{commit}:{path}")], &[])?;
        let hunks = git(
            clone,
            None,
            &["diff", "-U0", "--no-renames", "--no-ext-diff", &base, commit, "--", path],
            &[],
        )?;
        for fault in gloaming_syntax::mutants(language, &source, &added(&String::from_utf8_lossy(&hunks))) {
            if let Some(content) = fault.apply(&source) {
                found.push((path.to_owned(), fault, content));
            }
        }
    }
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by_key(|number| scramble(seed ^ (*number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let chosen: BTreeSet<usize> = order.into_iter().take(most).collect();
    let scratch = tempfile::tempdir()?;
    let index = scratch.path().join("index");
    let mut out = Vec::new();
    for (_, (path, fault, content)) in
        found.into_iter().enumerate().filter(|(number, _)| chosen.contains(number))
    {
        let mode = word(git(clone, None, &["ls-tree", "--format=%(objectmode)", commit, "--", &path], &[])?)?;
        let blob = word(git(clone, None, &["hash-object", "-w", "--stdin"], &content)?)?;
        git(clone, Some(&index), &["read-tree", commit], &[])?;
        git(clone, Some(&index), &["update-index", "--cacheinfo", &format!("{mode},{blob},{path}")], &[])?;
        let tree = word(git(clone, Some(&index), &["write-tree"], &[])?)?;
        let instead = if fault.replacement.trim().is_empty() { "nothing" } else { fault.replacement.trim() };
        let mutation = gloaming_api::bowout::shorten(&format!("`{}` → `{instead}`", fault.original), 160);
        let fault = Fault { file: path, line: fault.line, operator: fault.operator.to_owned(), mutation };
        out.push(Mutated { fault, tree });
    }
    Ok(out)
}

/// The numbers of added lines of a diff without context.
fn added(diff: &str) -> BTreeSet<u32> {
    let mut out = BTreeSet::new();
    for line in diff.lines().filter(|line| line.starts_with("@@ ")) {
        let Some(place) = line.split_whitespace().find_map(|word| word.strip_prefix('+')) else { continue };
        let (first, count) = place.split_once(',').unwrap_or((place, "1"));
        if let (Ok(first), Ok(count)) = (first.parse::<u32>(), count.parse::<u32>()) {
            out.extend(first..first.saturating_add(count));
        }
    }
    out
}

/// SplitMix64's finalizer: which mutants are taken depends on nothing but the seed.
fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
