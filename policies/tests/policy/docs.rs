//! The author's guide says what is so.

use gloaming_policies::{Diagnostic, Grant, Lanes, Layer, TOOLS, load};

use crate::{check, show};

const GUIDE: &str = include_str!("../../../docs/policy.md");

/// A fenced example of the guide: what stands behind `toml` in its first line, and the text.
struct Example {
    label: &'static str,
    text: &'static str,
    /// The heading it stands under.
    section: &'static str,
}

fn examples() -> Vec<Example> {
    let mut all = Vec::new();
    let mut start = 0;
    while let Some(at) = GUIDE[start..].find("```toml").map(|at| start + at) {
        let (head, body) = GUIDE[at + 7..].split_once('\n').expect("a fence has a line");
        let text = body.split("```").next().expect("a fence ends");
        let section =
            GUIDE[..at].rfind("\n##").map_or("", |from| GUIDE[from + 1..at].lines().next().unwrap());
        all.push(Example { label: head.trim(), text, section });
        start = at + 7 + head.len() + 1 + text.len() + 3;
    }
    all
}

fn resolve(example: &Example) -> Result<Grant, Vec<Diagnostic>> {
    let name = if example.label.is_empty() { example.section } else { example.label };
    // What an example extends stands in the guide too, under its name.
    let read = |wanted: &str| {
        let found = examples().into_iter().find(|other| other.label == wanted);
        found.map(|other| other.text.to_owned()).ok_or_else(|| "the guide has none".to_owned())
    };
    let file = load(name, example.text, &read)?;
    let repo = file.example_repo();
    Grant::resolve_on(&repo, vec![(Layer::Operator, file)], Lanes::ALL)
}

#[test]
fn every_example_of_the_guide_loads_or_does_not_as_it_says() {
    let mut faults = Vec::new();
    for example in examples() {
        let resolved = resolve(&example);
        if let Some(wanted) = example.label.strip_prefix("does not load: ") {
            let told = resolved.err().map(|found| show(&found)).unwrap_or_default();
            if !told.contains(wanted) {
                faults.push(format!("{}: wanted {wanted:?}, got {told:?}\n", example.section));
            }
        } else if let Err(found) = resolved {
            faults.push(format!("{}:\n{}", example.section, show(&found)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.concat());
    for tool in TOOLS {
        assert!(GUIDE.contains(&format!("`{tool}`")), "the guide does not name {tool}");
    }
}

#[test]
fn every_recipe_proves_what_it_claims() {
    let (_, cookbook) = GUIDE.split_once("\n## Cookbook\n").expect("the guide has a cookbook");
    let cookbook = cookbook.split("\n## ").next().unwrap_or_default();
    let recipes: Vec<&str> = cookbook.lines().filter(|line| line.starts_with("### ")).collect();
    assert!(recipes.len() >= 12, "{recipes:?}");
    for recipe in recipes {
        let proved = examples().iter().filter(|example| example.section == recipe).any(|example| {
            example.text.contains("expect = \"allow\"") && example.text.contains("expect = \"deny\"")
        });
        assert!(proved, "{recipe} has no example that says what it allows and what it denies");
    }
}

#[test]
fn what_a_test_cannot_ask_is_so_too() {
    let grant = |section: &str| {
        let example = examples().into_iter().find(|example| example.section == section).expect(section);
        resolve(&example).unwrap_or_else(|faults| panic!("{}", show(&faults)))
    };
    let path = |text: &str| gloaming_api::RelPath::parse(text).unwrap();

    let jobs = grant("### Keep a file from jobs, and let the model read it");
    assert!(jobs.withheld(&path("fixtures/customers/a.csv")).is_some());
    assert!(jobs.withheld(&path("fixtures/other.csv")).is_none());

    let warns = grant("### Roll a rule out");
    let warned = |call: &str| -> Vec<String> {
        warns.explain(call).unwrap().warnings.into_iter().map(|rule| rule.id).collect()
    };
    assert_eq!(warned("edit src/api/v1/mod.rs"), ["v1-is-frozen"]);
    assert!(warned("read src/api/v1/mod.rs").is_empty() && warned("edit src/lib.rs").is_empty());

    let base =
        examples().into_iter().find(|example| example.label == "policies/api.toml").expect("it is there");
    let base = resolve(&base).unwrap();
    assert_eq!((base.budget().cost_usd, base.budget().steps, base.change().files), (4.0, 60, 15));
    let read_only = grant("### A repository that is only read");
    assert!(!read_only.offers("edit") && read_only.offers("read"));
}

/// The table of the guide: a denial of paths that names one tool, and what it binds.
#[test]
fn denials_bind_what_the_guide_says() {
    let (_, table) = GUIDE.split_once("| a denial of paths that names | binds as well |").expect("the table");
    let rows: Vec<(&str, Vec<&str>)> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let name = cells.next().unwrap().trim_matches('`');
            (name, cells.next().unwrap().split('`').skip(1).step_by(2).collect())
        })
        .collect();
    assert_eq!(rows.len(), gloaming_policies::WRITING_TOOLS.len());
    for (named, bound) in rows {
        let text = format!(
            "schema = 1\nextends = [\"preset:standard\"]\n[[deny]]\nid = \"x\"\ntools = [\"{named}\"]\n\
             paths = [\"gen/\"]\nbecause = \"y\"\n"
        );
        let grant = crate::operator(&text);
        let table: String = gloaming_policies::WRITING_TOOLS
            .iter()
            .map(|tool| match *tool == named || bound.contains(tool) {
                true => format!("{tool} gen/a => deny x policy.toml:3\n"),
                false => format!("{tool} gen/a => allow change-every-file preset:standard:9\n"),
            })
            .collect();
        check(&grant, &table);
    }
}
