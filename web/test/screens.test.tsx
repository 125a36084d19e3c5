// Screens as text: what they say, and that hostile names stay text. Colours: that they can be read.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { renderToString } from 'preact-render-to-string';
import type { Execution, Status } from '../src/api_types';
import { ExecutionView } from '../src/execution';
import { PreviewView } from '../src/failover_screen';
import { PanelView } from '../src/panel';
import { askedMs, atText, Scrubber } from '../src/past';
import { type Inventory, type Site, siteOf } from '../src/site';

declare const ROOT: string;
const evil = '"><img src=x onerror=alert(1)><script>alert(2)</script>\u202e\u{1f525}' + 'x'.repeat(4000);

const siteWith = (room: string, via: string, up: number): Site => siteOf({
  cluster: 'c', epoch: 1, generation: 7, warnings: [room],
  rooms: [{ name: room, zone: 'z', ingress: 'open', compute: 'open', rate: 500, fail_rate: 0, share_percent: 100, held: null }],
  entrances: [{ room, via, control: 'in', up, seen: 4, status: 'L4TOUT' }],
  edges: [{ name: 'edge-1', kind: 'edge', class: 'public', epoch: 1, generation: up === 4 ? 7 : 6, state: 'applied', age_ms: 1, rate: 1, fail_rate: 0 }],
  alarms: up === 4 ? [] : [{ ack: { actor: via, at_us: 1e6, reason: room }, key: 'entrances/r', kind: 'entrances', priority: 1, object: room, title: `${room}: every POP is down`, evidence: via, since_us: 1e6, plan: 'room-isolated' }],
  servers: [], services: [], executions: [{ id: 'x', plan: room, target: via, state: 'running', step: 's', text: via }],
} as unknown as Status);
const inventoryWith = (room: string, via: string): Inventory => ({
  rooms: [{ name: room, zone: 'z' }], pops: [{ name: via, room, city: room, carriers: [via] }], lines: [{ name: via, from: room, to: room, bandwidth: 1, srlg: [via] }],
  edges: [{ name: 'edge-1', class: 'public', region: 'r', carriers: [] }], nameservers: [],
});
const panel = (room: string, via: string, up: number): string => {
  const site = siteWith(room, via, up);
  return renderToString(<PanelView site={site} objects={inventoryWith(room, via)} samples={[]} now={61_000} />);
};

test('the panel names what is down, since when, and the plan', () => {
  const html = panel('room-a', 'pop-a1', 0);
  assert.match(html, /room-a: every POP is down/);
  assert.match(html, /since 00:00:01 UTC, 1 min 0 s/);
  assert.match(html, /href="\/failover\?plan=room-isolated&amp;target=room-a"/);
  assert.match(html, /✕ pop-a1/, 'a shape beside the colour');
  assert.match(html, /has proved generation 6 of 7/, 'what is meant beside what is');
  assert.match(html, /✓ .*pop-a1.* looks after it since .*00:00:01 UTC/);
});

test('a healthy panel has no hue of an alarm and says that all is well', () => {
  const html = panel('room-a', 'pop-a1', 4);
  assert.doesNotMatch(html, /is-down|is-warn|is-behind|class="alarm p|class="bad/);
  assert.match(html, /None\. Every entrance/);
});

test('hostile names stay text on each screen', () => {
  const run = { id: evil, plan: evil, target: evil, actor: evil, reason: evil, state: evil, error: evil, started_us: 1, ended_us: 2,
    steps: [{ name: evil, kind: evil, state: evil, started_us: 1, ended_us: 2, text: evil, stragglers: [evil] }],
    writes: [{ control: evil, object: evil, before: evil, after: evil, generation: 1, restored: false }],
    refusals: [{ rule: evil, figures: evil, way_round: evil }],
    forecast: { known: true, total: 1, moved: 1, moved_failing: 0, lost: 1, rows: [{ kind: evil, name: evil, before: 1, after: 2 }], notes: [evil] } } as unknown as Execution;
  const screens = [panel(evil, evil, 0), panel(evil, evil, 4), renderToString(<ExecutionView run={run} now={5} />), renderToString(<PreviewView preview={run} />)];
  for (const html of screens) {
    assert.doesNotMatch(html, /<(img|script)/i);
    assert.doesNotMatch(html, /<[^>]* onerror=/i);
    assert.match(html, /&lt;img src=x/);
  }
});

test('what was set back is not said to be done', () => {
  const step = (name: string, state: string) => ({ name, kind: 'set', state, started_us: 1e6, ended_us: 2e6 });
  const run = { id: '1', plan: 'room-isolated', target: 'room-a', state: 'aborted', actor: 'alice', started_us: 1e6, ended_us: 9e6,
    steps: [step('checks', 'succeeded'), step('close', 'succeeded'), step('told', 'skipped'), step('proof', 'failed')],
    writes: [{ step: 'close', control: 'room.ingress', object: 'room-a', before: 'open', after: 'closed', generation: 7, restored: true }] } as unknown as Execution;
  assert.match(renderToString(<ExecutionView run={run} now={9} />), /2 of 4 steps done, 1 set back, /);
});

test('nothing is styled inline: the policy would not let it', () => {
  assert.doesNotMatch(panel('room-a', 'pop-a1', 0), / style="/);
});

test('text can be read on each ground, dark and light', () => {
  const css = readFileSync(join(ROOT, 'web/src/console.css'), 'utf8');
  const schemes = [...css.matchAll(/:root \{([^}]*)\}/g)].map((found) => new Map([...found[1]!.matchAll(/(--[a-z-]+): (#[0-9a-f]{6})/g)].map((one) => [one[1]!, one[2]!])));
  assert.equal(schemes.length, 2);
  const light = (hex: string): number => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pairs = [['text', 'ground'], ['text', 'raised'], ['dim', 'ground'], ['dim', 'raised'], ['act', 'ground'], ['act', 'raised'], ['act-text', 'act'], ['crit', 'ground'],
    ['crit', 'raised'], ['crit', 'crit-ground'], ['text', 'crit-ground'], ['text', 'warn-ground'], ['warn', 'warn-ground'], ['warn', 'raised']];
  for (const scheme of schemes)
    for (const [above, below] of pairs) {
      const [a, b] = [light(scheme.get(`--${above}`)!), light(scheme.get(`--${below}`)!)], contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      assert.ok(contrast >= 4.5, `${above} on ${below}: ${contrast.toFixed(2)}`);
    }
});

test('what was is marked as such, and has no button', () => {
  assert.deepEqual([askedMs(null), askedMs('x'), askedMs('2024-07-02T02:15:00'), askedMs('2024-07-02T02:15:00Z'), askedMs('2024-07-02T04:15:00+02:00')],
    [null, null, ...Array(3).fill(Date.UTC(2024, 6, 2, 2, 15))]);
  assert.equal(atText(askedMs('2024-07-02T02:15:00')!), '2024-07-02T02:15:00');
  const html = renderToString(<Scrubber at={60_000} fromMs={0} toMs={120_000} wrong={null} />);
  assert.match(html, /As it was at/);
  assert.match(html, /00:01:00 UTC/);
  assert.match(html, /1 min 0 s/);
  assert.doesNotMatch(renderToString(<Scrubber at={null} fromMs={0} toMs={120_000} wrong={null} />), /As it was/);
  const site = siteWith('room-a', 'pop-a1', 0);
  assert.match(renderToString(<PanelView site={site} objects={null} samples={[]} now={0} />), /room-isolated <!-- -->room-a|room-isolated room-a/);
  assert.doesNotMatch(renderToString(<PanelView site={site} objects={null} samples={[]} now={0} live={false} />), /href="\/failover/);
});
