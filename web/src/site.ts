// site.ts: what the console shows of the site, out of what the server says. Pure: the time is an argument.
import type { Execution, Object, Status } from './api_types';

// ---- rows of the status, which the API's description leaves open ----
export interface RoomRow {
  name: string; zone: string; ingress: string; compute: string;
  rate: number; fail_rate: number; share_percent: number; held: string | null;
}
export interface EntranceRow { room: string; via: string; control: string; up: number; seen: number; status: string }
export interface AgentRow {
  name: string; kind: string; class?: string; zone?: string; role?: string; epoch: number | null; generation: number | null;
  state: string; age_ms: number | null; error?: string | null; holds?: string | null; rate?: number; fail_rate?: number;
}
export interface ServiceRow {
  name: string; active: string; tier: string; rate: number; fail_rate: number; fail_percent: number; rooms: string[];
}
export interface RunRow { id: string; plan: string; target: string | null; state: string; step: string | null; text: string | null }
export interface Site {
  cluster: string; epoch: number; generation: number;
  rooms: RoomRow[]; entrances: EntranceRow[]; edges: AgentRow[]; servers: AgentRow[]; registries: AgentRow[];
  services: ServiceRow[]; executions: RunRow[]; warnings: string[];
}
export function siteOf(status: Status): Site {
  return { registries: [], ...status } as unknown as Site;
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
  if (row.age_ms > freshMs && row.kind === 'edge') return 'down';
  return row.error ? 'warn' : 'ok';
}

/** The edge has not proved what is in force: what it does is not what is meant. */
export function unconverged(row: AgentRow, site: Site): boolean {
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

const failing = (row: { rate: number; fail_rate: number }): boolean => row.fail_rate > 0 && row.fail_rate >= row.rate * 0.01;

// ---- alarms ----
export interface Alarm {
  /** Stable: the same thing has the same key for as long as it lasts. */
  key: string;
  /** 1: users are hurt now; 2: they would be by one more fault; 3: to be looked at. */
  priority: 1 | 2 | 3;
  title: string;
  evidence: string;
  object: string;
  /** The plan that helps, and what it is run on. */
  plan?: { name: string; target: string };
  sinceMs: number;
}

const entrancesAlarms = (site: Site): Omit<Alarm, 'sinceMs'>[] => {
  const out: Omit<Alarm, 'sinceMs'>[] = [];
  for (const room of site.rooms) {
    const pops = site.entrances.filter((row) => row.room === room.name && row.via !== 'ring');
    const seen = pops.filter((row) => row.seen > 0), dead = seen.filter((row) => row.up === 0);
    if (seen.length > 0 && dead.length === seen.length)
      out.push({
        key: `room/${room.name}/entrances`, priority: room.ingress === 'closed' ? 3 : 1, object: room.name,
        title: `${room.name}: every POP is down`,
        evidence: dead.map((row) => `${row.via} up at 0 of ${row.seen} edges ${row.status}`.trim()).join(', '),
        ...(room.ingress === 'closed' ? {} : { plan: { name: 'room-isolated', target: room.name } }),
      });
    else
      for (const row of pops.filter((one) => one.seen > 0 && one.up < one.seen))
        out.push({
          key: `entrance/${row.via}`, priority: row.up === 0 ? 2 : 3, object: row.via,
          title: row.up === 0 ? `${row.via} is down` : `${row.via} is down at some edges`,
          evidence: `up at ${row.up} of ${row.seen} edges ${row.status}`.trim(),
          ...(row.control === 'out' ? {} : { plan: { name: 'pop-drain', target: row.via } }),
        });
    const ring = site.entrances.find((row) => row.room === room.name && row.via === 'ring');
    if (ring !== undefined && ring.seen > 0 && ring.up < ring.seen)
      out.push({ key: `ring/${room.name}`, priority: ring.up === 0 ? 2 : 3, object: room.name, title: `${room.name}: the ring is down at ${ring.seen - ring.up} edges`,
        evidence: `up at ${ring.up} of ${ring.seen} edges ${ring.status}`.trim() });
  }
  return out;
};

const agentAlarms = (site: Site): Omit<Alarm, 'sinceMs'>[] => {
  const out: Omit<Alarm, 'sinceMs'>[] = [];
  for (const row of [...site.edges, ...site.servers, ...site.registries]) {
    const quiet = row.age_ms === null || (row.kind === 'edge' && row.age_ms > freshMs);
    if (quiet)
      out.push({ key: `${row.kind}/${row.name}/quiet`, priority: 2, object: row.name, title: `${row.name} does not report`,
        evidence: row.age_ms === null ? 'not since the server was started' : 'what it does is not known; it serves on with its last table' });
    else if (row.error)
      out.push({ key: `${row.kind}/${row.name}/error`, priority: 2, object: row.name, title: `${row.name}: ${row.state}`, evidence: row.error });
  }
  return out;
};

const serviceAlarms = (site: Site): Omit<Alarm, 'sinceMs'>[] =>
  site.services.filter((row) => row.fail_percent >= 1 && row.fail_rate > 0).map((row) => ({
    key: `service/${row.name}`, priority: (row.tier === 'normal' ? 2 : 1) as 1 | 2, object: row.name, title: `${row.name} fails`,
    evidence: `${Math.round(row.fail_percent)} % of ${Math.round(row.rate)} requests/s`,
  }));

/** Alarms by priority, then age. Those that were there before keep their time; the others begin now. */
export function alarmsOf(site: Site, before: readonly Alarm[], nowMs: number): Alarm[] {
  const since = new Map(before.map((alarm) => [alarm.key, alarm.sinceMs]));
  const all = [...entrancesAlarms(site), ...serviceAlarms(site), ...agentAlarms(site)];
  return all.map((alarm) => ({ ...alarm, sinceMs: since.get(alarm.key) ?? nowMs }))
    .sort((a, b) => a.priority - b.priority || a.sinceMs - b.sinceMs || (a.key < b.key ? -1 : 1));
}

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
/** A word of a shell command: quoted where it must be. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_.,:=/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export type Run = Execution;
