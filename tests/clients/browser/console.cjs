// Chromium over the console. Arguments: the server's URL, a folder for the profile, and perhaps one for screenshots. The
// environment has the operator's token and one that delivers. Fails with what is wrong.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [url, profile, shots] = process.argv.slice(2);
const { OPERATOR_TOKEN, API_TOKEN } = process.env;
const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const problems = [];

function check(right, what) {
  if (!right) throw new Error(what);
}

// How long to wait for what has to come: other tests run beside this one.
const PATIENCE = 180_000;

async function browser(name, options) {
  const context = await chromium.launchPersistentContext(path.join(profile, name), {
    executablePath: "/usr/bin/chromium", headless: true, chromiumSandbox: false, args: flags, timeout: PATIENCE, ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  context.setDefaultNavigationTimeout(PATIENCE);
  return context;
}

function listen(page) {
  page.on("console", (said) => {
    if (["error", "warning"].includes(said.type())) problems.push(`${page.url()}: ${said.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`${page.url()}: ${error}`));
}

function flow(revision, text) {
  return JSON.stringify({
    schema_version: "1.0", id: "native-shown", slug: "shown", name: "Shown to people", revision,
    nodes: [
      { id: "start", kind: "trigger.manual" },
      { id: "greet", kind: "data.map", label: "Greet whoever comes", fields: { text } },
    ],
    edges: [{ from: "start", to: "greet" }],
  });
}

async function deliver(body) {
  const headers = { authorization: `Bearer ${API_TOKEN}`, "x-tenant-slug": "acme-inc" };
  return (await fetch(`${url}/build`, { method: "POST", headers, body })).status;
}

// Logs in with the keyboard alone: the first stop is the way past the head, then come the links, then the field.
async function login(page) {
  await page.goto(`${url}/console`);
  check(page.url() === `${url}/console/login`, "nobody is logged in at first");
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.className)) === "skip", "the skip link is first");
  for (let tries = 0; (await page.evaluate(() => document.activeElement.id)) !== "token"; tries += 1) {
    check(tries < 10, "the field can be reached");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.type(OPERATOR_TOKEN);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/console/tenants`);
  check(!page.url().includes("clp_"), "the token is in no address");
}

// With the keyboard from the list of tenants into one.
async function walk(page) {
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash === "#main");
  const link = page.getByRole("link", { name: "acme-inc", exact: true });
  for (let tries = 0; !(await link.evaluate((one) => one === document.activeElement)); tries += 1) {
    check(tries < 20, "the tenant's link can be reached");
    await page.keyboard.press("Tab");
  }
  const outline = await link.evaluate((one) => getComputedStyle(one).outlineStyle);
  check(outline !== "none", "the focus is seen");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/console/t/acme-inc`);
}

// A build that comes in is shown by the page that is open, which is told of it and does not ask in vain.
async function live(page) {
  const [stream] = await Promise.all([page.waitForResponse((answer) => answer.url().includes("/events?after=2")), page.reload()]);
  check(stream.headers()["content-type"] === "text/event-stream", "the page listens");
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await page.evaluate(() => { window.same = true; });
  const row = (number) => page.locator(`tr[data-build="${number}"]`);
  check((await row(3).count()) === 0, "it is not there yet");
  check((await deliver(flow(3, "three"))) === 201, "the third build");
  await row(3).waitFor();
  check(await page.evaluate(() => window.same), "the page was not loaded again");
  check((await page.locator("#news").textContent()) === "1 new build.", "it is said");
  // The first stream may be told of after the page has loaded.
  const count = (end) => asked.filter((path) => path === `/console/t/acme-inc/${end}`).length;
  check(count("timeline") === 1 && count("events") <= 1, `one question, and no stream but the first: ${asked}`);
  await page.getByRole("button", { name: "Pause updates" }).click();
  await page.getByRole("button", { name: "Resume updates" }).waitFor();
  check((await page.locator("#news").textContent()) === "Updates are paused.", "that is said too");
  await page.getByRole("button", { name: "Resume updates" }).click();
  check((await deliver(flow(4, "four"))) === 201, "the fourth build");
  await row(4).waitFor();
}

async function pages(page) {
  await page.goto(`${url}/console/t/acme-inc`);
  await page.getByRole("link", { name: "3", exact: true }).click();
  await page.getByRole("heading", { name: /^Build 3/ }).waitFor();
  const build = page.url();
  await page.getByRole("button", { name: /^Copy: Clone/ }).click();
  await page.getByText(/^(Copied|Selected)$/).waitFor();
  await page.getByRole("link", { name: "What changed" }).click();
  await page.locator("tr.added").first().waitFor();
  check((await page.locator("tr.added").first().textContent()).includes("added"), "a sign for those who see none");
  return build;
}

async function replay(page) {
  await page.goto(`${url}/console/t/acme-inc/deliveries`);
  await page.getByRole("button", { name: /^Replay/ }).first().click();
  await page.getByText("Run again as").waitFor();
}

// Rules of WCAG 2.2 A and AA, and what axe recommends, in both schemes.
async function accessible(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, impact, nodes } of violations) {
      if (["serious", "critical"].includes(impact)) problems.push(`${name}, ${colorScheme}: ${id}: ${nodes[0].html} ${nodes[0].failureSummary}`);
    }
    // What is cut off at the right of a desk's screen, a button above all, is not found.
    const cut = await page.locator(".scroll").evaluateAll((all) => all.filter((one) => one.scrollWidth > one.clientWidth).length);
    if (cut > 0) problems.push(`${name}: ${cut} tables are cut at 1280 px`);
    for (const width of shots ? [1280, 420] : []) {
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: path.join(shots, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
    // A page that is wider than a phone makes people scroll in two directions.
    await page.setViewportSize({ width: 390, height: 900 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > 390) problems.push(`${name} is ${wide} px wide on a phone`);
    await page.setViewportSize({ width: 1280, height: 900 });
  }
}

async function plain() {
  const context = await browser("plain", { javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(`${url}/console/login`);
  await page.getByLabel("Token").fill(OPERATOR_TOKEN);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("link", { name: "acme-inc", exact: true }).click();
  await page.getByRole("link", { name: "Refresh" }).click();
  await page.locator('tr[data-build="3"]').waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(`${url}/console/login`);
  await context.close();
}

async function main() {
  check((await deliver(flow(1, "one"))) === 201 && (await deliver(flow(2, "two"))) === 201, "two builds");
  check((await deliver("no flow")) >= 400, "a refusal");
  const context = await browser("scripted", {});
  const page = await context.newPage();
  listen(page);
  await login(page);
  await walk(page);
  await live(page);
  const build = await pages(page);
  await replay(page);
  const tenant = `${url}/console/t/acme-inc`;
  const shown = {
    tenants: `${url}/console/tenants`, health: `${url}/console/health`, "server-audit": `${url}/console/audit`, tenant,
    flows: `${tenant}/flows`, agents: `${tenant}/agents`, deliveries: `${tenant}/deliveries`, audit: `${tenant}/audit`,
    build, diff: `${build}/diff`, graph: `${build}/graph`,
    code: `${build}/files/cloud/app/flows/acme_inc/flow_shown.py`,
  };
  const more = process.env.MORE ? JSON.parse(process.env.MORE) : {};
  for (const [name, address] of Object.entries({ ...shown, ...more })) {
    const answer = await page.goto(address);
    check(answer.status() === 200, `${name}: ${answer.status()}`);
    await accessible(page, name);
  }
  await page.goto(`${tenant}/audit`);
  await page.getByRole("button", { name: "Check every line now" }).click();
  await page.getByText("verified").waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(`${url}/console/login`);
  await accessible(page, "login");
  await context.close();
  await plain();
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

main().then(() => process.exit(0), (error) => {
  console.error(error.message, problems.join("\n"));
  process.exit(1);
});
