// app.ts: what all screens share: who is logged in, the state of the site, the inventory. Signals: who reads them is
// drawn anew when they change.
import { computed, signal } from '@preact/signals';
import { api, setSecond } from './api';
import type { Object as Thing, Plan, Session } from './api_types';
import { inventoryOf, type Inventory } from './site';
import { ageOf, reduce, start, type State } from './state';
import { type Message, share, type Told } from './stream';
import { browserPorts } from './browser';

/** undefined: not known yet; user null: nobody. */
export const session = signal<Session | undefined>(undefined);
export const state = signal<State>(start);
export const nowMs = signal(Date.now());
export const inventory = signal<Inventory | null>(null);
/** All of the inventory, as it is written. */
export const things = signal<Thing[]>([]);
export const plans = signal<Plan[] | null>(null);
/** The newest entry of the journal that a screen may have to look after. */
export const told = signal<Told | null>(null);

export const dataAge = computed(() => ageOf(state.value, nowMs.value));
/** Nothing is moved on the strength of what may be old. */
export const stale = computed(() => dataAge.value.stale || (state.value.lost !== null && state.value.atMs === 0));
export const may = (role: 'operator' | 'admin'): boolean => {
  const have = session.value?.role;
  return have === 'admin' || have === role;
};

let inventoryGeneration = -1;
/** Inventory and plans change with the generation, seldom. */
async function fetchSite(generation: number): Promise<void> {
  if (inventoryGeneration === generation) return;
  inventoryGeneration = generation;
  try {
    const site = await api('GET /v1/export');
    things.value = site.objects;
    inventory.value = inventoryOf(site.objects);
    plans.value = site.plans;
  } catch {
    inventoryGeneration = -1; // the next status tries again
  }
}

function take(message: Message): void {
  if (message.type === 'out') {
    end();
    return;
  }
  state.value = reduce(state.value, message);
  if (message.type === 'told') told.value = message.told;
  if (message.type === 'status') void fetchSite(state.value.site!.generation);
}

let stop: (() => void) | null = null;
export function begin(who: Session): void {
  setSecond(who.csrf ?? null);
  session.value = who;
  stop ??= share(browserPorts(), take);
}
export function end(): void {
  stop?.();
  stop = null;
  setSecond(null);
  state.value = start;
  inventory.value = plans.value = null;
  things.value = [];
  inventoryGeneration = -1;
  session.value = { user: null };
}
export async function logOut(): Promise<void> {
  await api('DELETE /v1/session');
  end();
}
