// visit.ts: a Chromium for tests, and what each of them does with a page. With SHOTS=FOLDER a picture of each screen is
// kept there (./dev screenshots).
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { password } from '../test/rig';

declare const ROOT: string;
const require = createRequire(join(ROOT, 'web/package.json'));
const { chromium } = require('playwright-core') as typeof import('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.env['SHOTS'];
export const desk = { width: 1440, height: 900 }, phone = { width: 390, height: 844 };
/** What pages complained of, and whom else they asked. */
export const wrongs: string[] = [];

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });

/** A browser of its own: no cookies of another. What it complains of, and whom else it asks, is kept. */
export async function visitor(browser: Browser, base: string, viewport: { width: number; height: number }, scheme: 'dark' | 'light' = 'dark'): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport, colorScheme: scheme, baseURL: base, ignoreHTTPSErrors: true, hasTouch: viewport === phone });
  context.setDefaultTimeout(20_000); // what has a limit of its own says so: others use the machine too
  context.on('request', (request) => { if (!request.url().startsWith(base)) wrongs.push(`asked ${request.url()}`); });
  context.on('weberror', (error) => wrongs.push(String(error.error())));
  context.on('console', (message) => {
    // A browser names each answer that is no success; those that the API means are no fault of the page.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) wrongs.push(message.text());
  });
  return context;
}
export async function logIn(page: Page, name = 'alice'): Promise<void> {
  await page.goto('/');
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /^Alarms/ }).waitFor();
}
export async function shot(page: Page, name: string): Promise<void> {
  if (shots === undefined) return;
  mkdirSync(shots, { recursive: true });
  const size = page.viewportSize()!, scheme = await page.evaluate(() => (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark'));
  await page.screenshot({ path: join(shots, `${name}-${size.width}-${scheme}.png`), fullPage: true });
}
export async function noFaultOfAccess(page: Page, where: string): Promise<void> {
  // Not as a script of the page: the policy of the page forbids that, and is to be in force.
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: { run: (options: object) => Promise<{ violations: Array<{ id: string; nodes: Array<{ html: string }> }> }> } }).axe
      .run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] });
    return violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' | ')}`);
  });
  assert.deepEqual(found, [], where);
}
export const wide = (page: Page): Promise<number> => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
export const lowTargets = (page: Page): Promise<string[]> => page.evaluate(() => [...document.querySelectorAll<HTMLElement>('button, a.button, input, select, textarea, nav a, header a, summary')]
  .filter((one) => one.getClientRects().length > 0 && one.getBoundingClientRect().height < 44).map((one) => `${one.tagName} ${one.textContent} ${one.getBoundingClientRect().height}`));
/** Whom the keyboard leads to, and who does not see it: without an outline, out of sight, or under something else. */
export async function lostFocus(page: Page): Promise<string[]> {
  await page.keyboard.press('Tab'); // from here on what has the focus has it by keys
  return page.evaluate(() => {
    const lost: string[] = [];
    for (const one of document.querySelectorAll<HTMLElement>('a[href], button:enabled, input:enabled, select, textarea, summary, [tabindex="0"]')) {
      if (!one.checkVisibility({ visibilityProperty: true })) continue; // a menu that is shut has boxes, and takes no focus
      one.focus();
      const style = getComputedStyle(one), box = one.getBoundingClientRect(), bar = one.closest('header') === null ? document.querySelector('header')!.getBoundingClientRect().bottom : 0;
      const top = Math.max(box.top, bar), bottom = Math.min(box.bottom, innerHeight), at = document.elementFromPoint((box.left + box.right) / 2, (top + bottom) / 2);
      const name = `${one.tagName} ${(one.textContent ?? '').slice(0, 30)}`;
      if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) lost.push(`${name}: no outline`);
      else if (bottom - top < Math.min(20, box.height)) lost.push(`${name}: from ${box.top.toFixed(0)} to ${box.bottom.toFixed(0)}, the bar ends at ${bar.toFixed(0)}`);
      else if (at !== null && !one.contains(at) && !at.contains(one)) lost.push(`${name}: under ${at.tagName} ${at.className}`);
    }
    return lost;
  });
}

/** Places that show every screen with something on it; `see`: what is there when it has been asked for. */
export const places: Array<{ name: string; url: string; see: RegExp }> = [
  { name: 'panel', url: '/', see: /^Alarms/ },
  { name: 'failover', url: '/failover?plan=room-isolated&target=room-a', see: /C The button/ },
  { name: 'runs', url: '/executions', see: /room-isolated room-a/ },
  { name: 'approvals', url: '/approvals', see: /Nobody waits for a second person|Approve/ },
  { name: 'controls', url: '/controls?lever=room.ingress&object=room-a&value=default', see: /public entrances/ },
  { name: 'explain', url: '/explain?url=http%3A%2F%2Fcreator.example.test%2Fupload&user=42', see: /Intended/ },
  { name: 'inventory', url: '/inventory/pop', see: /pop-a1/ },
  { name: 'object', url: '/inventory/pop/pop-a1', see: /Used by/ },
  { name: 'plans', url: '/plans', see: /room-isolated/ },
  { name: 'plan', url: '/plans/room-isolated', see: /Save the difference/ },
  { name: 'agents', url: '/agents', see: /edge-1/ },
  { name: 'audit', url: '/audit', see: /The chain of/ },
  { name: 'settings', url: '/settings', see: /Webhooks/ },
];
