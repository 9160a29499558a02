//! A tool that calls the raw file interface.

mod wit {
    wit_bindgen::generate!({
        path: ["../../../wit", "../wit"],
        world: "gloaming:evil/evil-paths",
        with: {
            "gloaming:tool/types@0.1.0": bindings::types,
            "gloaming:tool/workspace@0.1.0": bindings::workspace,
            "gloaming:tool/changes@0.1.0": bindings::changes,
            "gloaming:tool/base@0.1.0": bindings::base,
            "gloaming:tool/log@0.1.0": bindings::log,
        },
    });
}

use bindings::base;
use bindings::changes::{self, Change, Expected, Put, Removal, Renaming};
use bindings::types::{Code, Failure};
use bindings::workspace::{self, ByteRange, Info, Kind, Walk, WalkOptions};
use serde_json::{Value, json};
use wit::{ProbeArgs, ProbeOutput};

struct Tool;

impl wit::Guest for Tool {
    fn probe(args: ProbeArgs) -> Result<ProbeOutput, Failure> {
        bindings::begin();
        let answer = told(Probe::default().run(&args)?);
        Ok(ProbeOutput { text: answer.to_string() })
    }
}

fn told(answer: Result<Value, Failure>) -> Value {
    match answer {
        Ok(value) => json!({ "ok": value }),
        Err(failure) => json!({ "error": {
            "code": code(failure.code),
            "rule": failure.rule,
            "message": failure.message,
            "instead": failure.instead,
        } }),
    }
}

/// What steps of a script share.
#[derive(Default)]
struct Probe {
    /// Walks that are held.
    walks: Vec<Walk>,
}

impl Probe {
    /// Makes one call. The outer failure is the probe's own: an operation it does not know.
    ///
    /// `read` takes `data` as `{"offset": n, "length": n}`; `walk` as its options by their names in the WIT, all
    /// optional; `write`, `remove` and `rename` take what they expect as `data` or `to`, see [`expected`];
    /// `fill` writes as many bytes as `data` says; `commit` takes a list of `{"put"|"remove"|"rename": path, "to": path, "data": text, "expected": text}`.
    /// `hold` begins a walk that lives on and `next` takes its next batch; `script` takes a list of calls and
    /// makes them one after the other; `repeat` takes `{"times": n, "call": call}`, without `times` for ever;
    /// `deep` takes `{"levels": n, "call": call}` and makes it from deep within its own stack.
    fn run(&mut self, args: &ProbeArgs) -> Result<Result<Value, Failure>, Failure> {
        let path = spelled(&args.path);
        let path = path.as_str();
        let to = args.to.as_deref().map(spelled);
        let to = to.as_deref();
        let data = args.data.as_deref();
        Ok(match args.op.as_str() {
            "stat" => workspace::stat(path).map(info),
            "read" => {
                let options = options(data)?;
                let range = (!options.is_null()).then(|| ByteRange {
                    offset: options["offset"].as_u64().unwrap_or(0),
                    length: options["length"].as_u64().unwrap_or(u64::MAX),
                });
                workspace::read(path, range).map(|content| {
                    json!({
                        "data": String::from_utf8_lossy(&content.data),
                        "size": content.size,
                        "version": content.version,
                    })
                })
            }
            "list" => workspace::list(path).map(|entries| {
                let entries = entries.into_iter().map(
                    |entry| json!({ "name": entry.name, "info": info(entry.info), "escaped": entry.escaped }),
                );
                entries.collect()
            }),
            "changed" => {
                base::changed_paths(path).map(|changed| changed.into_iter().map(|one| one.path).collect())
            }
            "read_base" => {
                base::read(path).map(|content| json!({ "data": String::from_utf8_lossy(&content.data) }))
            }
            "walk" => walk(path, &options(data)?),
            "hold" => start(path, &options(data)?).map(|walk| {
                self.walks.push(walk);
                json!(self.walks.len() - 1)
            }),
            "next" => {
                let number = options(data)?.as_u64().unwrap_or(0) as usize;
                let Some(walk) = self.walks.get(number) else {
                    return Err(invalid(format!("no walk {number}")));
                };
                walk.next().map(|batch| {
                    let paths = batch.into_iter().flat_map(|batch| batch.visited).map(|one| one.path);
                    paths.collect()
                })
            }
            "write" => {
                changes::write(path, data.unwrap_or_default().as_bytes(), &expected(to)).map(Value::from)
            }
            // So many bytes, which need not be handed over to be written.
            "fill" => {
                let bytes = options(data)?.as_u64().unwrap_or(0) as usize;
                changes::write(path, &vec![b'x'; bytes], &expected(to)).map(Value::from)
            }
            "remove" => changes::remove(path, &expected(to)).map(Value::from),
            "rename" => changes::rename(path, to.unwrap_or_default(), &expected(data)).map(Value::from),
            "commit" => {
                let list = options(data)?;
                let list: Vec<Change> = list.as_array().into_iter().flatten().map(change).collect();
                changes::commit(&list).map(Value::from)
            }
            "script" => {
                let mut answers = Vec::new();
                for step in options(data)?.as_array().into_iter().flatten() {
                    answers.push(told(self.run(&step_of(step))?));
                }
                Ok(answers.into())
            }
            "repeat" => {
                let options = options(data)?;
                let (times, step) = (options["times"].as_u64(), step_of(&options["call"]));
                let (mut done, mut failed) = (0u64, Value::Null);
                while times.is_none_or(|times| done < times) {
                    if let Err(failure) = self.run(&step)? {
                        failed = told(Err(failure));
                    }
                    done += 1;
                }
                Ok(json!({ "done": done, "last_failure": failed }))
            }
            "deep" => {
                let options = options(data)?;
                let step = step_of(&options["call"]);
                self.deep(options["levels"].as_u64().unwrap_or(0), &step)?
            }
            op => return Err(invalid(format!("no operation {op:?}"))),
        })
    }

    /// Makes a call with that many frames of its own stack in use.
    #[inline(never)]
    fn deep(&mut self, levels: u64, step: &ProbeArgs) -> Result<Result<Value, Failure>, Failure> {
        let kept = std::hint::black_box([levels; 64]);
        let answer = if levels == 0 { self.run(step) } else { self.deep(levels - 1, step) };
        std::hint::black_box(kept);
        answer
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

/// A path as it is, or the bytes that stand behind `hex:`, whatever they are: a component can be written by hand.
fn spelled(path: &str) -> String {
    let Some(digits) = path.strip_prefix("hex:") else { return path.to_owned() };
    let bytes =
        (0..digits.len() / 2).filter_map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok());
    // SAFETY: it is not, and that is the point; the text is only handed to the host, which must not trust it.
    unsafe { String::from_utf8_unchecked(bytes.collect()) }
}

fn start(path: &str, options: &Value) -> Result<Walk, Failure> {
    let flag = |name: &str| options[name].as_bool().unwrap_or(false);
    let globs = options["globs"].as_array().into_iter().flatten();
    Walk::start(
        path,
        &WalkOptions {
            globs: globs.filter_map(|glob| glob.as_str().map(str::to_owned)).collect(),
            hidden: flag("hidden"),
            ignore_files: flag("ignore-files"),
            depth: options["depth"].as_u64().and_then(|depth| u32::try_from(depth).ok()),
            directories: flag("directories"),
            contents: flag("contents"),
            max_file_size: options["max-file-size"].as_u64().unwrap_or(u64::MAX),
        },
    )
}

fn walk(path: &str, options: &Value) -> Result<Value, Failure> {
    let walk = start(path, options)?;
    let mut visited = Vec::new();
    let mut batches = 0;
    while let Some(batch) = walk.next()? {
        batches += 1;
        for one in batch.visited {
            let content = one.at.map(|at| {
                let (from, length) = (at.offset as usize, at.length as usize);
                String::from_utf8_lossy(&batch.bytes[from..from + length]).into_owned()
            });
            visited.push(json!({
                "path": one.path,
                "info": info(one.info),
                "content": content,
                "escaped": one.escaped,
            }));
        }
    }
    Ok(json!({ "batches": batches, "visited": visited }))
}

/// Nothing or `any`: anything; `absent`: nothing may be there; else a version.
fn expected(text: Option<&str>) -> Expected {
    match text {
        None | Some("any") => Expected::Any,
        Some("absent") => Expected::Absent,
        Some(version) => Expected::Version(version.to_owned()),
    }
}

fn change(value: &Value) -> Change {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let expected = expected(value["expected"].as_str());
    if value["put"].is_string() {
        Change::Put(Put { path: text("put"), data: text("data").into_bytes(), expected })
    } else if value["remove"].is_string() {
        Change::Remove(Removal { path: text("remove"), expected })
    } else {
        Change::Rename(Renaming { from: text("rename"), to: text("to"), expected })
    }
}

fn options(data: Option<&str>) -> Result<Value, Failure> {
    match data {
        None => Ok(Value::Null),
        Some(data) => serde_json::from_str(data).map_err(|error| invalid(format!("`data`: {error}"))),
    }
}

fn info(info: Info) -> Value {
    let kind = match info.kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::Other => "other",
    };
    json!({ "kind": kind, "size": info.size, "executable": info.executable })
}

fn code(code: Code) -> &'static str {
    match code {
        Code::Denied => "denied",
        Code::NotFound => "not_found",
        Code::InvalidInput => "invalid_input",
        Code::Conflict => "conflict",
        Code::TooLarge => "too_large",
        Code::Timeout => "timeout",
        Code::Internal => "internal",
    }
}

fn invalid(message: String) -> Failure {
    Failure { code: Code::InvalidInput, rule: None, message, instead: None }
}

wit::export!(Tool with_types_in wit);
