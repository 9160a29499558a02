//! What a file declares.

use gloaming_syntax::{Language, by_name, declared, declares_the_same};

/// What is declared, in order: `name Kind owner`.
fn told(language: Language, source: &str) -> String {
    let mut found = declared(language, source.as_bytes());
    found.sort_by_key(|one| (one.start, one.kind));
    found.iter().map(|one| format!("{} {:?} {}\n", one.name, one.kind, one.owner)).collect()
}

#[test]
fn rust() {
    insta::assert_snapshot!(told(Language::Rust, "use a::b as c;\nstruct Size { width: u8 }\nenum Kind { Small(u8) }\ntrait Sum { fn total(&self) -> u8; }\nimpl Sum for Size { fn total(&self) -> u8 { let twice = self.width; twice } }\nfn add(a: u8, (b, _): (u8, u8)) -> u8 { [1].map(|n| n); a + b }\nconst LIMIT: &str = \"most\";\nmod inner { fn add() {} }\n"), @r"
    c Alias 
    Size Global 
    width Member Size
    Kind Global 
    Small Member Kind
    Sum Global 
    total Member Sum
    total Member Sum for Size
    twice Local Sum for Size.total
    add Global 
    a Parameter add
    b Parameter add
    n Local add
    LIMIT Global 
    most Text 
    inner Global 
    add Global inner
    ");
}

#[test]
fn python() {
    insta::assert_snapshot!(told(Language::Python, "import a as b\nLIMIT = 'most'\nclass Size:\n    kind = 1\n    def total(self, times=1, *, more: int):\n        self.width = twice = 2\n        for n, (m, _) in times:\n            with f() as g:\n                pass\nString.total = lambda x: x\nsetattr(Size, \"area\", f\"{b}\")\n"), @r"
    b Alias 
    LIMIT Global 
    most Text 
    Size Global 
    kind Member Size
    total Member Size
    self Parameter Size.total
    times Parameter Size.total
    more Parameter Size.total
    width Member Size.total
    twice Local Size.total
    n Local Size.total
    m Local Size.total
    _ Local Size.total
    g Local Size.total
    total Member String
    x Local 
    area Text 
    ");
}

#[test]
fn script() {
    insta::assert_snapshot!(told(Language::JavaScript, "import a, { b as c } from 'm';\nconst { d, e: f } = a;\nfunction add(x, { y }) { let z = 1; return z; }\nclass Size extends Base { width = 1; total(n) { this.area = n; } }\nString.prototype.total = function () {};\nObject.defineProperty(Size.prototype, 'area', {});\nmodule.exports = { add, sum: add };\n"), @r"
    a Alias 
    c Alias 
    m Text 
    d Global 
    f Global 
    add Global 
    x Parameter add
    y Parameter add
    z Local add
    Size Global 
    width Member Size
    total Member Size
    n Parameter Size.total
    area Member Size.total
    total Member String.prototype
    area Text 
    exports Member module
    add Member 
    sum Member 
    ");
    insta::assert_snapshot!(told(Language::TypeScript, "interface Size { width: number; total(): number }\nenum Kind { Small, Large = 2 }\nfunction add(a: number, b?: Size): void {}\n"), @r"
    Size Global 
    width Member Size
    total Member Size
    Kind Global 
    Small Member Kind
    Large Member Kind
    add Global 
    a Parameter add
    b Parameter add
    ");
}

#[test]
fn go() {
    insta::assert_snapshot!(told(Language::Go, "package x\nimport req \"a/require\"\ntype Size struct { width, height int }\ntype Sum interface { Total(n int) int }\nfunc (s *Size) Total(n int) int { twice := n; return twice }\nvar a, b = 1, 2\nfunc add(x, y int) { for i := range z {} }\n"), @r#"
    req Alias 
    a/require Text 
    Size Global 
    width Member Size
    height Member Size
    Sum Global 
    Total Member Sum
    n Parameter Sum
    s Parameter Size.Total
    Total Member Size
    n Parameter Size.Total
    twice Local Size.Total
    a Global 
    b Global 
    add Global 
    x Parameter add
    y Parameter add
    i Local add
    "#);
}

#[test]
fn a_new_name_stands_where_the_old_one_stood_or_is_another_thing() {
    let check = |language, before: &str, after: &str| {
        let (before, after) = (declared(language, before.as_bytes()), declared(language, after.as_bytes()));
        declares_the_same(&by_name(&before), &by_name(&after), "area", "extent", |owner| {
            owner.replace("Size", "Shape")
        })
    };
    let python = "class Size:\n    def area(self):\n        pass\n";
    let renamed = python.replace("area", "extent").replace("Size", "Shape");
    assert!(check(Language::Python, python, &renamed));
    for more in [
        "class Other:\n    def extent(self):\n        pass\n",
        "def extent():\n    pass\n",
        "Other.extent = f\n",
        "setattr(Other, 'extent', f)\n",
        "from a import b as extent\n",
    ] {
        assert!(!check(Language::Python, python, &format!("{renamed}{more}")), "{more}");
    }
    // A local is nobody else's affair.
    assert!(check(Language::Python, python, &format!("{renamed}def f():\n    extent = 1\n")));
    let rust = "impl Size { fn area(&self) {} }\n";
    assert!(check(Language::Rust, rust, "impl Shape { fn extent(&self) {} }\n"));
    let other = "impl Shape { fn extent(&self) {} }\nimpl Ext for String { fn extent(&self) {} }\n";
    assert!(!check(Language::Rust, rust, other));
    let script = "class Size { area() {} }\n";
    assert!(check(
        Language::JavaScript,
        script,
        "class Size { extent() {} }\n".replace("Size", "Shape").as_str()
    ));
    let other = "class Shape { extent() {} }\nArray.prototype.extent = f;\n";
    assert!(!check(Language::JavaScript, script, other));
    let go = "func (s Size) area() {}\n";
    assert!(check(Language::Go, go, "func (s Shape) extent() {}\n"));
    assert!(!check(Language::Go, go, "func (s Shape) extent() {}\nfunc (o Other) extent() {}\n"));
    // The parameters of a type are no part of its name.
    let generic = "func (s *Size[K, V]) area() {}\n";
    assert!(check(Language::Go, generic, "func (s *Shape[Key, Value]) extent() {}\n"));
    assert!(!check(Language::Go, generic, "func (s *Other[K, V]) extent() {}\n"));
}
