//! `edit` against the plainest thing it could be: find, count, replace.
//!
//! Parts of the input: `file PATH` with its content; `edit PATH` or `all PATH` with the old text, and `new` with the
//! new one behind each.

use guest::edit::{Args, Item, edit};

use crate::tree::{self, Tree};

/// How many edits an input makes at most.
const EDITS: usize = 12;

/// Holds one input against all that must be true of it.
pub fn check(data: &[u8]) {
    let mut before = Tree::new();
    let mut items: Vec<Item> = Vec::new();
    for (head, body) in crate::parts(data) {
        let (word, path) = head.split_once(' ').unwrap_or((head, ""));
        if word == "file" {
            tree::add(&mut before, path, body);
            continue;
        }
        let Ok(body) = std::str::from_utf8(body) else { continue };
        let room = items.len() < EDITS;
        match (word, items.last_mut()) {
            ("edit" | "all", _) if room => {
                items.push(Item {
                    path: Some(path.to_owned()),
                    old: body.to_owned(),
                    new: String::new(),
                    all: word == "all",
                });
            }
            ("new", Some(item)) => item.new = body.to_owned(),
            _ => {}
        }
    }
    let wanted = expected(&before, &items);
    let several = Args { edits: Some(items.clone()), ..Args::default() };
    holds(&before, &items, &several, wanted.as_ref());
    if let [item] = items.as_slice() {
        let Item { path, old, new, all } = item.clone();
        holds(
            &before,
            &items,
            &Args { path, old: Some(old), new: Some(new), all, edits: None },
            wanted.as_ref(),
        );
    }
}

fn holds(before: &Tree, items: &[Item], args: &Args, wanted: Option<&Tree>) {
    let files = tree::workspace(before);
    let result = edit(&files, args);
    let after = tree::contents(&files);
    match &result {
        Ok(output) => {
            assert!(output.text.ends_with('\n'));
            assert_ne!(&after, before, "an edit changes something");
            let replaced: u32 = output.files.iter().map(|file| file.replaced).sum();
            assert_eq!(replaced, output.replaced);
        }
        Err(failure) => {
            assert_eq!(&after, before, "a failed edit changes nothing");
            assert!(!failure.message.is_empty());
        }
    }
    let texts = items.iter().flat_map(|item| [item.old.as_bytes(), item.new.as_bytes()]);
    let has_returns = before.values().map(Vec::as_slice).chain(texts).any(|text| text.contains(&b'\r'));
    // An edit among returns can change what the next one takes for a line's ending.
    if has_returns && items.len() > 1 {
        return;
    }
    // A near miss is repaired only where the text itself does not occur; lines of files have their number before them.
    let repaired = |text: &str| text.lines().any(|line| line.starts_with("[repaired: "));
    if result.as_ref().is_ok_and(|output| repaired(&output.text)) {
        assert!(wanted.is_none(), "{result:?}, and expected was {wanted:?}");
        return;
    }
    assert_eq!(result.is_ok(), wanted.is_some(), "{result:?}, and expected was {wanted:?}");
    let Some(wanted) = wanted else { return };
    if has_returns {
        // New lines get the endings of those beside them.
        let plain = |tree: &Tree| -> Tree {
            let without = |data: &[u8]| data.iter().copied().filter(|byte| *byte != b'\r').collect();
            tree.iter().map(|(path, data)| (path.clone(), without(data))).collect()
        };
        assert_eq!(plain(&after), plain(wanted));
    } else {
        assert_eq!(&after, wanted);
    }
}

/// What is there after the edits, every line ending as LF; none where they are refused.
fn expected(before: &Tree, items: &[Item]) -> Option<Tree> {
    let unified = |data: &[u8]| replaced(data, b"\r\n", b"\n", &places(data, b"\r\n", true));
    let mut after: Tree = before.iter().map(|(path, data)| (path.clone(), unified(data))).collect();
    let all_before = after.clone();
    for item in items {
        let path = guest::path::normal(item.path.as_deref()?);
        let text = after.get_mut(&path)?;
        if guest::lines::is_binary(&before[&path]) || item.old.is_empty() {
            return None;
        }
        let (old, new) = (unified(item.old.as_bytes()), unified(item.new.as_bytes()));
        let places = places(text, &old, item.all);
        if places.is_empty() || (places.len() > 1 && !item.all) || old == new {
            return None;
        }
        *text = replaced(text, &old, &new, &places);
    }
    (after != all_before).then_some(after)
}

/// Where a text occurs; `apart` leaves out what overlaps the one before.
fn places(text: &[u8], wanted: &[u8], apart: bool) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    for at in 0..text.len() {
        let overlaps = places.last().is_some_and(|last| at < last + wanted.len());
        if text[at..].starts_with(wanted) && !(apart && overlaps) {
            places.push(at);
        }
    }
    places
}

fn replaced(text: &[u8], old: &[u8], new: &[u8], places: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut kept = 0;
    for &at in places {
        out.extend_from_slice(&text[kept..at]);
        out.extend_from_slice(new);
        kept = at + old.len();
    }
    out.extend_from_slice(&text[kept..]);
    out
}
