// past.tsx: the panel as it was: a time in the URL (?at=), moved along the hours that the black box holds.
import { useEffect, useState } from 'preact/hooks';
import { api } from './api';
import type { Status } from './api_types';
import { may, nowMs } from './app';
import { goQuery, place } from './browser';
import { Wrong, useAsk } from './parts';
import { age, clock, type Site, siteOf } from './site';

const hourMs = 3_600_000;
const steps: Array<[string, number]> = [['−1 min', -60_000], ['−10 s', -10_000], ['−1 s', -1000], ['+1 s', 1000], ['+10 s', 10_000], ['+1 min', 60_000]];

/** The time that the URL asks for, ms; null: now. */
export function askedMs(text: string | null): number | null {
  const ms = text === null || text === '' ? NaN : Date.parse(/Z$|[+-]\d\d:\d\d$/.test(text) ? text : `${text}Z`);
  return Number.isNaN(ms) ? null : ms;
}
export const atText = (ms: number): string => new Date(ms).toISOString().slice(0, 19);
const goTo = (ms: number | null): void => goQuery({ at: ms === null ? '' : atText(ms) });

/** Its slider and its steps; what is shown is under it. */
export function Scrubber({ at, fromMs, toMs, wrong }: { at: number | null; fromMs: number; toMs: number; wrong: string | null }) {
  const [held, setHeld] = useState<number | null>(null), here = held ?? at ?? toMs;
  // While it is dragged nothing is asked; each replay costs the server something.
  useEffect(() => {
    if (held === null) return undefined;
    const timer = setTimeout(() => {
      setHeld(null);
      goTo(held);
    }, 300);
    return () => clearTimeout(timer);
  }, [held]);
  const secondsMs = Math.ceil((toMs - fromMs) / 1000) * 1000; // whole ones, so that now is where it ends
  return (
    <section class={`scrubber${at === null ? '' : ' is-past'}`} aria-label="time">
      <label>
        {at === null && held === null ? 'Now' : <b>As it was at {clock(here)}, {age(toMs - here)} ago</b>}
        <input type="range" min={toMs - secondsMs} max={toMs} step={1000} value={here} aria-valuetext={clock(here)} onInput={(event) => setHeld(Number(event.currentTarget.value))} />
      </label>
      <p class="row note"><span>{age(toMs - fromMs)} ago</span><span>now</span></p>
      {at !== null && (
        <p class="buttons">
          {steps.map(([word, ms]) => <button key={word} type="button" onClick={() => goTo(Math.min(toMs, at + ms))}>{word}</button>)}
          <button type="button" class="main" onClick={() => goTo(null)}>Now</button>
        </p>
      )}
      {wrong !== null && <Wrong>{wrong}</Wrong>}
    </section>
  );
}

/** Of the URL: when, and the site then, when the server has said it. */
export function usePast(): { at: number | null; site: Site | null; wrong: string | null; fromMs: number } {
  const at = askedMs(place.value.query.get('at'));
  const asked = useAsk<{ at: number; status: Status } | null>(async () => (at === null ? null : { at, status: await api('GET /v1/history/status', { query: { at: at * 1000 } }) }), [at]);
  const files = useAsk(() => (may('operator') ? api('GET /v1/recordings') : Promise.resolve({ recordings: [] })), []);
  const began = (files.data?.recordings ?? []).map((file) => Number((file as { began_us?: number }).began_us ?? 0) / 1000).filter((ms) => ms > 0);
  const fresh = asked.data !== null && asked.data.at === at;
  return { at, site: fresh ? siteOf(asked.data!.status) : null, wrong: at === null ? null : asked.wrong, fromMs: began.length > 0 ? Math.min(...began) : nowMs.value - hourMs };
}
