// layout.ts: where the railway panel has what: a pure function of the inventory. The same site is drawn alike on every
// screen and after every load, because people find things at night by where they are.
//
//   edges, public          one row on top
//   POPs                   above their room, carriers beside them
//   rooms                  one row, by zone and name
//   dedicated edges, lines  below; a line between rooms bends under the row
//   control site           last: it stands in no room
import type { Edge, Inventory, Line, Pop, Room } from './site';

export interface Box { x: number; y: number; w: number; h: number }
export interface RoomBox extends Box { room: Room; pops: Array<Box & { pop: Pop }> }
export interface EdgeBox extends Box { edge: Edge }
export interface Track {
  line: Line;
  /** Of an SVG path; orthogonal, as on a panel. */
  path: string;
  /** Where its name stands, and its figures: behind it, or, where there is no room for that, below it. */
  label: { x: number; y: number; below: boolean; anchor: 'middle' | 'start' };
  /** Of the way it runs. */
  middle: { x: number; y: number };
  /** Its `to` lies right of its `from`. */
  right: boolean;
  /** By bandwidth, px. */
  width: number;
}
export interface Panel { width: number; height: number; rooms: RoomBox[]; publicEdges: EdgeBox[]; dedicatedEdges: EdgeBox[]; tracks: Track[]; control: Box }

export const sizes = { margin: 24, gap: 24, popW: 132, popH: 72, roomH: 128, edgeW: 120, edgeH: 44, rowGap: 56, lane: 30, label: 240, controlW: 340, controlH: 44 } as const;

const byName = <T extends { name: string }>(rows: readonly T[]): T[] => [...rows].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));

/** 4 px for the thinnest line of the site, 10 for the widest, by the logarithm. */
export function trackWidth(bandwidth: number, all: readonly number[]): number {
  const low = Math.min(...all), high = Math.max(...all);
  if (!(high > low) || low <= 0) return 5;
  return 4 + (6 * Math.log(bandwidth / low)) / Math.log(high / low);
}

function edgeRow(edges: readonly Edge[], y: number, width: number): EdgeBox[] {
  const { margin, gap, edgeW, edgeH } = sizes, perRow = Math.max(1, Math.floor((width - 2 * margin + gap) / (edgeW + gap)));
  if (edges.length < perRow) // few: spread over the whole width
    return byName(edges).map((edge, i) => ({ edge, x: margin + ((width - 2 * margin) * (i + 0.5)) / edges.length - edgeW / 2, y, w: edgeW, h: edgeH }));
  return byName(edges).map((edge, i) => ({
    edge, x: margin + (i % perRow) * (edgeW + gap), y: y + Math.floor(i / perRow) * (edgeH + gap / 2), w: edgeW, h: edgeH,
  }));
}

const bottomOf = (boxes: readonly Box[], none: number): number => boxes.reduce((most, box) => Math.max(most, box.y + box.h), none);
const middle = (box: Box): number => box.x + box.w / 2;

export function layout(inventory: Inventory, minWidth = 760): Panel {
  const { margin, gap, popW, popH, roomH, rowGap, lane } = sizes;
  const rooms = [...inventory.rooms].sort((a, b) => (a.zone + '\0' + a.name < b.zone + '\0' + b.name ? -1 : 1));
  const popsOf = (room: Room): Pop[] => byName(inventory.pops.filter((pop) => pop.room === room.name));
  const widthOf = (room: Room): number => Math.max(2, popsOf(room).length) * (popW + gap) - gap;
  const needed = rooms.reduce((sum, room) => sum + widthOf(room) + 3 * gap, 0) - 3 * gap + 2 * margin;
  const width = Math.max(minWidth, needed);

  const publicEdges = edgeRow(inventory.edges.filter((edge) => edge.class !== 'dedicated'), margin, width);
  const popY = bottomOf(publicEdges, margin) + (publicEdges.length > 0 ? rowGap : 0), roomY = popY + popH + gap;
  const spare = rooms.length > 1 ? (width - needed) / (rooms.length - 1) : 0;
  let x = rooms.length > 1 ? margin : (width - needed) / 2 + margin;
  const boxes: RoomBox[] = rooms.map((room) => {
    const w = widthOf(room), pops = popsOf(room);
    const box = { room, x, y: roomY, w, h: roomH, pops: pops.map((pop, i) => ({ pop, x: x + i * (popW + gap), y: popY, w: popW, h: popH })) };
    x += w + 3 * gap + spare;
    return box;
  });

  const dedicatedEdges = edgeRow(inventory.edges.filter((edge) => edge.class === 'dedicated'), 0, width);
  const runs = runsOf(byName(inventory.lines), boxes, dedicatedEdges), lanes = Math.max(0, ...runs.map((run) => run.lane + 1));
  const top = roomY + roomH, bottom = top + gap + lanes * lane;
  for (const box of dedicatedEdges) box.y += bottom + gap;
  const control = { x: (width - sizes.controlW) / 2, y: bottomOf(dedicatedEdges, bottom) + gap, w: sizes.controlW, h: sizes.controlH };
  return { width, height: control.y + control.h + margin, rooms: boxes, publicEdges, dedicatedEdges, control,
    tracks: runs.map((run) => trackOf(run, top + gap + run.lane * lane)) };
}

/** A line between two boxes: where it leaves them, and in which lane it runs. */
interface Run { line: Line; from: Box; to: Box; x1: number; x2: number; lane: number; width: number }

function runsOf(lines: readonly Line[], rooms: readonly RoomBox[], edges: readonly EdgeBox[]): Run[] {
  const boxes = new Map<string, Box>([...edges.map((box): [string, Box] => [box.edge.name, box]), ...rooms.map((box): [string, Box] => [box.room.name, box])]);
  const isRoom = new Set(rooms.map((box) => box.room.name)), bandwidths = lines.map((line) => line.bandwidth);
  const used = new Map<string, number>(); // ends that a box has given away: no two tracks leave at one point
  const port = (box: Box, name: string): number => {
    const n = used.get(name) ?? 0;
    used.set(name, n + 1);
    return middle(box) + (n % 2 === 0 ? 1 : -1) * Math.ceil(n / 2) * 28;
  };
  const runs = lines.flatMap((line): Run[] => {
    const from = boxes.get(line.from), to = boxes.get(line.to);
    if (from === undefined || to === undefined) return []; // an end that is not drawn: the list names it all the same
    return [{ line, from, to, x1: port(from, line.from), x2: port(to, line.to), lane: 0, width: trackWidth(line.bandwidth, bandwidths) }];
  });
  // Those between rooms above, then the others, each from left to right into the first lane that is free where it runs.
  const ends: number[] = [];
  let first = 0;
  for (const direct of [true, false]) {
    const group = runs.filter((run) => (isRoom.has(run.line.from) && isRoom.has(run.line.to)) === direct).sort((a, b) => Math.min(a.x1, a.x2) - Math.min(b.x1, b.x2));
    for (const run of group) {
      let free = first;
      while (free < ends.length && ends[free]! + sizes.gap > Math.min(run.x1, run.x2)) free++;
      ends[free] = Math.max(run.x1, run.x2, Math.min(run.x1, run.x2) + sizes.label); // its name takes room too
      run.lane = free;
    }
    first = ends.length;
  }
  return runs;
}

/** Down from a room, along the lane, and up or down to the other end. */
function trackOf({ line, from, to, x1, x2, width }: Run, y: number): Track {
  const end = (box: Box): number => (box.y < y ? box.y + box.h : box.y);
  // Above the way it runs; where that is shorter than the name, beside its lower end, where no other line goes.
  const short = Math.abs(x1 - x2) < sizes.label, lower = from.y > to.y ? { x: x1, y: end(from) } : { x: x2, y: end(to) };
  const label = short ? { x: lower.x + width / 2 + 4, y: lower.y - 20, below: true, anchor: 'start' as const }
    : { x: (x1 + x2) / 2, y: y - width / 2 - 3, below: false, anchor: 'middle' as const };
  return { line, width, path: `M${x1} ${end(from)}V${y}H${x2}V${end(to)}`, label, middle: { x: (x1 + x2) / 2, y }, right: x2 > x1 };
}
