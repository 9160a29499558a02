//! What a file declares, down to methods, prototypes, parameters and locals: whether a name means after a change what
//! another one meant before.

use std::collections::BTreeMap;

use tree_sitter::Node;

use crate::tree::{is_identifier, text_of};
use crate::{Language, Unit};

/// The longest string that is taken for a name, and the longest name of what something belongs to, bytes.
const LONGEST: usize = 100;

/// What a name is declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeclaredKind {
    /// A function, type, macro, module or value that is nobody's member.
    Global,
    /// A method, a field, a variant, a property, or what is assigned to one: `String.prototype.x = f`.
    Member,
    /// The name that something imported goes by.
    Alias,
    /// A parameter of a function that has a name.
    Parameter,
    /// What only the function around it sees.
    Local,
    /// No declaration, but a string of this text: `setattr(a, "x", f)`.
    Text,
}

/// One declaration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    /// The name.
    pub name: String,
    /// As what.
    pub kind: DeclaredKind,
    /// The type, class, block, object or function it belongs to; empty for none.
    pub owner: String,
    /// First byte of the name.
    pub start: usize,
}

impl Declared {
    /// Whether other code than the function around it can see it.
    pub fn is_seen(&self) -> bool {
        matches!(self.kind, DeclaredKind::Global | DeclaredKind::Member | DeclaredKind::Alias)
    }
}

/// What a part of a tree stands in.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Index of the name of the type or function around it.
    owner: usize,
    /// What a name bound here is.
    binds: DeclaredKind,
    /// What function names are here.
    functions: DeclaredKind,
}

/// Which child of a node holds the names it declares.
enum Names<'t> {
    None,
    /// Every identifier below these.
    Below(Vec<Node<'t>>, DeclaredKind),
    /// The member at the end of `a.b.c`, which belongs to `a.b`.
    MemberOf(Node<'t>),
}

/// Returns what a file declares, in no order. Empty for a source larger than [`crate::MAX_SOURCE`].
pub fn declared(language: Language, source: &[u8]) -> Vec<Declared> {
    let Some(tree) = language.parse(source) else { return Vec::new() };
    let mut owners = vec![String::new()];
    let mut out = Vec::new();
    let top = Place { owner: 0, binds: DeclaredKind::Global, functions: DeclaredKind::Global };
    let mut open = vec![(tree.root_node(), top)];
    while let Some((node, place)) = open.pop() {
        if let Some(text) = whole_text(source, node) {
            let name = text.trim_matches(['"', '\'', '`']).to_owned();
            if name.len() <= LONGEST {
                out.push(Declared {
                    name,
                    kind: DeclaredKind::Text,
                    owner: String::new(),
                    start: node.start_byte(),
                });
            }
            continue;
        }
        let mut declare = |name: Node<'_>, kind, owner: &str| {
            let (name, start) = (text_of(source, name), name.start_byte());
            out.push(Declared { name, kind, owner: owner.to_owned(), start });
        };
        match names(language, node, place) {
            Names::None => {}
            Names::Below(holders, kind) => {
                let owner = receiver(source, node).unwrap_or_else(|| owners[place.owner].clone());
                for holder in holders {
                    bound(holder, &mut |name| declare(name, kind, &owner));
                }
            }
            Names::MemberOf(access) => {
                let object =
                    ["object", "operand", "value"].iter().find_map(|field| access.child_by_field_name(field));
                let member = ["property", "attribute", "field"]
                    .iter()
                    .find_map(|field| access.child_by_field_name(field));
                let object = object.map(|object| short(source, object)).unwrap_or_default();
                if let Some(member) = member {
                    let own = matches!(object.as_str(), "self" | "this" | "cls");
                    declare(member, DeclaredKind::Member, if own { &owners[place.owner] } else { &object });
                }
            }
        }
        let inner = inside(language, source, node, place, &mut owners);
        let mut cursor = node.walk();
        open.extend(node.children(&mut cursor).map(|child| (child, inner)));
    }
    out
}

/// The text of what something belongs to. What is nested without end is not copied at every level.
fn short(source: &[u8], node: Node<'_>) -> String {
    if node.end_byte() - node.start_byte() > LONGEST { "…".to_owned() } else { text_of(source, node) }
}

/// A string that interpolates nothing.
fn whole_text(source: &[u8], node: Node<'_>) -> Option<String> {
    let is_text =
        matches!(node.kind(), "string" | "string_literal" | "interpreted_string_literal" | "template_string");
    let mut cursor = node.walk();
    let plain = is_text
        && !node
            .children(&mut cursor)
            .any(|part| matches!(part.kind(), "interpolation" | "template_substitution"));
    plain.then(|| short(source, node))
}

/// Hands over the identifiers that a pattern binds: not the types in it, and not what it compares with.
fn bound<'t>(pattern: Node<'t>, declare: &mut impl FnMut(Node<'t>)) {
    let mut open = vec![pattern];
    while let Some(node) = open.pop() {
        if node.child_count() == 0 {
            if node.is_named() && is_identifier(node.kind()) && node.kind() != "type_identifier"
                || matches!(node.kind(), "property_identifier" | "private_property_identifier")
                || node.id() == pattern.id() && node.kind() == "type_identifier"
            {
                declare(node);
            }
            continue;
        }
        let mut cursor = node.walk();
        for (at, child) in node.children(&mut cursor).enumerate() {
            let field = node.field_name_for_child(u32::try_from(at).unwrap_or(u32::MAX));
            let other = matches!(field, Some("type" | "value" | "right" | "key" | "default" | "object"));
            // The value of `{a: b}` in a pattern is what is bound, and so is that of a field in Rust.
            let pair = node.kind() == "pair_pattern" && field == Some("value");
            // `a[b] = c` and `a.b = c` bind nothing by a name of their own.
            let access = matches!(
                child.kind(),
                "subscript"
                    | "subscript_expression"
                    | "index_expression"
                    | "attribute"
                    | "member_expression"
                    | "selector_expression"
                    | "field_expression"
                    | "scoped_identifier"
                    | "type"
            );
            if (!other || pair) && !access {
                open.push(child);
            }
        }
    }
}

fn names<'t>(language: Language, node: Node<'t>, place: Place) -> Names<'t> {
    use DeclaredKind::{Alias, Global, Local, Member, Parameter};
    let field = |name: &str| node.child_by_field_name(name).into_iter().collect::<Vec<_>>();
    let each = |name: &str| {
        let mut cursor = node.walk();
        node.children_by_field_name(name, &mut cursor).collect::<Vec<_>>()
    };
    let children = |kinds: &[&str]| {
        let mut cursor = node.walk();
        node.named_children(&mut cursor).filter(|child| kinds.contains(&child.kind())).collect::<Vec<_>>()
    };
    let access = |left: Vec<Node<'t>>| match left.as_slice() {
        [left] if left.kind() == "attribute" => Names::MemberOf(*left),
        _ => Names::Below(left, place.binds),
    };
    match (language, node.kind()) {
        (
            Language::Rust,
            "function_item" | "function_signature_item" | "const_item" | "static_item" | "associated_type",
        ) => Names::Below(field("name"), place.functions),
        (
            Language::Rust,
            "struct_item" | "enum_item" | "union_item" | "type_item" | "trait_item" | "mod_item"
            | "macro_definition",
        ) => Names::Below(field("name"), Global),
        (Language::Rust, "field_declaration" | "enum_variant") => Names::Below(field("name"), Member),
        (Language::Rust, "use_as_clause") => Names::Below(field("alias"), Alias),
        (Language::Rust, "parameter") => Names::Below(field("pattern"), Parameter),
        (Language::Rust, "let_declaration" | "for_expression" | "let_condition" | "match_arm") => {
            Names::Below(field("pattern"), Local)
        }
        (Language::Rust, "closure_parameters") => Names::Below(vec![node], Local),

        (Language::Python, "function_definition") => Names::Below(field("name"), place.functions),
        (Language::Python, "class_definition") => Names::Below(field("name"), Global),
        (Language::Python, "parameters") => Names::Below(vec![node], Parameter),
        (Language::Python, "lambda_parameters") => Names::Below(vec![node], Local),
        (Language::Python, "assignment" | "augmented_assignment") => access(field("left")),
        (Language::Python, "for_statement" | "for_in_clause") => Names::Below(field("left"), place.binds),
        (Language::Python, "named_expression") => Names::Below(field("name"), place.binds),
        (Language::Python, "as_pattern" | "except_clause") => Names::Below(field("alias"), place.binds),
        (Language::Python, "aliased_import") => Names::Below(field("alias"), Alias),

        (Language::Go, "function_declaration") => Names::Below(field("name"), Global),
        (Language::Go, "method_declaration" | "method_elem") => Names::Below(field("name"), Member),
        (Language::Go, "field_declaration") => Names::Below(each("name"), Member),
        (Language::Go, "type_spec" | "type_alias") => Names::Below(field("name"), Global),
        (Language::Go, "const_spec" | "var_spec") => Names::Below(each("name"), place.binds),
        (Language::Go, "parameter_declaration" | "variadic_parameter_declaration") => {
            Names::Below(each("name"), Parameter)
        }
        (Language::Go, "short_var_declaration" | "range_clause") => Names::Below(field("left"), Local),
        (Language::Go, "import_spec") => Names::Below(field("name"), Alias),

        (
            _,
            "function_declaration"
            | "generator_function_declaration"
            | "function_signature"
            | "class_declaration"
            | "abstract_class_declaration"
            | "interface_declaration"
            | "type_alias_declaration"
            | "enum_declaration"
            | "internal_module"
            | "module",
        ) if language.is_script() => Names::Below(field("name"), place.functions),
        (
            _,
            "method_definition"
            | "method_signature"
            | "abstract_method_signature"
            | "public_field_definition"
            | "property_signature"
            | "enum_assignment",
        ) if language.is_script() => Names::Below(field("name"), Member),
        (_, "field_definition") if language.is_script() => Names::Below(field("property"), Member),
        (_, "enum_body") if language.is_script() => Names::Below(each("name"), Member),
        // A pattern reads members; the object that it is taken from declares them.
        (_, "pair") if language.is_script() => Names::Below(field("key"), Member),
        (_, "object") if language.is_script() => {
            Names::Below(children(&["shorthand_property_identifier"]), Member)
        }
        (_, "variable_declarator") if language.is_script() => Names::Below(field("name"), place.binds),
        (_, "formal_parameters") if language.is_script() => Names::Below(vec![node], Parameter),
        (_, "arrow_function" | "catch_clause") if language.is_script() => {
            Names::Below(field("parameter"), Local)
        }
        (_, "for_in_statement") if language.is_script() => Names::Below(field("left"), Local),
        // What is assigned to has been declared elsewhere.
        (_, "assignment_expression" | "augmented_assignment_expression") if language.is_script() => {
            match field("left").as_slice() {
                [left] if left.kind() == "member_expression" => Names::MemberOf(*left),
                _ => Names::None,
            }
        }
        (_, "import_specifier") if language.is_script() => Names::Below(field("alias"), Alias),
        (_, "namespace_import" | "import_clause") if language.is_script() => {
            Names::Below(children(&["identifier"]), Alias)
        }
        _ => Names::None,
    }
}

/// The type that a method of Go belongs to, without the receiver's own name.
fn receiver(source: &[u8], node: Node<'_>) -> Option<String> {
    let receiver = short(source, node.child_by_field_name("receiver")?);
    // `(s Set[K, V])` belongs to `Set`.
    let receiver = receiver.split('[').next().unwrap_or_default();
    Some(receiver.trim_matches(['(', ')']).rsplit([' ', '*']).next().unwrap_or_default().to_owned())
}

/// A function's name behind that of what it belongs to; one without a name counts as what is around it.
fn joined(within: String, name: String) -> String {
    match (within.is_empty(), name.is_empty()) {
        _ if within.len() > LONGEST => within,
        (_, true) => within,
        (true, false) => name,
        (false, false) => format!("{within}.{name}"),
    }
}

/// Where the children of a node stand.
fn inside(
    language: Language,
    source: &[u8],
    node: Node<'_>,
    place: Place,
    owners: &mut Vec<String>,
) -> Place {
    use DeclaredKind::{Global, Local, Member};
    let text = |field: &str| node.child_by_field_name(field).map(|node| short(source, node));
    let (name, binds, functions) = match (language, node.kind()) {
        (Language::Rust, "impl_item") => {
            let of = text("type").unwrap_or_default();
            (text("trait").map_or(of.clone(), |of_trait| format!("{of_trait} for {of}")), place.binds, Member)
        }
        (Language::Rust, "trait_item" | "struct_item" | "enum_item" | "union_item") => {
            (text("name").unwrap_or_default(), place.binds, Member)
        }
        (Language::Rust, "mod_item") => (text("name").unwrap_or_default(), Global, Global),
        (Language::Rust, "function_item" | "closure_expression")
        | (Language::Python, "function_definition" | "lambda")
        | (Language::Go, "function_declaration" | "method_declaration" | "func_literal") => {
            let name = text("name").unwrap_or_default();
            let within = receiver(source, node).unwrap_or_else(|| owners[place.owner].clone());
            (joined(within, name), Local, Local)
        }
        (Language::Python, "class_definition") => (text("name").unwrap_or_default(), Member, Member),
        (Language::Go, "type_spec") => (text("name").unwrap_or_default(), place.binds, place.functions),
        _ if !language.is_script() => return place,
        (
            _,
            "function_declaration"
            | "generator_function_declaration"
            | "function_expression"
            | "arrow_function"
            | "generator_function"
            | "method_definition"
            | "statement_block",
        ) => {
            let name = text("name").unwrap_or_default();
            (joined(owners[place.owner].clone(), name), Local, Local)
        }
        (
            _,
            "class_declaration"
            | "class"
            | "abstract_class_declaration"
            | "interface_declaration"
            | "enum_declaration",
        ) => (text("name").unwrap_or_default(), place.binds, Member),
        _ => return place,
    };
    if owners[place.owner] != name {
        owners.push(name);
        return Place { owner: owners.len() - 1, binds, functions };
    }
    Place { owner: place.owner, binds, functions }
}

/// Returns whether a byte of a file lies in one of these units.
pub fn covered_by<'u>(units: impl Iterator<Item = &'u Unit>) -> impl Fn(usize) -> bool {
    let mut ranges: Vec<(usize, usize)> = units.map(|unit| (unit.start, unit.end)).collect();
    ranges.sort_unstable();
    // Those that lie in others are parts of them.
    ranges.dedup_by(|next, last| next.1 <= last.1);
    move |at| {
        let before = ranges.partition_point(|(start, _)| *start <= at);
        before.checked_sub(1).is_some_and(|last| at < ranges[last].1)
    }
}

/// Declarations by their names.
pub type ByName<'d> = BTreeMap<&'d str, Vec<&'d Declared>>;

/// Sorts declarations by their names.
pub fn by_name(declared: &[Declared]) -> ByName<'_> {
    let mut out = ByName::new();
    for one in declared {
        out.entry(&one.name).or_default().push(one);
    }
    out
}

/// Whether each declaration of a new name stands where one of the old name stood: the same kind, of the same owner.
/// What is new beside may answer to the new name in the renamed thing's place. `owner` is an owner's name after the change.
pub fn declares_the_same(
    before: &ByName<'_>,
    after: &ByName<'_>,
    old: &str,
    new: &str,
    owner: impl Fn(&str) -> String,
) -> bool {
    let counted = |list: &ByName<'_>, name: &str, after: bool| {
        let mut out: BTreeMap<(DeclaredKind, String), i64> = BTreeMap::new();
        let found = list.get(name).into_iter().flatten();
        for one in found.filter(|one| one.kind != DeclaredKind::Local) {
            let owner = if after { one.owner.clone() } else { owner(&one.owner) };
            *out.entry((one.kind, owner)).or_default() += 1;
        }
        out
    };
    let mut left = counted(before, old, false);
    // As many strings of the text as there were are no news.
    for (key, count) in counted(before, new, false) {
        *left.entry(key).or_default() += count;
    }
    counted(after, new, true).into_iter().all(|(key, count)| left.get(&key).copied().unwrap_or(0) >= count)
}
