//! The tool `patch`: the contract's types around `guest::patch`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "patch-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/changes@0.1.0": bindings::changes,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use wit::{PatchArgs, PatchOutput, PatchedFile};

struct Tool;

impl wit::Guest for Tool {
    fn patch(args: PatchArgs) -> Result<PatchOutput, Failure> {
        bindings::begin();
        let output = guest::patch::patch(&bindings::Host, &args.patch)?;
        let files = output.files.into_iter().map(|file| PatchedFile {
            path: file.path,
            change: file.change.to_owned(),
            to: file.to,
            added: file.added,
            removed: file.removed,
        });
        Ok(PatchOutput { text: output.text, files: files.collect() })
    }
}

wit::export!(Tool with_types_in wit);
