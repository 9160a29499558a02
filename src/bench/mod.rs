//! `gloaming bench tools`: what a sandboxed call costs, against native programs doing the same in the same run.
//!
//! Candidates take turns, round by round, and what is told of each is the median of its times and the median of
//! its ratios to ours of the same round: a machine that is busy for a while slows both sides. A peer that is not
//! installed says so. Nothing is asserted.
#![expect(clippy::disallowed_methods, reason = "a benchmark starts host programs and lays out its own files")]

mod peers;
mod table;
mod tree;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gloaming_api::RepoId;
use gloaming_api::tool::CallDuration;
use gloaming_policies::{Grant, Layer, ToolPermit};
use gloaming_sandbox::{Files, Options, Sandbox, measure};
use serde_json::{Value, json};

use crate::cli::{BenchArgs, BenchCommand};
use crate::context::{self, Home};
use crate::failure::{Failure, exit};
use crate::told::print_json;
use peers::{Container, McpServer};
use table::{Candidate, Table, median};

/// What may be called here: every tool, everywhere, and the one that never returns.
const POLICY: &str = r#"
schema = 1
[[tool]]
name = "evil_loop"
[[allow]]
id = "bench"
tools = ["*"]
paths = ["**"]
"#;
/// How many sandboxes are kept alive at once.
const ALIVE: u32 = 1_000;

pub(crate) fn main(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let BenchCommand::Tools { json, tree, quick } = args.command;
    let home = Home::open()?;
    let work = home.work_dir(&format!("bench-{}", std::process::id()))?;
    let tree = match tree {
        Some(tree) => tree
            .canonicalize()
            .map_err(|error| Failure::usage(format!("cannot measure on {}: {error}", tree.display())))?,
        None => {
            eprintln!("making a tree of {} files ...", tree::files(quick));
            let root = work.path().join("tree");
            tree::make(&root, quick).context("make the tree")?;
            root
        }
    };
    let bench = Bench::new(&home, work.path(), &tree, quick)?;
    let mut table = Table::new();
    bench.reads(&mut table)?;
    bench.lists(&mut table)?;
    bench.searches(&mut table)?;
    bench.numbers(&mut table)?;
    if json {
        print_json(&table.to_json(bench.machine()));
    } else {
        println!("{}\n\n{}", bench.describe(), table.to_markdown());
    }
    Ok(ExitCode::from(exit::OK))
}

struct Bench<'a> {
    home: &'a Home,
    work: &'a Path,
    tree: &'a Path,
    sandbox: Sandbox,
    grant: Grant,
    small: Files,
    large: Files,
    quick: bool,
}

impl<'a> Bench<'a> {
    fn new(home: &'a Home, work: &'a Path, tree: &'a Path, quick: bool) -> anyhow::Result<Self> {
        // A line of forty characters, fifty times.
        let text = "// a line of some forty characters, yes\n".repeat(50);
        std::fs::create_dir_all(work.join("small"))?;
        std::fs::write(work.join("small/file.rs"), text)?;
        let sandbox =
            Sandbox::new(Options { deadline: Duration::from_secs(120), ..context::sandbox_options(home) })?;
        let policy =
            gloaming_policies::parse("bench.toml", POLICY).map_err(|found| context::bad_policy(&found))?;
        let grant = Grant::resolve(&RepoId::local("bench"), vec![(Layer::Operator, policy)])
            .map_err(|found| context::bad_policy(&found))?;
        let (small, large) = (Files::open(&work.join("small"))?, Files::open(tree)?);
        Ok(Self { home, work, tree, sandbox, grant, small, large, quick })
    }

    fn permit(&self, tool: &str) -> anyhow::Result<ToolPermit> {
        self.grant
            .permit_tool(tool)
            .map_err(|denial| anyhow::anyhow!("the policy denies {tool}: {}", denial.rule.id))
    }

    /// How often something is done: a fiftieth of it with `--quick`.
    fn times(&self, times: usize) -> usize {
        if self.quick { (times / 50).max(3) } else { times }
    }

    fn reads(&self, table: &mut Table) -> anyhow::Result<()> {
        let (read, args) = (self.permit("read")?, json!({"path": "file.rs"}));
        let path = self.work.join("small/file.rs");
        let mut server = McpServer::reference(&self.work.join("small"));
        let mut wassette = self.wassette();
        let mut docker = Container::start("docker", self.work, &self.work.join("small"));
        let mut podman = Container::start("podman", self.work, &self.work.join("small"));
        let candidates = vec![
            Candidate::new("`read`, sandboxed", 50, || call(&self.sandbox, &read, &self.small, &args)),
            Candidate::new("`std::fs::read` in process", 50, || {
                std::hint::black_box(std::fs::read(&path)?);
                Ok(())
            }),
            Candidate::new("spawning `cat`", 5, || run(Command::new("cat").arg(&path))),
            Candidate::of("MCP reference server (Node), stdio", 5, &mut server, |server| {
                server.call("read_text_file", &json!({"path": &path}))
            }),
            Candidate::of("Wassette, `read-file`, stdio", 5, &mut wassette, |server| {
                server.call("read-file", &json!({"path": &path}))
            }),
            Candidate::of("`docker exec cat`", 1, &mut docker, |container| {
                run(container.exec().args(["cat", "/w/file.rs"]))
            }),
            Candidate::of("`podman exec cat`", 1, &mut podman, |container| {
                run(container.exec().args(["cat", "/w/file.rs"]))
            }),
        ];
        table.measure("read a file of 2 KB", self.times(100), candidates)
    }

    fn lists(&self, table: &mut Table) -> anyhow::Result<()> {
        let (list, args) = (self.permit("list")?, json!({"limit": 5000}));
        let mut candidates =
            vec![Candidate::new("`list`, sandboxed", 1, || call(&self.sandbox, &list, &self.large, &args))];
        for (name, command) in [
            ("`rg --files`", &["rg", "--files"][..]),
            ("`fd --type f`", &["fd", "--type", "f", "."]),
            ("`fdfind --type f`", &["fdfind", "--type", "f", "."]),
            ("`find -type f`", &["find", "-type", "f"]),
        ] {
            // Debian's name of fd.
            if command[0] == "fd" && !installed("fd") && installed("fdfind") {
                continue;
            }
            if command[0] == "fdfind" && !installed("fdfind") {
                continue;
            }
            candidates.push(self.program(name, command));
        }
        table.measure(&format!("list {} files", self.files()?), self.times(1_000).min(21), candidates)?;

        // The one search that Wassette's component knows: by a part of the name, in every folder.
        let mut wassette = self.wassette();
        let (tree, named) = (self.tree, json!({"globs": ["*_17*"], "limit": 5000}));
        let candidates = vec![
            Candidate::new("`list` with a glob, sandboxed", 1, || {
                call(&self.sandbox, &list, &self.large, &named)
            }),
            self.program("`find -name`", &["find", "-type", "f", "-name", "*_17*"]),
            Candidate::of("Wassette, `search-file`, stdio", 1, &mut wassette, |server| {
                server.call("search-file", &json!({"path": tree, "pattern": "_17"}))
            }),
        ];
        table.measure(
            &format!("find names among {} files", self.files()?),
            self.times(1_000).min(21),
            candidates,
        )
    }

    fn wassette(&self) -> Result<McpServer, String> {
        McpServer::wassette(self.work, [&self.work.join("small"), self.tree])
    }

    fn searches(&self, table: &mut Table) -> anyhow::Result<()> {
        let search = self.permit("search")?;
        let mut docker = Container::start("docker", self.work, self.tree);
        let mut podman = Container::start("podman", self.work, self.tree);
        let several = tree::NEEDLES.join("|");
        for (kind, pattern, option, args) in [
            ("literal", tree::NEEDLES[0], "-F", json!({"literal": true})),
            ("regex", "needle_[a-z]+_hay(stack|loft)", "-e", json!({})),
            ("regex without a literal", "[A-Z]{5}-[0-9]{5}", "-e", json!({})),
            ("ignoring case", "NEEDLE_IN_haystack", "-i", json!({"case_sensitive": false})),
            ("four literals", several.as_str(), "-e", json!({})),
        ] {
            let mut args = args;
            args["pattern"] = json!(pattern);
            args["limit"] = json!(10_000);
            let mut candidates = vec![
                Candidate::new("`search`, sandboxed", 1, || call(&self.sandbox, &search, &self.large, &args)),
                self.program("`rg`", &["rg", "-n", option, pattern]),
                self.program("`rg -j1`", &["rg", "-n", "-j1", option, pattern]),
            ];
            let grep = ["grep", "-rnIE", option, pattern, "."];
            // Twenty times ripgrep's time: once is enough, for the scale.
            if kind == "literal" {
                candidates.push(self.program("`grep -rn`", &["grep", "-rnI", option, pattern, "."]));
                for (name, container) in
                    [("`docker exec grep -rn`", &mut docker), ("`podman exec grep -rn`", &mut podman)]
                {
                    let grep = ["grep", "-rnI", option, pattern, "/w"].map(str::to_owned);
                    candidates.push(Candidate::of(name, 1, container, move |container| {
                        run(container.exec().args(&grep))
                    }));
                }
            } else if self.quick {
                candidates.push(self.program("`grep -rnE`", &grep));
            }
            table.measure(
                &format!("search {} files: {kind}", self.files()?),
                self.times(500).min(15),
                candidates,
            )?;
        }
        Ok(())
    }

    fn numbers(&self, table: &mut Table) -> anyhow::Result<()> {
        let (read, args) = (self.permit("read")?, json!({"path": "file.rs"}));

        let phases: Vec<_> = (0..self.times(10_000))
            .map(|_| self.sandbox.call(&read, &self.small, &args).record.duration_us)
            .collect();
        for (name, phase) in [
            ("of a `read`, making the instance", (|of| of.instantiate) as fn(&CallDuration) -> u64),
            ("of a `read`, in the guest", |of| of.run),
            ("of a `read`, in the host for it", |of| of.host),
            ("a `read` as its record has it", |of| of.total),
        ] {
            let mut micros: Vec<u64> = phases.iter().map(phase).collect();
            micros.sort_unstable();
            table.number(name, &format!("{} µs", micros[micros.len() / 2]), "");
        }

        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let each = self.times(50_000);
        let start = Instant::now();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let calls = || (0..each).try_for_each(|_| call(&self.sandbox, &read, &self.small, &args));
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(calls)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a call panicked"))?)
        })?;
        let per_second = (each * cores) as f64 / start.elapsed().as_secs_f64();
        table.number("calls of `read` a second", &format!("{per_second:.0}"), &format!("on {cores} cores"));

        let options = Options { max_instances: ALIVE, ..context::sandbox_options(self.home) };
        let many = Sandbox::new(options)?;
        let wanted = many.places().min(ALIVE);
        call(&many, &read, &self.small, &args)?;
        let before = resident()?;
        let alive: Result<Vec<_>, _> =
            (0..wanted).map(|_| many.keep_alive(&read, &self.small, &args)).collect();
        let alive = alive?;
        let grown = resident()?.saturating_sub(before);
        table.number(
            &format!("memory of {} sandboxes alive after a `read`", alive.len()),
            &format!("{:.1} MB", grown as f64 / 1e6),
            if many.is_pooled() { "resident, from the pool" } else { "resident, no pool here" },
        );
        drop(alive);

        let deadline = Duration::from_millis(50);
        let mut looping =
            Sandbox::without_tools(Options { deadline, ..context::sandbox_options(self.home) })?;
        let name = looping.register(measure::ENDLESS)?.tools.remove(0).name;
        let permit = self.permit(&name)?;
        let mut late: Vec<Duration> = (0..self.times(500))
            .map(|_| {
                let start = Instant::now();
                let _ = looping.call(&permit, &self.small, &json!({}));
                start.elapsed().saturating_sub(deadline)
            })
            .collect();
        late.sort();
        let worst = late.last().copied().unwrap_or_default();
        table.number(
            "an endless loop is stopped after its deadline by",
            &format!("{:.2} ms", millis(median(&late))),
            &format!("at the worst of {} {:.2} ms", late.len(), millis(worst)),
        );

        let own = std::env::current_exe()?;
        let mut starts: Vec<Duration> = Vec::new();
        for _ in 0..self.times(1_000) {
            let mut command = Command::new(&own);
            command.args(["tools", "call", "read", "--args", r#"{"path":"file.rs"}"#, "--workspace"]);
            let start = Instant::now();
            run(command.arg(self.work.join("small")))?;
            starts.push(start.elapsed());
        }
        starts.sort();
        table.number(
            "the process `gloaming tools call read`, start to end",
            &format!("{:.1} ms", millis(median(&starts))),
            &format!(
                "at the worst of {} {:.1} ms",
                starts.len(),
                millis(starts.last().copied().unwrap_or_default())
            ),
        );
        Ok(())
    }

    /// A host program on the tree, where it is installed.
    fn program(&self, name: &str, command: &[&str]) -> Candidate<'_> {
        if !installed(command[0]) {
            return Candidate::missing(name, "not installed");
        }
        let command: Vec<String> = command.iter().map(|&part| part.to_owned()).collect();
        Candidate::new(name, 1, move || {
            run(Command::new(&command[0]).args(&command[1..]).current_dir(self.tree))
        })
    }

    fn files(&self) -> anyhow::Result<usize> {
        tree::count(self.tree)
    }

    fn machine(&self) -> Value {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        json!({
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "kernel": kernel.trim(),
            "version": env!("CARGO_PKG_VERSION"),
            "optimised": !cfg!(debug_assertions),
            "pooled": self.sandbox.is_pooled(),
        })
    }

    fn describe(&self) -> String {
        let machine = self.machine();
        let build = if cfg!(debug_assertions) {
            "**a debug build: the ratios mean nothing**"
        } else {
            "release build"
        };
        format!(
            "gloaming {}, {build}; {} cores, Linux {}. Ratios are to the first row of each group, medians of the rounds.",
            env!("CARGO_PKG_VERSION"),
            machine["cores"],
            machine["kernel"].as_str().unwrap_or_default(),
        )
    }
}

fn call(sandbox: &Sandbox, permit: &ToolPermit, files: &Files, args: &Value) -> anyhow::Result<()> {
    match sandbox.call(permit, files, args).outcome.error {
        None => Ok(()),
        Some(error) => Err(anyhow::anyhow!("{}: {}", permit.tool(), error.message)),
    }
}

/// Runs a program to its end and takes what it prints: with no reader, some stop at the first match.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    anyhow::ensure!(output.status.success(), "{:?} ended with {}", command.get_program(), output.status);
    Ok(())
}

fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Bytes of memory this process has resident.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
