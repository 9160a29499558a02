//! `[[mcp]]`: servers of the Model Context Protocol whose tools may be used.

use std::collections::HashMap;

use toml::de::DeValue;

use super::{Reader, Value, keys};
use crate::file::{McpTable, Rule, Tools};

/// What the names of such tools begin with.
pub(super) const PREFIX: &str = "mcp_";
/// The longest name of a server.
const MAX_NAME: usize = 20;
/// The longest name of a tool, which providers of models take.
const MAX_TOOL: usize = 64;

impl Reader<'_> {
    /// Reads one table, and the rule that it is: it allows the tools that it names.
    pub(super) fn mcp_table(
        &mut self,
        value: &Value<'_>,
        ids: &mut HashMap<String, u32>,
    ) -> Option<(McpTable, Rule)> {
        let at = value.span().start;
        let table = self.table(value, "[[mcp]]")?;
        self.known(table, "[[mcp]]", keys::MCP);
        let name = self
            .required(table, "name", at, "[[mcp]]", "name = \"docs\"")
            .and_then(|value| self.string(value, "name"))
            .and_then(|(name, span)| {
                let fits = !name.is_empty()
                    && name.len() <= MAX_NAME
                    && name.starts_with(|c: char| c.is_ascii_lowercase())
                    && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
                if !fits {
                    let hint = format!("lower-case letters and digits, at most {MAX_NAME}");
                    self.fault(span.start, format!("{name:?} is no name of a server"), Some(hint));
                }
                (fits && self.id(&format!("mcp-{name}"), &span, ids)).then_some(name)
            });
        let command = self
            .required(table, "command", at, "[[mcp]]", "command = [\"python3\", \"tools/server.py\"]")
            .map(|value| {
                let words: Vec<String> =
                    self.strings(value, "command").into_iter().map(|(word, _)| word).collect();
                if words.is_empty() || words.iter().any(|word| word.is_empty() || word.contains('\0')) {
                    let hint = "write the program and its arguments, word by word".to_owned();
                    self.fault(value.span().start, "the command is none", Some(hint));
                }
                words
            });
        let workspace = match table.get("workspace") {
            None => false,
            Some(value) => match value.get_ref() {
                DeValue::String(text) if text == "none" => false,
                DeValue::String(text) if text == "read" => true,
                _ => {
                    let hint = "write `workspace = \"read\"` for a copy of it, or \"none\"".to_owned();
                    self.fault(value.span().start, "this is no way to see the workspace", Some(hint));
                    false
                }
            },
        };
        let name = name?;
        let mut tools: Vec<(String, String)> = Vec::new();
        if let Some(value) = self.required(table, "tools", at, "[[mcp]]", "tools = [\"lookup\"]") {
            for (theirs, span) in self.strings(value, "tools") {
                let ours = ours(&name, &theirs);
                let known = tools.iter().find(|(_, known)| *known == ours).map(|(theirs, _)| theirs.clone());
                if theirs.is_empty() || ours.len() > MAX_TOOL {
                    let hint = "a name as the server lists it; `*` means nothing here".to_owned();
                    self.fault(span.start, format!("{theirs:?} is no name of a tool"), Some(hint));
                } else if let Some(known) = known {
                    let message = format!("{theirs:?} and {known:?} would both be called {ours}");
                    self.fault(span.start, message, Some("name one of them".to_owned()));
                } else {
                    tools.push((theirs, ours));
                }
            }
            if tools.is_empty() {
                self.fault(
                    value.span().start,
                    "no tool is named",
                    Some("name those that may be used".to_owned()),
                );
            }
        }
        let (line, column) = self.place(at);
        let everything = self.pattern("**", &value.span())?;
        let rule = Rule {
            id: format!("mcp-{name}"),
            tools: Tools::Named(tools.iter().map(|(_, ours)| ours.clone()).collect()),
            only_writes: false,
            paths: vec![everything],
            because: format!("[[mcp]] {name} names them."),
            instead: None,
            warn: false,
            line,
            column,
        };
        Some((McpTable { name, command: command?, tools, workspace, line, column }, rule))
    }
}

/// The name by which a model knows a server's tool: providers take letters, digits and `_`.
fn ours(server: &str, tool: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("{PREFIX}{server}_{}", tool.chars().map(fit).collect::<String>())
}

#[cfg(test)]
mod tests {
    use crate::{Grant, Layer, parse};

    const SERVER: &str = "schema = 1\nextends = [\"preset:standard\"]\n\n[[mcp]]\nname = \"docs\"\ncommand = [\"docs-server\", \"--stdio\"]\n\
                          tools = [\"lookup\", \"Find-page\"]\n";

    fn resolved(layers: &[(Layer, &str, &str)]) -> Result<Vec<String>, String> {
        let told = |faults: Vec<crate::Diagnostic>| {
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let mut files = Vec::new();
        for (layer, name, text) in layers {
            let file = crate::load(name, text, &|_| Err("nothing is beside it".to_owned())).map_err(told)?;
            files.push((*layer, file));
        }
        let grant = Grant::resolve(&"acme/api".parse().expect("a name"), files).map_err(told)?;
        let servers = grant.mcp_servers();
        Ok(servers.iter().flat_map(|server| server.tools.iter().map(|(_, ours)| ours.clone())).collect())
    }

    #[test]
    fn an_operator_names_servers_and_every_layer_takes_away() {
        let both = ["mcp_docs_lookup", "mcp_docs_find_page"];
        assert_eq!(resolved(&[(Layer::Operator, "o.toml", SERVER)]).expect("it loads"), both);
        // By a tool's name or by all of them; that somebody may use everything grants no tool of a server's.
        let deny = |tools: &str| {
            format!(
                "schema = 1\n[[deny]]\nid = \"x\"\ntools = [\"{tools}\"]\npaths = [\"**\"]\nbecause = \"No.\"\n"
            )
        };
        let operator = format!("{SERVER}{}", deny("mcp_docs_lookup").replace("schema = 1\n", ""));
        assert_eq!(
            resolved(&[(Layer::Operator, "o.toml", &operator)]).expect("it loads"),
            ["mcp_docs_find_page"]
        );
        let layers = [(Layer::Operator, "o.toml", SERVER), (Layer::Repository, "r.toml", &*deny("*"))];
        assert_eq!(resolved(&layers).expect("it loads"), [""; 0]);
        let layers = [(Layer::Operator, "o.toml", SERVER), (Layer::Repository, "r.toml", SERVER)];
        let refused = resolved(&layers).expect_err("a repository's file names one");
        assert!(refused.contains("r.toml:4") && refused.contains("only an operator's file"), "{refused}");
        let other = SERVER.replace("--stdio", "--evil");
        let layers = [(Layer::Operator, "o.toml", SERVER), (Layer::Operator, "p.toml", &*other)];
        let refused = resolved(&layers).expect_err("two say different things");
        assert!(refused.contains("two tables name the MCP server docs"), "{refused}");
    }

    #[test]
    fn a_slip_in_a_table_is_told_at_its_place() {
        for (from, to, told) in [
            ("\"docs\"", "\"Docs\"", "no name of a server"),
            ("[\"docs-server\", \"--stdio\"]", "[\"\"]", "the command is none"),
            ("\"lookup\"", "\"find_page\"", "would both be called mcp_docs_find_page"),
            ("tools = [\"lookup\", \"Find-page\"]", "tools = []", "no tool is named"),
            ("tools =", "workspace = \"write\"\ntools =", "no way to see the workspace"),
            ("tools =", "tool =", "[[mcp]] has no key `tool`"),
            // A registered tool of that name would be allowed all that the server's is.
            ("[[mcp]]", "[[tool]]\nname = \"mcp_docs_lookup\"\n\n[[mcp]]", "as tools of MCP servers have"),
        ] {
            let faults = parse("p.toml", &SERVER.replace(from, to)).expect_err(told);
            assert!(faults.iter().any(|fault| fault.to_string().contains(told)), "{told}: {faults:?}");
        }
    }
}
