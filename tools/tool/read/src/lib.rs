//! The tool `read`: the contract's types around `guest::read`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "read-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use guest::read::Args;
use wit::{ReadArgs, ReadOutput};

struct Tool;

impl wit::Guest for Tool {
    fn read(args: ReadArgs) -> Result<ReadOutput, Failure> {
        bindings::begin();
        let args = Args { path: args.path, start: args.start, lines: args.lines, column: args.column };
        let output = guest::read::read(&bindings::Host, &args)?;
        Ok(ReadOutput {
            text: output.text,
            path: output.path,
            first: output.first,
            last: output.last,
            total: output.total,
            truncated: output.truncated,
            binary: output.binary,
            size: output.size,
            encoding: output.encoding.map(str::to_owned),
            media: output.media.map(str::to_owned),
            width: output.width,
            height: output.height,
        })
    }
}

wit::export!(Tool with_types_in wit);
