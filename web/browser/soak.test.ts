// The console left open for MINUTES (30): one tab on the panel, one that goes through all screens without an end, while
// the site changes each second. Memory of the pages and of the server, collected of what nobody needs, stays as it is:
// ./dev soak --console.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CDPSession, Page } from 'playwright-core';
import { programs, Rig } from '../test/rig';
import { desk, launch, logIn, places, visitor, wrongs } from './visit';

const minutes = Number(process.env['MINUTES'] ?? 30);
/** What a page keeps on purpose (state.ts: ten minutes of samples) is kept by then, in a long run. */
const warmMinutes = Math.min(12, minutes / 3);

interface Figures { minute: number; pages: Array<{ heap: number; nodes: number; listeners: number }>; server: number }
async function figuresOf(sessions: CDPSession[], rig: Rig, minute: number): Promise<Figures> {
  const pages = [];
  for (const session of sessions) {
    for (let i = 0; i < 2; i++) await session.send('HeapProfiler.collectGarbage');
    const { usedSize } = (await session.send('Runtime.getHeapUsage')) as { usedSize: number }, counted = await session.send('Memory.getDOMCounters');
    pages.push({ heap: usedSize, nodes: counted.nodes, listeners: counted.jsEventListeners });
  }
  return { minute, pages, server: rig.residentBytes() };
}
const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
/** The last third beside the third before it. */
function flat(what: string, values: number[], slack: number): void {
  const third = Math.floor(values.length / 3), before = median(values.slice(-2 * third, -third)), last = median(values.slice(-third));
  assert.ok(last <= before * 1.05 + slack, `${what}: found ${last.toFixed(0)}, ${before.toFixed(0)} a third of the time before, expected it to stay: ${values.map((one) => one.toFixed(0)).join(' ')}`);
}

/** By the page's own links: what a screen leaves behind stays behind. */
async function goTo(page: Page, url: string): Promise<void> {
  await page.evaluate((to) => {
    const link = document.createElement('a');
    link.href = to;
    document.body.append(link);
    link.click();
    link.remove();
  }, url);
}

test(`memory is flat over ${minutes} minutes`, { skip: !programs || !(minutes > 0), timeout: (minutes + 5) * 60_000 }, async () => {
  const rig = new Rig();
  await rig.start();
  await rig.populate(false);
  // A run for the screens of runs.
  rig.signalbox(['plan', 'run', 'room-isolated', '--confirm', 'room-a', '--reason', 'soak', '--no-wait']);
  const { executions } = JSON.parse(rig.signalbox(['execution', 'list', '--json'])) as { executions: Array<{ id: string }> };
  rig.signalbox(['execution', 'abort', executions[0]!.id, '--reason', 'soak']);
  const began = Date.now(), browser = await launch(), context = await visitor(browser, rig.base, desk);
  let seconds = 0, rounds = 0;
  const change = setInterval(() => {
    seconds++;
    if (seconds % 30 === 0) rig.signalbox(['control', 'set', 'pop', 'pop-b1', seconds % 60 === 0 ? 'default' : 'out', '--reason', `soak ${seconds}`, '--override', 'share-moved']);
    void rig.report({ down: seconds % 20 < 5 ? 'room-a' : null, silent: seconds % 40 < 10 ? ['edge-4'] : [] }).catch(() => undefined);
  }, 1000);
  try {
    const pages = [await context.newPage(), await context.newPage()] as const, rows: Figures[] = [];
    await logIn(pages[0], 'carol');
    await pages[1].goto('/');
    const sessions = await Promise.all(pages.map((page) => context.newCDPSession(page)));
    while (Date.now() < began + minutes * 60_000) {
      for (const { url, see } of places) {
        await goTo(pages[1], url);
        await pages[1].getByText(see).first().waitFor({ timeout: 30_000 });
      }
      rounds++;
      const minute = (Date.now() - began) / 60_000, step = Math.min(1, minutes / 30);
      if (minute < (rows.at(-1)?.minute ?? 0) + step) continue;
      const row = await figuresOf(sessions, rig, minute);
      rows.push(row);
      console.log(`minute ${minute.toFixed(1)}, round ${rounds}: panel ${(row.pages[0]!.heap / 1e6).toFixed(2)} MB ${row.pages[0]!.nodes} nodes ${row.pages[0]!.listeners} listeners; ` +
        `all screens ${(row.pages[1]!.heap / 1e6).toFixed(2)} MB ${row.pages[1]!.nodes} nodes ${row.pages[1]!.listeners} listeners; server ${(row.server / 1e6).toFixed(1)} MB`);
    }
    const warm = rows.filter((row) => row.minute >= warmMinutes);
    assert.ok(warm.length >= 6, `${warm.length} figures, expected six or more`);
    for (const [i, name] of ['panel', 'all screens'].entries()) {
      flat(`${name}, bytes`, warm.map((row) => row.pages[i]!.heap), 300_000);
      flat(`${name}, nodes`, warm.map((row) => row.pages[i]!.nodes), 300);
      flat(`${name}, listeners`, warm.map((row) => row.pages[i]!.listeners), 30);
    }
    flat('server, bytes', warm.map((row) => row.server), 2_000_000);
    assert.deepEqual(wrongs, []);
  } finally {
    clearInterval(change);
    await browser.close();
    await rig.end();
  }
});
