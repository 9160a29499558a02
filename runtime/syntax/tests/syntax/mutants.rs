//! Faults planted in each language.

use std::collections::BTreeSet;

use gloaming_syntax::{Language, MAX_SOURCE, mutants, new_errors};

/// `line operator: what -> instead`, of every line; each is applied and parsed.
fn planted(language: Language, source: &str) -> String {
    let lines: BTreeSet<u32> = (1..=source.lines().count() as u32).collect();
    mutants(language, source.as_bytes(), &lines)
        .iter()
        .map(|mutant| {
            let faulty = mutant.apply(source.as_bytes()).unwrap();
            assert_ne!(faulty, source.as_bytes());
            assert_eq!(new_errors(language, source.as_bytes(), &faulty), [], "{mutant:?}");
            format!("{} {}: {} -> {}\n", mutant.line, mutant.operator, mutant.original, mutant.replacement)
        })
        .collect()
}

#[test]
fn rust() {
    let source = r#"use a::{b, c};

#[cfg(feature = "x")]
fn f(a: u32, v: &[u8; 4]) -> Option<u32> {
    if a < 3 && v.is_empty() {
        return Some(a + 1);
    }
    if let Some(x) = g() {
        self.total += x.0;
    }
    println!("{}", 1 + 1);
    v.push(7);
    log::info(a);
    let joined = "a".to_owned() + "b";
    let flag = true;
    while !done(flag) {}
    Some(0x10 * a)
}

#[cfg(test)]
mod tests {
    #[test]
    fn t() {
        assert!(f(1 + 1) == 2);
    }
}
"#;
    insta::assert_snapshot!(planted(Language::Rust, source), @r"
    5 negate_condition: a < 3 && v.is_empty() -> !(a < 3 && v.is_empty())
    5 move_boundary: < -> <=
    5 negate_comparison: < -> >=
    5 off_by_one: 3 -> 4
    5 swap_logic: && -> ||
    6 default_return: Some(a + 1) -> Default::default()
    6 swap_arithmetic: + -> -
    6 off_by_one: 1 -> 2
    9 swap_arithmetic: += -> -=
    12 drop_call: v.push(7); -> ;
    12 off_by_one: 7 -> 8
    15 flip_boolean: true -> false
    16 negate_condition: !done(flag) -> !(!done(flag))
    17 default_return: Some(0x10 * a) -> Default::default()
    17 swap_arithmetic: * -> /
    ");
}

#[test]
fn python() {
    let source = r#"import os


def f(a, items: "list[1]" = None):
    """Say 1 + 1."""
    if a is not None and a not in items:
        total = 1
        total -= a % 2
        items.append(total)
        print(a + 1)
        return total >= 10
    elif not items:
        return None
    name = "a" + "b"
    return False if name else 010


def test_f():
    assert f(1) == 2
"#;
    insta::assert_snapshot!(planted(Language::Python, source), @r"
    6 negate_condition: a is not None and a not in items -> not (a is not None and a not in items)
    6 negate_comparison: is not -> is
    6 swap_logic: and -> or
    6 negate_comparison: not in -> in
    7 off_by_one: 1 -> 2
    8 swap_arithmetic: -= -> +=
    8 swap_arithmetic: % -> *
    8 off_by_one: 2 -> 3
    9 drop_call: items.append(total) -> pass
    11 default_return: total >= 10 -> None
    11 move_boundary: >= -> >
    11 negate_comparison: >= -> <
    11 off_by_one: 10 -> 11
    12 negate_condition: not items -> not (not items)
    15 default_return: False if name else 010 -> None
    15 flip_boolean: False -> True
    ");
}

#[test]
fn scripts() {
    let source = r#"import { a } from "b";

export async function f(x) {
  if (x.ready) {
    count += 2;
    await save(x);
    console.log(1 + 1);
  }
  const y = x === 1 ? x * 3 : `a${x}` + "b";
  return y || false;
}

test("f", () => { expect(f(1 + 1)).toBe(2); });
"#;
    insta::assert_snapshot!(planted(Language::JavaScript, source), @r"
    4 negate_condition: x.ready -> !(x.ready)
    5 swap_arithmetic: += -> -=
    5 off_by_one: 2 -> 3
    6 drop_call: await save(x); -> ;
    9 negate_comparison: === -> !==
    9 off_by_one: 1 -> 2
    9 swap_arithmetic: * -> /
    9 off_by_one: 3 -> 4
    10 default_return: y || false -> undefined
    10 swap_logic: || -> &&
    10 flip_boolean: false -> true
    ");
    let typed =
        "function f(a: 1 | 2): number {\n  let b: number[] = [a];\n  return b.length > 1 ? 0 : 1;\n}\n";
    insta::assert_snapshot!(planted(Language::TypeScript, typed), @r"
    3 default_return: b.length > 1 ? 0 : 1 -> undefined
    3 move_boundary: > -> >=
    3 negate_comparison: > -> <=
    3 off_by_one: 1 -> 2
    3 off_by_one: 0 -> 1
    3 off_by_one: 1 -> 2
    ");
}

#[test]
fn go() {
    let source = r#"package p

import "fmt"

func f(a int, names ...string) (n, m int, err error) {
	if a <= 1 || ok(a) {
		fmt.Println(a + 1)
		save(a)
		return 1, 2, nil
	}
	a += 3
	b := [2]int{1, 2}
	return len(b) / 2, a, nil
}

func g() map[string]int {
	return nil
}
"#;
    insta::assert_snapshot!(planted(Language::Go, source), @r"
    6 negate_condition: a <= 1 || ok(a) -> !(a <= 1 || ok(a))
    6 move_boundary: <= -> <
    6 negate_comparison: <= -> >
    6 off_by_one: 1 -> 2
    6 swap_logic: || -> &&
    8 drop_call: save(a) -> 
    9 default_return: 1, 2, nil -> *new(int), *new(int), *new(error)
    9 off_by_one: 1 -> 2
    9 off_by_one: 2 -> 3
    11 swap_arithmetic: += -> -=
    11 off_by_one: 3 -> 4
    12 off_by_one: 1 -> 2
    12 off_by_one: 2 -> 3
    13 default_return: len(b) / 2, a, nil -> *new(int), *new(int), *new(error)
    13 swap_arithmetic: / -> *
    13 off_by_one: 2 -> 3
    ");
}

#[test]
fn only_the_lines_asked_for() {
    let source = b"a = 1 + 1\nb = 2 + 2\nc = 3 + 3\n";
    let of = |lines: &[u32]| {
        let found = mutants(Language::Python, source, &lines.iter().copied().collect());
        found.iter().map(|mutant| mutant.line).collect::<BTreeSet<_>>()
    };
    assert_eq!(of(&[2]), BTreeSet::from([2]));
    assert_eq!(of(&[1, 3]), BTreeSet::from([1, 3]));
    assert_eq!(of(&[]), BTreeSet::new());
    assert_eq!(of(&[9]), BTreeSet::new());
}

#[test]
fn bounded_and_unmoved_by_what_is_no_program() {
    let many = "x = 1 + 1\n".repeat(300);
    let lines: BTreeSet<u32> = (1..=300).collect();
    assert_eq!(mutants(Language::Python, many.as_bytes(), &lines).len(), 200);
    assert_eq!(mutants(Language::Rust, &vec![b' '; MAX_SOURCE], &lines), []);
    for language in Language::ALL {
        for source in
            ["", "\u{0}", "if if if 1 + + 1 )(", "return", "fn f() -> u8 { return", "def f(:\n  return 1 +"]
        {
            for mutant in mutants(*language, source.as_bytes(), &lines) {
                mutant.apply(source.as_bytes()).unwrap();
            }
        }
        let long = ["1 + ".repeat(3_000) + "1", "if (".repeat(500) + "a", "a().".repeat(1_000) + "b()"];
        for source in long {
            mutants(*language, source.as_bytes(), &lines);
        }
        let nested = format!("{}1{}", "(".repeat(500), ")".repeat(500));
        mutants(*language, nested.as_bytes(), &lines);
    }
}
