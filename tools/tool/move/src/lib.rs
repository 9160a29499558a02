//! The tool `move`: the contract's types around `guest::move`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "move-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/changes@0.1.0": bindings::changes,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use guest::r#move::Args;
use wit::{MoveArgs, MoveOutput, MovedFile};

struct Tool;

impl wit::Guest for Tool {
    fn move_(args: MoveArgs) -> Result<MoveOutput, Failure> {
        bindings::begin();
        let output = guest::r#move::relocate(&bindings::Host, &Args { from: args.from, to: args.to })?;
        let files = output.files.into_iter().map(|(from, to)| MovedFile { from, to });
        Ok(MoveOutput { text: output.text, files: files.collect() })
    }
}

wit::export!(Tool with_types_in wit);
