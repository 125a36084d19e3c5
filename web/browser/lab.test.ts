// The console on the lab, as on the night of the outage: the fibre is cut, the panel says so, the button is pressed. For
// tests/lab/scenarios/console.sh, which says where the lab is: CONSOLE_SOCKET leads to the server's HTTPS, LAB is the
// lab's command, SIGNALBOX_SOCKET the server's own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { connect, createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { desk, launch, logIn, phone, shot, visitor, wrongs } from './visit';

const socket = process.env['CONSOLE_SOCKET'], skip = socket === undefined;
let browser: Browser, forward: Server, base = '';

const lab = (...words: string[]): string => {
  const [program, ...rest] = process.env['LAB']!.split(' ') as [string, ...string[]];
  return execFileSync(program, [...rest, ...words], { encoding: 'utf8' });
};
const sb = (...words: string[]): string => execFileSync(process.env['SIGNALBOX']!, words, { encoding: 'utf8' });
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
const calm = (page: Page): Promise<void> => page.getByText('None. Every entrance').waitFor({ timeout: 30_000 });

/** From the alarm: three clicks and the typed name. The URL of the run. */
async function press(page: Page, reason: string): Promise<string> {
  await page.getByRole('link', { name: /^room-isolated room-a/ }).click();
  await page.getByRole('button', { name: 'Preview room-isolated room-a' }).click();
  await page.getByRole('heading', { name: 'Steps' }).waitFor();
  await page.getByLabel(/^Type/).fill('room-a');
  await page.getByLabel('Reason').fill(reason);
  await page.getByRole('button', { name: 'Run room-isolated on room-a' }).click();
  await page.waitForURL(/\/executions\//);
  return page.url();
}

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

test('cut, seen within two seconds, three clicks and the name, proved, reported; back again', { skip, timeout: 150_000 }, async () => {
  const context = await visitor(browser, base, desk), page = await context.newPage();
  await logIn(page);
  await calm(page);
  await shot(page, 'lab-calm');
  const calmAt = new Date().toISOString().slice(0, 19);
  lab('hole', 'room:room-a');
  const took = await until('both POPs of room A are marked', 10_000, async () => (await page.locator('.topology .is-down .name', { hasText: /^✕ pop-a[12]$/ }).count()) === 2);
  console.log(`both POPs were marked after ${took.toFixed(0)} ms`);
  assert.ok(took < 2000, `seen after ${took.toFixed(0)} ms, expected within 2000`);
  await page.getByRole('link', { name: /^room-isolated room-a/ }).waitFor();
  await shot(page, 'lab-cut');
  const url = await press(page, 'fibre cut');
  await page.getByRole('heading', { name: /succeeded/ }).waitFor({ timeout: 30_000 });
  assert.match(await page.locator('main').innerText(), /proved by counters|policies proved/);
  await page.getByText(/recover: proved by users or probes/).waitFor();
  await shot(page, 'lab-proved');
  assert.deepEqual(levers(), ['group.edge_class/creator-line=dedicated', 'group.edge_class/creator=dedicated', 'room.ingress/room-a=closed']);

  // On a phone the same run, under its URL.
  const other = await visitor(browser, base, phone), hand = await other.newPage();
  await logIn(hand);
  await hand.goto(url);
  await hand.getByRole('heading', { name: /succeeded/ }).waitFor();
  await shot(hand, 'lab-proved');
  await other.close();

  // Before it was cut, as the black box has it.
  await page.goto(`/?at=${calmAt}`);
  await page.getByText(/As it was at/).waitFor();
  await calm(page);
  await context.close();
  lab('heal', 'room:room-a');
  sb('plan', 'run', 'failback', '--confirm', 'room-a', '--reason', 'scenario');
  assert.deepEqual(levers(), []);
  assert.deepEqual(wrongs, []);
});

test('an edge that is cut off is named, on the panel and in the run; the server is killed in between; abort sets every lever back', { skip, timeout: 150_000 }, async () => {
  const context = await visitor(browser, base, desk), page = await context.newPage();
  await logIn(page);
  await calm(page);
  lab('hole', 'room:room-a');
  lab('hole', 'edge-control:edge-2');
  await page.getByText('edge-2 does not report').waitFor({ timeout: 15_000 });
  const url = await press(page, 'fibre cut');
  await page.getByText(/not proved by edge-2/).waitFor({ timeout: 10_000 });
  const before = levers();
  assert.ok(before.length >= 3, before.join());
  await page.goto('/');
  await page.locator('.topology .edge', { hasText: 'edge-2' }).and(page.locator('.is-behind')).waitFor();
  await shot(page, 'lab-behind');
  await page.goto(url);
  lab('kill', 'control', 'signalboxd');
  await page.getByText(/stale since/).waitFor({ timeout: 15_000 });
  lab('start', 'control', 'signalboxd');
  await page.getByText(/stale since/).waitFor({ state: 'detached', timeout: 15_000 });
  await page.getByRole('heading', { name: /^room-isolated room-a/ }).waitFor();
  assert.equal((JSON.parse(sb('execution', 'list', '--json')) as { executions: Array<{ state: string }> }).executions.filter((run) => run.state === 'running').length, 1, 'nothing lost, nothing doubled');
  await page.getByRole('button', { name: 'Abort and undo' }).click();
  await until('every lever is back', 20_000, () => levers().length === 0);
  await page.getByRole('heading', { name: /abort/ }).waitFor({ timeout: 20_000 });
  await shot(page, 'lab-aborted');
  await context.close();
});
