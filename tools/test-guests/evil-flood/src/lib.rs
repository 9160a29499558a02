//! A tool that returns and logs too much.

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-flood",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use wit::{FloodArgs, FloodOutput};

struct Tool;

impl wit::Guest for Tool {
    fn evil_flood(args: FloodArgs) -> Result<FloodOutput, Failure> {
        bindings::begin();
        let line = "x".repeat(64 << 10);
        for _ in 0..args.lines {
            bindings::log::log(&line);
        }
        Ok(FloodOutput { text: "x".repeat(usize::try_from(args.bytes).unwrap_or(usize::MAX)) })
    }
}

wit::export!(Tool with_types_in wit);
