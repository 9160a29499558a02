//! A tool that overflows its stack.

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-recursion",
        generate_all,
    });
}

use wit::RecursionOutput;
use wit::gloaming::tool::types::Failure;

struct Tool;

impl wit::Guest for Tool {
    fn evil_recursion() -> Result<RecursionOutput, Failure> {
        Ok(RecursionOutput { text: deeper(1).to_string() })
    }
}

/// Returns the depth; the addition behind the call keeps it from becoming a loop.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let depth = std::hint::black_box(depth);
    if depth == u64::MAX { 0 } else { deeper(depth + 1) + std::hint::black_box(1) }
}

wit::export!(Tool with_types_in wit);
