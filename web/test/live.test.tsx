// The console's own code against a real signalboxd: it logs in, sees what two edges report, looks at the plan, runs it.
// ctest gives the programs (SIGNALBOXD, SIGNALBOX); without them there is nothing to be tested.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { renderToString } from 'preact-render-to-string';
import { api, ApiError, newKey, setSecond } from '../src/api';
import { ExecutionView } from '../src/execution';
import { gate } from '../src/failover';
import { PreviewView } from '../src/failover_screen';
import { layout } from '../src/layout';
import { PanelView } from '../src/panel';
import { inventoryOf, roomHealth, siteOf, unconverged } from '../src/site';
import { password, programs, realFetch, Rig } from './rig';

const rig = new Rig();
let cookie = '';

/** As a browser: relative, with the cookie that was set. */
const browserFetch = async (path: string, init: RequestInit = {}): Promise<Response> => {
  const answer = await realFetch(rig.base + path, { ...init, headers: { ...(init.headers as Record<string, string>), ...(cookie === '' ? {} : { Cookie: cookie }) } });
  const set = answer.headers.get('set-cookie');
  if (set !== null) cookie = set.split(';')[0]!;
  return answer;
};

before(async () => {
  if (!programs) return;
  await rig.start();
  await rig.populate(true);
  globalThis.fetch = browserFetch as typeof fetch;
});
after(async () => {
  globalThis.fetch = realFetch;
  await rig.end();
});

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
  await rig.report({ down: null });
  let site = siteOf(await api('GET /v1/status'));
  assert.deepEqual(site.rooms.map((room) => roomHealth(room, site)), ['ok', 'ok']);
  assert.deepEqual(site.alarms.filter((alarm) => alarm.priority === 1), []);
  assert.ok(site.edges.every((edge) => !unconverged(edge, site)));

  await rig.report({ down: 'room-a' });
  site = siteOf(await api('GET /v1/status'));
  const { alarms } = site;
  assert.equal(alarms[0]!.title, 'room-a: every POP is down');
  assert.match(alarms[0]!.evidence, /pop-a1 down at 2 of 2 edges, L4TOUT/);
  assert.ok(exported.plans.some((plan) => plan.plan === alarms[0]!.plan), 'the plan that is named is there');
  const html = renderToString(<PanelView site={site} objects={inventory} samples={[]} now={0} />);
  assert.match(html, /✕ pop-a1/);
  assert.doesNotMatch(html, /NaN|undefined|\[object/);

  const choice = { plan: 'room-isolated', target: 'room-a', params: {} };
  const execution = await api('POST /v1/plans/{name}/run', { path: { name: choice.plan }, body: { target: choice.target, dry_run: true } });
  assert.doesNotMatch(renderToString(<PreviewView preview={execution} />), /NaN|undefined|\[object/);
  const preview = { choice, execution, key: newKey() };
  assert.equal(execution.generation, site.generation);
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
  assert.equal(site.alarms.find((alarm) => alarm.key === 'entrances/room-a')!.plan, null, 'what was pressed is not asked for again');
  await api('DELETE /v1/session');
  await assert.rejects(api('GET /v1/status'), (error: ApiError) => error.status === 401);
});
