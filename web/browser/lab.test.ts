// The console on the lab, as on the night of the outage: the fibre is cut, the panel says so, the button is pressed. For
// tests/lab/scenarios/console.sh, which says where the lab is: CONSOLE_SOCKET leads to the server's HTTPS, LAB is the
// lab's command, SIGNALBOX_SOCKET the server's own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { connect, createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import type { Browser, Locator, Page } from 'playwright-core';
import { desk, launch, logIn, phone, shot, visitor, wrongs } from './visit';

const socket = process.env['CONSOLE_SOCKET'], skip = socket === undefined;
let browser: Browser, forward: Server, base = '';

const lab = (...words: string[]): string => {
  const [program, ...rest] = process.env['LAB']!.split(' ') as [string, ...string[]];
  return execFileSync(program, [...rest, ...words], { encoding: 'utf8' });
};
/** A lab in which much has happened has much to tell. */
const sb = (...words: string[]): string => execFileSync(process.env['SIGNALBOX']!, words, { encoding: 'utf8', maxBuffer: 256 << 20 });
const levers = (): string[] => (JSON.parse(sb('control', 'list', '--json')) as { controls: Array<{ control: string; object: string; value: string }> }).controls
  .filter((one) => one.value !== 'default').map((one) => `${one.control}/${one.object}=${one.value}`).sort();
/** Until it is so; how long that took, ms. */
async function until(what: string, limitMs: number, so: () => boolean | Promise<boolean>): Promise<number> {
  const start = performance.now();
  while (!(await so())) {
    assert.ok(performance.now() - start < limitMs, `not in ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return performance.now() - start;
}
/** Where the time went until the panel knew: alarms as the server told them. */
function stations(cutUs: number): string {
  const ms = (us: number): string => `${((us - cutUs) / 1000).toFixed(0)} ms`;
  const told = sb('--json', 'events').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as { kind: string; id: string; at_us: number })
    .filter((one) => one.kind === 'alarm' && one.at_us > cutUs).map((one) => `${one.id} ${ms(one.at_us)}`);
  return told.length > 0 ? `alarms were told after: ${told.join(', ')}` : 'its alarms had not been over for long, and were not told again';
}
/** What a page may say while its server is dead. */
const away = /ERR_CONNECTION|ERR_EMPTY|ERR_INCOMPLETE|ERR_SOCKET|MIME/;
const calm = (page: Page): Promise<void> => page.getByText('None. Every entrance').waitFor({ timeout: 30_000 });

/** How a person works the page: with a mouse, with keys alone, with a thumb. */
interface Hand { name: string; viewport: typeof desk; press: (page: Page, what: Locator) => Promise<void>; write: (page: Page, into: Locator, text: string) => Promise<void> }
const tabsAtMost = 80;
/** By the key Tab alone, as somebody gets there who has no mouse. */
async function tabTo(page: Page, what: Locator): Promise<void> {
  await what.waitFor();
  for (let i = 0; i < tabsAtMost; i++) {
    if (await what.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`not reached by ${tabsAtMost} tabs: ${String(what)}`);
}
const hands: Hand[] = [
  { name: 'mouse', viewport: desk, press: (_, what) => what.click(), write: (_, into, text) => into.fill(text) },
  { name: 'keys alone', viewport: desk,
    press: async (page, what) => {
      await tabTo(page, what);
      await page.keyboard.press('Enter');
    },
    write: async (page, into, text) => {
      await tabTo(page, into);
      await page.keyboard.type(text);
    } },
  { name: 'a thumb, 390 x 844', viewport: phone, press: (_, what) => what.tap(), write: (_, into, text) => into.fill(text) },
];

/** From the alarm: three times pressed and the name typed. The URL of the run. */
async function failOver(page: Page, hand: Hand, reason: string): Promise<string> {
  const name = page.getByLabel(/^Type/);
  await hand.press(page, page.getByRole('link', { name: /^room-isolated room-a/ }));
  await hand.press(page, page.getByRole('button', { name: 'Preview room-isolated room-a' }));
  await page.getByRole('heading', { name: 'Steps' }).waitFor();
  await shot(page, 'lab-preview');
  await hand.write(page, name, 'room-a');
  await hand.write(page, page.getByLabel('Reason'), reason);
  await hand.press(page, page.getByRole('button', { name: 'Run room-isolated on room-a' }));
  await page.waitForURL(/\/executions\//);
  return page.url();
}
/** Both POPs of room A are marked as down: on the panel, or on the room's card where there is no room for that. */
const bothDead = async (page: Page, hand: Hand): Promise<boolean> =>
  (await (hand.viewport === phone ? page.getByRole('article', { name: /^room-a/ }).locator('.entrances .mark.is-down') : page.locator('.topology .is-down .name', { hasText: /^✕ pop-a[12]$/ })).count()) === 2;

before(async () => {
  if (skip) return;
  forward = createServer((client) => {
    const server = connect(socket!);
    client.pipe(server).pipe(client);
    for (const end of [client, server]) end.on('error', () => { client.destroy(); server.destroy(); });
  });
  await new Promise<void>((resolve) => forward.listen(0, '127.0.0.1', resolve));
  base = `https://127.0.0.1:${(forward.address() as { port: number }).port}`;
  browser = await launch();
});
after(async () => {
  await browser?.close();
  forward?.close();
});

for (const hand of hands) {
  test(`by ${hand.name}: cut, seen within two seconds, pressed three times and the name typed, proved, reported; back again`, { skip, timeout: 150_000 }, async () => {
    const context = await visitor(browser, base, hand.viewport), page = await context.newPage();
    await logIn(page);
    await calm(page);
    await shot(page, 'lab-calm');
    const calmMs = Math.ceil(Date.now() / 1000) * 1000, calmAt = new Date(calmMs).toISOString().slice(0, 19);
    await until('it was calm at a whole second, as the time in a URL is', 2000, () => Date.now() > calmMs);
    const { at_us: cutUs } = JSON.parse(lab('hole', 'room:room-a')) as { at_us: number };
    await until('both POPs of room A are marked', 10_000, () => bothDead(page, hand));
    const seenAt = Date.now(), took = seenAt - cutUs / 1000;
    await page.getByText('room-a: every POP is down').first().waitFor();
    console.log(`${hand.name}: both POPs were marked after ${took.toFixed(0)} ms; ${stations(cutUs)}`);
    await shot(page, 'lab-cut');
    const url = await failOver(page, hand, 'fibre cut');
    await page.getByRole('heading', { name: /succeeded/ }).waitFor({ timeout: 30_000 });
    assert.match(await page.locator('main').innerText(), /proved by counters|policies proved/);
    await page.getByText(/recover: proved by users or probes/).waitFor();
    await page.getByRole('button', { name: 'Print the report' }).waitFor();
    await shot(page, 'lab-proved');
    assert.deepEqual(levers(), ['group.edge_class/creator-line=dedicated', 'group.edge_class/creator=dedicated', 'room.ingress/room-a=closed']);
    assert.match(sb('execution', 'report', url.split('/').pop()!), /decide/);
    // Before it was cut, and as it was then, while the levers are others now: as the black box has it.
    await page.goto(`/?at=${calmAt}`);
    await page.getByText(/As it was at/).waitFor();
    await calm(page);
    const cutAt = new Date(Math.ceil(seenAt / 1000) * 1000).toISOString().slice(0, 19);
    await page.goto(`/?at=${cutAt}`);
    await page.getByText(`As it was at ${cutAt.slice(11)} UTC`).waitFor();
    await page.getByText('room-a: every POP is down').first().waitFor();
    await until('both POPs are marked, as they were', 5000, () => bothDead(page, hand)); // the inventory is another question
    assert.equal(await page.locator('.alarms').getByRole('link', { name: /^room-isolated room-a/ }).count(), 0, 'nothing is pressed in the past');
    await shot(page, 'lab-past');
    await context.close();
    lab('heal', 'room:room-a');
    sb('plan', 'run', 'failback', '--confirm', 'room-a', '--reason', 'scenario');
    assert.deepEqual(levers(), []);
    assert.deepEqual(wrongs.filter((one) => !away.test(one)), []);
    assert.ok(took < 2000, `seen after ${took.toFixed(0)} ms, expected within 2000`);
  });

  test(`by ${hand.name}: an edge that is cut off is named, on the panel and in the run; the server is killed in between; abort sets every lever back`, { skip, timeout: 150_000 }, async () => {
    const context = await visitor(browser, base, hand.viewport), page = await context.newPage();
    await logIn(page);
    await calm(page);
    lab('hole', 'room:room-a');
    lab('hole', 'edge-control:edge-2');
    await page.getByText('edge-2 does not report').waitFor({ timeout: 15_000 });
    const url = await failOver(page, hand, 'fibre cut');
    await page.getByText(/not proved by edge-2/).waitFor({ timeout: 10_000 });
    const moved = levers();
    assert.ok(moved.length >= 3, moved.join());
    await page.getByText('Abort sets back').waitFor();
    for (const one of moved) await page.locator('#undo').getByText(one.split('=')[0]!.replace('/', ' ')).first().waitFor();
    if (hand.viewport === desk) { // intended and observed, beside each other
      await page.goto('/');
      await page.locator('.topology .edge', { hasText: 'edge-2' }).and(page.locator('.is-behind')).waitFor();
      await page.locator('.topology .straggler[data-edge="edge-2"]').getByText(/≠ edge-2 \d/).waitFor(); // what it was last heard to send to room A, where it is meant to send nothing
      const words = await page.locator('.astray li', { hasText: 'edge-2' }).innerText();
      assert.match(words, /has proved generation \d+ of \d+, last heard .* ago: .*room-a \d+.*, meant 0/);
      await shot(page, 'lab-behind');
      await page.goto(url);
      await page.getByRole('heading', { name: /^room-isolated room-a/ }).waitFor();
    }
    const abort = page.getByRole('button', { name: 'Abort and undo' });
    lab('kill', 'control', 'signalboxd');
    await page.getByText(/stale since \d\d:\d\d:\d\d UTC/).waitFor({ timeout: 15_000 });
    assert.ok(await abort.isDisabled(), 'no lever is moved on the strength of what is old');
    await shot(page, 'lab-stale');
    lab('start', 'control', 'signalboxd');
    await page.getByText(/stale since/).waitFor({ state: 'detached', timeout: 15_000 });
    assert.equal(page.url(), url);
    const running = (JSON.parse(sb('execution', 'list', '--json')) as { executions: Array<{ id: string; state: string }> }).executions.filter((run) => run.state === 'running');
    assert.deepEqual(running.map((run) => run.id), [url.split('/').pop()], 'nothing lost, nothing doubled');
    assert.deepEqual(levers(), moved);
    await hand.press(page, abort);
    await until('every lever is back', 20_000, () => levers().length === 0);
    lab('heal', 'all');
    await page.getByRole('heading', { name: /aborted/ }).waitFor({ timeout: 30_000 });
    await page.getByRole('button', { name: 'Print the report' }).waitFor();
    await shot(page, 'lab-aborted');
    await context.close();
  });
}
