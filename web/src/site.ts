// site.ts: what the console shows of the site, out of what the server says. Pure: the time is an argument.
import type { Alarm, Object, Status } from './api_types';

// ---- rows of the status, which the API's description leaves open ----
export interface RoomRow {
  name: string; zone: string; ingress: string; compute: string;
  rate: number; fail_rate: number; share_percent: number; held: string | null;
}
export interface EntranceRow { room: string; via: string; control: string; up: number; seen: number; status: string; rate?: number }
export interface AgentRow {
  name: string; kind: string; class?: string; room?: string; zone?: string; role?: string; epoch: number | null; generation: number | null;
  state: string; age_ms: number | null; error?: string | null; holds?: string | null; rate?: number; fail_rate?: number;
}
/** A dedicated line, as the gateways at its ends watch it; `suspect` and `unwatched`: one that ends at an edge. */
export interface LineRow {
  name: string; from: string; to: string; control: string; state: 'up' | 'down' | 'part' | 'suspect' | 'unwatched';
  seen: number; down: number; since_us: number | null;
  /** Mbit/s sent from `from` to `to`, and back; null: nobody says. */
  mbit_to: number | null; mbit_from: number | null;
  /** Requests/s over the ring between its ends, by whatever line. */
  rate: number;
}
/** Requests/s of a class of edges, or of an edge that is behind, to a room; room: "" nobody answers, "relay": to dedicated edges. */
export interface RoadRow { class: string; edge: string | null; room: string; rate: number; fail_rate: number; intended: number }
export interface ServiceRow {
  name: string; active: string; tier: string; rate: number; fail_rate: number; fail_percent: number; rooms: string[];
}
export interface RunRow { id: string; plan: string; target: string | null; state: string; step: string | null; text: string | null }
export interface Site {
  cluster: string; epoch: number; generation: number;
  rooms: RoomRow[]; entrances: EntranceRow[]; lines: LineRow[]; roads: RoadRow[]; edges: AgentRow[]; gateways: AgentRow[]; servers: AgentRow[]; registries: AgentRow[];
  services: ServiceRow[]; executions: RunRow[]; alarms: Alarm[]; warnings: string[];
}
export function siteOf(status: Status): Site {
  return { gateways: [], registries: [], alarms: [], lines: [], roads: [], ...status } as unknown as Site;
}

// ---- the inventory, as far as the panel draws it ----
export interface Room { name: string; zone: string }
export interface Pop { name: string; room: string; city: string; carriers: string[] }
export interface Line { name: string; from: string; to: string; bandwidth: number; srlg: string[] }
export interface Edge { name: string; class: string; region: string; carriers: string[] }
export interface Inventory { rooms: Room[]; pops: Pop[]; lines: Line[]; edges: Edge[]; nameservers: string[] }

const words = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
const word = (value: unknown): string => (typeof value === 'string' ? value : '');

export function inventoryOf(objects: Object[]): Inventory {
  const out: Inventory = { rooms: [], pops: [], lines: [], edges: [], nameservers: [] };
  for (const one of objects as Array<Record<string, unknown>>) {
    const name = word(one['name']);
    if (one['kind'] === 'room') out.rooms.push({ name, zone: word(one['zone']) });
    else if (one['kind'] === 'pop')
      out.pops.push({ name, room: word(one['room']), city: word(one['city']), carriers: words(one['carriers']) });
    else if (one['kind'] === 'line')
      out.lines.push({ name, from: word(one['from']), to: word(one['to']), bandwidth: Number(one['bandwidth'] ?? 0), srlg: words(one['srlg']) });
    else if (one['kind'] === 'edge')
      out.edges.push({ name, class: word(one['class']), region: word(one['region']), carriers: words(one['carriers']) });
    else if (one['kind'] === 'nameserver') out.nameservers.push(name);
  }
  return out;
}

// ---- health ----
export type Health = 'ok' | 'out' | 'warn' | 'cut' | 'down' | 'unknown';
/** Shape and word beside colour: nobody has to see hues. */
export const marks: Record<Health, { glyph: string; word: string }> = {
  ok: { glyph: '●', word: 'in service' },
  out: { glyph: '◇', word: 'put out by a lever' },
  warn: { glyph: '▲', word: 'impaired' },
  cut: { glyph: '⊘', word: 'every POP is down' },
  down: { glyph: '✕', word: 'down' },
  unknown: { glyph: '?', word: 'not seen' },
};

export function entranceHealth(row: EntranceRow | undefined): Health {
  if (row === undefined || row.seen === 0) return 'unknown';
  if (row.up === 0) return 'down';
  if (row.up < row.seen) return 'warn';
  return row.control === 'out' ? 'out' : 'ok';
}

export const freshMs = 3000; // an edge reports each second

export function agentHealth(row: AgentRow): Health {
  if (row.age_ms === null) return 'unknown';
  if (row.age_ms > freshMs && (row.kind === 'edge' || row.kind === 'gateway')) return 'down';
  return row.error ? 'warn' : 'ok';
}

/** The edge has not proved what is in force: what it does is not what is meant. */
export function unconverged(row: AgentRow, site: { epoch: number; generation: number }): boolean {
  return row.age_ms === null || row.generation === null || row.generation < site.generation || row.epoch !== site.epoch;
}

export function roomHealth(room: RoomRow, site: Site): Health {
  const entrances = site.entrances.filter((row) => row.room === room.name && row.via !== 'ring');
  const seen = entrances.filter((row) => row.seen > 0);
  const lines = site.entrances.filter((row) => row.room === room.name && row.via === 'ring' && row.up > 0);
  // A room whose entrances are gone may be alive: it is called down only when nobody reaches it by any road.
  if (seen.length > 0 && seen.every((row) => row.up === 0)) return lines.length > 0 ? 'cut' : 'down';
  if (room.compute === 'closed' || room.ingress === 'closed') return 'out';
  if (room.held !== null || seen.some((row) => row.up < row.seen) || failing(room)) return 'warn';
  return site.edges.some((edge) => edge.age_ms !== null) ? 'ok' : 'unknown';
}

/** Requests that still come by a road that is shut: what is meant is not what is. */
export function leaking(row: EntranceRow | undefined, room: RoomRow | undefined): boolean {
  return row !== undefined && (row.rate ?? 0) >= 1 && (row.control === 'out' || room?.compute === 'closed' || (room?.ingress === 'closed' && row.via !== 'ring'));
}

// ---- lines ----
export function lineHealth(row: LineRow | undefined): Health {
  if (row === undefined) return 'unknown';
  if (row.state === 'down') return 'down';
  if (row.state === 'part' || row.state === 'suspect') return 'warn';
  return row.control === 'out' ? 'out' : 'ok';
}
/** How full it is, 0..1, in the direction that is fuller; back: that is from `to` to `from`; null: nobody says. */
export function lineLoad(row: LineRow | undefined, bandwidth: number): { share: number; mbit: number; back: boolean } | null {
  if (row === undefined || row.mbit_to === null || row.mbit_from === null) return null;
  const back = row.mbit_from > row.mbit_to, mbit = back ? row.mbit_from : row.mbit_to;
  return { share: bandwidth > 0 ? Math.min(1, mbit / bandwidth) : 0, mbit, back };
}
/** Risks that a line shares with others. */
export function shared(line: Line, lines: readonly Line[]): string[] {
  return line.srlg.filter((risk) => lines.some((other) => other.name !== line.name && other.srlg.includes(risk)));
}

// ---- what is meant beside what is ----
/** The two are further apart than chance makes them: users are not spread over slots evenly, nor requests over time. */
export function astray(row: RoadRow, site: Site): boolean {
  const all = site.roads.filter((one) => one.class === row.class && one.edge === row.edge).reduce((sum, one) => sum + one.rate, 0);
  return Math.abs(row.rate - row.intended) >= Math.max(1, 0.1 * all + 2 * Math.sqrt(all));
}
export const placeName = (room: string): string => (room === '' ? 'nobody' : room === 'relay' ? 'dedicated edges' : room);
/** "edge-2 sends 335/s to room-a, meant 0/s", each a line; who has not proved what is in force, by name. */
export function astrayWords(site: Site): Array<{ who: string; text: string }> {
  const behind = site.edges.filter((edge) => unconverged(edge, site)).map((edge) => {
    const heard = edge.age_ms === null ? 'never heard' : `last heard ${age(edge.age_ms)} ago`;
    const roads = site.roads.filter((row) => row.edge === edge.name).map((row) => `${placeName(row.room)} ${rate(row.rate)}, meant ${rate(row.intended)}`);
    return { who: edge.name, text: `has proved generation ${edge.generation ?? 'none'} of ${site.generation}, ${heard}${roads.length > 0 ? `: ${roads.join('; ')}` : ''}` };
  });
  const classes = site.roads.filter((row) => row.edge === null && astray(row, site))
    .map((row) => ({ who: `${row.class} edges`, text: `${placeName(row.room)} ${rate(row.rate)}, meant ${rate(row.intended)}` }));
  return [...behind, ...classes];
}

const failing = (row: { rate: number; fail_rate: number }): boolean => row.fail_rate > 0 && row.fail_rate >= row.rate * 0.01;

// ---- texts ----
export function age(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}
/** How long something took: where it is short, fractions of a second say who was slow. */
export function took(ms: number): string {
  return ms < 10_000 ? `${(Math.max(0, ms) / 1000).toFixed(ms < 1000 ? 3 : 1)} s` : age(ms);
}
export function clock(ms: number): string {
  return `${new Date(ms).toISOString().slice(11, 19)} UTC`;
}
export function rate(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(0)}k/s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)}k/s`;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)}/s`;
}
/** Names have 40 characters at most; a drawing has room for fewer. */
export const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
export function bandwidth(mbit: number): string {
  return mbit >= 1000 ? `${Number((mbit / 1000).toFixed(1))}G` : mbit >= 10 || mbit === 0 ? `${mbit.toFixed(0)}M` : `${mbit.toFixed(1)}M`;
}
/** A word of a shell command: quoted where it must be. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_.,:=/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
/** A command, and why it is given, if that was said. */
export const reasoned = (command: string, reason: string): string => (reason.trim() === '' ? command : `${command} --reason ${shellWord(reason.trim())}`);

/** Text of others, as it may stand between words of the page: what would turn the order of letters round is shown instead. */
export function unturned(text: string): string {
  return text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (one) => `‹U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}›`);
}
