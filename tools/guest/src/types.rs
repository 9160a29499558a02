//! File types by name, as globs of file names.
//!
//! Rejected: the table of the `ignore` crate, which comes with a walker of the standard library's files.

use crate::{Code, Failure};

/// One type: its names, and what its files are called. A pattern is a whole name, `*.EXTENSION` or `NAME.*`.
struct Type {
    names: &'static [&'static str],
    globs: &'static [&'static str],
}

const fn of(names: &'static [&'static str], globs: &'static [&'static str]) -> Type {
    Type { names, globs }
}

const TYPES: &[Type] = &[
    of(&["c"], &["*.c", "*.h"]),
    of(&["clojure"], &["*.clj", "*.cljc", "*.cljs"]),
    of(&["cmake"], &["*.cmake", "CMakeLists.txt"]),
    of(&["cpp", "c++"], &["*.cc", "*.cpp", "*.cxx", "*.c++", "*.h", "*.hh", "*.hpp", "*.hxx", "*.inl"]),
    of(&["csharp", "cs"], &["*.cs"]),
    of(&["css"], &["*.css", "*.scss", "*.sass", "*.less"]),
    of(&["dart"], &["*.dart"]),
    of(&["docker"], &["Dockerfile", "Dockerfile.*", "*.dockerfile"]),
    of(&["elixir"], &["*.ex", "*.exs", "*.heex"]),
    of(&["erlang"], &["*.erl", "*.hrl"]),
    of(&["go"], &["*.go"]),
    of(&["gradle"], &["*.gradle", "*.gradle.kts"]),
    of(&["graphql"], &["*.graphql", "*.gql"]),
    of(&["haskell", "hs"], &["*.hs", "*.lhs"]),
    of(&["html"], &["*.html", "*.htm"]),
    of(&["java"], &["*.java"]),
    of(&["js", "javascript"], &["*.js", "*.jsx", "*.mjs", "*.cjs", "*.vue"]),
    of(&["json"], &["*.json", "*.jsonc", "*.json5"]),
    of(&["julia"], &["*.jl"]),
    of(&["kotlin"], &["*.kt", "*.kts"]),
    of(&["lua"], &["*.lua"]),
    of(&["make"], &["Makefile", "makefile", "GNUmakefile", "*.mk", "*.mak"]),
    of(&["markdown", "md"], &["*.md", "*.markdown", "*.mdx"]),
    of(&["nix"], &["*.nix"]),
    of(&["ocaml", "ml"], &["*.ml", "*.mli"]),
    of(&["perl"], &["*.pl", "*.pm", "*.t"]),
    of(&["php"], &["*.php", "*.phtml"]),
    of(&["proto", "protobuf"], &["*.proto"]),
    of(&["py", "python"], &["*.py", "*.pyi", "*.pyx"]),
    of(&["r"], &["*.r", "*.R", "*.Rmd"]),
    of(&["rst"], &["*.rst"]),
    of(&["ruby", "rb"], &["*.rb", "*.rake", "*.gemspec", "Gemfile", "Rakefile"]),
    of(&["rust", "rs"], &["*.rs"]),
    of(&["scala"], &["*.scala", "*.sbt"]),
    of(&["sh", "shell", "bash"], &["*.sh", "*.bash", "*.zsh", "*.fish"]),
    of(&["sql"], &["*.sql"]),
    of(&["swift"], &["*.swift"]),
    of(&["terraform", "tf"], &["*.tf"]),
    of(&["toml"], &["*.toml"]),
    of(&["ts", "typescript"], &["*.ts", "*.tsx", "*.mts", "*.cts"]),
    of(&["txt"], &["*.txt"]),
    of(&["vue"], &["*.vue"]),
    of(&["xml"], &["*.xml", "*.xsd", "*.xsl"]),
    of(&["yaml", "yml"], &["*.yaml", "*.yml"]),
    of(&["zig"], &["*.zig"]),
];

/// What files of some types are called; every file, for no types.
#[derive(Debug, Default)]
pub struct Types {
    globs: Vec<&'static str>,
}

impl Types {
    /// Looks types up by their names.
    pub fn new(names: &[String]) -> Result<Self, Failure> {
        let mut globs = Vec::new();
        for name in names {
            let lower = name.trim_start_matches(['.', '*']).to_ascii_lowercase();
            let Some(known) = TYPES.iter().find(|known| known.names.contains(&lower.as_str())) else {
                let all: Vec<&str> = TYPES.iter().map(|known| known.names[0]).collect();
                let (name, _) = crate::lines::cut(name, 40);
                return Err(Failure::new(Code::InvalidInput, format!("there is no file type {name:?}"))
                    .instead(format!(
                        "The types are {}; for others use `globs`, like *.ext.",
                        all.join(", ")
                    )));
            };
            globs.extend(known.globs);
        }
        globs.sort_unstable();
        globs.dedup();
        Ok(Self { globs })
    }

    /// Returns the globs to walk by: the call's own and, where these only leave files out, the types', so that
    /// the host reads no file of another type.
    pub fn narrow(&self, globs: &[String]) -> Vec<String> {
        let own = globs.iter().cloned();
        if globs.iter().any(|glob| !glob.starts_with('!')) {
            return own.collect();
        }
        // The last glob that fits decides.
        self.globs.iter().map(|glob| (*glob).to_owned()).chain(own).collect()
    }

    /// Whether a file is of one of the types.
    pub fn fit(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let fits = |glob: &&str| match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (_, Some(start)) => name.starts_with(start),
            (None, None) => name == *glob,
        };
        self.globs.is_empty() || self.globs.iter().any(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(names: &[&str]) -> Types {
        Types::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_type_is_known_by_each_of_its_names() {
        for name in ["py", "python", "Python", ".py", "*.py"] {
            assert!(types(&[name]).fit("a/b.py") && !types(&[name]).fit("a/b.rs"), "{name}");
        }
        assert!(types(&["docker"]).fit("x/Dockerfile.dev") && types(&["make"]).fit("Makefile"));
        assert!(types(&["rust", "go"]).fit("a.go") && types(&[]).fit("anything"));
    }

    #[test]
    fn an_unknown_type_is_told_what_there_is() {
        let failure = Types::new(&["cobol".to_owned()]).unwrap_err();
        assert_eq!(failure.message, "there is no file type \"cobol\"");
        assert!(
            failure.instead.is_some_and(|hint| hint.starts_with("The types are c, clojure, cmake, cpp,"))
        );
    }

    #[test]
    fn the_host_is_told_the_types_unless_globs_choose() {
        let globs = |globs: &[&str]| {
            types(&["rust"]).narrow(&globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(globs(&[]), ["*.rs"]);
        assert_eq!(globs(&["!tests/**"]), ["*.rs", "!tests/**"]);
        assert_eq!(globs(&["src/**"]), ["src/**"]);
    }

    #[test]
    fn names_and_patterns_of_the_table_are_of_the_forms_that_are_matched() {
        let mut names: Vec<&str> = TYPES.iter().flat_map(|known| known.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name stands for one type");
        for glob in TYPES.iter().flat_map(|known| known.globs) {
            assert!(glob.matches('*').count() <= 1 && !glob.contains(['?', '[', '{', '/']), "{glob}");
        }
    }
}
