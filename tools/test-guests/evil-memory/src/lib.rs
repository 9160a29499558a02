//! A tool that takes all memory.

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-memory",
        generate_all,
    });
}

use wit::MemoryOutput;
use wit::gloaming::tool::types::Failure;

struct Tool;

impl wit::Guest for Tool {
    fn evil_memory() -> Result<MemoryOutput, Failure> {
        let mut taken = Vec::new();
        loop {
            taken.push(std::hint::black_box(vec![1u8; 1 << 20]));
        }
    }
}

wit::export!(Tool with_types_in wit);
