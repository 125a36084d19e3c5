// What is abnormal, and since when.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Status } from '../src/api_types';
import { age, agentHealth, entranceHealth, inventoryOf, leaking, roomHealth, shellWord, type Site, siteOf, unconverged, unturned } from '../src/site';
import { ageOf, reduce, samplesKept, start } from '../src/state';

const steady = (): Site => siteOf({
  cluster: 'two-rooms', epoch: 65536, generation: 4,
  rooms: ['a', 'b'].map((id) => ({ name: `room-${id}`, zone: 'z', ingress: 'open', compute: 'open', rate: 500, fail_rate: 0, share_percent: 50, held: null })),
  entrances: ['a1', 'a2', 'b1', 'b2'].map((id) => ({ room: `room-${id[0]}`, via: `pop-${id}`, control: 'in', up: 4, seen: 4, status: 'L4OK' })),
  edges: [1, 2].map((n) => ({ name: `edge-${n}`, kind: 'edge', class: 'public', epoch: 65536, generation: 4, state: 'applied', age_ms: 400, rate: 500, fail_rate: 0 })),
  servers: [{ name: 'ns-1', kind: 'nameserver', zone: 'x', role: 'primary', epoch: 65536, generation: 4, state: 'confirmed', age_ms: 90_000 }],
  services: [{ name: 'playback', active: 'multi', tier: 'core', rate: 900, fail_rate: 0, fail_percent: 0, rooms: [] }],
  executions: [], warnings: [],
} as unknown as Status);

test('a healthy site has no health but ok', () => {
  const site = steady();
  assert.deepEqual(new Set([...site.rooms.map((room) => roomHealth(room, site)), ...site.entrances.map(entranceHealth), ...site.edges.map(agentHealth)]), new Set(['ok']));
});

test('a room whose POPs are all down is cut off, or down when the ring does not lead there either', () => {
  const site = steady();
  for (const row of site.entrances.filter((one) => one.room === 'room-a')) Object.assign(row, { up: 0, status: 'L4TOUT' });
  assert.equal(roomHealth(site.rooms[0]!, site), 'down');
  const ring = { room: 'room-a', via: 'ring', control: 'in', up: 2, seen: 2, status: 'L4OK' };
  assert.equal(roomHealth(site.rooms[0]!, { ...site, entrances: [...site.entrances, ring] }), 'cut', 'it is alive');
  assert.equal(roomHealth(site.rooms[0]!, { ...site, entrances: [...site.entrances, { ...ring, up: 0 }] }), 'down');
});

test('a road that is shut and still used is marked', () => {
  const pop = { room: 'room-a', via: 'pop-a1', control: 'in', up: 4, seen: 4, status: '', rate: 12 }, room = steady().rooms[0]!;
  assert.deepEqual([leaking(pop, room), leaking({ ...pop, control: 'out' }, room), leaking(pop, { ...room, ingress: 'closed' }), leaking({ ...pop, via: 'ring' }, { ...room, ingress: 'closed' }),
    leaking(pop, { ...room, compute: 'closed' }), leaking({ ...pop, control: 'out', rate: 0.4 }, room), leaking(undefined, room)], [false, true, true, false, true, false, false]);
});

test('who does not report is not called healthy', () => {
  const site = steady();
  site.edges[0]!.age_ms = 8000;
  site.edges[1]!.age_ms = null;
  assert.deepEqual(site.edges.map(agentHealth), ['down', 'unknown']);
  assert.equal(entranceHealth({ room: 'r', via: 'p', control: 'in', up: 0, seen: 0, status: '' }), 'unknown');
});

test('an edge that has not proved what is in force is marked', () => {
  const site = steady(), edge = site.edges[0]!;
  assert.equal(unconverged(edge, site), false);
  assert.equal(unconverged({ ...edge, generation: 3 }, site), true);
  assert.equal(unconverged({ ...edge, epoch: 1 }, site), true);
  assert.equal(unconverged({ ...edge, generation: null }, site), true);
});

test('the state: an overtaken answer is passed over, old samples go, a lost server is remembered', () => {
  const told = (atMs: number) => ({ type: 'status' as const, atMs, status: steady() as unknown as Status });
  let state = reduce(start, told(5000));
  assert.equal(reduce(state, told(4000)), state);
  for (let i = 0; i < samplesKept + 50; i++) state = reduce(state, told(6000 + i));
  assert.equal(state.samples.length, samplesKept);
  const lost = reduce(state, { type: 'lost', atMs: 1, why: 'refused' });
  assert.equal(lost.site, state.site);
  assert.equal(lost.lost, 'refused');
  assert.deepEqual([ageOf(lost, lost.atMs + 5000).stale, ageOf(lost, lost.atMs + 5001).stale, ageOf(start, 1e12).stale], [false, true, false]);
  assert.equal(reduce(lost, told(lost.atMs + 1)).lost, null);
  const run = (id: string) => ({ type: 'told' as const, told: { seq: 1, epoch: 1, kind: 'execution', id, at_us: 1, body: { state: 'running' } } });
  let many = state;
  for (let i = 0; i < 80; i++) many = reduce(many, run(`x-${i}`));
  assert.deepEqual([Object.keys(many.executions).length, 'x-79' in many.executions], [50, true]);
  assert.deepEqual(reduce(many, { type: 'gap' }).executions, {});
});

test('texts', () => {
  assert.deepEqual([0, 59_999, 61_000, 3_660_000].map(age), ['0 s', '59 s', '1 min 1 s', '1 h 1 min']);
  assert.equal(shellWord('room-a'), 'room-a');
  assert.equal(shellWord("it's; rm -rf /"), "'it'\\''s; rm -rf /'");
  assert.equal(unturned('room-\u202eb-moor\u2069 שלום 🔥'), 'room-‹U+202E›b-moor‹U+2069› שלום 🔥');
  assert.deepEqual(inventoryOf([{ kind: 'pop', name: 'p', room: 'r', city: 7 } as never]).pops, [{ name: 'p', room: 'r', city: '', carriers: [] }]);
});
