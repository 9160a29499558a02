//! The tool `diff`: the contract's types around `guest::diff`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "diff-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/base@0.1.0": bindings::base,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use guest::diff::Args;
use wit::{ChangedFile, DiffArgs, DiffOutput};

struct Tool;

impl wit::Guest for Tool {
    fn diff(args: DiffArgs) -> Result<DiffOutput, Failure> {
        bindings::begin();
        let args = Args {
            path: args.path,
            summary: args.summary.unwrap_or(false),
            context: args.context,
            cursor: args.cursor,
        };
        let output = guest::diff::diff(&bindings::Host, &args)?;
        let files = output.files.into_iter().map(|file| ChangedFile {
            path: file.path,
            change: file.change.to_owned(),
            added: file.added,
            removed: file.removed,
            binary: file.binary,
        });
        Ok(DiffOutput {
            text: output.text,
            files: files.collect(),
            total: output.total,
            truncated: output.truncated,
            next: output.next,
        })
    }
}

wit::export!(Tool with_types_in wit);
