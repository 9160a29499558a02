//! The tool `search`: the contract's types around `guest::search`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "search-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use guest::search::{Args, Case};
use wit::{FileCount, MatchLine, SearchArgs, SearchOutput};

struct Tool;

impl wit::Guest for Tool {
    fn search(args: SearchArgs) -> Result<SearchOutput, Failure> {
        bindings::begin();
        let case = Case::of(args.case_sensitive, args.smart_case)?;
        let args = Args {
            pattern: args.pattern,
            literal: args.literal.unwrap_or(false),
            case,
            multiline: args.multiline.unwrap_or(false),
            word: args.word.unwrap_or(false),
            path: args.path,
            globs: args.globs.unwrap_or_default(),
            types: args.types.unwrap_or_default(),
            context: args.context.unwrap_or(0),
            hidden: args.hidden.unwrap_or(false),
            ignored: args.ignored.unwrap_or(false),
            counts: args.counts.unwrap_or(false),
            limit: args.limit,
            cursor: args.cursor,
        };
        let output = guest::search::search(&bindings::Host, &args)?;
        let matches = output.matches.into_iter().map(|found| MatchLine {
            path: found.path,
            line: found.line,
            column: found.column,
            text: found.text,
        });
        Ok(SearchOutput {
            text: output.text,
            matches: matches.collect(),
            counts: output.counts.into_iter().map(|(path, count)| FileCount { path, count }).collect(),
            files: output.files,
            searched: output.searched,
            truncated: output.truncated,
            next: output.next,
        })
    }
}

wit::export!(Tool with_types_in wit);
