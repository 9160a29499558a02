//! The languages: one row each, with what declares a symbol in its grammar.
//!
//! To add one: its grammar in `Cargo.toml`, a row in [`LANGUAGES`], a source in `tests/sources`.

use std::borrow::Cow;

use crate::Kind;

/// A language.
pub(crate) struct Language {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Extensions of its files. One that several rows name is the one's whose grammar fits better, and of the
    /// first where both do.
    pub(crate) extensions: &'static [&'static str],
    pub(crate) grammar: fn() -> tree_sitter::Language,
    /// Makes of a file what the grammar understands, every byte that stays in its place.
    pub(crate) prepare: fn(&[u8]) -> Cow<'_, [u8]>,
    /// The first row that fits a node counts; what no row fits is looked into.
    pub(crate) rows: &'static [Row],
    /// Nodes that are not looked into: there are only locals in them.
    pub(crate) closed: &'static [&'static str],
    /// Nodes around one declaration that belong to it: its first line is theirs.
    pub(crate) wrappers: &'static [&'static str],
    /// Nodes before a declaration that its signature leaves out.
    pub(crate) decorations: &'static [&'static str],
}

/// A node that declares a symbol.
pub(crate) struct Row {
    pub(crate) node: &'static str,
    pub(crate) kind: Kind,
    /// What it is where it stands in a class, an interface or an object.
    pub(crate) member: Kind,
    pub(crate) name: Name,
    pub(crate) when: When,
    /// Whether there may be symbols inside.
    pub(crate) open: bool,
}

/// Where a symbol's name is.
#[derive(Clone, Copy)]
pub(crate) enum Name {
    /// In this field, or these fields where there are several.
    Field(&'static str),
    /// In the second field of what is in the first.
    Path(&'static str, &'static str),
    /// It is the whole node.
    Whole,
    /// It has none, and is called this.
    Fixed(&'static str),
    /// At the end of C's declarators; they also say whether it is a function.
    Declarator,
    /// The type an `impl` is for, and the trait.
    Impl,
}

/// What must hold for a row to fit.
#[derive(Clone, Copy)]
pub(crate) enum When {
    Always,
    /// The node has this field.
    Has(&'static str),
    /// The node in the first field is of one of these kinds.
    Is(&'static str, &'static [&'static str]),
    /// It stands right in such a node.
    Under(&'static str),
    /// At most so many levels lie between it and the symbol or file it stands in: it is no part of a loop or
    /// of a larger expression.
    Near(usize),
    /// It has a body, and is not part of a `typedef`, which names it.
    Defined,
}

const fn row(node: &'static str, kind: Kind) -> Row {
    Row { node, kind, member: kind, name: Name::Field("name"), when: When::Always, open: true }
}

/// A function: there are only locals in it.
const fn function(node: &'static str) -> Row {
    Row { member: Kind::Method, ..row(node, Kind::Function) }.closed()
}

impl Row {
    const fn member(self, member: Kind) -> Self {
        Self { member, ..self }
    }

    const fn name(self, name: Name) -> Self {
        Self { name, ..self }
    }

    const fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    const fn closed(self) -> Self {
        Self { open: false, ..self }
    }
}

/// Every language.
pub(crate) const LANGUAGES: &[Language] = &[
    Language {
        name: "Rust",
        extensions: &["rs"],
        grammar: || tree_sitter_rust::LANGUAGE.into(),
        prepare: |source| Cow::Borrowed(source),
        rows: &[
            function("function_item"),
            function("function_signature_item"),
            row("struct_item", Kind::Class),
            row("enum_item", Kind::Class),
            row("union_item", Kind::Class),
            row("trait_item", Kind::Interface),
            row("impl_item", Kind::Class).name(Name::Impl),
            row("mod_item", Kind::Module),
            row("const_item", Kind::Variable).closed(),
            row("static_item", Kind::Variable).closed(),
            row("type_item", Kind::Type).closed(),
            row("associated_type", Kind::Type).closed(),
            row("macro_definition", Kind::Macro).closed(),
            row("enum_variant", Kind::Field).closed(),
            row("field_declaration", Kind::Field).closed(),
        ],
        closed: &["macro_invocation"],
        wrappers: &[],
        decorations: &[],
    },
    Language {
        name: "Python",
        extensions: &["py", "pyi"],
        grammar: || tree_sitter_python::LANGUAGE.into(),
        prepare: |source| Cow::Borrowed(source),
        rows: &[
            function("function_definition"),
            row("class_definition", Kind::Class),
            row("type_alias_statement", Kind::Type).name(Name::Field("left")).closed(),
            row("assignment", Kind::Variable)
                .member(Kind::Field)
                .name(Name::Field("left"))
                .when(When::Near(3))
                .closed(),
        ],
        closed: &["lambda"],
        wrappers: &["decorated_definition"],
        decorations: &["decorator"],
    },
    Language {
        name: "JavaScript",
        extensions: &["js", "mjs", "cjs", "jsx"],
        grammar: || tree_sitter_javascript::LANGUAGE.into(),
        prepare: |source| Cow::Borrowed(source),
        rows: SCRIPT,
        closed: SCRIPT_CLOSED,
        wrappers: SCRIPT_WRAPPERS,
        decorations: &["decorator"],
    },
    Language {
        name: "TypeScript",
        extensions: &["ts", "mts", "cts"],
        grammar: || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        prepare: |source| Cow::Borrowed(source),
        rows: SCRIPT,
        closed: SCRIPT_CLOSED,
        wrappers: SCRIPT_WRAPPERS,
        decorations: &["decorator"],
    },
    Language {
        name: "TSX",
        extensions: &["tsx"],
        grammar: || tree_sitter_typescript::LANGUAGE_TSX.into(),
        prepare: |source| Cow::Borrowed(source),
        rows: SCRIPT,
        closed: SCRIPT_CLOSED,
        wrappers: SCRIPT_WRAPPERS,
        decorations: &["decorator"],
    },
    Language {
        name: "Go",
        extensions: &["go"],
        grammar: || tree_sitter_go::LANGUAGE.into(),
        prepare: |source| Cow::Borrowed(source),
        rows: &[
            function("function_declaration"),
            row("method_declaration", Kind::Method).closed(),
            row("type_spec", Kind::Class).when(When::Is("type", &["struct_type"])),
            row("type_spec", Kind::Interface).when(When::Is("type", &["interface_type"])),
            row("type_spec", Kind::Type).closed(),
            row("type_alias", Kind::Type).closed(),
            row("const_spec", Kind::Variable).closed(),
            row("var_spec", Kind::Variable).closed(),
            row("method_elem", Kind::Method).closed(),
            row("field_declaration", Kind::Field).when(When::Has("name")).closed(),
        ],
        closed: &["func_literal"],
        wrappers: &["type_declaration", "const_declaration", "var_declaration", "var_spec_list"],
        decorations: &[],
    },
    Language {
        name: "Java",
        extensions: &["java"],
        grammar: || tree_sitter_java::LANGUAGE.into(),
        prepare: |source| Cow::Borrowed(source),
        rows: &[
            row("class_declaration", Kind::Class),
            row("record_declaration", Kind::Class),
            row("enum_declaration", Kind::Class),
            row("interface_declaration", Kind::Interface),
            row("annotation_type_declaration", Kind::Interface),
            row("method_declaration", Kind::Function).member(Kind::Method).closed(),
            row("constructor_declaration", Kind::Method).closed(),
            row("compact_constructor_declaration", Kind::Method).closed(),
            row("annotation_type_element_declaration", Kind::Method).closed(),
            row("field_declaration", Kind::Field).name(Name::Path("declarator", "name")).closed(),
            row("constant_declaration", Kind::Variable).name(Name::Path("declarator", "name")).closed(),
            row("enum_constant", Kind::Field).closed(),
            row("module_declaration", Kind::Module).closed(),
        ],
        closed: &["static_initializer", "block"],
        wrappers: &[],
        decorations: &["annotation", "marker_annotation"],
    },
    Language {
        name: "C",
        extensions: &["c", "h"],
        grammar: || tree_sitter_c::LANGUAGE.into(),
        prepare: without_cplusplus,
        rows: &[
            row("function_definition", Kind::Function).name(Name::Declarator).closed(),
            row("type_definition", Kind::Class)
                .name(Name::Declarator)
                .when(When::Is("type", &["struct_specifier", "union_specifier", "enum_specifier"])),
            row("type_definition", Kind::Type).name(Name::Declarator).closed(),
            row("struct_specifier", Kind::Class).when(When::Defined),
            row("union_specifier", Kind::Class).when(When::Defined),
            row("enum_specifier", Kind::Class).when(When::Defined),
            row("enumerator", Kind::Field).closed(),
            row("field_declaration", Kind::Field).name(Name::Declarator),
            row("declaration", Kind::Variable).name(Name::Declarator),
            row("preproc_function_def", Kind::Macro).closed(),
            row("preproc_def", Kind::Macro).when(When::Has("value")).closed(),
        ],
        closed: &["compound_statement", "initializer_list"],
        wrappers: &[],
        decorations: &[],
    },
    Language {
        name: "C++",
        extensions: &["cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "h++", "ipp", "tpp", "inl", "h"],
        grammar: || tree_sitter_cpp::LANGUAGE.into(),
        prepare: |source| Cow::Borrowed(source),
        rows: &[
            row("function_definition", Kind::Function).member(Kind::Method).name(Name::Declarator).closed(),
            row("type_definition", Kind::Class)
                .name(Name::Declarator)
                .when(When::Is("type", &["struct_specifier", "union_specifier", "enum_specifier"])),
            row("type_definition", Kind::Type).name(Name::Declarator).closed(),
            row("alias_declaration", Kind::Type).closed(),
            row("concept_definition", Kind::Type).closed(),
            row("namespace_definition", Kind::Module),
            row("namespace_alias_definition", Kind::Module).closed(),
            row("class_specifier", Kind::Class).when(When::Defined),
            row("struct_specifier", Kind::Class).when(When::Defined),
            row("union_specifier", Kind::Class).when(When::Defined),
            row("enum_specifier", Kind::Class).when(When::Defined),
            row("enumerator", Kind::Field).closed(),
            row("field_declaration", Kind::Field).name(Name::Declarator),
            row("declaration", Kind::Variable).name(Name::Declarator),
            row("preproc_function_def", Kind::Macro).closed(),
            row("preproc_def", Kind::Macro).when(When::Has("value")).closed(),
        ],
        closed: &["compound_statement", "initializer_list", "friend_declaration", "lambda_expression"],
        wrappers: &["template_declaration"],
        decorations: &[],
    },
];

/// JavaScript and its supersets: a node that one of them lacks never fits.
const SCRIPT: &[Row] = &[
    function("function_declaration"),
    function("generator_function_declaration"),
    function("function_signature"),
    function("method_definition"),
    function("method_signature").when(When::Near(2)),
    function("abstract_method_signature"),
    row("class_declaration", Kind::Class),
    row("abstract_class_declaration", Kind::Class),
    row("interface_declaration", Kind::Interface),
    row("enum_declaration", Kind::Class),
    row("type_alias_declaration", Kind::Type).closed(),
    row("internal_module", Kind::Module),
    row("module", Kind::Module),
    function("variable_declarator").when(When::Is("value", FUNCTIONS)),
    row("variable_declarator", Kind::Class).when(When::Is("value", &["class"])),
    row("variable_declarator", Kind::Variable).when(When::Near(4)),
    function("assignment_expression").name(Name::Field("left")).when(When::Is("right", FUNCTIONS)),
    row("assignment_expression", Kind::Class).name(Name::Field("left")).when(When::Is("right", &["class"])),
    row("assignment_expression", Kind::Variable)
        .name(Name::Field("left"))
        .when(When::Is("right", &["object"])),
    function("pair").name(Name::Field("key")).when(When::Is("value", FUNCTIONS)),
    function("field_definition").name(Name::Field("property")).when(When::Is("value", FUNCTIONS)),
    row("field_definition", Kind::Field).name(Name::Field("property")).closed(),
    function("public_field_definition").when(When::Is("value", FUNCTIONS)),
    row("public_field_definition", Kind::Field).closed(),
    row("property_signature", Kind::Field).when(When::Near(2)).closed(),
    row("enum_assignment", Kind::Field).closed(),
    row("property_identifier", Kind::Field).name(Name::Whole).when(When::Under("enum_body")).closed(),
    function("export_statement").name(Name::Fixed("default")).when(When::Is("value", FUNCTIONS)),
    row("export_statement", Kind::Class).name(Name::Fixed("default")).when(When::Is("value", &["class"])),
    row("export_statement", Kind::Variable)
        .name(Name::Fixed("default"))
        .when(When::Is("value", &["object", "call_expression"])),
];

const FUNCTIONS: &[&str] = &["arrow_function", "function_expression", "generator_function"];
const SCRIPT_CLOSED: &[&str] = FUNCTIONS;
const SCRIPT_WRAPPERS: &[&str] = &[
    "export_statement",
    "ambient_declaration",
    "lexical_declaration",
    "variable_declaration",
    "expression_statement",
];

/// Blanks what a C compiler never sees and whose braces do not pair: `#ifdef __cplusplus` up to the next
/// directive, where that ends it.
fn without_cplusplus(source: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Cow::Borrowed(source);
    let mut begun: Option<usize> = None;
    let mut at = 0;
    for line in source.split_inclusive(|byte| *byte == b'\n') {
        let directive: Vec<u8> = line.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let end = at + line.len();
        if directive.starts_with(b"#ifdef__cplusplus") || directive.starts_with(b"#ifdefined(__cplusplus)") {
            begun = Some(at);
        } else if directive.starts_with(b"#endif") {
            if let Some(begun) = begun.take() {
                for byte in out.to_mut()[begun..end].iter_mut().filter(|byte| **byte != b'\n') {
                    *byte = b' ';
                }
            }
        } else if directive.starts_with(b"#") {
            begun = None;
        }
        at = end;
    }
    out
}

/// Returns the languages a path may be written in, by its extension.
pub(crate) fn of(path: &str) -> impl Iterator<Item = usize> + '_ {
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    LANGUAGES
        .iter()
        .enumerate()
        .filter(move |(_, language)| {
            extension.as_deref().is_some_and(|extension| language.extensions.contains(&extension))
        })
        .map(|(index, _)| index)
}

/// Returns globs for the files of every language.
pub(crate) fn globs() -> Vec<String> {
    LANGUAGES
        .iter()
        .flat_map(|language| language.extensions)
        .map(|extension| format!("*.{extension}"))
        .collect()
}

/// Returns the languages in words, with their extensions.
pub(crate) fn known() -> String {
    let words: Vec<String> = LANGUAGES
        .iter()
        .map(|language| format!("{} (.{})", language.name, language.extensions.join(", .")))
        .collect();
    words.join(", ")
}
