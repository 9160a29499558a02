//! Tests that come with a new file of code.

use gloaming_api::profile::{CommandKind, TestRunner};

use crate::support::{Case, command, told};

const MANIFEST: &str = "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";

const LIB: &str = "pub fn add(a: u8, b: u8) -> u8 {\n    a + b\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    \
                   fn adds() {\n        assert_eq!(super::add(1, 2), 3);\n    }\n}\n";

#[tokio::test]
async fn inline_tests_of_a_new_rust_file_fail_without_it_unless_they_are_about_other_code() {
    let cargo = command(CommandKind::Test, Some(TestRunner::Cargo), &["cargo", "test"]);
    let files = [("Cargo.toml", MANIFEST), ("Cargo.lock", LOCK), ("src/lib.rs", LIB)];
    let mut case = Case::new(vec![cargo], &files);
    case.effort.mutants = 0;
    case.effort.coverage = false;
    case.effort.reruns.baseline_runs = 1;
    let lib = format!("{LIB}\npub mod four;\n");
    let four = |test: &str| {
        format!(
            "pub fn four() -> u8 {{\n    4\n}}\n\n#[cfg(test)]\nmod tests {{\n    #[test]\n    fn t() {{\n        {test}\n    }}\n}}\n"
        )
    };
    let own = four("assert_eq!(super::four(), 4);");
    let Some(evidence) = case.verify(&[("src/lib.rs", &lib), ("src/four.rs", &own)]).await else { return };
    assert_eq!(evidence.fail_to_pass.len(), 1, "{evidence:#?}");
    assert!(told(&evidence, "V5").contains("do not compile without it"), "{}", told(&evidence, "V5"));
    let other = four("assert_eq!(crate::add(2, 2), 4);");
    let evidence = case.verify(&[("src/lib.rs", &lib), ("src/four.rs", &other)]).await.unwrap();
    assert_eq!(evidence.fail_to_pass, Vec::<String>::new(), "{}", told(&evidence, "V5"));
}

const LOCK: &str = "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n";
