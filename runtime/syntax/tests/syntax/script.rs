//! Tests of JavaScript and TypeScript and what may happen to them.

use gloaming_syntax::Language;

use crate::{change, compare, kinds, outline};

const SOURCE: &str = r#"import { fooBar, other } from "../src/core.js";
const assert = require("node:assert");

const CASES = [1, 2];

function helper(x) {
  return fooBar(x);
}

const double = (x) => x * 2;

describe("core", () => {
  let state;

  beforeEach(() => {
    state = helper(1);
  });

  it("parses", () => {
    expect(fooBar("1")).toBe(1);
    expect(state).toEqual(`fooBar ${fooBar("2")}`);
  });

  describe("nested", function () {
    it.each(CASES)("takes %s", async (n) => {
      await expect(fooBar(n)).resolves.toBe(n)
    });
  });
});

test("fooBar fails", () => { expect(() => fooBar(null)).toThrow("fooBar"); });

export class Fake extends Base {
  value = 1;
  get() { return this.value; }
}
"#;

#[test]
fn declarations() {
    insta::assert_snapshot!(outline(Language::JavaScript, SOURCE), @r"
    1 Import 
    2 Import 
    4 Constant CASES
    6 Function helper
    10 Function double
    12 Module core [in tests]
    13 Constant core::state [in tests]
    15 Function core::beforeEach [in tests]
    19 Function core::parses [test]
    24 Module core::nested [in tests]
    25 Function core::nested::takes %s [test]
    31 Function fooBar fails [test]
    33 Type Fake
    34 Constant Fake::value
    35 Function Fake::get
    ");
    let typed = "export interface A { b: string }\ntype C = A | null;\nenum D { E }\nexport abstract class F<T> { private g: T; h(): void {} }\nnamespace N { export const x: number = 1; }\nexport const f = async (a: A): Promise<void> => {};\nexport default function main() {}\ndeclare module \"m\" { function q(): void }\n";
    insta::assert_snapshot!(outline(Language::TypeScript, typed), @r#"
    1 Type A
    2 Type C
    3 Type D
    4 Type F
    4 Constant F::g
    4 Function F::h
    5 Module N
    5 Constant N::x
    6 Function f
    7 Function main
    8 Module "m"
    8 Function "m"::q
    "#);
}

fn told(from: &str, to: &str) -> String {
    change(Language::JavaScript, SOURCE, from, to)
}

#[test]
fn a_consistent_renaming_is_no_change() {
    // Not in what a test expects.
    let after = SOURCE
        .replace("fooBar", "parseBar")
        .replace("`parseBar $", "`fooBar $")
        .replace("toThrow(\"parseBar", "toThrow(\"fooBar");
    for language in [Language::JavaScript, Language::TypeScript, Language::Tsx] {
        assert_eq!(compare(language, SOURCE, &after, &[("fooBar", "parseBar")], true), "");
    }
    assert_ne!(compare(Language::JavaScript, SOURCE, &after, &[], true), "");
}

#[test]
fn formatting_comments_and_additions_are_no_change() {
    assert_eq!(told("resolves.toBe(n)\n", "resolves.toBe(n); // said\n"), "");
    assert_eq!(told("expect(fooBar(\"1\")).toBe(1);", "expect(\n      fooBar(\"1\"),\n    ).toBe(1)"), "");
    assert_eq!(
        told(
            "const assert =",
            "import fs, { readFile } from \"node:fs\";\nconst path = require(\"path\")\nconst assert ="
        ),
        ""
    );
    assert_eq!(
        told("const CASES", "const MORE = { a: [1], b: \"x\" };\nfunction more() {}\nconst CASES"),
        ""
    );
    assert_eq!(
        told(
            "  it(\"parses\"",
            "  it(\"parses more\", () => {});\n  describe(\"new\", () => { beforeEach(f); let x = f(); it(\"parses\", () => {}); });\n  it(\"parses\""
        ),
        ""
    );
}

#[test]
fn what_weakens_a_test_is_told() {
    insta::assert_snapshot!(told("toBe(1)", "toBeDefined()"), @"19: Changed core::parses: the test `core::parses` changed at line 20: `) . toBe ( 1 ) expect (` is now `) . toBeDefined ( ) expect ( state`");
    insta::assert_snapshot!(told("it(\"parses\"", "it.skip(\"parses\""), @r#"19: Changed core::parses: the test `core::parses` changed at line 19: `it ( "parses" , ( ) => {` is now `it . skip ( "parses" , ( )`"#);
    insta::assert_snapshot!(told("it(\"parses\"", "xit(\"parses\""), @r#"19: Changed core::parses: the test `core::parses` changed at line 19: `it ( "parses" , ( ) => {` is now `xit ( "parses" , ( ) => {`"#);
    insta::assert_snapshot!(told("describe(\"nested\"", "describe.skip(\"nested\""), @r#"24: HeaderChanged core::nested: the module `core::nested` changed at line 24: `describe ( "nested" , function ( ) )` is now `describe . skip ( "nested" , function (`"#);
    insta::assert_snapshot!(told("describe(\"nested\"", "describe.only(\"nested\""), @r#"24: HeaderChanged core::nested: the module `core::nested` changed at line 24: `describe ( "nested" , function ( ) )` is now `describe . only ( "nested" , function (`"#);
    insta::assert_snapshot!(told("test(\"fooBar fails\", () => { expect(() => fooBar(null)).toThrow(\"fooBar\"); });\n", ""), @"31: Removed fooBar fails: the test `fooBar fails` is gone");
    insta::assert_snapshot!(told("test(\"fooBar fails\"", "test(\"fooBar succeeds\""), @"31: Removed fooBar fails: the test `fooBar fails` is gone");
    insta::assert_snapshot!(told("    state = helper(1);", "    state = null;"), @"15: Changed core::beforeEach: the function `core::beforeEach` changed at line 16: `state = helper ( 1 ) } )` is now `state = null } )`");
    insta::assert_snapshot!(told("it(\"parses\", () => {\n", "it(\"parses\", () => {\n    return\n"), @r#"19: Changed core::parses: the test `core::parses` changed at line 20: `=> { expect ( fooBar ( "1" )` is now `=> { return expect ( fooBar ( "1"`"#);
    // `return` and what follows it are the same tokens with and without the line break.
    let file = "it('a', () => { return check(x) });\n";
    insta::assert_snapshot!(change(Language::JavaScript, file, "return check", "return\ncheck"), @"1: Changed a: the test `a` has the same words, put together otherwise");
}

#[test]
fn what_takes_the_place_of_something_is_told() {
    insta::assert_snapshot!(told("  it(\"parses\"", "  it.only(\"fine\", () => {});\n  it(\"parses\""), @"19: Hook core::fine: `core::fine` is marked to run alone, which leaves the other tests out");
    insta::assert_snapshot!(told("  it(\"parses\"", "  beforeEach(() => { fooBar.mock() });\n  it(\"parses\""), @"19: Hook core::beforeEach: `core::beforeEach` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("const CASES", "jest.mock(\"../src/core.js\");\nconst CASES"), @r#"4: Statement : a statement is new: `jest . mock ( "../src/core.js" )`"#);
    insta::assert_snapshot!(told("const CASES", "expect = () => proxy;\nconst CASES"), @"4: Statement : a statement is new: `expect = ( ) => proxy`");
    insta::assert_snapshot!(told("const CASES", "const expect = () => proxy;\nconst CASES"), @"4: Shadowed expect: `expect` is new and goes by a name that the tests already used");
    insta::assert_snapshot!(told("const CASES", "function expect() { return proxy }\nconst CASES"), @"4: Shadowed expect: `expect` is new and goes by a name that the tests already used");
    insta::assert_snapshot!(told("const CASES", "import { expect } from \"./fake\";\nconst CASES"), @"4: Shadowed : an import brings in `expect`, which the tests already used: `import {expect as expect} from ./fake`");
    insta::assert_snapshot!(told("const CASES", "process.exit(0);\nconst CASES"), @"4: Statement : a statement is new: `process . exit ( 0 )`");
    insta::assert_snapshot!(told("from \"../src/core.js\"", "from \"../src/fake.js\""), @r"
    1: Shadowed : an import brings in `fooBar`, which the tests already used: `import {fooBar as fooBar} from ../src/fake.js`
    1: Shadowed : an import brings in `other`, which the tests already used: `import {other as other} from ../src/fake.js`
    1: Statement : an import is gone: `import {fooBar as fooBar} from ../src/core.js`
    1: Statement : an import is gone: `import {other as other} from ../src/core.js`
    ");
}

#[test]
fn jsx_is_code() {
    let file =
        "test('shows', () => { render(<App name=\"x\">hello {fooBar()}</App>); expect(text).toBe('x') })\n";
    assert_eq!(kinds(&change(Language::Tsx, file, "hello", "hullo")), ["Changed"]);
    let renamed = file.replace("fooBar", "parseBar");
    assert_eq!(compare(Language::Tsx, file, &renamed, &[("fooBar", "parseBar")], true), "");
}

#[test]
fn a_comment_that_names_the_environment_is_no_plain_comment() {
    let source = "/**\n * @jest-environment node\n */\ntest('x', () => {\n  f();\n});\n";
    let check = |after: &str| compare(Language::JavaScript, source, after, &[], true);
    assert_ne!(check(&source.replace("node", "./fake.js")), "");
    assert_ne!(check(&source.replace(" * @jest-environment node\n", "")), "");
    assert_eq!(check(&source.replace("test(", "// plain\ntest(")), "");
}
