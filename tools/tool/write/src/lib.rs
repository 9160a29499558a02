//! The tool `write`: the contract's types around `guest::write`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "write-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/changes@0.1.0": bindings::changes,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use guest::write::Args;
use wit::{WriteArgs, WriteOutput};

struct Tool;

impl wit::Guest for Tool {
    fn write(args: WriteArgs) -> Result<WriteOutput, Failure> {
        bindings::begin();
        let args =
            Args { path: args.path, content: args.content, overwrite: args.overwrite.unwrap_or(false) };
        let output = guest::write::write(&bindings::Host, &args)?;
        Ok(WriteOutput { text: output.text, path: output.path, created: output.created, size: output.size })
    }
}

wit::export!(Tool with_types_in wit);
