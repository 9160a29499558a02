//! A tool that panics.

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-panic",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use wit::{PanicArgs, PanicOutput};

struct Tool;

impl wit::Guest for Tool {
    fn evil_panic(args: PanicArgs) -> Result<PanicOutput, Failure> {
        bindings::begin();
        panic!("{}", args.message);
    }
}

wit::export!(Tool with_types_in wit);
