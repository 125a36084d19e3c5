// Who writes names and texts that are meant to do harm, and who presses what is not his: each screen in a real Chromium,
// with answers of a real server in which every name and every text is hostile.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { Browser, Page, Route } from 'playwright-core';
// @ts-expect-error: plain JavaScript, as the build runs it
import { parseYaml } from '../openapi_types.mjs';
import { people, programs, Rig } from '../test/rig';
import { desk, launch, logIn, lowTargets, phone, places, visitor, wide, wrongs } from './visit';

declare const ROOT: string;
const rig = new Rig();
let browser: Browser, run = '';
before(async () => {
  if (!programs) return;
  await rig.start();
  await rig.populate(false);
  await rig.report({ down: 'room-a', silent: ['edge-4'] });
  run = (JSON.parse(rig.signalbox(['plan', 'run', 'room-isolated', '--confirm', 'room-a', '--reason', 'fibre cut', '--no-wait', '--json'])) as { id: string }).id;
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await rig.end();
});
afterEach(async () => { await Promise.all((browser?.contexts() ?? []).map((one) => one.close())); });
const screens = (): Array<{ name: string; url: string; see: RegExp }> => [{ name: 'execution', url: `/executions/${run}`, see: /begun/ }, ...places];

// ---- names ----
const evil = `"><img src=x onerror="evil=1"><script>evil=2</script>{{evil}}\u202e\u2066\u{1f525}\u0007${'x'.repeat(3900)}`;

/** Puts it behind each name, and each text of people, of an answer; takes it away again from what is asked. */
async function spoil(page: Page): Promise<void> {
  const site = JSON.parse(rig.signalbox(['export', '--json'])) as { objects: Array<{ name: string }>; plans: Array<{ plan: string }> };
  const names = [...site.objects.map((one) => one.name), ...site.plans.map((one) => one.plan), 'two-rooms'].filter((name) => /[-.]/.test(name)).concat(people.map(([name]) => name)).sort((a, b) => b.length - a.length);
  const named = new RegExp(`(?<![a-z0-9.-])(?:${names.map((name) => name.replaceAll('.', '\\.')).join('|')})(?![a-z0-9-])`, 'g');
  const texts = new Set(['text', 'reason', 'error', 'why', 'evidence', 'title', 'summary', 'city', 'complains', 'figures', 'way_round', 'notes', 'doc', 'detail', 'diff', 'what']);
  const worse = (value: unknown, key: string): unknown => {
    if (Array.isArray(value)) return value.map((one) => worse(one, key));
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, worse(one, name)]));
    if (typeof value !== 'string') return value;
    const spoilt = value.replace(named, (name) => name + evil);
    return texts.has(key) && spoilt === value && value !== '' ? value + evil : spoilt;
  };
  const clean = (text: string): string => text.replaceAll(encodeURIComponent(evil), '').replaceAll(JSON.stringify(evil).slice(1, -1), '');
  await page.route('**/v1/**', async (route: Route) => {
    const request = route.request(), body = request.postData();
    if (request.url().includes('/v1/events')) return route.abort(); // the page asks for the status then
    const answer = await route.fetch({ url: clean(request.url()), ...(body === null ? {} : { postData: clean(body) }) });
    const text = await answer.text();
    return route.fulfill({ response: answer, body: text.startsWith('{') ? JSON.stringify(worse(JSON.parse(text), '')) : text });
  });
}

/** What has become of the page. */
const harm = (page: Page): Promise<string[]> => page.evaluate(() => {
  const found: string[] = [];
  if ('evil' in globalThis) found.push(`a script ran: ${String((globalThis as unknown as { evil: unknown }).evil)}`);
  for (const one of document.querySelectorAll('img, iframe, object, embed, base, form[action], [onerror], script:not([src^="/assets/"])')) found.push(`an element that is none of ours: ${one.outerHTML.slice(0, 80)}`);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode() !== null) if (/[\u202a-\u202e\u2066-\u2069]/.test(walker.currentNode.textContent ?? '')) found.push(`text that turns round what is beside it, in ${walker.currentNode.parentElement!.tagName}`);
  return found;
});

test('markup, bidi, emoji, 4,000 characters in every name and text: nothing runs, nothing turns round, nothing is pushed out of the page', { skip: !programs, timeout: 240_000 }, async () => {
  wrongs.length = 0;
  for (const viewport of [desk, phone]) {
    const context = await visitor(browser, rig.base, viewport), page = await context.newPage();
    const asked: string[] = [];
    page.on('dialog', (dialog) => {
      asked.push(dialog.message());
      void dialog.dismiss();
    });
    await logIn(page, 'carol');
    await spoil(page);
    for (const { name, url } of screens()) {
      const where = `${name} ${viewport.width}`;
      await page.goto(name === 'plan' ? '/plans' : url);
      if (name === 'plan') await page.locator('main table a').first().dispatchEvent('click').then(() => page.locator('main textarea').waitFor());
      if (name !== 'approvals') await page.waitForFunction((text) => [document.querySelector('main')?.textContent, ...[...document.querySelectorAll('textarea')].map((one) => one.value)].some((one) => one?.includes(text)), '<script>evil=2').catch(() => assert.fail(`found nothing hostile, expected it shown as it is written: ${where}`));
      if (name === 'failover') {
        await page.getByRole('combobox', { name: 'From' }).selectOption({ index: 1 });
        await page.getByRole('combobox', { name: 'How' }).selectOption({ index: 1 });
      }
      assert.deepEqual(await harm(page), [], where);
      assert.equal(await wide(page), 0, `nothing to scroll sideways: ${where}`);
      const bar = (await page.locator('header').boundingBox())!.height;
      assert.ok(bar <= viewport.height / 5, `the bar on top is ${bar} px high, expected to leave the page in sight: ${where}`);
      if (viewport === phone) assert.deepEqual(await lowTargets(page), [], where);
      for (const field of await page.locator('main input:not([type=range]):not([type=number]):not([type=checkbox]):not([type=radio]):not([list]), main textarea').all()) if (await field.isVisible() && await field.isEditable()) await field.fill(evil.slice(0, 4000));
      assert.deepEqual(await harm(page), [], `typed, ${where}`);
      assert.equal(await wide(page), 0, `nothing to scroll sideways, typed: ${where}`);
    }
    assert.deepEqual(asked, []);
  }
  assert.deepEqual(wrongs.filter((one) => !/EventSource/.test(one)), []);
});

// ---- roles ----
const ranks = ['viewer', 'operator', 'admin'];
/** Of each operation that the API describes, whose it is. */
function roleOf(method: string, url: string): string {
  const { paths } = parseYaml(readFileSync(join(ROOT, 'schema/openapi.yaml'), 'utf8')) as { paths: Record<string, Record<string, { 'x-role'?: string }>> };
  const path = new URL(url).pathname;
  const found = Object.entries(paths).filter(([template, one]) => one[method.toLowerCase()] !== undefined && new RegExp(`^${template.replace(/\{[^}]*\}/g, '[^/]+')}$`).test(path));
  assert.ok(found.length > 0, `${method} ${path} is no operation of the API`);
  found.sort(([a], [b]) => a.split('{').length - b.split('{').length); // a word before a parameter
  return found[0]![1][method.toLowerCase()]!['x-role'] ?? 'any';
}

test('every button of every screen, pressed: none asks for what the role may not', { skip: !programs, timeout: 240_000 }, async () => {
  for (const [who, role] of people.filter(([, one]) => one !== 'admin')) {
    const context = await visitor(browser, rig.base, desk), page = await context.newPage(), beyond: string[] = [];
    let pressed = 0, asked = 0;
    page.on('request', (request) => {
      if (!request.url().includes('/v1/')) return;
      const wants = roleOf(request.method(), request.url());
      asked += request.method() === 'GET' ? 0 : 1;
      if (wants !== 'any' && ranks.indexOf(wants) > ranks.indexOf(role)) beyond.push(`${new URL(page.url()).pathname}: ${request.method()} ${new URL(request.url()).pathname} is ${wants}'s`);
    });
    await logIn(page, who);
    const drawn = (): Promise<void> => page.locator('main :is(h1, h2)').first().waitFor({ state: 'attached' }).catch(async (error: unknown) => assert.fail(`${page.url()}: ${String(error).slice(0, 80)}: ${(await page.textContent('body'))?.slice(0, 300)}`));
    for (const { url } of screens()) {
      const buttons = page.locator('main button:enabled, main input[type=submit]:enabled');
      await page.goto(url);
      await drawn();
      for (let i = 0, n = Math.min(12, await buttons.count()); i < n; i++) {
        for (const field of await page.locator('main input:not([type=range]):not([type=search]), main textarea').all()) if (await field.isVisible() && await field.isEditable() && await field.inputValue() === '') await field.fill('room-a');
        await buttons.nth(i).click({ timeout: 2000 }).then(() => { pressed++; }, () => undefined); // what came of the last one may have taken it away
        await page.waitForLoadState('networkidle', { timeout: 300 }).catch(() => undefined);
        if (page.url() === `${rig.base}${url}`) continue;
        await page.goto(url);
        await drawn();
      }
    }
    console.log(`${role}: ${pressed} buttons pressed, ${asked} changes asked for`);
    assert.ok(pressed > 5, `${pressed} buttons`);
    assert.deepEqual(beyond, [], `${who} is ${role}`);
  }
});

test('with the cookie of a session, and all that a page may know: what is not of the role is refused, and who asks is no approver of his own', { skip: !programs, timeout: 60_000 }, async () => {
  const context = await visitor(browser, rig.base, desk), page = await context.newPage();
  await logIn(page, 'victor');
  const { paths } = parseYaml(readFileSync(join(ROOT, 'schema/openapi.yaml'), 'utf8')) as { paths: Record<string, Record<string, { 'x-role'?: string }>> };
  const operations = Object.entries(paths).flatMap(([path, one]) => Object.entries(one).filter(([, what]) => ['operator', 'admin'].includes(what['x-role'] ?? '')).map(([method]) => [method.toUpperCase(), path.replace(/\{[^}]*\}/g, 'room-a')] as const));
  assert.ok(operations.length > 15, `${operations.length} operations`);
  const answers = await page.evaluate(async (list) => {
    const { csrf } = (await (await fetch('/v1/session')).json()) as { csrf: string };
    return Promise.all(list.map(async ([method, path]) => {
      const answer = await fetch(path, { method, headers: { 'X-CSRF-Token': csrf, 'Content-Type': 'application/json', 'If-Match': '*' }, ...(method === 'GET' || method === 'DELETE' ? {} : { body: '{}' }) });
      return `${answer.status} ${method} ${path}`;
    }));
  }, operations);
  assert.deepEqual(answers.filter((one) => !one.startsWith('403 ')), [], 'a viewer');

  const plan = join(rig.dir, 'careful.yaml');
  writeFileSync(plan, 'plan: careful\ntarget: pop\nsteps:\n  - {name: second, approve: "Look first."}\n  - {name: out, set: [{control: pop, on: $target, value: out}]}\n');
  rig.signalbox(['apply', '-f', plan]);
  const other = await visitor(browser, rig.base, desk), asker = await other.newPage();
  await logIn(asker);
  const own = await asker.evaluate(async () => {
    const { csrf } = (await (await fetch('/v1/session')).json()) as { csrf: string };
    const post = async (path: string, body: object): Promise<{ status: number; answer: { id: string; detail?: string; steps: Array<{ name: string; kind: string; state: string; binding?: string }> } }> => {
      const answer = await fetch(path, { method: 'POST', headers: { 'X-CSRF-Token': csrf, 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
      return { status: answer.status, answer: await answer.json() };
    };
    const { answer: started } = await post('/v1/plans/careful/run', { target: 'pop-b1', confirm: 'pop-b1', reason: 'x' });
    for (;;) { // until it asks
      const run = (await (await fetch(`/v1/executions/${started.id}?wait=1`)).json()) as typeof started, step = run.steps.find((one) => one.kind === 'approve' && one.state === 'running');
      if (step !== undefined) return post(`/v1/executions/${started.id}/acts`, { act: 'approve', step: step.name, binding: step.binding });
      if (run.steps.some((one) => one.state === 'failed')) return { status: 0, answer: { ...run, detail: JSON.stringify(run.steps) } };
    }
  });
  assert.match(`${own.status} ${own.answer.detail ?? ''}`, /^4\d\d .*a person other than/);
  await asker.goto('/approvals');
  assert.ok(await asker.getByRole('button', { name: 'Approve careful pop-b1' }).isDisabled());
});
