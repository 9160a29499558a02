//! The programs that are measured beside ours and have to be set up first.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::installed;

/// The reference MCP server for files, `@modelcontextprotocol/server-filesystem`, over stdio.
pub(super) struct McpServer {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    id: u64,
}

impl McpServer {
    /// Starts it for one folder; the error says why it is not there.
    pub(super) fn start(folder: &Path) -> Result<Self, String> {
        let program = "mcp-server-filesystem";
        let spawned = Command::new(program)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = spawned.map_err(|_| format!("not installed ({program})"))?;
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("it has no pipes".to_owned());
        };
        let mut server = Self { process, stdin, stdout: BufReader::new(stdout), id: 0 };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "gloaming-bench", "version": env!("CARGO_PKG_VERSION")},
        });
        let greeted = server
            .request("initialize", hello)
            .and_then(|_| server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})));
        greeted.map(|()| server).map_err(|error| format!("does not start: {error}"))
    }

    pub(super) fn call(&mut self, tool: &str, args: &Value) -> anyhow::Result<()> {
        let result = self.request("tools/call", json!({"name": tool, "arguments": args}))?;
        anyhow::ensure!(result["isError"] != json!(true), "{tool}: {result}");
        Ok(())
    }

    fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.id += 1;
        let id = self.id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        loop {
            let mut line = String::new();
            anyhow::ensure!(self.stdout.read_line(&mut line)? > 0, "the server ended");
            let mut answer: Value = serde_json::from_str(&line)?;
            // The server asks and tells things of its own, like which roots there are.
            if answer["id"] == json!(id) && answer.get("method").is_none() {
                anyhow::ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].take());
            }
        }
    }

    fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        self.stdin.write_all(format!("{message}\n").as_bytes()).context("write to the server")
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A container that programs are started in, with this machine's own programs and a folder at `/w`.
pub(super) struct Container {
    engine: &'static str,
    image: String,
    id: String,
}

impl Container {
    /// Starts one with `docker` or `podman`; the error says why there is none.
    pub(super) fn start(engine: &'static str, work: &Path, folder: &Path) -> Result<Self, String> {
        if !installed(engine) {
            return Err("not installed".to_owned());
        }
        if !answer(Command::new(engine).arg("info")).is_ok_and(|text| !text.is_empty()) {
            return Err("installed, but its service does not answer".to_owned());
        }
        Self::set_up(engine, work, folder).map_err(|error| format!("does not work here: {error:#}"))
    }

    fn set_up(engine: &'static str, work: &Path, folder: &Path) -> anyhow::Result<Self> {
        // An image that holds nothing but links: its programs are this machine's, bound read-only.
        let root = work.join("root");
        if !root.exists() {
            for name in ["usr", "proc", "sys", "dev", "tmp", "etc", "w"] {
                std::fs::create_dir_all(root.join(name))?;
            }
            for name in ["bin", "sbin", "lib", "lib64"] {
                symlink(format!("usr/{name}"), root.join(name))?;
            }
        }
        let archive = work.join("root.tar");
        answer(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&root).arg("."))?;
        let image = answer(Command::new(engine).arg("import").arg(&archive))?.trim().to_owned();
        let bound = format!("{}:/w:ro", folder.display());
        let id = answer(
            Command::new(engine)
                .args(["run", "-d", "--network=none", "-v", "/usr:/usr:ro", "-v", &bound])
                .args([image.as_str(), "sleep", "86400"]),
        );
        let mut container = Self { engine, image, id: String::new() };
        container.id = id?.trim().to_owned();
        Ok(container)
    }

    /// Begins a command that runs in it.
    pub(super) fn exec(&self) -> Command {
        let mut command = Command::new(self.engine);
        command.args(["exec", &self.id]);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !self.id.is_empty() {
            let _ = answer(Command::new(self.engine).args(["rm", "-f", "-t", "0", &self.id]));
        }
        let _ = answer(Command::new(self.engine).args(["rmi", "-f", &self.image]));
    }
}

fn answer(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::bail!("{}", said.lines().last().unwrap_or("it said nothing").to_owned())
}
