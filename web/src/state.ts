// state.ts: what the console knows, and how a message changes it. Pure: (state, message, time) -> state.
import type { Execution } from './api_types';
import { type Site, siteOf } from './site';
import type { Message } from './stream';

/** Requests per second of a room, at a time. */
export interface Sample { atMs: number; rooms: Record<string, { rate: number; failing: number }> }
export interface State {
  site: Site | null;
  /** Of the last answer of the server; 0: none came yet. */
  atMs: number;
  /** Why there is none now. */
  lost: string | null;
  samples: Sample[];
  /** As events told of them, by id; without their own events. */
  executions: Record<string, Partial<Execution>>;
  /** Grows when something was missed: who keeps more than this asks anew. */
  gaps: number;
  out: boolean;
}

export const samplesKept = 600; // ten minutes
export const staleMs = 5000;
const executionsKept = 50;

export const start: State = { site: null, atMs: 0, lost: null, samples: [], executions: {}, gaps: 0, out: false };

function sampleOf(site: Site, atMs: number): Sample {
  return { atMs, rooms: Object.fromEntries(site.rooms.map((room) => [room.name, { rate: room.rate, failing: room.fail_rate }])) };
}

export function reduce(state: State, message: Message): State {
  switch (message.type) {
    case 'status': {
      if (message.atMs < state.atMs) return state; // one that was overtaken
      const site = siteOf(message.status);
      return { ...state, site, atMs: message.atMs, lost: null, out: false,
        samples: [...state.samples, sampleOf(site, message.atMs)].slice(-samplesKept) };
    }
    case 'lost':
      return { ...state, lost: message.why };
    case 'out':
      return { ...state, out: true };
    case 'gap':
      return { ...state, gaps: state.gaps + 1, executions: {} };
    case 'told': {
      if (message.told.kind !== 'execution') return state;
      const kept = Object.entries(state.executions).filter(([id]) => id !== message.told.id).slice(-executionsKept + 1);
      return { ...state, executions: { ...Object.fromEntries(kept), [message.told.id]: message.told.body as Partial<Execution> } };
    }
  }
}

/** How old what is shown is, ms; stale: too old to act on. */
export function ageOf(state: State, nowMs: number): { ms: number; stale: boolean } {
  const ms = state.atMs === 0 ? 0 : Math.max(0, nowMs - state.atMs);
  return { ms, stale: state.atMs !== 0 && ms > staleMs };
}
