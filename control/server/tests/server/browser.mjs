// Drives a browser through the pages; run by browser.rs, which changes the store when it is asked to.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { GLOAMING_BROWSER_DIR, SHOTS, PROFILE, URL, TOKEN, PUBLISHED, BOWED_OUT, QUEUED } = process.env;
const require = createRequire(`${GLOAMING_BROWSER_DIR}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

mkdirSync(SHOTS, { recursive: true });
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const want = async (what) => {
  console.log(`want: ${what}`);
  assert.equal((await lines.next()).value, "done");
};
const say = (what) => console.log(what);

const browser = await chromium.launchPersistentContext(PROFILE, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1200, height: 900 },
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
browser.setDefaultTimeout(60000);

// Whatever a page loads or says is looked at: nothing from elsewhere, nothing that the policy kept out.
const heard = [];
const listen = (page) => {
  page.on("request", (request) => {
    if (!request.url().startsWith(URL)) heard.push(`asked for ${request.url()}`);
  });
  page.on("console", (message) => {
    // A form that is refused is answered with a page of that status, which the browser says too.
    if (message.type() === "error" && !message.text().includes("status of 4")) heard.push(message.text());
  });
  page.on("pageerror", (error) => heard.push(String(error)));
};

// axe is put in by the debugger's own way, which a page's policy does not bind.
const sound = async (page, name) => {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const told = violations.map((one) => `${one.impact} ${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`);
    for (const one of told) say(`axe, ${name}, ${scheme}: ${one}`);
    assert.deepEqual(violations.filter((one) => one.impact !== "minor").map((one) => one.id), [], `${name}, ${scheme}`);
    await page.screenshot({ path: `${SHOTS}/${name}-${scheme}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: "light" });
};

const login = async (page, path) => {
  await page.goto(`${URL}${path}`);
  await page.getByLabel("Token", { exact: true }).fill(TOKEN);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL(`${URL}${path === "/" ? "/web" : path}`);
};

const page = browser.pages()[0] ?? (await browser.newPage());
listen(page);
await page.goto(`${URL}/`);
assert.equal(await page.title(), "Log in · Gloaming");
await sound(page, "login");
await page.getByLabel("Token", { exact: true }).fill("glm_wrong");
await page.keyboard.press("Enter");
await page.getByRole("alert").waitFor();
await sound(page, "login-refused");
await login(page, "/");
say("logged in");

// By keyboard: the first stop leads past the navigation.
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
await page.keyboard.press("Enter");
assert.equal(await page.evaluate(() => document.activeElement.id), "main");
assert.equal(await page.getByRole("row").count(), 5);
await sound(page, "tasks");
await page.getByLabel("State").selectOption("bowed_out");
await page.getByRole("button", { name: "Show" }).click();
await page.waitForURL(/state=bowed_out/);
assert.equal(await page.getByRole("row").count(), 2);

// A task's page changes as the task does.
await page.goto(`${URL}/web/tasks/${QUEUED}`);
await page.getByText("Queued", { exact: true }).waitFor();
await sound(page, "queued");
await want("claim");
await page.locator(".mark", { hasText: "Running" }).first().waitFor();
assert.equal(await page.getByRole("status").first().textContent(), "Now: Running");
await want("work");
await page.getByText("Code: reading src/parse.rs", { exact: true }).waitFor();
await page.locator("#call-4 summary").click();
await sound(page, "running");
await want("publish");
await page.getByRole("link", { name: "#9" }).waitFor();
assert.ok(await page.locator("#call-4").evaluate((details) => details.open), "what was opened stays so");
assert.equal(await page.locator("#live").getAttribute("data-events"), null);
say("a page followed its task");

await page.goto(`${URL}/web/tasks/${PUBLISHED}`);
await page.getByRole("heading", { name: "Verdict" }).waitFor();
assert.equal(await page.locator(".diff .add").count(), 2);
await sound(page, "published");
await page.setViewportSize({ width: 390, height: 800 });
assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out on a small screen");
await page.screenshot({ path: `${SHOTS}/published-small.png`, fullPage: true });
await page.setViewportSize({ width: 1200, height: 900 });
await page.goto(`${URL}/web/tasks/${BOWED_OUT}`);
await page.getByRole("heading", { name: "What would unblock it" }).waitFor();
await sound(page, "bowed-out");

// A form that is refused keeps what was written.
await page.goto(`${URL}/web/new?repo=acme/api`);
await page.getByLabel("What is to be done").fill("Fix the typo\n\nIn the readme.");
await page.getByText("More", { exact: true }).click();
await page.getByLabel("Start from").fill("-x");
await sound(page, "new");
await page.getByRole("button", { name: "Submit task" }).click();
await page.getByRole("alert").waitFor();
assert.match(await page.getByLabel("What is to be done").inputValue(), /In the readme/);
await sound(page, "new-refused");
await page.getByLabel("Start from").fill("");
await page.getByRole("button", { name: "Submit task" }).click();
await page.getByRole("heading", { name: "Fix the typo" }).waitFor();
const submitted = page.url();
await page.getByRole("button", { name: "Stop task" }).click();
await page.locator(".mark", { hasText: "Cancelled" }).waitFor();
await page.getByRole("button", { name: "Try again" }).click();
await page.locator(".mark", { hasText: "Queued" }).waitFor();
say("a task was asked for, stopped and put back");

await page.goto(`${URL}/web/repos`);
await sound(page, "repos");
await page.getByRole("link", { name: "acme/api" }).click();
await page.getByLabel("Call", { exact: true }).fill("edit .github/workflows/ci.yml");
await page.keyboard.press("Enter");
await page.locator("#explain ~ .notice .mark", { hasText: "Deny" }).waitFor();
await sound(page, "repo");
say("an explanation was read");

// The same without JavaScript, with a session of its own.
const without = await browser.browser()?.newContext({ javaScriptEnabled: false }) ?? null;
const plain = without ?? (await (async () => {
  const other = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
  return other.newContext({ javaScriptEnabled: false });
})());
plain.setDefaultTimeout(60000);
const bare = await plain.newPage();
listen(bare);
await login(bare, `/web/tasks/${PUBLISHED}`);
await bare.getByRole("heading", { name: "Evidence" }).waitFor();
assert.equal(await bare.locator(".diff .del").count(), 1);
await bare.goto(submitted);
await bare.getByRole("link", { name: "Look again" }).click();
await bare.getByRole("button", { name: "Stop task" }).click();
await bare.locator(".mark", { hasText: "Cancelled" }).waitFor();
await bare.goto(`${URL}/web/repos/acme/api`);
await bare.getByLabel("Call", { exact: true }).fill("edit src/lib.rs");
await bare.getByRole("button", { name: "Explain" }).click();
await bare.locator(".notice .mark", { hasText: "Allow" }).waitFor();
await bare.getByRole("button", { name: "Log out" }).click();
await bare.getByRole("heading", { name: "Log in" }).waitFor();
say("the same was done without JavaScript");

// A token that is revoked ends the session at once.
await want("revoke");
await page.goto(`${URL}/web`);
await page.getByRole("heading", { name: "Log in" }).waitFor();

assert.deepEqual(heard, []);
await plain.browser()?.close();
await browser.close();
say(`pictures are in ${SHOTS}`);
process.exit(0);
