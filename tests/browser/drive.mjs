// Drives SIP clients in headless Chromium, one page each, by lines of JSON on standard input:
// {"id": 1, "page": "a", "do": "open", "with": {"url": …, "kind": "jssip" | "sipjs"}}, then any method of phones.js.
// Each line is answered by "done ID RESULT" or "failed ID WHY". Called by tests/interop/browser.rs.

import { build } from "esbuild";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [hosts] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "browser-"));
const built = await build({
  entryPoints: [join(dirname(fileURLToPath(import.meta.url)), "phones.js")],
  bundle: true,
  format: "iife",
  write: false,
  define: { global: "globalThis" },
});
const script = built.outputFiles[0].text;
const context = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  bypassCSP: true,
  ignoreHTTPSErrors: true,
  permissions: ["microphone"],
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--ignore-certificate-errors",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    `--host-resolver-rules=${hosts}`,
  ],
});
const pages = new Map();
const first = (payload) => JSON.stringify(String(payload).split("\r\n")[0]);

async function obey({ page: name, do: what, with: given }) {
  if (what === "open") {
    const page = await context.newPage();
    page.on("console", (line) => console.log(`page ${name}: ${line.text()}`));
    page.on("pageerror", (error) => console.log(`page ${name}: ${error}`));
    page.on("websocket", (socket) => {
      console.log(`page ${name}: opens ${socket.url()}`);
      socket.on("framesent", ({ payload }) => console.log(`page ${name} > ${first(payload)}`));
      socket.on("framereceived", ({ payload }) => console.log(`page ${name} < ${first(payload)}`));
      socket.on("close", () => console.log(`page ${name}: WebSocket closed`));
    });
    const answer = await page.goto(given.url);
    await page.addScriptTag({ content: script });
    await page.evaluate((kind) => void (globalThis.phone = globalThis.phones[kind]()), given.kind);
    pages.set(name, page);
    return answer?.status();
  }
  return pages.get(name).evaluate(([what, given]) => globalThis.phone[what](given), [what, given]);
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  obey(order).then(
    (result) => console.log(`done ${order.id} ${JSON.stringify(result ?? null)}`),
    (error) => console.log(`failed ${order.id} ${error}`),
  );
}
await context.close();
rmSync(profile, { recursive: true, force: true });
