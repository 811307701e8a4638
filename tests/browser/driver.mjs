// Drives a Chromium for the tests in Rust: a line of JSON in is a command, a line out its answer, `{"ok": …}` or
// `{"error": "…"}`. playwright-core and axe-core are where NODE_PATH says (scripts/setup browser).
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const require = createRequire(`${process.env.NODE_PATH}/`)
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_BIN, headless: true, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'] })
let context, page, problems = []

const commands = {
  // A window of its own: `scheme` light or dark, `width` and `height`, `user` and `password` for Basic.
  async open({ url, scheme, width, height, user, password, expectsProblems }) {
    await context?.close()
    problems = []
    const httpCredentials = user === undefined ? undefined : { username: user, password }
    context = await browser.newContext({ colorScheme: scheme, viewport: { width, height }, httpCredentials, reducedMotion: 'reduce' })
    page = await context.newPage()
    page.setDefaultTimeout(20000)
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) problems.push(`${message.type()}: ${message.text()}`) })
    page.on('pageerror', error => problems.push(`thrown: ${error.stack}`))
    const response = await page.goto(url)
    return response?.status()
  },
  // The value of an expression in the page.
  async value({ of }) { return await page.evaluate(of) },
  // Waits until an expression in the page is true.
  async until({ of }) {
    for (const end = Date.now() + 20000; ; await new Promise(done => setTimeout(done, 20))) {
      if (await page.evaluate(of)) return
      if (Date.now() > end) throw Error(`waited in vain: ${of}`)
    }
  },
  async click({ on }) { await page.click(on) },
  async type({ into, text }) { await page.fill(into, text) },
  async choose({ of, value }) { await page.selectOption(of, value) },
  async press({ key }) { await page.keyboard.press(key) },
  // What axe finds wrong. It runs in a world of its own, where the page's policy does not reach.
  async axe() {
    const session = await context.newCDPSession(page)
    const { frameTree } = await session.send('Page.getFrameTree')
    const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id, worldName: 'axe' })
    const run = `${axe}; axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(one => ({id: one.id, nodes: one.nodes.map(node => node.failureSummary + ' ' + node.html.slice(0, 200)).slice(0, 5)})))`
    const { result, exceptionDetails } = await session.send('Runtime.evaluate', { expression: run, contextId: executionContextId, awaitPromise: true, returnByValue: true })
    await session.detach()
    if (exceptionDetails) throw Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  },
  // Errors and warnings on the console, and what was thrown, since the window was opened.
  async problems() { return problems },
  async picture({ path, full }) { await page.screenshot({ path, fullPage: full ?? false }) },
  // What the page asks the server from now on fails, or is answered again.
  async offline({ is }) { await context.setOffline(is) },
}

for await (const line of createInterface({ input: process.stdin })) {
  let said
  try {
    const { command, ...facts } = JSON.parse(line)
    said = { ok: (await commands[command](facts)) ?? null }
  } catch (error) { said = { error: String(error.message ?? error) } }
  process.stdout.write(`${JSON.stringify(said)}\n`)
}
await browser.close()
