//! A tool that tries the standard library's file functions.
#![expect(clippy::disallowed_methods, reason = "over WASI the standard library is what the host decides on")]

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-wasi",
        generate_all,
    });
}

use std::collections::BTreeMap;
use std::ffi::{CString, OsString, c_char, c_int};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wit::gloaming::tool::types::{Code, Failure};
use wit::{ProbeArgs, ProbeOutput};

struct Tool;

impl wit::Guest for Tool {
    fn probe(args: ProbeArgs) -> Result<ProbeOutput, Failure> {
        let answer = told(Probe::default().run(&args)?);
        Ok(ProbeOutput { text: answer.to_string() })
    }
}

fn told(answer: io::Result<Value>) -> Value {
    match answer {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": {
            "kind": format!("{:?}", error.kind()),
            "errno": error.raw_os_error(),
            "message": error.to_string(),
        } }),
    }
}

/// What steps of a script share.
#[derive(Default)]
struct Probe {
    /// Open files, by the path they were opened by.
    open: BTreeMap<String, File>,
}

impl Probe {
    /// Makes a call, or several: `script` takes a list of calls as `data`, `repeat` `{"times": n, "call": call}`,
    /// without `times` for ever. What is open stays so until the last has been made.
    fn run(&mut self, args: &ProbeArgs) -> Result<io::Result<Value>, Failure> {
        let given = || -> Result<Value, Failure> {
            serde_json::from_str(args.data.as_deref().unwrap_or("null"))
                .map_err(|error| invalid(format!("`data`: {error}")))
        };
        let data = args.data.as_deref().unwrap_or_default();
        let number = data.parse().unwrap_or(0);
        let null = |()| Value::Null;
        let path = args.path.clone();
        Ok(match args.op.as_str() {
            "script" => {
                let mut answers = Vec::new();
                for step in given()?.as_array().into_iter().flatten() {
                    answers.push(told(self.run(&step_of(step))?));
                }
                Ok(answers.into())
            }
            "repeat" => {
                let options = given()?;
                let (times, step) = (options["times"].as_u64(), step_of(&options["call"]));
                let (mut done, mut failed) = (0u64, Value::Null);
                while times.is_none_or(|times| done < times) {
                    if let Err(error) = self.run(&step)? {
                        failed = told(Err(error));
                    }
                    done += 1;
                }
                Ok(json!({ "done": done, "last_failure": failed }))
            }
            "open" => File::open(workspace(&path)).map(|file| {
                self.open.insert(path, file);
                Value::Null
            }),
            "open_both" => OpenOptions::new().read(true).write(true).open(workspace(&path)).map(|file| {
                self.open.insert(path, file);
                Value::Null
            }),
            // Of an open file: read all, write at its end, its size, seek, cut, close.
            "read_open" => self.opened(&path).and_then(|file| {
                let mut data = Vec::new();
                file.read_to_end(&mut data).map(|_| json!(String::from_utf8_lossy(&data)))
            }),
            "write_open" => self.opened(&path).and_then(|file| file.write_all(data.as_bytes())).map(null),
            "fill_open" => {
                self.opened(&path).and_then(|file| file.write_all(&vec![b'x'; number as usize])).map(null)
            }
            "size_open" => {
                self.opened(&path).and_then(|file| file.metadata()).map(|facts| json!(facts.len()))
            }
            "seek_open" => {
                self.opened(&path).and_then(|file| file.seek(SeekFrom::Start(number))).map(Value::from)
            }
            "cut_open" => self.opened(&path).and_then(|file| file.set_len(number)).map(null),
            "close" => {
                self.open.remove(&path);
                Ok(Value::Null)
            }
            // Keeps a new file open under a number, until the host has had enough of it.
            "hold" => File::open(workspace(&path)).map(|file| {
                self.open.insert(format!("{path} {}", self.open.len()), file);
                Value::Null
            }),
            // libc's own flags as `data`: what no Rust program would ask for.
            "open_flags" => open_flags(&workspace(&path), number as c_int),
            "print" => io::stdout().write_all(&vec![b'x'; number as usize]).map(null),
            "print_error" => io::stderr().write_all(&vec![b'x'; number as usize]).map(null),
            "say_error" => io::stderr().write_all(data.as_bytes()).map(null),
            "input" => {
                let mut data = Vec::new();
                io::stdin().read_to_end(&mut data).map(|_| json!(String::from_utf8_lossy(&data)))
            }
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_secs(number));
                Ok(Value::Null)
            }
            "exit" => std::process::exit(number as i32),
            "environment" => Ok(json!({
                "variables": std::env::vars_os().count(),
                "arguments": std::env::args_os().count(),
                "folder": std::env::current_dir().map(|folder| folder.display().to_string()).ok(),
            })),
            _ => return probe(args),
        })
    }

    fn opened(&mut self, path: &str) -> io::Result<&mut File> {
        self.open.get_mut(path).ok_or_else(|| io::Error::other(format!("{path} was not opened")))
    }
}

fn step_of(value: &Value) -> ProbeArgs {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    ProbeArgs {
        op: text("op").unwrap_or_default(),
        path: text("path").unwrap_or_default(),
        to: text("to"),
        data: text("data").or_else(|| (!value["data"].is_null()).then(|| value["data"].to_string())),
    }
}

/// A path below `/workspace`, just as it is spelled (an absolute one replaces it), or the bytes that stand
/// behind `hex:`, whatever they are.
fn workspace(path: &str) -> PathBuf {
    let spelled = match path.strip_prefix("hex:") {
        None => OsString::from(path),
        Some(digits) => {
            let bytes = (0..digits.len() / 2)
                .filter_map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok())
                .collect();
            // SAFETY: here a name of a file is any bytes; the host is who must not trust them.
            unsafe { OsString::from_encoded_bytes_unchecked(bytes) }
        }
    };
    Path::new("/workspace").join(spelled)
}

/// Makes one call of the standard library.
fn probe(args: &ProbeArgs) -> Result<io::Result<Value>, Failure> {
    let path = workspace(&args.path);
    let to = || workspace(args.to.as_deref().unwrap_or_default());
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
        op => return Err(invalid(format!("no operation {op:?}"))),
    })
}

fn invalid(message: String) -> Failure {
    Failure { code: Code::InvalidInput, rule: None, message, instead: None }
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

/// Opens a file through libc, and closes it.
fn open_flags(path: &Path, flags: c_int) -> io::Result<Value> {
    unsafe extern "C" {
        fn open(path: *const c_char, flags: c_int, ...) -> c_int;
        fn close(file: c_int) -> c_int;
    }
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: the path is NUL-terminated and lives until the call returns; the file is closed once, here.
    match unsafe { open(path.as_ptr(), flags) } {
        file if file >= 0 => Ok(json!(unsafe { close(file) })),
        _ => Err(io::Error::last_os_error()),
    }
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
