//! The page on the tools says what is so: its examples are made, one after another, on the workspace it shows.

use std::io::Read;
use std::sync::Arc;

use gloaming_api::RelPath;
use gloaming_sandbox::{Base, BaseError, BaseFile, Files};
use serde_json::Value;

use crate::support::{permit, put, sandbox};

const PAGE: &str = include_str!("../../../docs/tools.md");

/// The workspace as it was, contents by path.
struct Before(Vec<(BaseFile, String)>, Vec<BaseFile>);

impl Base for Before {
    fn files(&self) -> Result<&[BaseFile], BaseError> {
        Ok(&self.1)
    }

    fn read(&self, file: &BaseFile) -> Result<Vec<u8>, BaseError> {
        let found = self.0.iter().find(|(other, _)| other == file);
        Ok(found.map(|(_, text)| text.clone().into_bytes()).unwrap_or_default())
    }

    fn holds(&self, file: &BaseFile, content: &mut dyn Read) -> std::io::Result<bool> {
        let mut found = String::new();
        content.read_to_string(&mut found)?;
        Ok(self.0.iter().any(|(other, text)| other == file && *text == found))
    }
}

/// The page's blocks: what stands behind the fence, the text, and where it lies in the page.
fn blocks() -> Vec<(&'static str, &'static str, std::ops::Range<usize>)> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(open) = PAGE[at..].find("\n```") {
        let info = at + open + 4;
        let text = info + PAGE[info..].find('\n').expect("a fence ends") + 1;
        let end = text + PAGE[text..].find("```").expect("a block ends");
        blocks.push((&PAGE[info..text - 1], &PAGE[text..end], text..end));
        at = end + 3;
    }
    blocks
}

#[test]
fn every_example_of_the_page_on_the_tools_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let mut base = Vec::new();
    for (info, text, _) in blocks() {
        if let Some(path) = info.strip_prefix("file ") {
            put(dir.path(), path, text);
            let path = RelPath::parse(path).unwrap();
            let size = text.len() as u64;
            let file = BaseFile { id: path.to_string(), path, size, executable: false };
            base.push((file, text.to_owned()));
        }
    }
    base.sort_by(|a, b| a.0.path.as_str().cmp(b.0.path.as_str()));
    let files = base.iter().map(|(file, _)| file.clone()).collect();
    let files = Files::open(dir.path()).unwrap().with_base(Arc::new(Before(base, files)));
    let (mut page, mut copied) = (String::new(), 0);
    let mut called: Option<String> = None;
    for (info, text, place) in blocks() {
        if let Some(tool) = info.strip_prefix("call ") {
            let args: Value =
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{tool}: {error}: {text}"));
            let answer = sandbox().call(&permit(tool), &files, &args).outcome.for_model();
            called = Some(format!("{}\n", answer.trim_end()));
        } else if info == "answer" {
            page.push_str(&PAGE[copied..place.start]);
            page.push_str(&called.take().expect("an answer stands below its call"));
            copied = place.end;
        }
    }
    page.push_str(&PAGE[copied..]);
    let fresh = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools.md");
    std::fs::write(&fresh, &page).unwrap();
    assert_eq!(PAGE, page, "docs/tools.md is not what the tools do; as it would be: {}", fresh.display());
}

#[test]
fn every_tool_has_its_section_and_every_argument_is_named_there() {
    for tool in sandbox().tools() {
        let heading = format!("\n## `{}`\n", tool.name);
        let (_, section) = PAGE
            .split_once(&heading)
            .unwrap_or_else(|| panic!("docs/tools.md has no section on {}", tool.name));
        let section = section.split("\n## ").next().unwrap();
        for argument in tool.input_schema["properties"].as_object().unwrap().keys() {
            let names = [format!("`{argument}`"), format!("\"{argument}\"")];
            assert!(
                names.iter().any(|name| section.contains(name)),
                "{}: {argument} is not named",
                tool.name
            );
        }
    }
}
