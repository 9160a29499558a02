//! A tool that tries the standard library's file functions.
#![expect(clippy::disallowed_methods, reason = "over WASI the standard library is what the host decides on")]

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-wasi",
        generate_all,
    });
}

use std::ffi::{CString, c_char, c_int};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wit::gloaming::tool::types::{Code, Failure};
use wit::{ProbeArgs, ProbeOutput};

struct Tool;

impl wit::Guest for Tool {
    fn probe(args: ProbeArgs) -> Result<ProbeOutput, Failure> {
        let answer = match probe(&args)? {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": {
                "kind": format!("{:?}", error.kind()),
                "errno": error.raw_os_error(),
                "message": error.to_string(),
            } }),
        };
        Ok(ProbeOutput { text: answer.to_string() })
    }
}

/// Makes one call. Paths are joined to `/workspace` as they are spelled, so an absolute one replaces it.
fn probe(args: &ProbeArgs) -> Result<io::Result<Value>, Failure> {
    let path = Path::new("/workspace").join(&args.path);
    let to = || PathBuf::from("/workspace").join(args.to.as_deref().unwrap_or_default());
    let data = args.data.as_deref().unwrap_or_default().as_bytes();
    let null = |()| Value::Null;
    Ok(match args.op.as_str() {
        "read" => fs::read(path).map(|data| json!(String::from_utf8_lossy(&data))),
        "write" => fs::write(path, data).map(null),
        "create_new" => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|mut file| file.write_all(data))
            .map(null),
        "append" => OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(data))
            .map(null),
        // Opening alone already empties the file.
        "truncate" => OpenOptions::new().write(true).truncate(true).open(path).map(|_| Value::Null),
        "open_write" => OpenOptions::new().write(true).open(path).map(|_| Value::Null),
        "set_len" => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(args.data.as_deref().and_then(|n| n.parse().ok()).unwrap_or(0)))
            .map(null),
        "set_times" => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
            .map(null),
        "readdir" => fs::read_dir(path).and_then(|entries| {
            let mut names = Vec::new();
            for entry in entries {
                let entry = entry?;
                names.push(json!({
                    "name": entry.file_name().to_string_lossy(),
                    "kind": kind(entry.file_type()?),
                }));
            }
            names.sort_by_key(|name| name["name"].to_string());
            Ok(Value::from(names))
        }),
        "rename" => fs::rename(path, to()).map(null),
        "remove" => fs::remove_file(path).map(null),
        "remove_dir" => fs::remove_dir(path).map(null),
        "hard_link" => fs::hard_link(path, to()).map(null),
        // The link `path` with the text of `to`, which is not joined to anything.
        "symlink" => symlink(args.to.as_deref().unwrap_or_default(), &path).map(null),
        "read_link" => fs::read_link(path).map(|target| json!(target.to_string_lossy())),
        "create_dir" => fs::create_dir(path).map(null),
        "create_dir_all" => fs::create_dir_all(path).map(null),
        "metadata" => fs::metadata(path).map(|metadata| facts(&metadata)),
        "symlink_metadata" => fs::symlink_metadata(path).map(|metadata| facts(&metadata)),
        "copy" => fs::copy(path, to()).map(Value::from),
        "exists" => fs::exists(path).map(Value::from),
        op => {
            return Err(Failure {
                code: Code::InvalidInput,
                rule: None,
                message: format!("no operation {op:?}"),
                instead: None,
            });
        }
    })
}

fn kind(kind: fs::FileType) -> &'static str {
    if kind.is_file() {
        "file"
    } else if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "symlink"
    } else {
        "other"
    }
}

fn facts(metadata: &fs::Metadata) -> Value {
    json!({ "kind": kind(metadata.file_type()), "size": metadata.len() })
}

/// Makes a symbolic link through libc: the standard library's function for it is not stable here.
fn symlink(target: &str, link: &Path) -> io::Result<()> {
    unsafe extern "C" {
        fn symlink(target: *const c_char, link: *const c_char) -> c_int;
    }
    let target = CString::new(target)?;
    let link = CString::new(link.as_os_str().as_encoded_bytes())?;
    // SAFETY: both pointers are to NUL-terminated strings that live until the call returns.
    match unsafe { symlink(target.as_ptr(), link.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
wit::export!(Tool with_types_in wit);
