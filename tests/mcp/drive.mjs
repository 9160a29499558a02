// Drives `gloaming mcp` with the client of the official TypeScript SDK, and fails on the first thing that is not as
// it should be. Started by tests/mcp.rs, which lays the folder out and looks at the journal afterwards.
//   node drive.mjs SDK-DIR FOLDER stdio COMMAND ARG...
//   node drive.mjs SDK-DIR FOLDER http URL [TOKEN]
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [sdk, folder, kind, ...rest] = process.argv.slice(2);
const require = createRequire(join(sdk, "drive.cjs"));
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { ListRootsRequestSchema } = require("@modelcontextprotocol/sdk/types.js");
const Ajv = require("ajv").default ?? require("ajv");

function transport() {
  if (kind === "stdio") {
    const [command, ...args] = rest;
    return new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" });
  }
  const [url, token] = rest;
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
}

const client = new Client({ name: "drive", version: "1.0.0" }, { capabilities: { roots: { listChanged: true } } });
// A line on standard output that is no message, an answer nobody asked for: all of it ends here.
const broken = [];
client.onerror = (error) => broken.push(error);
let asked = 0;
client.setRequestHandler(ListRootsRequestSchema, () => {
  asked += 1;
  return { roots: [{ uri: pathToFileURL(folder).href }, { uri: "file:///etc" }] };
});
await client.connect(transport());

async function step(name, work) {
  await work();
  console.log(`ok ${kind}: ${name}`);
}

const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
const textOf = (result) => result.content.map((block) => block.text).join("");
const errorOf = (result) => {
  assert.equal(result.isError, true, JSON.stringify(result));
  assert.equal(result.structuredContent, undefined);
  return result._meta["gloaming/error"];
};

let tools;
await step("it says what it is", async () => {
  assert.equal(client.getServerVersion().name, "gloaming");
  assert.match(client.getInstructions(), /Sandboxed file tools/);
  assert.ok(client.getInstructions().includes(folder));
  assert.deepEqual(Object.keys(client.getServerCapabilities()), ["tools"]);
  await client.ping();
});

await step("tools are listed with hints and schemas, and a denied one is not", async () => {
  ({ tools } = await client.listTools());
  const names = tools.map((tool) => tool.name);
  for (const name of ["edit", "list", "read", "search", "write"]) assert.ok(names.includes(name), name);
  assert.ok(!names.includes("patch"));
  const ajv = new Ajv({ strict: false });
  for (const tool of tools) {
    const { title, readOnlyHint, destructiveHint, idempotentHint, openWorldHint } = tool.annotations;
    const looks = ["read", "list", "search", "outline", "diff"].includes(tool.name);
    assert.deepEqual([readOnlyHint, destructiveHint, openWorldHint], [looks, !looks, false], tool.name);
    assert.equal(typeof idempotentHint, "boolean");
    assert.ok(title.length > 3 && tool.description.length > 20);
    ajv.compile(tool.inputSchema);
    ajv.compile(tool.outputSchema);
  }
});

// The SDK checks structured content against the output schema; so do we, with the schema as it was listed.
async function looks(name, args, expected) {
  const result = await call(name, args);
  assert.ok(!result.isError, textOf(result));
  const { outputSchema } = tools.find((tool) => tool.name === name);
  const validate = new Ajv({ strict: false }).compile(outputSchema);
  assert.ok(validate(result.structuredContent), JSON.stringify(validate.errors));
  assert.match(textOf(result), expected);
  return result.structuredContent;
}

await step("looking tools answer with text and structure", async () => {
  const read = await looks("read", { path: "src/lib.rs" }, /fn answer/);
  assert.equal(read.path, "src/lib.rs");
  const list = await looks("list", {}, /src\/lib\.rs/);
  assert.ok(!list.paths.includes(".env"));
  const found = await looks("search", { pattern: "fn \\w+" }, /src\/lib\.rs:1:/);
  assert.equal(found.matches[0].path, "src/lib.rs");
});

await step("a write and an edit are on the disk", async () => {
  const file = `made-over-${kind}.txt`;
  await looks("write", { path: file, content: "one\ntwo\n" }, /./);
  assert.equal(readFileSync(join(folder, file), "utf8"), "one\ntwo\n");
  await looks("edit", { path: file, old: "two", new: "three" }, /three/);
  assert.equal(readFileSync(join(folder, file), "utf8"), "one\nthree\n");
});

await step("denials name the rule, in words and for programs", async () => {
  const path = await call("read", { path: ".env" });
  assert.deepEqual([errorOf(path).code, errorOf(path).rule], ["denied", "no-secrets"]);
  assert.match(textOf(path), /no-secrets/);
  assert.doesNotMatch(JSON.stringify(path), /hunter2/);
  const floor = await call("write", { path: ".github/workflows/x.yml", content: "" });
  assert.equal(errorOf(floor).rule, "ci-configuration");
  const tool = await call("patch", { patch: "" });
  assert.deepEqual([errorOf(tool).code, errorOf(tool).rule], ["denied", "no-patches"]);
  assert.ok(!existsSync(join(folder, ".github")));
});

await step("arguments that do not fit and tools that are not there are told", async () => {
  assert.equal(errorOf(await call("read", { path: 3 })).code, "invalid_input");
  assert.equal(errorOf(await call("read", {})).code, "invalid_input");
  assert.equal(errorOf(await call("read", { path: "../outside.txt" })).code, "invalid_input");
  assert.equal(errorOf(await call("read", { path: "nowhere.txt" })).code, "not_found");
  await assert.rejects(call("shell", { command: "id" }), /there is no tool/);
});

// The expression must look at 200 letters from every letter of 8 MB: it would run into its deadline of 10 s.
const SLOW = { pattern: "a[ab]{200}[^ab]", path: "slow" };

await step("a long call tells how far it is, and ends when it is cancelled", async () => {
  const stop = new AbortController();
  const told = [];
  const begun = Date.now();
  const onprogress = (progress) => {
    told.push(progress);
    if (told.length === 3) stop.abort("enough");
  };
  await assert.rejects(call("search", SLOW, { signal: stop.signal, onprogress }), /enough/);
  assert.ok(Date.now() - begun < 8000, `${Date.now() - begun} ms`);
  assert.ok(told[0].progress < told[1].progress && told[1].progress < told[2].progress);
  assert.match(told[2].message, /files read/);
  await looks("read", { path: "src/lib.rs" }, /fn answer/);
});

await step("calls run beside each other", async () => {
  const stop = new AbortController();
  const slow = call("search", SLOW, { signal: stop.signal });
  const quick = await Promise.all(Array.from({ length: 40 }, () => call("read", { path: "src/lib.rs" })));
  assert.ok(quick.every((result) => !result.isError));
  stop.abort("enough");
  await assert.rejects(slow, /enough/);
});

await step("roots were asked for and change nothing", async () => {
  await client.sendRootsListChanged();
  const since = Date.now();
  while (asked < 2 && Date.now() - since < 5000) await client.ping();
  assert.equal(asked, 2);
  assert.equal(errorOf(await call("read", { path: "/etc/passwd" })).code, "invalid_input");
});

await client.close();
assert.deepEqual(broken, []);
console.log(`ok ${kind}: all of it`);
