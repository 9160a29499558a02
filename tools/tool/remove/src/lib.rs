//! The tool `remove`: the contract's types around `guest::remove`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "remove-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/changes@0.1.0": bindings::changes,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use guest::remove::Args;
use wit::{RemoveArgs, RemoveOutput};

struct Tool;

impl wit::Guest for Tool {
    fn remove(args: RemoveArgs) -> Result<RemoveOutput, Failure> {
        bindings::begin();
        let args = Args { path: args.path, recursive: args.recursive.unwrap_or(false) };
        let output = guest::remove::remove(&bindings::Host, &args)?;
        Ok(RemoveOutput { text: output.text, paths: output.paths })
    }
}

wit::export!(Tool with_types_in wit);
