// layout.ts: where the railway panel has what: a pure function of the inventory. The same site is drawn alike on every
// screen and after every load, because people find things at night by where they are.
//
//   edges, public          one row on top
//   POPs                   above their room, carriers beside them
//   rooms                  one row, by zone and name
//   dedicated edges, lines  below; a line between rooms bends under the row
import type { Edge, Inventory, Line, Pop, Room } from './site';

export interface Box { x: number; y: number; w: number; h: number }
export interface RoomBox extends Box { room: Room; pops: Array<Box & { pop: Pop }> }
export interface EdgeBox extends Box { edge: Edge }
export interface Track {
  line: Line;
  /** Of an SVG path; orthogonal, as on a panel. */
  path: string;
  /** Where its name and its figures stand. */
  label: { x: number; y: number };
  /** By bandwidth, px. */
  width: number;
}
export interface Panel { width: number; height: number; rooms: RoomBox[]; publicEdges: EdgeBox[]; dedicatedEdges: EdgeBox[]; tracks: Track[] }

export const sizes = { margin: 24, gap: 24, popW: 132, popH: 56, roomH: 84, edgeW: 120, edgeH: 44, rowGap: 72, lane: 22 } as const;

const byName = <T extends { name: string }>(rows: readonly T[]): T[] => [...rows].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));

/** 4 px for the thinnest line of the site, 10 for the widest, by the logarithm. */
export function trackWidth(bandwidth: number, all: readonly number[]): number {
  const low = Math.min(...all), high = Math.max(...all);
  if (!(high > low) || low <= 0) return 5;
  return 4 + (6 * Math.log(bandwidth / low)) / Math.log(high / low);
}

function edgeRow(edges: readonly Edge[], y: number, width: number): EdgeBox[] {
  const { margin, gap, edgeW, edgeH } = sizes, perRow = Math.max(1, Math.floor((width - 2 * margin + gap) / (edgeW + gap)));
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

  const dedicated = inventory.edges.filter((edge) => edge.class === 'dedicated');
  const direct = inventory.lines.filter((line) => boxes.some((one) => one.room.name === line.from) && boxes.some((one) => one.room.name === line.to));
  const dedicatedY = roomY + roomH + rowGap / 2 + direct.length * lane + (direct.length > 0 ? gap : 0);
  const dedicatedEdges = edgeRow(dedicated, dedicatedY + gap, width);
  if (dedicatedEdges.length > 0 && dedicatedEdges.length * (sizes.edgeW + gap) < width - 2 * margin) // spread under the rooms
    dedicatedEdges.forEach((box, i) => { box.x = margin + ((width - 2 * margin) * (i + 0.5)) / dedicatedEdges.length - box.w / 2; });

  return { width, height: bottomOf(dedicatedEdges, dedicatedY) + margin, rooms: boxes, publicEdges, dedicatedEdges,
    tracks: tracksOf(byName(inventory.lines), boxes, dedicatedEdges) };
}

function tracksOf(lines: readonly Line[], rooms: readonly RoomBox[], edges: readonly EdgeBox[]): Track[] {
  const { lane, rowGap } = sizes, bandwidths = lines.map((line) => line.bandwidth);
  const room = new Map(rooms.map((box) => [box.room.name, box])), edge = new Map(edges.map((box) => [box.edge.name, box]));
  const used = new Map<string, number>(); // ends that a box has given away: no two tracks leave at one point
  const port = (box: Box, name: string): number => {
    const n = used.get(name) ?? 0;
    used.set(name, n + 1);
    return middle(box) + (n % 2 === 0 ? 1 : -1) * Math.ceil(n / 2) * 28;
  };
  let lanes = 0;
  return lines.flatMap((line): Track[] => {
    const width = trackWidth(line.bandwidth, bandwidths);
    const a = room.get(line.from) ?? room.get(line.to), b = room.get(line.to), e = edge.get(line.from) ?? edge.get(line.to);
    if (room.has(line.from) && b !== undefined && a !== undefined) {
      const y = a.y + a.h + rowGap / 4 + lane * lanes++, x1 = port(a, line.from), x2 = port(b, line.to);
      return [{ line, width, path: `M${x1} ${a.y + a.h}V${y}H${x2}V${b.y + b.h}`, label: { x: (x1 + x2) / 2, y: y - 5 } }];
    }
    if (a === undefined || e === undefined) return []; // an end that is not drawn: the list names it all the same
    const x1 = port(a, a.room.name), x2 = middle(e) + (x1 < middle(e) ? -14 : 14), y = e.y - rowGap / 4 - 2;
    return [{ line, width, path: `M${x1} ${a.y + a.h}V${y}H${x2}V${e.y}`, label: { x: (x1 + x2) / 2, y: y - 5 } }];
  });
}
