//! `read` on the standard library and WASI.

mod wit {
    // Without the prefix, which is the canonical names' own, the export's symbol is `read`, and the standard
    // library's reads end in this tool instead of in libc. The export that frees the result is not found
    // under it; an instance ends with its call, so nothing is lost.
    wit_bindgen::generate!({ path: "../../../wit", world: "read-wasi", export_prefix: "cm32p2||" });
}

use guest::disk::Disk;
use guest::read::Args;
use wit::gloaming::tool::types::{Code, Failure};
use wit::{ReadArgs, ReadOutput};

struct Tool;

impl wit::Guest for Tool {
    fn read(args: ReadArgs) -> Result<ReadOutput, Failure> {
        let args = Args { path: args.path, start: args.start, lines: args.lines, column: args.column };
        let output = guest::read::read(&Disk, &args).map_err(failure)?;
        Ok(ReadOutput {
            text: output.text,
            path: output.path,
            first: output.first,
            last: output.last,
            total: output.total,
            truncated: output.truncated,
            binary: output.binary,
            size: output.size,
            encoding: output.encoding.map(str::to_owned),
            media: output.media.map(str::to_owned),
            width: output.width,
            height: output.height,
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
