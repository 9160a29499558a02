//! Spellings of paths.

/// Returns a path as the workspace spells it: without `./`, doubled and trailing slashes and without a
/// leading `/workspace/`; `..` and other absolute paths stay, for the host to refuse. The root is empty.
pub fn normal(path: &str) -> String {
    let rest = match path.strip_prefix("/workspace") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
        _ => path,
    };
    let names: Vec<&str> = rest.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let root = if rest.starts_with('/') { "/" } else { "" };
    format!("{root}{}", names.join("/"))
}
