// The console's own code against a real signalboxd: it logs in, sees what two edges report, looks at the plan, runs it.
// ctest gives the programs (SIGNALBOXD, SIGNALBOX); without them there is nothing to be tested.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { renderToString } from 'preact-render-to-string';
import { api, ApiError, newKey, setSecond } from '../src/api';
import { HeldView, heldOf, remindersOf } from '../src/controls';
import { Difference, findingsOf } from '../src/editor';
import { ExecutionView, UndoView } from '../src/execution';
import { ExplainedView } from '../src/explain';
import { gate } from '../src/failover';
import { ForecastView, PreviewView } from '../src/failover_screen';
import { UsedBy } from '../src/inventory';
import { AgentsView, AuditView, ExecutionsView } from '../src/lists';
import { freshnessOf, Graph, PlansView, typedPlan, versionsOf, VersionsView } from '../src/plans';
import { GrantsView, WebhooksView } from '../src/settings';
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
  const checks = Object.fromEntries(execution.checks!.map((one) => [one.name, one.state]));
  assert.equal(checks['figures'], 'pass', JSON.stringify(execution.checks));
  assert.equal(checks['room-open'], 'pass');
  assert.deepEqual(execution.stays!.map((one) => [one.service, one.reached]), [['creator', true], ['upload', true]]);
  // Somebody looks after it.
  const taken = await api('POST /v1/alarms/{kind}/{object}/acks', { path: { kind: 'entrances', object: 'room-a' }, key: newKey(), body: { reason: 'on it' } });
  assert.deepEqual([taken.state, taken.ack.actor], ['acknowledged', 'alice']);
  assert.equal(siteOf(await api('GET /v1/status')).alarms[0]!.ack!.reason, 'on it');
  const body = { target: 'room-a', confirm: 'room-a', reason: 'fibre cut', checks, ...(open.ready ? {} : { overrides: (execution.refusals ?? []).map((one) => one.rule) }) };
  await rig.report({ down: 'room-a', silent: ['edge-3', 'edge-4'] });
  const worse = { ...body, checks: { ...checks, nameservers: 'pass' } };
  await assert.rejects(api('POST /v1/plans/{name}/run', { path: { name: choice.plan }, body: worse }), (error: ApiError) => error.status === 412 && /nameservers was pass and is warn/.test(error.message));
  const runs = await Promise.all([1, 2, 3].map(() => api('POST /v1/plans/{name}/run', { path: { name: choice.plan }, key: preview.key, body })));
  assert.equal(new Set(runs.map((run) => run.id)).size, 1, 'however often it is pressed, it runs once');
  const events = await (await fetch('/v1/events?after=0&wait=0')).text();
  assert.match(events, new RegExp(`"kind":"execution","id":"${runs[0]!.id}"`));
  const run = await api('GET /v1/executions/{id}', { path: { id: runs[0]!.id! } });
  assert.equal(run.actor, 'alice');
  const text = renderToString(<ExecutionView run={run} now={Date.now()} />);
  assert.doesNotMatch(text, /NaN|undefined|\[object/);
  assert.match(text, /room\.ingress room-a/);
  const undo = await api('GET /v1/executions/{id}/undo', { path: { id: run.id! } });
  assert.deepEqual(undo.controls.map((one) => `${one.control}/${one.object}`).sort(), [...new Set(run.writes!.map((one) => `${one.control}/${one.object}`))].sort());
  assert.doesNotMatch(renderToString(<UndoView undo={undo} />), /NaN|undefined|\[object/);
  site = siteOf(await api('GET /v1/status'));
  assert.equal(site.alarms.find((alarm) => alarm.key === 'entrances/room-a')!.plan, null, 'what was pressed is not asked for again');
  await api('DELETE /v1/session');
  await assert.rejects(api('GET /v1/status'), (error: ApiError) => error.status === 401);
});

test('every screen gets its answers: levers, explain, objects, plans, audit, people', { skip: !programs, timeout: 60_000 }, async () => {
  const who = await api('POST /v1/session', { body: { name: 'carol', password } });
  setSecond(who.csrf!);
  const text = (element: Parameters<typeof renderToString>[0]): string => {
    const html = renderToString(element);
    assert.doesNotMatch(html, /NaN|undefined|\[object/);
    return html;
  };
  // A lever, with what it was when it was looked at.
  const lever = { lever: 'pop', object: 'pop-b1' }, before = await api('GET /v1/controls/{lever}/{object}', { path: lever }), put = (revision: number) =>
    api('PUT /v1/controls/{lever}/{object}', { path: lever, ifMatch: `"${revision}"`, key: newKey(), body: { value: 'out', reason: 'a test' } });
  const forecast = await api('POST /v1/forecast', { body: { changes: [{ control: 'pop', object: 'pop-b1', value: 'out' }] } });
  text(<ForecastView forecast={forecast.forecast} refusals={forecast.refusals ?? []} />);
  await put(before.revision);
  await assert.rejects(put(before.revision), (error: ApiError) => error.status === 412, 'somebody has moved it meanwhile');
  const [controls, audit] = [await api('GET /v1/controls'), await api('GET /v1/audit', { query: { limit: 1000 } })];
  const held = heldOf(controls.controls, audit.audit);
  assert.deepEqual([held[0]!.object, held[0]!.actor, held[0]!.why], ['pop-b1', 'carol', 'a test']);
  assert.ok(held[0]!.sinceUs > 0);
  text(<HeldView held={held} onPick={() => undefined} />);
  text(<AuditView rows={audit.audit} />);
  assert.deepEqual((await api('GET /v1/audit/verify')).findings, []);

  const explained = await api('GET /v1/explain', { query: { url: 'http://creator.example.test/upload', user: '42' } });
  assert.match(text(<ExplainedView found={explained} />), /policy creator\.upload|policy <!-- -->creator/);

  const then = await api('GET /v1/history/status', { query: { at: (held[0]!.sinceUs - 1000) } });
  assert.deepEqual([then, await api('GET /v1/status')].map((status) => siteOf(status).entrances.find((row) => row.via === 'pop-b1')!.control), ['in', 'out'], 'a moment before it was moved');

  // An object: checked while it is typed, saved with what it was.
  const path = { kind: 'pop', name: 'pop-a1' }, { revision, ...pop } = await api('GET /v1/inventory/{kind}/{name}', { path }) as unknown as Record<string, unknown>;
  const change = (body: object, dry: boolean) => api('PUT /v1/inventory/{kind}/{name}', { path, ...(dry ? { query: { dry_run: 1 } } : { key: newKey() }), ifMatch: `"${String(revision)}"`, body: body as never });
  assert.deepEqual((await change(pop, true)).changes, []);
  assert.match(text(<Difference checked={{ of: '', applied: await change({ ...pop, city: 'Nantong' }, true) }} />), /Nantong/);
  await assert.rejects(change({ ...pop, city: 7 }, true), (error) => findingsOf(error).some((line) => /city: found 7/.test(line)));
  assert.equal((await change({ ...pop, city: 'Nantong', reason: 'a test' }, false)).changes.length, 1);
  text(<UsedBy users={(await api('GET /v1/inventory/{kind}/{name}/users', { path: { kind: 'room', name: 'room-a' } })).users} />);

  // A plan: the same, whole.
  const plan = await api('GET /v1/plans/{name}', { path: { name: 'room-isolated' } }), check = (one: object) => api('POST /v1/apply', { query: { dry_run: 1 }, body: { plans: [one] } as never });
  assert.deepEqual((await check(plan)).changes, []);
  assert.equal((await check({ ...plan, summary: 'another' })).changes.length, 1);
  await assert.rejects(check({ ...plan, steps: [{ name: 'x', wait: 'for godot' }] }), (error) => findingsOf(error).some((line) => /godot/.test(line)));
  text(<Graph steps={plan.steps} />);
  // The same as text, as it is typed; what is wrong is said with its line.
  const { yaml } = await api('GET /v1/plans/{name}/text', { path: { name: 'room-isolated' } }), typed = (words: string) => api('POST /v1/apply', { query: { dry_run: 1 }, body: { yaml: words } });
  assert.deepEqual((await typed(yaml)).changes, []);
  assert.deepEqual(typedPlan(await typed(yaml.replace(/summary: .*/, 'summary: another')), 'room-isolated')!.summary, 'another');
  await assert.rejects(typed(yaml.replace('wait: edges', 'wait: for godot')), (error) => findingsOf(error).some((line) => /line:\d+.*godot/.test(line)), 'godot');
  await assert.rejects(typed('a: [b'), (error) => findingsOf(error).some((line) => /^line:\d+: .*/.test(line)), 'no YAML');
  const saved = await api('POST /v1/apply', { key: newKey(), body: { yaml: yaml.replace(/summary: .*/, 'summary: another'), reason: 'a test' } });
  const versions = versionsOf((await api('GET /v1/audit', { query: { limit: 1000 } })).audit, 'room-isolated');
  assert.equal(versions[0]!.generation, saved.generation);
  assert.match(text(<VersionsView versions={versions} picked={String(saved.generation)} onPick={() => undefined} />), /class="added">\+ .*another/);
  // A lock on a lever: who moves it is refused by the reminder's name, and may pass it over.
  const path2 = { name: 'keep-a2' }, pin = { on: 'pop/pop-a2', lock: true, owner: 'bob', why: 'a splice', until: '2099-01-01T00:00:00Z' };
  await api('PUT /v1/reminders/{name}', { path: path2, ifMatch: '"0"', key: newKey(), body: pin as never });
  const out = (overrides: string[]) => api('PUT /v1/controls/{lever}/{object}', { path: { lever: 'pop', object: 'pop-a2' }, ifMatch: '*', key: newKey(), body: { value: 'out', reason: 'x', overrides } });
  await assert.rejects(out([]), (error: ApiError) => error.status === 409 && /pop\/pop-a2 is locked by bob until 2099/.test(error.message), 'locked');
  await assert.rejects(out(['share-moved']), /is locked by bob/);
  await out(['keep-a2']);
  const hung = heldOf((await api('GET /v1/controls')).controls, audit.audit, remindersOf((await api('GET /v1/export')).objects));
  assert.deepEqual(hung.filter((one) => one.locked).map((one) => [one.object, one.owner, one.until]), [['pop-a2', 'bob', pin.until]]);
  await assert.rejects(api('PUT /v1/reminders/{name}', { path: { name: 'x' }, ifMatch: '"0"', body: { ...pin, on: 'pop/none' } as never }), (error) => findingsOf(error).some((line) => /reminder x: on: found "pop\/none"/.test(line)), 'no such lever');
  await api('DELETE /v1/reminders/{name}', { path: path2, ifMatch: '*', key: newKey() });
  const runs = (await api('GET /v1/executions', { query: { limit: 200 } })).executions;
  text(<ExecutionsView runs={runs} wanted="" />);
  text(<PlansView rows={freshnessOf((await api('GET /v1/plans')).plans, runs, Date.now())} />);
  text(<AgentsView agents={(await api('GET /v1/agents')).agents} epoch={1} generation={1} />);
  assert.deepEqual((await api('GET /v1/users')).users.map((row) => row['name']).sort(), ['alice', 'carol', 'victor']);
  text(<GrantsView what="token" rows={(await api('GET /v1/tokens')).tokens} onDelete={() => undefined} />);
  text(<WebhooksView rows={(await api('GET /v1/webhooks')).webhooks} onTest={() => undefined} />);
  await api('DELETE /v1/session');
  setSecond(null);
});
