// stream.ts: what happens, once for all tabs of a browser. A browser opens six connections to a host, so a stream for
// each tab would starve the seventh. One visible tab leads: it holds a lock of the browser, has the stream of events
// and asks for the status; it tells the others. A tab that nobody sees lets go, and the next one leads.
//
// What it touches (locks, channel, network, clock) comes from outside, so that tests need no browser.
import type { Status } from './api_types';

/** An entry of the journal, as GET /v1/events tells it. */
export interface Told { seq: number; epoch: number; kind: string; id: string; at_us: number; body: Record<string, unknown> }

export type Message =
  | { type: 'status'; atMs: number; status: Status }
  /** The server did not answer. */
  | { type: 'lost'; atMs: number; why: string }
  /** Nobody is logged in any more. */
  | { type: 'out' }
  | { type: 'told'; told: Told }
  /** Something was missed: what was built up from events is to be asked for anew. */
  | { type: 'gap' };

export interface Ports {
  lock(signal: AbortSignal, held: () => Promise<void>): Promise<void>;
  send(message: Message | { type: 'hello' }): void;
  onMessage(take: (message: Message | { type: 'hello' }) => void): () => void;
  /** Opens the stream of events, in which the status comes each second and after whatever was told; the result closes it. */
  open(take: (message: Message) => void): () => void;
  /** Asks once: how things stand, or why that is not known. */
  status(): Promise<Message>;
  visible(): boolean;
  onVisible(changed: () => void): () => void;
  /** After so many ms; the result calls it off. */
  later(ms: number, fn: () => void): () => void;
}

export const secondMs = 1000; // edges report each second, and the stream tells it
export const quietMs = 3 * secondMs; // no word for so long: the stream is asked after

export function share(ports: Ports, take: (message: Message) => void): () => void {
  let letGo: (() => void) | null = null, last: Message | null = null, ended = false;

  const tell = (message: Message): void => {
    if (message.type === 'status' || message.type === 'lost') last = message;
    take(message);
    ports.send(message);
  };

  /** Until `done`. */
  const lead = (done: AbortSignal): void => {
    let timer: (() => void) | null = null;
    const hear = (message: Message): void => {
      if (done.aborted) return;
      if (message.type === 'status' || message.type === 'lost') {
        timer?.();
        timer = ports.later(quietMs, ask);
      }
      tell(message);
    };
    const ask = (): void => void ports.status().then(hear);
    const close = ports.open(hear);
    done.addEventListener('abort', () => {
      timer?.();
      close();
    });
    ask();
  };

  const seek = (): void => {
    const done = new AbortController();
    letGo = () => done.abort();
    void ports.lock(done.signal, () => new Promise<void>((resolve) => {
      if (done.signal.aborted) {
        resolve();
        return;
      }
      done.signal.addEventListener('abort', () => resolve());
      lead(done.signal);
    })).catch(() => undefined); // it was called off while it waited
  };

  const look = (): void => {
    if (ended || !ports.visible()) {
      letGo?.();
      letGo = null;
    } else if (letGo === null) {
      ports.send({ type: 'hello' });
      seek();
    }
  };

  const offMessage = ports.onMessage((message) => {
    if (message.type !== 'hello') take(message);
    else if (last !== null && letGo !== null) ports.send(last);
  });
  const offVisible = ports.onVisible(look);
  look();
  return () => {
    ended = true;
    offMessage();
    offVisible();
    look();
  };
}
