// One stream for all tabs: several tabs of one browser, without a browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Status } from '../src/api_types';
import { type Message, type Ports, quietMs, secondMs, share } from '../src/stream';

/** A browser: one lock, one channel, a clock that only the test moves. */
class Browser {
  tabs: Tab[] = [];
  nowMs = 0;
  open = 0;
  asked = 0;
  away = false;
  private holder: object | null = null;
  private waiting: Array<() => void> = [];
  private timers: Array<{ at: number; fn: () => void }> = [];

  lock(signal: AbortSignal, held: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const me = {};
      const take = (): void => {
        if (signal.aborted) return;
        this.holder = me;
        void held().then(() => {
          this.holder = null;
          resolve();
          while (this.holder === null && this.waiting.length > 0) this.waiting.shift()!();
        });
      };
      signal.addEventListener('abort', () => this.holder !== me && reject(new Error('called off')));
      if (this.holder === null) take();
      else this.waiting.push(take);
    });
  }
  later(ms: number, fn: () => void): () => void {
    const timer = { at: this.nowMs + ms, fn };
    this.timers.push(timer);
    return () => { this.timers = this.timers.filter((one) => one !== timer); };
  }
  async go(ms: number): Promise<void> {
    for (const end = this.nowMs + ms; ;) {
      await settle();
      const due = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) {
        this.nowMs = end;
        return settle();
      }
      this.timers = this.timers.filter((one) => one !== due);
      this.nowMs = due.at;
      due.fn();
    }
  }
}
const settle = async (): Promise<void> => { for (let i = 0; i < 20; i++) await Promise.resolve(); };

class Tab {
  got: Message[] = [];
  shown = true;
  tell: ((message: Message) => void) | null = null;
  private changed: () => void = () => undefined;
  private listener: (message: Message | { type: 'hello' }) => void = () => undefined;
  readonly close: () => void;
  constructor(readonly browser: Browser) {
    browser.tabs.push(this);
    const ports: Ports = {
      lock: (signal, held) => browser.lock(signal, held),
      send: (message) => browser.tabs.filter((tab) => tab !== this).forEach((tab) => tab.listener(structuredClone(message))),
      onMessage: (take) => { this.listener = take; return () => { this.listener = () => undefined; }; },
      open: (take) => {
        browser.open++;
        this.tell = take;
        return () => { browser.open--; this.tell = null; };
      },
      status: () => {
        browser.asked++;
        return Promise.resolve(browser.away ? { type: 'lost', atMs: browser.nowMs, why: 'away' }
          : { type: 'status', atMs: browser.nowMs, status: { generation: browser.asked } as unknown as Status });
      },
      visible: () => this.shown,
      onVisible: (changed) => { this.changed = changed; return () => undefined; },
      later: (ms, fn) => browser.later(ms, fn),
    };
    this.close = share(ports, (message) => this.got.push(message));
  }
  show(shown: boolean): void {
    this.shown = shown;
    this.changed();
  }
  get last(): Message | undefined {
    return this.got[this.got.length - 1];
  }
}

/** What the server tells whoever has the stream, each second for so long. */
async function seconds(browser: Browser, n: number): Promise<void> {
  for (let i = 0; i < n; i++) {
    await browser.go(secondMs);
    for (const tab of browser.tabs) if (!browser.away) tab.tell?.({ type: 'status', atMs: browser.nowMs, status: { generation: 7 } as unknown as Status });
    await settle();
  }
}

test('eight tabs have one stream, ask once, and all hear everything', async () => {
  const browser = new Browser(), tabs = Array.from({ length: 8 }, () => new Tab(browser));
  await seconds(browser, 10);
  assert.equal(browser.open, 1);
  assert.equal(browser.asked, 1, 'the stream tells the rest');
  for (const tab of tabs) assert.deepEqual([tab.last?.type, tab.last], ['status', tabs[0]!.last]);
  tabs[0]!.tell!({ type: 'told', told: { seq: 1, epoch: 1, kind: 'execution', id: 'x', at_us: 1, body: {} } });
  await settle();
  for (const tab of tabs) assert.ok(tab.got.some((message) => message.type === 'told'));
});

test('a stream that says nothing is asked after', async () => {
  const browser = new Browser(), tab = new Tab(browser);
  await seconds(browser, 3);
  browser.away = true;
  await browser.go(quietMs - 1);
  assert.equal(browser.asked, 1);
  await browser.go(2);
  assert.equal(tab.last?.type, 'lost');
  await browser.go(2 * quietMs);
  assert.equal(browser.asked, 4);
  browser.away = false;
  await browser.go(quietMs);
  assert.equal(tab.last?.type, 'status', 'it comes back by itself');
});

test('a tab that nobody sees lets go, and another leads; none seen: no stream at all', async () => {
  const browser = new Browser(), a = new Tab(browser), b = new Tab(browser);
  await seconds(browser, 1);
  assert.ok(a.tell !== null && b.tell === null);
  a.show(false);
  await seconds(browser, 1);
  assert.ok(a.tell === null && b.tell !== null);
  assert.equal(browser.open, 1);
  b.show(false);
  await browser.go(5 * secondMs);
  assert.equal(browser.open, 0);
  const asked = browser.asked;
  await browser.go(5 * quietMs);
  assert.equal(browser.asked, asked);
  a.show(true);
  await browser.go(1);
  assert.equal(browser.open, 1);
  assert.equal(browser.asked, asked + 1);
});

test('a tab that is closed is followed by the next', async () => {
  const browser = new Browser(), a = new Tab(browser), b = new Tab(browser);
  await seconds(browser, 1);
  a.close();
  await browser.go(secondMs);
  assert.ok(b.tell !== null);
  assert.equal(browser.open, 1);
});

test('one that comes late is told at once how things stand', async () => {
  const browser = new Browser();
  new Tab(browser);
  await browser.go(secondMs / 2);
  const late = new Tab(browser);
  await settle();
  assert.equal(late.last?.type, 'status');
  assert.equal(browser.open, 1);
});
