//! The tool `edit`: the contract's types around `guest::edit`.

mod wit {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "edit-tool",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/changes@0.1.0": bindings::changes,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::types::Failure;
use guest::edit::{Args, Item};
use wit::{EditArgs, EditOutput, EditedFile};

struct Tool;

impl wit::Guest for Tool {
    fn edit(args: EditArgs) -> Result<EditOutput, Failure> {
        bindings::begin();
        let item = |item: wit::EditItem| Item {
            path: item.path,
            old: item.old,
            new: item.new,
            all: item.all.unwrap_or(false),
        };
        let args = Args {
            path: args.path,
            old: args.old,
            new: args.new,
            all: args.all.unwrap_or(false),
            edits: args.edits.map(|edits| edits.into_iter().map(item).collect()),
        };
        let output = guest::edit::edit(&bindings::Host, &args)?;
        let files =
            output.files.into_iter().map(|file| EditedFile { path: file.path, replaced: file.replaced });
        Ok(EditOutput {
            text: output.text,
            path: output.path,
            replaced: output.replaced,
            files: files.collect(),
        })
    }
}

wit::export!(Tool with_types_in wit);
