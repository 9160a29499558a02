//! `edit` on the standard library and WASI.

mod wit {
    wit_bindgen::generate!({ path: "../../../wit", world: "edit-wasi" });
}

use guest::disk::Disk;
use guest::edit::Args;
use wit::gloaming::tool::types::{Code, Failure};
use wit::{EditArgs, EditOutput};

struct Tool;

impl wit::Guest for Tool {
    fn edit(args: EditArgs) -> Result<EditOutput, Failure> {
        let args = Args { path: args.path, old: args.old, new: args.new, all: args.all.unwrap_or(false) };
        let output = guest::edit::edit(&Disk, &args).map_err(failure)?;
        Ok(EditOutput { text: output.text, path: output.path, replaced: output.replaced })
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
