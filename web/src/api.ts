// api.ts: requests to the server this page came from, typed by its own description (api_types.ts).
import type { Finding, Operations, Problem, Refusal } from './api_types';

type Words<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | Words<Rest> : never;
type PathOf<Key extends keyof Operations> = Key extends `${string} ${infer Path}` ? Path : never;
export type Answer<Key extends keyof Operations> = Operations[Key]['answer'];

interface Asked<Key extends keyof Operations> {
  /** What stands for {name} in the path. */
  path?: Record<Words<PathOf<Key>>, string>;
  query?: Record<string, string | number>;
  body?: Operations[Key]['body'];
  ifMatch?: string;
  /** The same key, the same answer: nothing is done twice, however often it is asked. */
  key?: string;
  signal?: AbortSignal;
}

/** Why a request changed nothing, for a person. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly title: string, detail: string, readonly errors: Finding[] = [],
    readonly refusals: Refusal[] = [], readonly retryS = 0) {
    super(detail);
  }
  /** The server cannot be reached, or cannot answer now: what is on the screen may be old. */
  get away(): boolean {
    return this.status === 0 || this.status >= 502;
  }
}

let second: string | null = null;
/** The session's second secret: each change carries it. */
export function setSecond(csrf: string | null): void {
  second = csrf;
}

export function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function urlOf(template: string, words: Record<string, string> = {}, query: Record<string, string | number> = {}): string {
  const path = template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const word = words[name];
    if (word === undefined || word === '') throw new Error(`${template}: found nothing for ${name}`);
    return encodeURIComponent(word);
  });
  const rest = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return rest === '' ? path : `${path}?${rest}`;
}

async function problemOf(answer: Response): Promise<ApiError> {
  const retry = Number(answer.headers.get('Retry-After') ?? 0);
  try {
    const problem = (await answer.json()) as Problem;
    return new ApiError(answer.status, problem.title, problem.detail ?? problem.title, problem.errors, problem.refusals, retry);
  } catch {
    return new ApiError(answer.status, 'no answer of this server', `the server answered ${answer.status}`, [], [], retry);
  }
}

export async function api<Key extends keyof Operations>(operation: Key, asked: Asked<Key> = {}): Promise<Answer<Key>> {
  const [method, template] = operation.split(' ') as [string, string];
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (asked.body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET' && second !== null) headers['X-CSRF-Token'] = second;
  if (asked.ifMatch !== undefined) headers['If-Match'] = asked.ifMatch;
  if (asked.key !== undefined) headers['Idempotency-Key'] = asked.key;
  let answer: Response;
  try {
    answer = await fetch(urlOf(template, asked.path, asked.query), {
      method, headers, credentials: 'same-origin', cache: 'no-store',
      ...(asked.body !== undefined ? { body: JSON.stringify(asked.body) } : {}),
      ...(asked.signal !== undefined ? { signal: asked.signal } : {}),
    });
  } catch (error) {
    throw new ApiError(0, 'the server cannot be reached', error instanceof Error ? error.message : String(error));
  }
  if (!answer.ok) throw await problemOf(answer);
  return (answer.status === 204 ? undefined : await answer.json()) as Answer<Key>;
}
