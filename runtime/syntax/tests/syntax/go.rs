//! Go's tests and what may happen to them.

use gloaming_syntax::Language;

use crate::{change, compare, outline};

const SOURCE: &str = r#"package core_test

import (
	"testing"

	"example.com/core"
	req "github.com/stretchr/testify/require"
)

const limit = 3

var cases = []struct{ in string; want int }{
	{"1", 1},
	{"fooBar", 0},
}

type fake struct{ n int }

func (f *fake) Get() int { return f.n }

func helper(t *testing.T) *fake {
	t.Helper()
	return &fake{1}
}

// TestFooBar tests.
func TestFooBar(t *testing.T) {
	for _, c := range cases {
		t.Run(c.in, func(t *testing.T) {
			req.Equal(t, c.want, core.FooBar(c.in))
		})
	}
	if helper(t).Get() != 1 {
		t.Fatalf("FooBar(%q) failed", "x")
	}
}

func BenchmarkFooBar(b *testing.B) { core.FooBar("1") }

func Testify(t *testing.T) {}
"#;

#[test]
fn declarations() {
    insta::assert_snapshot!(outline(Language::Go, SOURCE), @r"
    1 Statement 
    3 Import 
    10 Constant limit
    12 Constant cases
    17 Type fake
    19 Function fake::Get
    21 Function helper [in tests]
    27 Function TestFooBar [test]
    38 Function BenchmarkFooBar [test]
    40 Function Testify [in tests]
    ");
}

fn told(from: &str, to: &str) -> String {
    change(Language::Go, SOURCE, from, to)
}

#[test]
fn a_consistent_renaming_is_no_change() {
    let after = SOURCE.replace(".FooBar", ".ParseBar").replace("FooBar(%q)", "ParseBar(%q)");
    assert_eq!(compare(Language::Go, SOURCE, &after, &[("FooBar", "ParseBar")], true), "");
    assert_ne!(compare(Language::Go, SOURCE, &after, &[], true), "");
}

#[test]
fn formatting_comments_and_additions_are_no_change() {
    assert_eq!(told("// TestFooBar tests.", "// TestFooBar tests more.\n//\n// Much more."), "");
    assert_eq!(told("	\"testing\"\n", "	\"testing\"\n"), "");
    assert_eq!(
        told(
            "const limit = 3",
            "const limit = 3\n\nconst more = 4\n\ntype other struct{}\n\nfunc (o other) Get() int { return 1 }\n\nvar table = []int{1, 2}\n\nfunc TestMore(t *testing.T) {}"
        ),
        ""
    );
    assert_eq!(told("func BenchmarkFooBar", "import \"os\"\n\nfunc BenchmarkFooBar"), "");
}

#[test]
fn what_weakens_a_test_is_told() {
    insta::assert_snapshot!(told("req.Equal(t, c.want,", "req.NotEqual(t, -1,"), @"27: Changed TestFooBar: the test `TestFooBar` changed at line 30: `req . Equal ( t , c .` is now `req . NotEqual ( t , - 1`");
    insta::assert_snapshot!(told("	for _, c := range cases {", "	t.Skip()\n	for _, c := range cases {"), @"27: Changed TestFooBar: the test `TestFooBar` changed at line 28: `) { for _ , c := range` is now `) { t . Skip ( ) for`");
    insta::assert_snapshot!(told("	{\"1\", 1},\n", ""), @r#"12: Statement cases: the constant `cases` changed at line 13: `{ { "1" , 1 } , {` is now `{ { "fooBar" , 0 } }`"#);
    insta::assert_snapshot!(told("func TestFooBar(", "func testFooBar("), @"27: Removed TestFooBar: the test `TestFooBar` is gone");
    insta::assert_snapshot!(told("package core_test\n", "//go:build never\n\npackage core_test\n"), @"1: Statement : a statement is new: `//go:build never`");
    insta::assert_snapshot!(told("req \"github.com/stretchr/testify/require\"", "req \"example.com/fake/require\""), @r#"
    3: Shadowed : an import brings in `req`, which the tests already used: `import req "example.com/fake/require"`
    3: Statement : an import is gone: `import req "github.com/stretchr/testify/require"`
    "#);
}

#[test]
fn what_takes_the_place_of_something_is_told() {
    insta::assert_snapshot!(told("const limit = 3", "const limit = 3\n\nfunc TestMain(m *testing.M) { os.Exit(0) }"), @"12: Hook TestMain: `TestMain` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("const limit = 3", "const limit = 3\n\nfunc init() { os.Exit(0) }"), @"12: Hook init: `init` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("const limit = 3", "const limit = 3\n\nvar _ = stop()"), @"12: Statement : a statement gives `_`, which the tests already used, a new meaning: `var _ = stop ( )`");
    insta::assert_snapshot!(told("const limit = 3", "const limit = 3\n\nfunc core() {}"), @"12: Shadowed core: `core` is new and goes by a name that the tests already used");
    insta::assert_snapshot!(told("	\"testing\"\n", "	\"testing\"\n	. \"example.com/fake\"\n"), @r#"3: Shadowed : an import brings in names that cannot be told: `import . "example.com/fake"`"#);
    insta::assert_snapshot!(compare(Language::Go, "", "package x\nimport \"testing\"\nfunc TestMain(m *testing.M) {}\nfunc TestNew(t *testing.T) {}\n", &[], true), @"3: Hook TestMain: `TestMain` runs by itself around the tests or in place of them");
}

#[test]
fn the_output_of_an_example_belongs_to_it() {
    let source = "package x\n\nfunc ExampleAdd() {\n\tfmt.Println(Add(4, 5))\n\t// Output: 9\n}\n\nfunc TestAdd(t *testing.T) {\n\t// plainly\n}\n";
    let told = |from: &str, to: &str| compare(Language::Go, source, &source.replace(from, to), &[], true);
    assert_ne!(told("// Output: 9", "// Output: -1"), "");
    assert_ne!(told("\t// Output: 9\n", ""), "");
    assert_eq!(told("// plainly", "// simply"), "");
}

#[test]
fn what_takes_a_testing_t_serves_tests_wherever_it_stands() {
    let source = "package check\n\nfunc Sum(t *testing.T, got, want int) {\n\tif got != want {\n\t\tt.Errorf(\"no\")\n\t}\n}\n\nfunc Other(n int) int {\n\treturn n\n}\n";
    let told = |from: &str, to: &str| compare(Language::Go, source, &source.replace(from, to), &[], false);
    assert_ne!(told("t.Errorf", "t.Logf"), "");
    assert_eq!(told("return n", "return n + 1"), "");
}
