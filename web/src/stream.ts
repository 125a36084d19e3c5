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
  /** Opens the stream of events; the result closes it. */
  open(onTold: (told: Told) => void, onGap: () => void): () => void;
  status(): Promise<Message>;
  visible(): boolean;
  onVisible(changed: () => void): () => void;
  /** After so many ms; the result calls it off. */
  later(ms: number, fn: () => void): () => void;
}

export const pollMs = 1000; // edges report each second
const again = new Set(['generation', 'execution']); // after these the status has changed for sure

export function share(ports: Ports, take: (message: Message) => void): () => void {
  let letGo: (() => void) | null = null, last: Message | null = null, ended = false;

  const tell = (message: Message): void => {
    if (message.type === 'status' || message.type === 'lost') last = message;
    take(message);
    ports.send(message);
  };

  /** Until `done`. */
  const lead = (done: AbortSignal): void => {
    let timer: (() => void) | null = null, asking = false, askAgain = false;
    const ask = async (): Promise<void> => {
      timer?.();
      timer = null;
      if (asking) {
        askAgain = true;
        return;
      }
      asking = true;
      const message = await ports.status();
      asking = false;
      if (done.aborted) return;
      tell(message);
      if (message.type === 'out') return;
      if (askAgain) {
        askAgain = false;
        void ask();
      } else timer = ports.later(pollMs, () => void ask());
    };
    const close = ports.open((told) => {
      if (done.aborted) return;
      tell({ type: 'told', told });
      if (again.has(told.kind)) void ask();
    }, () => tell({ type: 'gap' }));
    done.addEventListener('abort', () => {
      timer?.();
      close();
    });
    void ask();
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
