// The console's own code against a real signalboxd: it logs in, sees what two edges report, looks at the plan, runs it.
// ctest gives the programs (SIGNALBOXD, SIGNALBOX); without them there is nothing to be tested.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { renderToString } from 'preact-render-to-string';
import { api, ApiError, newKey, setSecond } from '../src/api';
import { ExecutionView } from '../src/execution';
import { gate } from '../src/failover';
import { PreviewView } from '../src/failover_screen';
import { layout } from '../src/layout';
import { PanelView } from '../src/panel';
import { alarmsOf, inventoryOf, roomHealth, siteOf, unconverged } from '../src/site';

declare const ROOT: string;
const programs = process.env['SIGNALBOXD'] !== undefined && process.env['SIGNALBOX'] !== undefined;
const password = 'correct horse battery';
const realFetch = globalThis.fetch;
let server: ChildProcess | undefined, dir = '', base = '', agents = '', cookie = '', tokens: Record<string, string> = {};

const freePort = (): Promise<number> => new Promise((resolve) => {
  const one = createServer().listen(0, '127.0.0.1', () => {
    const { port } = one.address() as { port: number };
    one.close(() => resolve(port));
  });
});
const signalbox = (words: string[], input = ''): string => execFileSync(process.env['SIGNALBOX']!, ['--socket', join(dir, 'socket'), ...words], { input, encoding: 'utf8' }).trim();

/** As a browser: relative, with the cookie that was set. */
const browserFetch = async (path: string, init: RequestInit = {}): Promise<Response> => {
  const answer = await realFetch(base + path, { ...init, headers: { ...(init.headers as Record<string, string>), ...(cookie === '' ? {} : { Cookie: cookie }) } });
  const set = answer.headers.get('set-cookie');
  if (set !== null) cookie = set.split(';')[0]!;
  return answer;
};

before(async () => {
  if (!programs) return;
  dir = mkdtempSync(join(tmpdir(), 'sb-live-'));
  const ports = [await freePort(), await freePort()];
  base = `http://127.0.0.1:${ports[0]}`;
  agents = `http://127.0.0.1:${ports[1]}`;
  const child = spawn(process.env['SIGNALBOXD']!, ['--cluster=two-rooms', `--state=${dir}/state`, `--socket=${dir}/socket`, `--listen=127.0.0.1:${ports[0]}`,
    `--agents-listen=127.0.0.1:${ports[1]}`, `--runbooks=${ROOT}/runbooks`], { stdio: ['ignore', 'ignore', 'pipe'] });
  server = child;
  await new Promise<void>((resolve, reject) => {
    let log = '';
    child.stderr!.on('data', (bytes: Buffer) => { log += bytes.toString(); if (log.includes('>ready ')) resolve(); });
    child.on('exit', (code) => reject(new Error(`signalboxd ended with ${code}: ${log}`)));
  });
  signalbox(['apply', '-f', join(ROOT, 'tests/lab/sites/two-rooms.yaml')]);
  signalbox(['user', 'add', 'alice', '--role', 'operator'], `${password}\n`);
  for (const edge of ['edge-1', 'edge-2', 'edge-3', 'edge-4']) tokens[edge] = signalbox(['token', 'create', '--name', edge, '--role', 'agent']);
  globalThis.fetch = browserFetch as typeof fetch;
});
after(() => {
  globalThis.fetch = realFetch;
  server?.removeAllListeners('exit');
  server?.kill();
  if (dir !== '') rmSync(dir, { recursive: true, force: true });
});

/** All edges say what they see: POPs of the room are down, or nothing is. */
async function report(down: string | null): Promise<void> {
  const { epoch, generation } = await api('GET /v1/status');
  for (const [edge, token] of Object.entries(tokens)) {
    const origins = ['a1', 'a2', 'b1', 'b2'].map((id) => ({ room: `room-${id[0]}`, via: `pop-${id}`, up: `room-${id[0]}` !== down, status: `room-${id[0]}` !== down ? 'L4OK' : 'L4TOUT', latency_us: 900 }));
    const answer = await realFetch(`${agents}/agent/v1/edges/${edge}/report`, { method: 'POST', headers: { Authorization: `Bearer ${token}` },
      body: JSON.stringify({ edge, cluster: 'two-rooms', promised: epoch, applied: { epoch, generation }, state: 'applied', error: null, window_us: 1000000, counters: [], origins, probes: [], events: [] }) });
    assert.equal(answer.status, 200, await answer.text());
  }
}

test('login, panel, alarm, preview, run, logout', { skip: !programs, timeout: 60_000 }, async () => {
  await assert.rejects(api('GET /v1/status'), (error: ApiError) => error.status === 401);
  assert.equal((await api('GET /v1/session')).user, null);
  await assert.rejects(api('POST /v1/session', { body: { name: 'alice', password: 'wrong' } }), /the name or the password is wrong/);
  const who = await api('POST /v1/session', { body: { name: 'alice', password } });
  assert.deepEqual([who.user, who.role], ['alice', 'operator']);
  await assert.rejects(api('POST /v1/plans/{name}/run', { path: { name: 'room-isolated' }, body: { target: 'room-a' } }), /X-CSRF-Token/);
  setSecond(who.csrf!);

  const exported = await api('GET /v1/export'), inventory = inventoryOf(exported.objects), drawn = layout(inventory);
  assert.deepEqual([inventory.rooms.length, inventory.pops.length, inventory.edges.length, inventory.lines.length, inventory.nameservers.length], [2, 4, 4, 5, 3]);
  assert.equal(drawn.tracks.length, 5);
  await report(null);
  let site = siteOf(await api('GET /v1/status'));
  assert.deepEqual(site.rooms.map((room) => roomHealth(room, site)), ['ok', 'ok']);
  assert.deepEqual(alarmsOf(site, [], 0).filter((alarm) => alarm.priority === 1), []);
  assert.ok(site.edges.every((edge) => !unconverged(edge, site)));

  await report('room-a');
  site = siteOf(await api('GET /v1/status'));
  const alarms = alarmsOf(site, [], 0);
  assert.equal(alarms[0]!.title, 'room-a: every POP is down');
  assert.match(alarms[0]!.evidence, /pop-a1 up at 0 of 4 edges L4TOUT/);
  assert.ok(exported.plans.some((plan) => plan.plan === alarms[0]!.plan!.name), 'the plan that is named is there');
  const html = renderToString(<PanelView site={site} objects={inventory} alarms={alarms} samples={[]} now={0} />);
  assert.match(html, /✕ pop-a1/);
  assert.doesNotMatch(html, /NaN|undefined|\[object/);

  const choice = { plan: 'room-isolated', target: 'room-a', params: {} };
  const execution = await api('POST /v1/plans/{name}/run', { path: { name: choice.plan }, body: { target: choice.target, dry_run: true } });
  assert.doesNotMatch(renderToString(<PreviewView preview={execution} />), /NaN|undefined|\[object/);
  const preview = { choice, generation: site.generation, execution, key: newKey() };
  const open = gate(choice, preview, { generation: site.generation, stale: false, role: true }, 'room-a', 'fibre cut');
  const body = { target: 'room-a', confirm: 'room-a', reason: 'fibre cut', ...(open.ready ? {} : { overrides: (execution.refusals ?? []).map((one) => one.rule) }) };
  const runs = await Promise.all([1, 2, 3].map(() => api('POST /v1/plans/{name}/run', { path: { name: choice.plan }, key: preview.key, body })));
  assert.equal(new Set(runs.map((run) => run.id)).size, 1, 'however often it is pressed, it runs once');
  const events = await (await fetch('/v1/events?after=0&wait=0')).text();
  assert.match(events, new RegExp(`"kind":"execution","id":"${runs[0]!.id}"`));
  const run = await api('GET /v1/executions/{id}', { path: { id: runs[0]!.id! } });
  assert.equal(run.actor, 'alice');
  const text = renderToString(<ExecutionView run={run} now={Date.now()} />);
  assert.doesNotMatch(text, /NaN|undefined|\[object/);
  assert.match(text, /room\.ingress room-a/);
  site = siteOf(await api('GET /v1/status'));
  assert.equal(alarmsOf(site, alarms, 5)[0]!.plan, undefined, 'what was pressed is not asked for again');
  await api('DELETE /v1/session');
  await assert.rejects(api('GET /v1/status'), (error: ApiError) => error.status === 401);
});
