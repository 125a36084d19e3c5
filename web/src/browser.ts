// browser.ts: the browser's part of stream.ts, and the place that the page is at.
import { signal } from '@preact/signals';
import type { Status } from './api_types';
import { api, ApiError } from './api';
import { type Message, type Ports, secondMs, type Told } from './stream';

const kinds = ['alarm', 'generation', 'execution', 'event', 'audit'];

export function browserPorts(): Ports {
  const channel = new BroadcastChannel('signalbox');
  return {
    lock: async (abort, held) => {
      await navigator.locks.request('signalbox-stream', { signal: abort }, held);
    },
    send: (message) => channel.postMessage(message),
    onMessage: (take) => {
      const listener = (event: MessageEvent): void => take(event.data as Message);
      channel.addEventListener('message', listener);
      return () => channel.removeEventListener('message', listener);
    },
    open: (take) => {
      let source: EventSource, again: ReturnType<typeof setTimeout> | undefined;
      const data = (event: Event): unknown => JSON.parse((event as MessageEvent<string>).data);
      const begin = (): void => {
        source = new EventSource('/v1/events?wait=1&status=1');
        for (const kind of kinds) source.addEventListener(kind, (event) => take({ type: 'told', told: data(event) as Told }));
        source.addEventListener('gap', () => take({ type: 'gap' }));
        source.addEventListener('status', (event) => take({ type: 'status', status: data(event) as Status, atMs: Date.now() }));
        // Between two answers it comes again by itself; after one that is no stream (the server is ending) it does not.
        source.addEventListener('error', () => { if (source.readyState === EventSource.CLOSED) again = setTimeout(begin, secondMs); });
      };
      begin();
      return () => {
        clearTimeout(again);
        source.close();
      };
    },
    status: async (): Promise<Message> => {
      const abort = new AbortController(), timer = setTimeout(() => abort.abort(), 4000);
      try {
        return { type: 'status', status: await api('GET /v1/status', { signal: abort.signal }), atMs: Date.now() };
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) return { type: 'out' };
        return { type: 'lost', atMs: Date.now(), why: error instanceof ApiError && error.status === 0 ? error.title : error instanceof Error ? error.message : String(error) };
      } finally {
        clearTimeout(timer);
      }
    },
    visible: () => document.visibilityState === 'visible',
    onVisible: (changed) => {
      document.addEventListener('visibilitychange', changed);
      return () => document.removeEventListener('visibilitychange', changed);
    },
    later: (ms, fn) => {
      const timer = setTimeout(fn, ms);
      return () => clearTimeout(timer);
    },
  };
}

// ---- places: each state of the console has a URL ----
export interface Place { path: string[]; query: URLSearchParams }
export function placeOf(url: string): Place {
  const { pathname, searchParams } = new URL(url, 'http://x');
  return { path: pathname.split('/').filter((word) => word !== '').map(decodeWord), query: searchParams };
}
function decodeWord(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}
export const place = signal<Place>({ path: [], query: new URLSearchParams() });
export function go(url: string, replace = false): void {
  if (replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  place.value = placeOf(location.href);
}
/** The same place with these words of its query; what is empty goes. Nothing is added to what "back" leads through. */
export function goQuery(words: Record<string, string>): void {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(words)) {
    if (value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(`${location.pathname}${text === '' ? '' : `?${text}`}`, true);
}
export function followPlaces(): void {
  place.value = placeOf(location.href);
  addEventListener('popstate', () => { place.value = placeOf(location.href); });
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.origin !== location.origin || link.target !== '' || event.defaultPrevented) return;
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.href);
  });
}
