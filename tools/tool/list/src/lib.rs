//! The tool `list`: the contract's types around `guest::list`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "list-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use guest::list::Args;
use wit::{ListArgs, ListOutput};

struct Tool;

impl wit::Guest for Tool {
    fn list(args: ListArgs) -> Result<ListOutput, Failure> {
        bindings::begin();
        let args = Args {
            path: args.path,
            globs: args.globs.unwrap_or_default(),
            types: args.types.unwrap_or_default(),
            depth: args.depth,
            hidden: args.hidden.unwrap_or(false),
            ignored: args.ignored.unwrap_or(false),
            limit: args.limit,
            cursor: args.cursor,
        };
        let output = guest::list::list(&bindings::Host, &args)?;
        Ok(ListOutput {
            text: output.text,
            paths: output.paths,
            total: output.total,
            truncated: output.truncated,
            next: output.next,
        })
    }
}

wit::export!(Tool with_types_in wit);
