// Where the panel has what.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Box, layout, type Panel, trackWidth } from '../src/layout';
import type { Inventory } from '../src/site';

const twoRooms: Inventory = {
  rooms: [{ name: 'room-b', zone: 'zone-2' }, { name: 'room-a', zone: 'zone-1' }],
  pops: ['a1', 'a2', 'b1', 'b2'].map((id) => ({ name: `pop-${id}`, room: `room-${id[0]}`, city: 'x', carriers: ['carrier-1'] })),
  edges: [1, 2, 3, 4].map((n) => ({ name: `edge-${n}`, class: n < 3 ? 'public' : 'dedicated', region: 'east', carriers: [] })),
  lines: [['room-a', 'edge-3'], ['edge-3', 'room-b'], ['room-b', 'edge-4'], ['edge-4', 'room-a'], ['room-a', 'room-b']].map(([from, to], i) =>
    ({ name: `line-${i + 1}`, from: from!, to: to!, bandwidth: i === 4 ? 40000 : 10000, srlg: ['duct'] })),
  nameservers: [],
};

const large = (nRooms: number, nEdges: number): Inventory => ({
  rooms: Array.from({ length: nRooms }, (_, i) => ({ name: `room-${i}`, zone: `zone-${i % 3}` })),
  pops: Array.from({ length: nRooms * 3 }, (_, i) => ({ name: `pop-${i}`, room: `room-${i % nRooms}`, city: 'x', carriers: [] })),
  edges: Array.from({ length: nEdges }, (_, i) => ({ name: `edge-${i}`, class: i % 2 ? 'dedicated' : 'public', region: 'r', carriers: [] })),
  lines: Array.from({ length: nEdges / 2 }, (_, i) => ({ name: `line-${i}`, from: `room-${i % nRooms}`, to: `edge-${2 * i + 1}`, bandwidth: 1000, srlg: [] })),
  nameservers: [],
});

const boxesOf = (panel: Panel): Box[] => [...panel.rooms, ...panel.rooms.flatMap((room) => room.pops), ...panel.publicEdges, ...panel.dedicatedEdges, panel.control];

function soundness(panel: Panel): void {
  const boxes = boxesOf(panel);
  boxes.forEach((a, i) => {
    assert.ok(a.x >= 0 && a.y >= 0 && a.x + a.w <= panel.width && a.y + a.h <= panel.height, `box ${i} is outside`);
    for (const b of boxes.slice(i + 1))
      assert.ok(a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y, `box ${i} lies on another`);
  });
}

test('nothing lies on anything else, nothing is outside', () => {
  for (const inventory of [twoRooms, large(1, 2), large(2, 8), large(7, 40), large(20, 200)]) soundness(layout(inventory));
  soundness(layout({ rooms: [], pops: [], lines: [], edges: [], nameservers: [] }));
});

test('the order in which things are told does not matter', () => {
  const turned: Inventory = { ...twoRooms, rooms: [...twoRooms.rooms].reverse(), pops: [...twoRooms.pops].reverse(),
    edges: [...twoRooms.edges].reverse(), lines: [...twoRooms.lines].reverse() };
  assert.deepEqual(layout(turned), layout(twoRooms));
});

test('rooms stand by zone, each under its own POPs', () => {
  const panel = layout(twoRooms);
  assert.deepEqual(panel.rooms.map((box) => box.room.name), ['room-a', 'room-b']);
  for (const box of panel.rooms)
    for (const pop of box.pops) {
      assert.equal(pop.pop.room, box.room.name);
      assert.ok(pop.y + pop.h <= box.y && pop.x >= box.x && pop.x + pop.w <= box.x + box.w + 0.001);
    }
});

test('each line has a track of its own, ends at its ends, and is as wide as it is', () => {
  const panel = layout(twoRooms);
  assert.deepEqual(panel.tracks.map((track) => track.line.name), ['line-1', 'line-2', 'line-3', 'line-4', 'line-5']);
  assert.equal(new Set(panel.tracks.map((track) => track.path)).size, 5);
  const starts = panel.tracks.map((track) => track.path.split('V')[0]);
  assert.equal(new Set(starts).size, 5, 'no two leave a room at one point');
  const lanes = panel.tracks.map((track) => /V(\d+)H/.exec(track.path)![1]), span = (path: string) => [...path.matchAll(/[MH](-?[\d.]+)/g)].map((found) => Number(found[1])).sort((a, b) => a - b);
  panel.tracks.forEach((a, i) => panel.tracks.slice(i + 1).forEach((b, j) => {
    const [a1, a2] = span(a.path) as [number, number], [b1, b2] = span(b.path) as [number, number];
    assert.ok(lanes[i] !== lanes[i + 1 + j] || a2 < b1 || b2 < a1, `${a.line.name} and ${b.line.name} run one over the other`);
  }));
  assert.ok(panel.tracks[4]!.width > panel.tracks[0]!.width);
  assert.equal(trackWidth(7, [7]), 5);
  assert.deepEqual([trackWidth(10, [10, 1000]), trackWidth(1000, [10, 1000])], [4, 10]);
});

test('a line whose end is not there is left out, not drawn to nowhere', () => {
  const lost: Inventory = { ...twoRooms, lines: [{ name: 'line-9', from: 'room-a', to: 'edge-9', bandwidth: 1, srlg: [] }] };
  assert.deepEqual(layout(lost).tracks, []);
});

test('a large site is laid out in a few milliseconds', () => {
  const site = large(20, 200);
  const took = Array.from({ length: 20 }, () => { // the best of them: a busy machine is no failure
    const start = performance.now();
    layout(site);
    return performance.now() - start;
  });
  assert.ok(Math.min(...took) < 20, `${Math.min(...took)} ms`);
});
