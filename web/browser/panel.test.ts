// The panel in Chromium, on a site with gateways: lines and what they carry, an edge that is cut off from the server, the
// panel as it was then, trends with one cursor, an alarm that is said once, no motion for who wants none.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { programs, Rig, type Seen } from '../test/rig';
import { desk, launch, logIn, noFaultOfAccess, phone, shot, visitor, wide, wrongs } from './visit';

const rig = new Rig();
const calm: Seen = { down: null, lines: { 'line-5': 20_000, 'line-6': 0, 'line-7': 100 } };
let browser: Browser, seen = calm, reporting: NodeJS.Timeout | undefined;
const see = async (next: Seen): Promise<void> => {
  seen = next;
  await rig.report(seen);
};
/** A colour of the page's tokens, as it computes it. */
const token = (page: Page, name: string): Promise<string> => page.evaluate((wanted) => {
  const probe = document.createElement('i');
  probe.style.color = `var(${wanted})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}, name);

before(async () => {
  if (!programs) return;
  await rig.start();
  await rig.populate(false, 'gateways');
  await see(calm);
  reporting = setInterval(() => void rig.report(seen).catch(() => undefined), 1000);
  browser = await launch();
});
after(async () => {
  clearInterval(reporting);
  await browser?.close();
  await rig.end();
});

test('lines: capacity, load, direction; one that is down is dashed, crossed, dated, and its duct is marked', { skip: !programs, timeout: 60_000 }, async () => {
  const context = await visitor(browser, rig.base, desk), page = await context.newPage();
  await logIn(page);
  const five = page.locator('.track[data-line="line-5"]'), six = page.locator('.track[data-line="line-6"]');
  await five.getByText(/^▶ (4[5-9]|5[0-5]) % /).waitFor();
  const widths = await Promise.all(['.bed', '.load'].map(async (part) => Number(await five.locator(part).getAttribute('stroke-width'))));
  assert.ok(widths[0] === 10 && widths[1]! > 3.5 && widths[1]! < 4.5, `capacity and load are ${widths.join(' and ')} px wide, expected 10 and about 4`);
  assert.match(await six.locator('.line-name').textContent() ?? '', /^line-6 40G ∥duct-middle$/);
  await shot(page, 'panel-lines');
  await noFaultOfAccess(page, 'panel with lines');
  await see({ ...calm, lines: { 'line-5': -1, 'line-6': 12_000, 'line-7': 100 } });
  await page.locator('.track.is-down[data-line="line-5"]').getByText(/^down since \d\d:\d\d:\d\d UTC$/).waitFor();
  assert.equal(await five.locator('.cross').textContent(), '✕');
  assert.notEqual(await five.locator('.bed').evaluate((path) => getComputedStyle(path).strokeDasharray), 'none');
  assert.match(await six.getAttribute('class') ?? '', /is-near/);
  await page.getByText(/7 lines, 1 not in service/).waitFor();
  await shot(page, 'panel-line-down');
  await see(calm);
  await page.locator('.track.is-ok[data-line="line-5"]').waitFor();
  await context.close();
  assert.deepEqual(wrongs, []);
});

test('an alarm is there within two seconds: glyph, words, hue, and said once', { skip: !programs, timeout: 60_000 }, async () => {
  const context = await visitor(browser, rig.base, desk), page = await context.newPage();
  await logIn(page);
  await page.getByText('None. Every entrance').waitFor();
  assert.equal(await page.getByRole('alert').filter({ hasText: /\S/ }).count(), 0);
  const start = performance.now();
  await see({ ...calm, down: 'room-a' });
  const title = page.locator('.alarm.p1 strong').filter({ hasText: 'every POP' }); // others may be there before it
  await title.waitFor();
  const took = performance.now() - start;
  console.log(`the alarm was there after ${took.toFixed(0)} ms`);
  assert.ok(took < 2000, `after ${took.toFixed(0)} ms, expected within 2000`);
  assert.equal(await title.textContent(), '✕ P1 room-a: every POP is down');
  assert.equal(await title.evaluate((element) => getComputedStyle(element).color), await token(page, '--crit'));
  const said = await page.getByRole('alert').filter({ hasText: /\S/ }).allTextContents();
  assert.equal(said.length, 1, 'in one place');
  assert.match(said[0]!, /room-a: every POP is down, pop-a1 down at 2 of 2 edges, L4TOUT; pop-a2 down at 2 of 2 edges, L4TOUT/);
  assert.equal(said[0]!.split('every POP').length, 2, 'and once');
  await see(calm);
  await page.getByText('None. Every entrance').waitFor();
  await context.close();
});

test('an edge cut off from the server: what is meant differs from what is, it is named; later the panel shows it as it was', { skip: !programs, timeout: 90_000 }, async () => {
  wrongs.length = 0;
  const context = await visitor(browser, rig.base, desk), page = await context.newPage();
  await logIn(page, 'carol');
  assert.equal(await page.getByText('Not as it is meant').count(), 0);
  await see({ ...calm, down: 'room-a', silent: ['edge-2'] });
  rig.signalbox(['control', 'set', 'room.ingress', 'room-a', 'closed', '--reason', 'fibre cut', '--override', 'share-moved']);
  await see({ ...calm, down: 'room-a', silent: ['edge-2'] });
  const straggler = page.locator('.straggler[data-edge="edge-2"]');
  await straggler.and(page.locator('[data-room="room-a"]')).locator('.seen.is-apart').waitFor();
  await straggler.and(page.locator('[data-room="room-b"]')).locator('.wanted').waitFor();
  await page.getByRole('listitem').filter({ hasText: /^≠ edge-2 has proved generation \d+ of \d+, last heard/ }).filter({ hasText: /room-a 335\/s, meant 35\/s; room-b 300\/s, meant 600\/s/ }).waitFor();
  await page.locator('.topology .edge.is-behind', { hasText: 'edge-2' }).waitFor();
  await page.getByText('edge-2 does not report').waitFor({ timeout: 9000 });
  await shot(page, 'panel-astray');
  await noFaultOfAccess(page, 'panel, an edge astray');
  const then = new Date(Date.now() + 1000).toISOString().slice(0, 19); // the next whole second: at the one before it was not silent yet
  const small = await visitor(browser, rig.base, phone), hand = await small.newPage();
  await logIn(hand);
  await hand.getByText(/^≠ edge-2/).first().waitFor();
  assert.equal(await wide(hand), 0);
  await shot(hand, 'panel-astray');
  await small.close();
  while (Date.now() <= Date.parse(`${then}Z`)) await new Promise((resolve) => setTimeout(resolve, 20)); // it lasts until then

  await see(calm);
  await rig.atRest();
  await see(calm);
  await straggler.first().waitFor({ state: 'detached' });
  await page.getByText('None. Every entrance').waitFor();
  await page.goto(`/?at=${then}`);
  await page.getByText(`As it was at ${then.slice(11)} UTC`).waitFor();
  await page.locator('.alarm', { hasText: 'room-a: every POP is down' }).waitFor();
  await page.locator('.topology').waitFor(); // the inventory is another question
  assert.equal(await page.locator('.topology .is-down .name', { hasText: /^✕ pop-a[12]$/ }).count(), 2);
  assert.match(await page.locator('.topology .room', { hasText: 'room-a' }).textContent() ?? '', /ingress closed/);
  await straggler.first().waitFor();
  assert.equal(await page.getByRole('link', { name: /room-isolated|^Evacuate/ }).count(), 0, 'nothing can be done then');
  await shot(page, 'panel-then');
  // Along the hours by keys: the slider is where the URL is, and moves it.
  await page.getByRole('slider', { name: /^As it was/ }).focus();
  await page.keyboard.press('End');
  await page.waitForFunction((was) => !location.search.includes(was), encodeURIComponent(then).slice(-8));
  await page.getByRole('button', { name: 'Now', exact: true }).click();
  await page.getByText('None. Every entrance').waitFor();
  assert.equal(new URL(page.url()).search, '');
  await context.close();
  assert.deepEqual(wrongs, []);
});

test('trends: one cursor for all rooms, by pointer and by keys, with time and units', { skip: !programs, timeout: 60_000 }, async () => {
  const context = await visitor(browser, rig.base, desk), page = await context.newPage();
  await logIn(page);
  const plots = page.locator('.trend .plot'), captions = page.locator('.trend figcaption');
  await page.waitForFunction(() => document.querySelectorAll('.trend canvas').length === 2);
  await captions.filter({ hasText: /^up to \d+\/s in [3-9] s$/ }).first().waitFor();
  const box = (await plots.first().boundingBox())!;
  await page.mouse.move(box.x + box.width - 20, box.y + 20);
  await captions.filter({ hasText: /^\d\d:\d\d:\d\d UTC: \d+\/s$/ }).nth(1).waitFor();
  const texts = await captions.allTextContents();
  assert.equal(new Set(texts.map((text) => text.slice(0, 12))).size, 1, `one time for all: ${texts.join(', ')}`);
  assert.equal(await page.locator('.u-cursor-x:visible').count(), 2);
  await page.mouse.move(5, 5);
  await captions.filter({ hasText: /^up to/ }).nth(1).waitFor();
  await plots.first().focus();
  await page.keyboard.press('ArrowLeft');
  await captions.filter({ hasText: /^\d\d:\d\d:\d\d UTC/ }).nth(1).waitFor();
  assert.match(await plots.nth(1).getAttribute('aria-valuetext') ?? '', /^\d\d:\d\d:\d\d UTC: \d+\/s$/);
  await noFaultOfAccess(page, 'trends');
  await page.keyboard.press('Escape');
  await captions.filter({ hasText: /^up to/ }).nth(1).waitFor();
  await context.close();
  assert.deepEqual(wrongs, []);
});

test('flow moves, and stands still for who wants no motion', { skip: !programs, timeout: 60_000 }, async () => {
  for (const reducedMotion of ['no-preference', 'reduce'] as const) {
    const context = await visitor(browser, rig.base, desk), page = await context.newPage();
    await page.emulateMedia({ reducedMotion });
    await logIn(page);
    await page.locator('.track .flow').first().waitFor({ state: 'attached' });
    const moving = await page.evaluate(() => document.getAnimations().filter((one) => one.playState === 'running').length);
    assert.equal(moving > 0, reducedMotion === 'no-preference', `${moving} animations: ${reducedMotion}`);
    await context.close();
  }
});
