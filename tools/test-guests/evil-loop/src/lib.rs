//! A tool that never returns.

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-loop",
        generate_all,
    });
}

use wit::LoopOutput;
use wit::gloaming::tool::types::Failure;

struct Tool;

impl wit::Guest for Tool {
    fn evil_loop() -> Result<LoopOutput, Failure> {
        let mut turns = 0u64;
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }
}

wit::export!(Tool with_types_in wit);
