//! The author's guide says what is so.

use gloaming_policies::{Layer, TOOLS, parse};

use crate::show;

#[test]
fn every_example_of_the_guide_loads() {
    let guide = include_str!("../../../docs/policy.md");
    let mut examples = 0;
    for (at, block) in guide.split("```toml\n").enumerate().skip(1) {
        let block = block.split("```").next().unwrap_or("");
        if !block.starts_with("schema") {
            continue;
        }
        examples += 1;
        let name = format!("example {at}");
        let file = parse(&name, block).unwrap_or_else(|faults| panic!("{}", show(&faults)));
        let repo = file.example_repo();
        gloaming_policies::Grant::resolve(&repo, vec![(Layer::Operator, file)])
            .unwrap_or_else(|faults| panic!("{}", show(&faults)));
    }
    assert!(examples >= 3, "the guide has examples");
    for tool in TOOLS {
        assert!(guide.contains(&format!("`{tool}`")), "the guide does not name {tool}");
    }
}
