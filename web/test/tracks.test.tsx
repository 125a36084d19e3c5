// Lines and roads on the panel: what they carry, what is down, what is meant beside what is; trends in words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderToString } from 'preact-render-to-string';
import type { Status } from '../src/api_types';
import { layout } from '../src/layout';
import { PanelView, Topology } from '../src/panel';
import { astray, astrayWords, bandwidth, type Inventory, lineHealth, lineLoad, type LineRow, type RoadRow, shared, type Site, siteOf } from '../src/site';
import { columnsOf, pointAt, Trend, wordsOf } from '../src/trend';

const inventory: Inventory = {
  rooms: [{ name: 'room-a', zone: 'z' }, { name: 'room-b', zone: 'z' }],
  pops: ['a1', 'a2', 'b1', 'b2'].map((id) => ({ name: `pop-${id}`, room: `room-${id[0]}`, city: 'x', carriers: ['carrier-1'] })),
  edges: [1, 2, 3, 4].map((n) => ({ name: `edge-${n}`, class: n < 3 ? 'public' : 'dedicated', region: 'east', carriers: [] })),
  lines: [['line-1', 'edge-3', 'duct-north', 10_000], ['line-5', 'room-b', 'duct-middle', 40_000], ['line-6', 'room-b', 'duct-middle', 40_000], ['line-7', 'room-b', 'duct-bypass', 10_000]]
    .map(([name, to, risk, width]) => ({ name: String(name), from: 'room-a', to: String(to), bandwidth: Number(width), srlg: [String(risk)] })),
  nameservers: [],
};
const line = (name: string, more: Partial<LineRow> = {}): LineRow => ({ name, from: 'room-a', to: 'room-b', control: 'in', state: 'up', seen: 4, down: 0, since_us: null, mbit_to: 0, mbit_from: 0, rate: 0, ...more });
const road = (edge: string | null, room: string, rate: number, intended: number): RoadRow => ({ class: 'public', edge, room, rate, fail_rate: 0, intended });
const calmRoads = [road(null, 'room-a', 210, 200), road(null, 'room-b', 190, 200)];
const siteWith = (lines: LineRow[], roads: RoadRow[], behind: number | null = null): Site => siteOf({
  cluster: 'c', epoch: 1, generation: 7, warnings: [], servers: [], services: [], executions: [], alarms: [], lines, roads,
  rooms: ['a', 'b'].map((id) => ({ name: `room-${id}`, zone: 'z', ingress: 'open', compute: 'open', rate: 200, fail_rate: 0, share_percent: 50, held: null })),
  entrances: ['a1', 'a2', 'b1', 'b2'].map((id) => ({ room: `room-${id[0]}`, via: `pop-${id}`, control: 'in', up: 2, seen: 2, status: 'L4OK', rate: 100 })),
  edges: [1, 2, 3, 4].map((n) => ({ name: `edge-${n}`, kind: 'edge', class: n < 3 ? 'public' : 'dedicated', epoch: 1, generation: n === 2 && behind !== null ? behind : 7, state: 'applied',
    age_ms: n === 2 && behind !== null ? 12_000 : 300, rate: 100, fail_rate: 0 })),
} as unknown as Status);
const all = (over: Record<string, Partial<LineRow>> = {}): LineRow[] => [line('line-1', { to: 'edge-3', state: 'unwatched', seen: 0, mbit_to: null, mbit_from: null, rate: 40, ...over['line-1'] }),
  ...['line-5', 'line-6', 'line-7'].map((name) => line(name, over[name]))];
const drawing = (site: Site): string => renderToString(<Topology drawn={layout(inventory)} site={site} />);
/** The markup of one line. */
const trackOf = (html: string, name: string): string => {
  const found = html.split('<g class="track').find((part) => part.includes(`data-line="${name}"`));
  assert.ok(found !== undefined, name);
  return found;
};

test('a line is as full as the direction that is fuller', () => {
  assert.deepEqual(lineLoad(line('l', { mbit_to: 1000, mbit_from: 4000 }), 10_000), { share: 0.4, mbit: 4000, back: true });
  assert.deepEqual(lineLoad(line('l', { mbit_to: 30_000, mbit_from: 0 }), 10_000)!.share, 1);
  assert.equal(lineLoad(line('l', { mbit_to: null }), 10_000), null);
  assert.deepEqual([line('l'), line('l', { state: 'down' }), line('l', { state: 'part' }), line('l', { state: 'suspect' }), line('l', { state: 'unwatched' }), line('l', { control: 'out' })].map(lineHealth),
    ['ok', 'down', 'warn', 'warn', 'ok', 'out']);
  assert.deepEqual(inventory.lines.map((one) => shared(one, inventory.lines)), [[], ['duct-middle'], ['duct-middle'], []]);
  assert.deepEqual([40_000, 12_500, 880, 4.25, 0].map(bandwidth), ['40G', '12.5G', '880M', '4.3M', '0M']);
});

test('lines: width is capacity, inside it the load, an arrow where to, a mark for what shares a duct', () => {
  const html = drawing(siteWith(all({ 'line-5': { mbit_to: 20_000, mbit_from: 100 }, 'line-7': { mbit_from: 9000 } }), calmRoads));
  const five = trackOf(html, 'line-5');
  assert.match(five, /class="bed"[^>]* stroke-width="10"/);
  assert.match(five, /class="load"[^>]* stroke-width="4"/, 'half of what is inside');
  assert.match(five, />▶ 50 % 20G</);
  assert.match(five, /∥duct-middle/);
  assert.match(five, /class="flow"/);
  const seven = trackOf(html, 'line-7');
  assert.match(seven, /class="bed"[^>]* stroke-width="4"/);
  assert.match(seven, /class="flow back"/);
  assert.match(seven, />◀ 90 % 9G</);
  assert.match(seven, /is-full/, 'in a word and a class');
  assert.match(seven, /▲ full/);
  assert.doesNotMatch(trackOf(html, 'line-6'), /class="flow/, 'nothing flows there');
  assert.match(trackOf(html, 'line-1'), />◆ 40\/s</, 'no gateway says how many bytes');
});

test('a line that is down is dashed, crossed, dated; who shares its duct is marked', () => {
  const html = drawing(siteWith(all({ 'line-5': { state: 'down', down: 4, since_us: 3_600_000_000, mbit_to: 500 }, 'line-1': { state: 'suspect' } }), calmRoads));
  const five = trackOf(html, 'line-5');
  assert.match(five, /^ is-down/);
  assert.match(five, /class="cross"[^>]*>✕</);
  assert.match(five, />✕ line-5 40G/);
  assert.match(five, /down since 01:00:00 UTC/);
  assert.doesNotMatch(five, /class="flow/);
  assert.match(trackOf(html, 'line-6'), /is-near/);
  assert.doesNotMatch(trackOf(html, 'line-7'), /is-near/);
  assert.match(trackOf(html, 'line-1'), /\? line-1/);
  const words = renderToString(<PanelView site={siteWith(all({ 'line-5': { state: 'down', down: 4, since_us: 3_600_000_000 } }), calmRoads)} objects={inventory} samples={[]} now={0} />);
  assert.match(words, /4 lines, 1 not in service/);
});

test('what is meant stands beside what is; chance is no difference', () => {
  const calm = siteWith(all(), calmRoads);
  assert.deepEqual(calm.roads.map((row) => astray(row, calm)), [false, false]);
  assert.deepEqual(astrayWords(calm), []);
  const html = drawing(calm);
  assert.match(html, /data-meant="public"/);
  assert.match(html, /class="intended"[^>]* width="47\.6/);
  assert.match(html, /class="observed"[^>]* width="50"/);
  assert.doesNotMatch(html, /is-apart|≠|straggler|is-down|is-warn|is-near|is-full/);
  const cut = siteWith(all(), [road(null, 'room-a', 0, 200), road(null, 'room-b', 400, 200)]);
  assert.deepEqual(astrayWords(cut), [{ who: 'public edges', text: 'room-a 0/s, meant 200/s' }, { who: 'public edges', text: 'room-b 400/s, meant 200/s' }]);
  assert.match(drawing(cut), /≠ 400 not 200\/s/);
});

test('the control site stands in no room, and says whom it hears', () => {
  const html = drawing(siteWith(all(), calmRoads, 5));
  assert.match(html, /● control site, generation 7/);
  assert.match(html, /hears 3\/4 edges</);
  const deaf = { ...siteWith(all(), calmRoads), servers: [{ name: 'ns-1', kind: 'nameserver', epoch: 1, generation: 7, state: 'refused', age_ms: 10, error: 'it does not answer' }] };
  assert.match(drawing(deaf), /▲ control site[^]*0\/1 name servers/);
});

test('an edge that is behind is named, with the road that it was last heard to take and the one that is meant', () => {
  const site = siteWith(all(), [...calmRoads, road('edge-2', 'room-a', 50, 0), road('edge-2', 'room-b', 0.4, 50)], 5), html = drawing(site);
  const roads = html.split('<g class="straggler"').slice(1);
  assert.equal(roads.length, 2);
  assert.match(roads[0]!, /data-edge="edge-2" data-room="room-a"/);
  assert.match(roads[0]!, /class="seen is-apart"/);
  assert.match(roads[0]!, /≠ edge-2 50\/s/);
  assert.doesNotMatch(roads[0]!, /class="wanted"/);
  assert.match(roads[1]!, /class="wanted"/);
  assert.doesNotMatch(roads[1]!, /class="seen/);
  assert.deepEqual(astrayWords(site), [{ who: 'edge-2', text: 'has proved generation 5 of 7, last heard 12 s ago: room-a 50/s, meant 0/s; room-b 0.4/s, meant 50/s' }]);
  assert.match(renderToString(<PanelView site={site} objects={inventory} samples={[]} now={0} />), /Not as it is meant/);
});

test('a trend in words: its top, and how it was at the cursor; one point is no line', () => {
  const points = [0, 1, 2].map((n) => ({ atMs: n * 1000, rate: n * 250, failing: n === 2 ? 40 : 0 }));
  assert.deepEqual(columnsOf(points), [[0, 1, 2], [0, 250, 500], [null, null, 40]]);
  assert.deepEqual([pointAt(points, null), pointAt(points, 500), pointAt(points, 9000)].map((point) => point!.atMs), [2000, 1000, 2000]);
  assert.equal(wordsOf(points, null), 'up to 500/s in 2 s');
  assert.equal(wordsOf(points.slice(-1), null), 'up to 500/s');
  assert.equal(wordsOf(points, 2000), '00:00:02 UTC: 500/s, 40/s fail');
  const html = renderToString(<Trend points={points} name="room-a" />);
  assert.match(html, /role="slider"/);
  assert.match(html, /aria-label="requests per second of room-a/);
  assert.match(html, /aria-valuetext="up to 500\/s in 2 s"/);
  assert.equal(renderToString(<Trend points={points.slice(0, 1)} name="x" />), '');
});
