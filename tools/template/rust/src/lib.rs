//! A tool for Gloaming: one function, called in a fresh instance each time. It can do what its world
//! (`wit/world.wit`) imports and nothing else: no network, no environment, no processes. Every path it names is
//! decided by the policy of whoever runs it.

wit_bindgen::generate!({ path: "wit", world: "my-tool", generate_all });

use gloaming::tool::workspace;

struct Tool;

impl Guest for Tool {
    fn my_tool(args: Args) -> Result<Counts, Failure> {
        // A denied or missing file is a failure that already says why: hand it on.
        let content = workspace::read(&args.path, None)?;
        let (lines, words) = count(&String::from_utf8_lossy(&content.data));
        let bytes = content.size;
        let text = format!("{}: {lines} lines, {words} words, {bytes} bytes", args.path);
        Ok(Counts { text, lines, words, bytes })
    }
}

export!(Tool);

fn count(text: &str) -> (u32, u32) {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (count(text.lines().count()), count(text.split_whitespace().count()))
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn lines_and_words_are_counted() {
        assert_eq!(count("one two\nthree\n"), (2, 3));
        assert_eq!(count(""), (0, 0));
    }
}
