// The console in a real Chromium, as people meet it: on a desk and on a phone, in the dark and in the light, by mouse
// and by keys.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { rate } from '../src/site';
import { programs, Rig, type Seen } from '../test/rig';
import { desk, launch, logIn, lostFocus, lowTargets, noFaultOfAccess, phone, places, shot, visitor as visit, wide, wrongs } from './visit';

const rig = new Rig();
let browser: Browser, seen: Seen = { down: null }, reporting: NodeJS.Timeout | undefined;
const visitor = (viewport: { width: number; height: number }, scheme?: 'dark' | 'light'): Promise<BrowserContext> => visit(browser, rig.base, viewport, scheme);

const report = async (next: Seen): Promise<void> => {
  seen = next;
  await rig.report(seen);
};

before(async () => {
  if (!programs) return;
  await rig.start();
  await rig.populate(false);
  await report({ down: null });
  reporting = setInterval(() => void rig.report(seen).catch(() => undefined), 1000); // as edges do
  browser = await launch();
});
after(async () => {
  clearInterval(reporting);
  await browser?.close();
  await rig.end();
});

test('a calm panel, on each screen: no hue of an alarm, alarms and the way out in sight, no fault of access', { skip: !programs, timeout: 120_000 }, async () => {
  for (const viewport of [desk, phone])
    for (const scheme of ['dark', 'light'] as const) {
      const context = await visitor(viewport, scheme), page = await context.newPage(), where = `${viewport.width} ${scheme}`;
      await page.goto('/');
      await page.getByLabel('Name').waitFor();
      await shot(page, 'login');
      await noFaultOfAccess(page, `login ${where}`);
      await logIn(page);
      await page.getByText('None. Every entrance').waitFor();
      const hues = await page.evaluate(() => {
        const tokens = ['--crit', '--crit-ground', '--warn', '--warn-ground'].map((name) => {
          const probe = document.createElement('i');
          probe.style.color = `var(${name})`;
          document.body.append(probe);
          const colour = getComputedStyle(probe).color;
          probe.remove();
          return colour;
        });
        return [...document.querySelectorAll<HTMLElement>('body *')].filter((element) => element.getClientRects().length > 0).flatMap((element) => {
          const style = getComputedStyle(element);
          return ['color', 'backgroundColor', 'borderTopColor', 'borderLeftColor', 'fill', 'stroke'].filter((property) =>
            tokens.includes(style[property as 'color'])).map((property) => `${element.tagName}.${element.getAttribute('class')} ${property}`);
        });
      });
      await shot(page, 'panel-calm');
      assert.deepEqual(hues, [], `hues of an alarm, ${where}`);
      for (const one of [page.getByRole('heading', { name: /^Alarms/ }), page.getByRole('link', { name: /^Evacuate/ }).first()]) {
        const box = (await one.boundingBox())!;
        assert.ok(box.y >= 0 && box.y + box.height <= viewport.height, `${await one.textContent()} is at ${box.y}, expected in sight: ${where}`);
      }
      await noFaultOfAccess(page, `panel ${where}`);
      await page.setViewportSize({ width: 320, height: 800 });
      assert.equal(await wide(page), 0, 'no scrolling sideways at 320');
      await page.setViewportSize(viewport);
      await page.goto('/failover?plan=room-isolated&target=room-a');
      await page.getByRole('button', { name: 'Preview room-isolated room-a' }).click();
      await page.getByRole('heading', { name: 'Steps' }).waitFor();
      await shot(page, 'failover');
      await noFaultOfAccess(page, `failover ${where}`);
      assert.equal(await wide(page), 0, `no scrolling sideways: failover ${where}`);
      await context.close();
    }
  assert.deepEqual(wrongs, []);
});

test('cut, alarm, three clicks and the typed name, the run; a phone sees the same', { skip: !programs, timeout: 120_000 }, async () => {
  const context = await visitor(desk), page = await context.newPage();
  await logIn(page);
  const cut = performance.now();
  await report({ down: 'room-a' });
  const alarm = page.getByRole('listitem').filter({ hasText: 'room-a: every POP is down' });
  await alarm.waitFor();
  const took = performance.now() - cut;
  assert.ok(took < 2000, `seen after ${took.toFixed(0)} ms, expected within 2000`);
  assert.match((await page.getByRole('alert').first().textContent()) ?? '', /room-a: every POP is down/);
  assert.equal(await page.locator('.topology .is-down .name', { hasText: /^✕ pop-a[12]$/ }).count(), 2, 'a shape and a name for each');
  await report({ down: 'room-a', silent: ['edge-4'] });
  await page.getByText('edge-4 does not report').waitFor({ timeout: 8000 });
  await shot(page, 'panel-cut');
  await noFaultOfAccess(page, 'panel, cut');
  await alarm.getByRole('link', { name: /^room-isolated room-a/ }).click();
  await page.getByRole('button', { name: 'Preview room-isolated room-a' }).click();
  const run = page.getByRole('button', { name: 'Run room-isolated on room-a' });
  await page.getByRole('heading', { name: 'Steps' }).waitFor();
  assert.ok(await run.isDisabled(), 'before the name is typed');
  await page.getByLabel(/^Type/).fill('room-');
  await page.getByLabel('Reason').fill('fibre cut');
  assert.ok(await run.isDisabled(), 'while it is not whole');
  await page.getByLabel(/^Type/).fill('room-a');
  await page.keyboard.press('Enter');
  assert.match(page.url(), /\/failover/, 'Enter in the field runs nothing');
  await shot(page, 'failover-ready');
  await run.dblclick();
  await page.waitForURL(/\/executions\//);
  await page.getByRole('heading', { name: /^room-isolated room-a/ }).waitFor();
  await page.locator('.step-succeeded').nth(1).waitFor();
  await shot(page, 'execution');
  await noFaultOfAccess(page, 'execution');
  const runs = JSON.parse(rig.signalbox(['execution', 'list', '--json'])) as { executions: unknown[] };
  assert.equal(runs.executions.length, 1, 'pressed twice, run once');

  const small = await visitor(phone, 'light'), hand = await small.newPage();
  await logIn(hand);
  await shot(hand, 'panel-cut');
  await noFaultOfAccess(hand, 'panel, cut, phone');
  await hand.goto(page.url());
  await hand.getByRole('heading', { name: /^room-isolated room-a/ }).waitFor();
  await shot(hand, 'execution');
  await noFaultOfAccess(hand, 'execution, phone');
  assert.equal(await wide(hand), 0, 'no scrolling sideways');
  assert.deepEqual(await lowTargets(hand), [], 'what a thumb is to hit is 44 px high');
  await small.close();
  await context.close();
  assert.deepEqual(wrongs, []);
});

test('a server that is killed: the page says since when, shuts the levers, comes back by itself', { skip: !programs, timeout: 60_000 }, async () => {
  const context = await visitor(desk), page = await context.newPage();
  await logIn(page);
  await page.goto('/failover?plan=failback&target=room-a');
  await page.getByRole('button', { name: 'Preview failback room-a' }).waitFor();
  await rig.kill();
  await page.getByText(/stale since \d\d:\d\d:\d\d UTC/).waitFor({ timeout: 15_000 });
  await page.getByText('What is shown may be old.').waitFor();
  assert.ok(await page.getByRole('button', { name: /^Run failback/ }).isDisabled());
  await shot(page, 'stale');
  await rig.start();
  await page.getByText(/stale since/).waitFor({ state: 'detached', timeout: 15_000 });
  await context.close();
  assert.deepEqual(wrongs.filter((one) => !/ERR_CONNECTION|ERR_INCOMPLETE|MIME/.test(one)), []);
});

test('eight tabs of one browser: each is alive, and one alone holds the stream', { skip: !programs, timeout: 60_000 }, async () => {
  const context = await visitor(desk), page = await context.newPage();
  const open = new Set<unknown>();
  let most = 0;
  context.on('request', (request) => {
    if (!request.url().includes('/v1/events?')) return;
    open.add(request);
    most = Math.max(most, open.size);
  });
  for (const over of ['requestfinished', 'requestfailed'] as const) context.on(over as 'requestfinished', (request) => open.delete(request));
  await report({ down: null });
  await logIn(page);
  const tabs = [page];
  for (let i = 1; i < 8; i++) {
    const tab = await context.newPage();
    await tab.goto('/');
    tabs.push(tab);
  }
  await Promise.all(tabs.map((tab) => tab.getByRole('heading', { name: /^Alarms/ }).waitFor()));
  await report({ down: 'room-b' });
  await Promise.all(tabs.map((tab) => tab.getByText('room-b: every POP is down').first().waitFor()));
  const took = await Promise.all(tabs.map((tab) => tab.evaluate(async () => {
    const start = performance.now();
    await (await fetch('/v1/session')).json();
    return performance.now() - start;
  })));
  assert.ok(Math.max(...took) < 1000, `answers after ${took.map((ms) => ms.toFixed(0)).join(', ')} ms, expected within 1000`);
  assert.ok(most >= 1 && most <= 2, `${most} streams at once, expected one, or one more while the lead goes over`);
  await context.close();
});

test('each screen, dark and light, desk and phone: no fault of access, nothing to scroll sideways, nothing too small for a thumb', { skip: !programs, timeout: 300_000 }, async () => {
  wrongs.length = 0;
  await report({ down: null });
  for (const viewport of [desk, phone])
    for (const scheme of ['dark', 'light'] as const) {
      const context = await visitor(viewport, scheme), page = await context.newPage();
      await logIn(page, 'carol');
      for (const { name, url, see } of places) {
        const where = `${name} ${viewport.width} ${scheme}`;
        await page.goto(url);
        await page.getByText(see).first().waitFor();
        await shot(page, name);
        await noFaultOfAccess(page, where);
        assert.equal(await wide(page), 0, `no scrolling sideways: ${where}`);
        if (scheme === 'light') assert.deepEqual(await lostFocus(page), [], `who has the focus is seen: ${where}`);
        if (viewport === phone) assert.deepEqual(await lowTargets(page), [], `high enough for a thumb: ${where}`);
      }
      await page.keyboard.press('Control+k');
      await page.getByRole('combobox', { name: 'where to' }).fill('audit');
      await shot(page, 'palette');
      await noFaultOfAccess(page, `palette ${viewport.width} ${scheme}`);
      await page.keyboard.press('Enter');
      await page.waitForURL('**/audit');
      await context.close();
    }
  assert.deepEqual(wrongs, []);
});

test('by keys alone: jumps, a preview, the typed name, the run, its undo; every lever is back', { skip: !programs, timeout: 90_000 }, async () => {
  wrongs.length = 0;
  await rig.atRest();
  const moved = (): string[] => rig.levers().filter((one) => one.value !== 'default').map((one) => `${one.control}/${one.object}`);
  assert.deepEqual(moved(), []);
  await report({ down: 'room-a', silent: ['edge-4'] });
  const context = await visitor(desk), page = await context.newPage();
  await logIn(page);
  await page.getByText('room-a: every POP is down').first().waitFor();
  await page.getByText('edge-4 does not report').waitFor({ timeout: 8000 });
  await page.getByRole('link', { name: /^room-isolated room-a/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Preview room-isolated room-a' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Steps' }).waitFor();
  await page.getByLabel(/^Type/).focus();
  await page.keyboard.type('room-a');
  await page.keyboard.press('Tab');
  await page.keyboard.type('fibre cut');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/executions\//);
  await page.getByText(/not proved by edge-4/).waitFor(); // the straggler, by name
  assert.ok(moved().length > 0);
  await page.getByRole('button', { name: 'Abort and undo' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /abort/ }).waitFor();
  assert.deepEqual(moved(), [], 'as before');
  for (const [key, url] of [['c', '/controls'], ['p', '/'], ['r', '/executions']] as const) {
    await page.locator('body').press('g');
    await page.locator('body').press(key);
    await page.waitForURL(`**${url}`);
  }
  await context.close();
  assert.deepEqual(wrongs, []);
});

test('a preview whose site has changed is not run, and says what is different; a viewer has no button', { skip: !programs, timeout: 60_000 }, async () => {
  wrongs.length = 0;
  await rig.atRest();
  await report({ down: 'room-a' });
  const context = await visitor(desk), page = await context.newPage();
  await logIn(page);
  await page.goto('/failover?plan=room-isolated&target=room-a');
  await page.getByRole('button', { name: 'Preview room-isolated room-a' }).click();
  await page.getByLabel(/^Type/).fill('room-a');
  await page.getByLabel('Reason').fill('x');
  const run = page.getByRole('button', { name: 'Run room-isolated on room-a' });
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>('button.danger')!.disabled);
  // Between the press and the server: no page can have learnt of it.
  await page.route('**/v1/plans/*/run', (route) => {
    rig.signalbox(['control', 'set', 'pop', 'pop-b1', 'out', '--reason', 'meanwhile']);
    return route.continue();
  });
  await run.click();
  await page.getByText(/the site has changed since the preview.*pop\/pop-b1 is out/).waitFor();
  assert.ok(await run.isDisabled(), 'until somebody has looked again');
  assert.equal((JSON.parse(rig.signalbox(['execution', 'list', '--json'])) as { executions: Array<{ state: string }> }).executions.filter((one) => one.state === 'running').length, 0, 'nothing runs');
  await page.unroute('**/v1/plans/*/run');
  await page.getByRole('button', { name: 'Preview room-isolated room-a' }).click();
  await page.getByText(/What is different now|Looked at again/).waitFor();
  await context.close();
  await rig.atRest();
  const other = await visitor(desk), looker = await other.newPage();
  await logIn(looker, 'victor');
  assert.equal(await looker.getByRole('link', { name: /^Evacuate/ }).count(), 0);
  await looker.goto('/failover?plan=room-isolated&target=room-a');
  await looker.getByText('Your role only looks.').waitFor();
  await other.close();
});

const running = (): Array<{ id: string }> => (JSON.parse(rig.signalbox(['execution', 'list', '--json'])) as { executions: Array<{ id: string; state: string }> }).executions.filter((one) => one.state === 'running');
/** Until the button is there to be pressed. */
async function readyToRun(page: Page): Promise<Locator> {
  await page.goto('/failover?plan=room-isolated&target=room-a');
  await page.getByRole('button', { name: 'Preview room-isolated room-a' }).click();
  await page.getByRole('heading', { name: 'Steps' }).waitFor();
  await page.getByLabel(/^Type/).fill('room-a');
  await page.getByLabel('Reason').fill('fibre cut');
  await page.getByText('It can be run.').waitFor();
  return page.getByRole('button', { name: 'Run room-isolated on room-a' });
}

test('two tabs press the same button: one run; the other tab says why not', { skip: !programs, timeout: 60_000 }, async () => {
  await rig.atRest();
  await report({ down: 'room-a', silent: ['edge-4'] });
  const context = await visitor(desk), one = await context.newPage(), other = await context.newPage();
  await logIn(one);
  await one.getByText('edge-4 does not report').waitFor({ timeout: 8000 });
  await other.goto('/');
  const buttons = [await readyToRun(one), await readyToRun(other)];
  await Promise.all(buttons.map((button) => button.evaluate((one) => {
    for (let i = 0; i < 2; i++) (one as HTMLButtonElement).click(); // at once, whatever has become of it
  })));
  await Promise.race([one, other].map((page) => page.waitForURL(/\/executions\//)));
  const loser = /executions/.test(one.url()) ? other : one;
  await loser.getByText(/belongs to execution|has changed since|not so any more/).first().waitFor();
  assert.equal(running().length, 1);
  await context.close();
});

test('the server is killed in the midst of a run: the open page goes on with it, nothing is lost and nothing doubled', { skip: !programs, timeout: 90_000 }, async () => {
  await rig.atRest();
  await report({ down: 'room-a', silent: ['edge-4'] });
  const context = await visitor(desk), page = await context.newPage();
  await logIn(page);
  await page.getByText('edge-4 does not report').waitFor({ timeout: 8000 });
  await (await readyToRun(page)).click();
  await page.waitForURL(/\/executions\//);
  await page.getByText(/not proved by edge-4/).waitFor();
  await page.getByText('Abort sets back').waitFor();
  const url = page.url(), moved = rig.levers().filter((lever) => lever.value !== 'default'), steps = await page.locator('.step b').allTextContents();
  await rig.kill();
  await page.getByText(/stale since \d\d:\d\d:\d\d UTC/).waitFor({ timeout: 15_000 });
  for (const name of ['Pause', 'Abort and undo']) assert.ok(await page.getByRole('button', { name }).isDisabled(), name);
  assert.deepEqual(await page.locator('.step b').allTextContents(), steps, 'what was known stays in sight');
  await rig.start();
  await page.getByText(/stale since/).waitFor({ state: 'detached', timeout: 15_000 });
  await report({ down: 'room-a' });
  await page.locator('.step-succeeded', { hasText: 'edges' }).waitFor({ timeout: 15_000 });
  assert.equal(page.url(), url);
  assert.deepEqual((await page.locator('.step b').allTextContents()).slice(0, steps.length), steps);
  assert.deepEqual(running().map((run) => run.id).filter((id) => !url.endsWith(id)), []);
  const run = JSON.parse(rig.signalbox(['execution', 'show', url.split('/').pop()!, '--json'])) as { events: Array<{ seq: number }>; writes: Array<{ control: string; object: string }> };
  assert.deepEqual(run.events.map((event) => event.seq), run.events.map((_, i) => i + 1), 'no event is lost, none is there twice');
  assert.equal(new Set(run.writes.map((write) => `${write.control}/${write.object}`)).size, run.writes.length, 'no lever was moved twice');
  assert.deepEqual(rig.levers().filter((lever) => lever.value !== 'default').map((lever) => `${lever.control}/${lever.object}`), moved.map((lever) => `${lever.control}/${lever.object}`));
  await context.close();
  await rig.atRest();
});

test('an abort sets back what each step did, the last one first, each in sight; the site is as it was', { skip: !programs, timeout: 60_000 }, async () => {
  await rig.atRest();
  rig.signalbox(['control', 'set', 'pop', 'pop-b2', 'out', '--reason', 'a splice']); // as it was is not all defaults
  await report({ down: 'room-a', silent: ['edge-4'] });
  const values = (): string[] => rig.levers().map((one) => `${one.control}/${one.object}=${one.value}`).filter((one) => !one.endsWith('=default')).sort(), site = (): string => rig.signalbox(['export']);
  const before = values(), siteBefore = site();
  assert.deepEqual(before, ['pop/pop-b2=out']);
  const context = await visitor(desk), page = await context.newPage();
  await logIn(page);
  await page.getByText('edge-4 does not report').waitFor({ timeout: 8000 });
  await (await readyToRun(page)).click();
  await page.waitForURL(/\/executions\//);
  await page.getByText(/not proved by edge-4/).waitFor();
  const id = page.url().split('/').pop()!, shownOf = (): Promise<string[]> => page.locator('.back li').allTextContents();
  type Run = { state: string; steps: Array<{ name: string; state: string }>; writes: Array<{ control: string; object: string; before: string; after: string; step: string; restored: boolean }> };
  const run = (): Run => JSON.parse(rig.signalbox(['execution', 'show', id, '--json'])) as Run, { writes, steps } = run();
  assert.deepEqual(steps.slice(0, 4).map((step) => `${step.name} ${step.state}`), ['other-room succeeded', 'to-lines succeeded', 'move-out succeeded', 'edges running']);
  assert.deepEqual(values(), [...before, ...writes.map((one) => `${one.control}/${one.object}=${one.after}`)].sort());
  assert.deepEqual(await shownOf(), [], 'nothing is set back yet');
  const last = writes.filter((one) => one.step === 'move-out'), first = writes.filter((one) => one.step === 'to-lines'), order = [...last, ...first];
  assert.ok(last.length > 0 && first.length > 1 && order.length === writes.length, JSON.stringify(writes));
  await page.getByText('Abort sets back').waitFor();
  assert.deepEqual(await page.locator('#undo li').allTextContents(), order.map((one) => `${one.control} ${one.object} to ${one.before}`), 'said before it is pressed');
  await report({ down: 'room-a' });
  await page.getByRole('button', { name: 'Abort and undo' }).click();
  await page.getByRole('heading', { name: /aborted/ }).waitFor();
  const moves = (of: Run['writes']): string => of.map((one) => ` ${one.control} ${one.object}: ${one.after} → ${one.before}`).join(',');
  assert.deepEqual(await shownOf(), [`move-out${moves(last)}`, `to-lines${moves(first)}`]);
  for (const name of ['move-out', 'to-lines']) await page.locator('.step', { hasText: name }).getByText('set, succeeded, set back').waitFor();
  await shot(page, 'aborted');
  await noFaultOfAccess(page, 'aborted');
  const { audit } = JSON.parse(rig.signalbox(['audit', '--json'])) as { audit: Array<{ seq: number; what: string; object: string; execution?: string; before: string; after: string }> };
  const undone = audit.filter((row) => row.what === 'undo' && row.execution === id).sort((a, b) => a.seq - b.seq);
  assert.deepEqual(undone.map((row) => `${row.object} ${row.before} ${row.after}`), order.map((one) => `${one.control}/${one.object} ${one.after} ${one.before}`), 'in the order of the records, too');
  assert.ok(run().writes.every((one) => one.restored));
  assert.deepEqual(values(), before);
  assert.equal(site(), siteBefore);
  await context.close();
  await rig.atRest();
});

test('what blocks shuts the button, says why and what mends it; a rule is passed over with a reason, and the audit has it', { skip: !programs, timeout: 60_000 }, async () => {
  await rig.atRest();
  await report({ down: null });
  rig.signalbox(['control', 'set', 'room.ingress', 'room-b', 'closed', '--reason', 'a test', '--override', 'share-moved']);
  const context = await visitor(desk), page = await context.newPage();
  await logIn(page);
  await page.goto('/failover?plan=room-isolated&target=room-a');
  await page.getByRole('button', { name: 'Preview room-isolated room-a' }).click();
  await page.locator('.check-block', { hasText: 'last-open' }).getByText(/open another room first: room.ingress\/room-b is closed/).waitFor();
  await page.getByLabel(/^Type/).fill('room-a');
  await page.getByLabel('Reason').fill('x');
  const run = page.getByRole('button', { name: 'Run room-isolated on room-a' }), gate = page.locator('#gate');
  assert.ok(await run.isDisabled());
  assert.match((await gate.textContent()) ?? '', /Blocked by .*last-open.*room-open.*open another room first/);
  const rules = await page.getByLabel(/Pass over/).all();
  assert.ok(rules.length > 0, 'rules may be passed over');
  for (const rule of rules) await rule.check();
  assert.ok(await run.isDisabled(), 'that no room is open is no rule');
  await shot(page, 'failover-blocked');
  await noFaultOfAccess(page, 'failover, blocked');
  await page.goto('/controls?lever=pop&object=pop-a1&value=out');
  await page.getByRole('button', { name: 'Preview', exact: true }).waitFor();
  await context.close();
  await rig.atRest();
});

test('somebody looks after an alarm: by the link of a chat, seen by the others; a reminder with a lock on a lever', { skip: !programs, timeout: 60_000 }, async () => {
  await rig.atRest();
  await report({ down: 'room-a' });
  const context = await visitor(desk), page = await context.newPage(), other = await visitor(phone), hand = await other.newPage();
  await logIn(page);
  await logIn(hand, 'carol');
  await page.goto('/?alarm=entrances%2Froom-a');
  await page.getByLabel(/^What is being done/).fill('calling the carrier');
  await shot(page, 'acknowledge');
  await noFaultOfAccess(page, 'acknowledge');
  await page.getByRole('button', { name: 'I look after it' }).click();
  await Promise.all([page, hand].map((one) => one.getByText(/alice looks after it since \d\d:\d\d:\d\d UTC: calling the carrier/).waitFor()));
  await shot(hand, 'acknowledged');
  assert.deepEqual(await lowTargets(hand), []);

  await page.goto('/controls?lever=pop&object=pop-b1');
  await page.getByLabel('Why').fill('a splice');
  await page.getByLabel(/A lock/).check();
  await page.getByRole('button', { name: 'Hang the reminder on pop/pop-b1' }).click();
  await page.getByRole('region', { name: 'levers off their defaults' }).getByText('locked').first().waitFor();
  await hand.goto('/controls?lever=pop&object=pop-b1&value=out');
  await hand.getByRole('button', { name: 'Preview', exact: true }).click();
  await hand.getByText(/pop\/pop-b1 is locked by alice until .*: a splice/).waitFor();
  await shot(hand, 'locked');
  const move = hand.getByRole('button', { name: 'Set pop pop-b1 to out' });
  await hand.getByLabel('Reason').fill('x');
  assert.ok(await move.isDisabled());
  await hand.getByLabel(/Pass over pop-pop-b1/).check();
  await move.click();
  await hand.getByRole('region', { name: 'levers off their defaults' }).getByText('out').first().waitFor();
  assert.match(rig.signalbox(['audit', '--json']), /"overrides":\["pop-pop-b1"\]|"overrides": ?\[\s*"pop-pop-b1"/);
  await page.getByText('For the next shift').click();
  await page.getByText(/pop pop-b1 is out, locked: ask alice; carol/).waitFor();
  await page.getByRole('button', { name: 'Take off pop-pop-b1' }).click();
  await page.getByText('Nothing hangs on a lever.').waitFor();
  await context.close();
  await other.close();
  await rig.atRest();
});

test('an approval passed in an emergency is reviewed by another; a plan is checked as it is typed; two runs are compared', { skip: !programs, timeout: 60_000 }, async () => {
  await rig.atRest();
  await report({ down: null });
  rig.file('asks.yaml', 'plan: asks\ntarget: pop\nsteps:\n  - name: second\n    approve: "May it go out?"\n  - name: out\n    set:\n      - {control: pop, on: $target, value: out}\n');
  const context = await visitor(desk), page = await context.newPage(), other = await visitor(desk), second = await other.newPage();
  await logIn(page);
  await logIn(second, 'carol');
  await page.goto('/failover?plan=asks&target=pop-b2');
  await page.getByRole('button', { name: 'Preview asks pop-b2' }).click();
  await page.locator('.check-warn', { hasText: 'approval second' }).waitFor();
  await page.getByLabel(/^Type/).fill('pop-b2');
  await page.getByLabel('Reason').fill('fire');
  await page.getByRole('button', { name: 'Run asks on pop-b2' }).click();
  await page.getByRole('link', { name: /A second person/ }).click();
  const alone = page.getByRole('button', { name: 'Emergency: pass it alone' });
  assert.ok(await page.getByRole('button', { name: 'Approve asks pop-b2' }).isDisabled(), 'who started it does not approve it');
  assert.ok(await alone.isDisabled(), 'without a reason');
  await page.getByLabel(/^Reason/).fill('nobody answers');
  await alone.click();
  const review = second.getByRole('button', { name: 'Reviewed asks' });
  await second.goto('/approvals?reason=looked');
  await review.waitFor();
  assert.ok(await page.getByRole('button', { name: 'Reviewed asks' }).isDisabled(), 'nobody reviews himself');
  await review.click();
  await second.getByText('Nobody waits for a second person.').waitFor();
  assert.match(rig.signalbox(['audit', '--json']), /nobody answers/);

  await second.goto('/plans/asks');
  const text = second.getByLabel('As text (YAML)');
  await text.waitFor();
  const yaml = await text.inputValue();
  await text.fill(yaml.replace('value: out', 'value: sideways'));
  await second.getByText(/line:\d+.*sideways/).waitFor();
  await text.fill(`${yaml}- name: third\n  wait: edges\n`);
  await second.getByRole('heading', { name: 'Steps as typed' }).waitFor();
  await second.locator('.graph').getByText('third').waitFor();
  await shot(second, 'plan-typed');
  await noFaultOfAccess(second, 'plan, typed');
  await second.getByLabel('Reason').fill('another step');
  await second.getByRole('button', { name: 'Save the difference' }).click();
  const versions = second.getByLabel('What was changed by generation');
  await versions.locator('option').nth(2).waitFor({ state: 'attached' }); // none, the new one, the one before
  await versions.selectOption({ index: 1 });
  await second.locator('.diff .added', { hasText: 'third' }).waitFor();

  await second.goto('/executions');
  await second.getByRole('button', { name: /^Compare / }).first().click();
  await second.getByRole('button', { name: /^Compare .* with / }).first().click();
  await second.getByRole('heading', { name: 'Two runs beside each other' }).waitFor();
  await shot(second, 'compared');
  await noFaultOfAccess(second, 'compared');
  await context.close();
  await other.close();
  await rig.atRest();
});

test('the panel as it was, from the black box', { skip: !programs, timeout: 60_000 }, async () => {
  await report({ down: null });
  const context = await visitor(desk), page = await context.newPage();
  await logIn(page, 'carol');
  const calm = new Date().toISOString().slice(0, 19);
  await report({ down: 'room-b' });
  await page.getByText('room-b: every POP is down').first().waitFor();
  await page.goto(`/?at=${calm}`);
  await page.getByText(/As it was at/).waitFor();
  await page.getByRole('heading', { name: 'Alarms', exact: true }).waitFor();
  assert.equal(await page.locator('main').getByText('room-b: every POP is down').count(), 0);
  assert.equal(await page.getByRole('link', { name: /^Evacuate/ }).count(), 0, 'nothing can be done then');
  await shot(page, 'panel-past');
  await noFaultOfAccess(page, 'past');
  await page.getByRole('button', { name: 'Now', exact: true }).click();
  await page.locator('main').getByText('room-b: every POP is down').first().waitFor();
  await context.close();
});

test('the preview has the figures of the API; the name may be pasted', { skip: !programs, timeout: 60_000 }, async () => {
  wrongs.length = 0;
  await rig.atRest();
  await report({ down: 'room-a' });
  const context = await visitor(desk), page = await context.newPage();
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await logIn(page);
  await page.getByText('room-a: every POP is down').first().waitFor();
  await page.goto('/failover?plan=room-isolated&target=room-a');
  const answer = page.waitForResponse((one) => one.url().endsWith('/run'));
  await page.getByRole('button', { name: 'Preview room-isolated room-a' }).click();
  const { forecast } = (await (await answer).json()) as { forecast: { total: number; moved: number; moved_failing: number; lost: number; rows: Array<{ kind: string; name: string; before: number; after: number }> } };
  await page.getByRole('heading', { name: 'Steps' }).waitFor();
  const figures = await page.locator('.failover .figures').first().locator('dd').allTextContents();
  assert.deepEqual(figures, [forecast.moved, forecast.moved_failing, forecast.lost, forecast.total].map(rate));
  assert.ok(forecast.rows.length > 3);
  const rows = (await page.locator('section[aria-labelledby=does-title] tbody tr').allTextContents()).map((text) => text.replace(/[\s↑↓]/g, ''));
  for (const { name, before, after } of forecast.rows) assert.ok(rows.includes(`${name}${rate(before)}${rate(after)}`), `${name} from ${before} to ${after}: ${rows.join(' ')}`);
  await page.evaluate(() => navigator.clipboard.writeText('room-a'));
  await page.getByLabel('Reason').fill('fibre cut');
  await page.getByLabel(/^Type/).focus();
  await page.keyboard.press('Control+v');
  assert.ok(await page.getByRole('button', { name: 'Run room-isolated on room-a' }).isEnabled(), 'pasted is typed');
  await context.close();
  assert.deepEqual(wrongs, []);
});
