//! A tool that wants an interface no grant gives.

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-imports",
        generate_all,
    });
}

use wit::ImportsOutput;
use wit::gloaming::evil::network;
use wit::gloaming::tool::types::Failure;

struct Tool;

impl wit::Guest for Tool {
    fn evil_imports() -> Result<ImportsOutput, Failure> {
        Ok(ImportsOutput { text: format!("{:?}", network::connect("example.org", 443)) })
    }
}

wit::export!(Tool with_types_in wit);
