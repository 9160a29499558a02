//! `edit` on the standard library and WASI.

mod wit {
    wit_bindgen::generate!({ path: "../../../wit", world: "edit-wasi" });
}

use guest::disk::Disk;
use guest::edit::{Args, Item};
use wit::gloaming::tool::types::{Code, Failure};
use wit::{EditArgs, EditOutput, EditedFile};

struct Tool;

impl wit::Guest for Tool {
    fn edit(args: EditArgs) -> Result<EditOutput, Failure> {
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
        let output = guest::edit::edit(&Disk, &args).map_err(failure)?;
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

fn failure(failure: guest::Failure) -> Failure {
    let code = match failure.code {
        guest::Code::Denied => Code::Denied,
        guest::Code::NotFound => Code::NotFound,
        guest::Code::InvalidInput => Code::InvalidInput,
        guest::Code::Conflict => Code::Conflict,
        guest::Code::TooLarge => Code::TooLarge,
        guest::Code::Timeout => Code::Timeout,
        guest::Code::Internal => Code::Internal,
    };
    Failure { code, rule: failure.rule, message: failure.message, instead: failure.instead }
}

wit::export!(Tool with_types_in wit);
