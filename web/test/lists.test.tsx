// Screens that are lists: what they say, and that hostile names stay text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JSX } from 'preact';
import { renderToString } from 'preact-render-to-string';
import { type Agent, type AuditEntry, type Control, type Execution, type Explained, levers, type Plan } from '../src/api_types';
import { handover, HeldView, heldOf, overdue } from '../src/controls';
import { Difference, findingsOf, lineDiff } from '../src/editor';
import { ExecutionView, paceOf, UndoView } from '../src/execution';
import { ExplainedView } from '../src/explain';
import { kindsOf, ObjectsView, UsedBy } from '../src/inventory';
import { Prechecks, StayingView } from '../src/failover_screen';
import { AgentsView, approvalsOf, ApprovalView, AuditView, CompareView, ExecutionsView } from '../src/lists';
import { match, targetsOf } from '../src/palette';
import { columnsOf, freshnessOf, Graph, PlansView, typedPlan, versionsOf, VersionsView } from '../src/plans';
import { DeliveriesView, GrantsView, WebhooksView } from '../src/settings';
import { ApiError } from '../src/api';

const no = (): void => undefined;
const show = (element: JSX.Element): string => renderToString(element);
const hourUs = 3_600_000_000, nowUs = 1_800_000_000_000_000;
const run = (name: string, over: Partial<Execution> = {}): Execution => ({
  id: name, plan: name, target: 'room-a', actor: 'alice', reason: name, state: 'succeeded', started_us: nowUs - hourUs, ended_us: nowUs - hourUs + 4_000_000,
  steps: [{ name, kind: 'set', state: 'succeeded', started_us: nowUs, ended_us: nowUs + 500_000 }], ...over,
});

test('every lever of the API is described: its kind and its values', () => {
  assert.ok(levers.length >= 18);
  assert.deepEqual(levers[0], { name: 'room.ingress', kind: 'room', values: 'one of open, closed', doc: "the room's public entrances: its POPs" });
  for (const lever of levers) assert.ok(lever.doc.length > 10 && lever.values.length > 3, lever.name);
});

test('levers off their defaults: who, since when, why, until when; the newest first', () => {
  const controls = [
    { control: 'room.ingress', object: 'room-a', value: 'closed', revision: 4, actor: 'alice', execution: 'room-isolated-1' },
    { control: 'split.pin', object: 'home', value: '0-49=room-b@2027-01-01T00:00:00Z', revision: 9, actor: 'bob', execution: null },
    { control: 'pop', object: 'pop-b1', value: 'default', revision: 11, actor: 'bob', execution: null },
  ] as Control[];
  const audit = [{ generation: 4, object: 'room.ingress/room-a', at_us: nowUs - hourUs, reason: 'fibre cut' }] as AuditEntry[];
  const held = heldOf(controls, audit);
  assert.deepEqual(held.map((one) => [one.object, one.why, one.until, one.sinceUs]), [['home', '', '2027-01-01T00:00:00Z', 0], ['room-a', 'fibre cut', '', nowUs - hourUs]]);
  assert.match(handover(held, 'two-rooms', nowUs / 1000), /2 off their defaults\n- split\.pin home is .*: bob, until 2027-01-01T00:00:00Z, which is over\n- room\.ingress room-a is closed: alice, run room-isolated-1, for 1 h 0 min, "fibre cut", until it is set back$/);
  assert.match(handover([], 'x', 0), /every lever is at its default$/);
  assert.match(show(<HeldView held={held} onPick={no} />), /Set back… room\.ingress room-a/);
});

test('reminders: a lever has an owner and an end, also one at its default; what is over is said; a lock is seen', () => {
  const controls = [{ control: 'room.ingress', object: 'room-a', value: 'closed', revision: 4, actor: 'alice' }] as Control[], until = new Date(nowUs / 1000 - 1000).toISOString();
  const reminders = [{ kind: 'reminder', name: 'r-1', on: 'room.ingress/room-a', owner: 'bob', why: 'splicing', until, lock: true }, { kind: 'reminder', name: 'r-2', on: 'pop/pop-b1', owner: 'carol', why: 'leave it in' }] as never;
  const held = heldOf(controls, [], reminders);
  assert.deepEqual(held.map((one) => [one.object, one.owner, one.locked, one.why, overdue(one, nowUs / 1000)]), [['room-a', 'bob', true, 'splicing', true], ['pop-b1', 'carol', false, 'leave it in', false]]);
  const text = handover(held, 'two-rooms', nowUs / 1000);
  assert.match(text, /room\.ingress room-a is closed, locked: ask bob; alice.*"splicing", until .*, which is over/);
  assert.match(text, /pop pop-b1 is default: ask carol/);
  const html = show(<HeldView held={held} onPick={no} nowMs={nowUs / 1000} />);
  assert.match(html, /locked/);
  assert.match(html, /▲ over/);
  assert.equal(html.match(/Set back… /g)!.length, 1, 'what is at its default is not set back');
});

test('two runs beside each other: who was slower, and what one of them has not', () => {
  const a = run('a'), b = run('b', { steps: [{ name: 'a', kind: 'set', state: 'succeeded', started_us: nowUs, ended_us: nowUs + 900_000 }, { name: 'only-b', kind: 'wait', state: 'running', started_us: nowUs, ended_us: 0 }] });
  const html = show(<CompareView a={a} b={b} />);
  assert.match(html, /succeeded, 0\.500 s.*succeeded, 0\.900 s.*\+0\.400 s/);
  assert.match(html, /only-b.*not there.*running/);
});

test('lines of two texts; versions of a plan; the plan as it is typed', () => {
  assert.deepEqual(lineDiff('a\nb\nc', 'a\nx\nc\nd').map(({ sign, line }) => sign + line), [' a', '-b', '+x', ' c', '+d']);
  assert.deepEqual(lineDiff('', 'a').map(({ sign }) => sign), ['-', '+']);
  const entry = (seq: number, object: string, before: string, after: string): AuditEntry => ({ seq, number: seq, at: '', at_us: 1, actor: 'carol', what: 'apply', object, before, after, generation: seq });
  const versions = versionsOf([entry(1, 'plan/p', '', '{"a":1}'), entry(2, 'plan/other', '', '{}'), entry(3, 'plan/p', '{"a":1}', '{"a":2}')], 'p');
  assert.deepEqual(versions.map((one) => one.seq), [3, 1]);
  assert.match(show(<VersionsView versions={versions} picked="3" onPick={no} />), /class="removed">- +(&quot;|")a(&quot;|"): 1/);
  assert.match(show(<VersionsView versions={[]} picked="" onPick={no} />), /nobody has changed it/);
  assert.deepEqual(typedPlan({ changes: [{ kind: 'pop', name: 'p' }, { kind: 'plan', name: 'p', after: { plan: 'p' } }] } as never, 'p'), { plan: 'p' });
  assert.equal(typedPlan(null, 'p'), null);
});

test('prechecks: what stands in the way first, with limit, age and what mends it; what passes behind one line', () => {
  const checks = [{ name: 'levers', state: 'pass', value: '3 are free', override: false }, { name: 'figures', state: 'warn', value: '3 of 4', limit: 'half', age_ms: 1500, mend: 'wait', override: false }, { name: 'last-open', state: 'block', value: 'none open', mend: 'open one', override: true }];
  const html = show(<Prechecks checks={checks as never} />);
  assert.ok(html.indexOf('last-open') < html.indexOf('figures') && html.indexOf('figures') < html.indexOf('levers'));
  assert.match(html, /limit: half; 1 s old.*<p class="mend">wait/);
  assert.match(html, /✓ 1 of 3 prechecks pass/);
  assert.match(show(<StayingView stays={[{ service: 'creator', room: 'room-a', rate: 35, road: 'nobody answers', reached: false }]} />), /class="bad"><b>creator<\/b>.*35\/s now.*nobody answers/);
  const undo = show(<UndoView undo={{ controls: [{ control: 'pop', object: 'pop-a1', value: 'default' }], left: ['pop/pop-a2 was moved since by bob'], calls: 1, forecast: { known: true, rows: [], notes: [], moved: 1, moved_failing: 0, lost: 0, total: 5 }, refusals: [] } as never} />);
  assert.match(undo, /1 undo call of hooks.*pop.*pop-a1.*to.*default.*stays:.*by bob/s);
});

test('approvals: those that wait and those to be reviewed; never by who started it', () => {
  const runs = [run('site-evacuate', { state: 'running', ended_us: 0, steps: [{ name: 'ask', kind: 'approve', state: 'running', started_us: 1, ended_us: 0, binding: 'b7', text: 'closes room-a' }] }),
    run('old', { steps: [{ name: 'ask', kind: 'approve', state: 'succeeded', started_us: 1, ended_us: 2, review: 'bob' }] }), run('done')];
  const found = approvalsOf(runs);
  assert.deepEqual(found.map((one) => [one.run.id, one.review, one.binding]), [['site-evacuate', false, 'b7'], ['old', true, '']]);
  assert.match(show(<ApprovalView one={found[0]!} who="bob" busy={false} onAct={no} />), /<button type="button" class="main">Approve site-evacuate room-a/);
  assert.match(show(<ApprovalView one={found[0]!} who="bob" busy={false} onAct={no} />), /disabled>Emergency/, 'alone only with a reason');
  assert.doesNotMatch(show(<ApprovalView one={found[0]!} who="alice" reason="fire" busy={false} onAct={no} />), /disabled>Emergency/);
  assert.match(show(<ApprovalView one={found[1]!} who="bob" reason="fire" busy={false} onAct={no} />), /disabled>Reviewed/, 'nobody reviews himself');
  assert.doesNotMatch(show(<ApprovalView one={found[1]!} who="carol" reason="fire" busy={false} onAct={no} />), /disabled>Reviewed/);
  assert.match(show(<ApprovalView one={found[0]!} who="alice" busy={false} onAct={no} />), /<button type="button" class="main" disabled>Approve/);
});

test('a step beside what it usually takes; a run that was slow is marked in the list', () => {
  const fast = [1, 2, 3, 4].map((n) => run('p', { id: String(n) }));
  assert.deepEqual([...paceOf('p', fast)], [['p', 500]]);
  assert.deepEqual([...paceOf('other', fast)], []);
  assert.match(show(<ExecutionView run={fast[0]!} now={0} past={fast} />), /0\.500 s, usually 0\.500 s/);
  assert.match(show(<ExecutionsView runs={[...fast, run('p', { ended_us: nowUs })]} wanted="" />), /▲ slow/);
  assert.doesNotMatch(show(<ExecutionsView runs={fast} wanted="" />), /slow/);
  assert.match(show(<ExecutionsView runs={fast} wanted="failed" />), /No plan was run yet/);
});

test('plans: never run and long ago are said; steps stand behind what they need', () => {
  const plan = { plan: 'p', target: 'room', steps: [{ name: 'a', set: [{ control: 'pop', on: 'x', value: 'out' }] }, { name: 'b', needs: ['a'], wait: 'edges' }, { name: 'c', needs: ['a'], wait: 'dns' }, { name: 'd', verify: 'share' }] } as unknown as Plan;
  assert.deepEqual(columnsOf(plan.steps).map((column) => column.map((step) => step.name)), [['a'], ['b', 'c'], ['d']]);
  assert.match(show(<PlansView rows={freshnessOf([plan], [], nowUs / 1000)} />), /▲ never/);
  assert.match(show(<PlansView rows={freshnessOf([plan], [run('p')], nowUs / 1000 + 91 * 86_400_000)} />), /▲ long ago/);
  assert.doesNotMatch(show(<PlansView rows={freshnessOf([plan], [run('p')], nowUs / 1000)} />), /▲/);
});

test('an edge that has not proved the generation is marked beside it', () => {
  const agents = [{ name: 'edge-1', kind: 'edge', epoch: 1, generation: 6, state: 'applied', age_ms: 100 }] as Agent[];
  assert.match(show(<AgentsView agents={agents} epoch={1} generation={7} />), /≠ <!-- -->7|≠ 7/);
  assert.doesNotMatch(show(<AgentsView agents={agents} epoch={1} generation={6} />), /≠/);
});

test('the audit: the newest first, and what is long behind its beginning', () => {
  const row = { number: 1, at: '', at_us: 1, actor: 'alice', what: 'apply', generation: 1 };
  const html = show(<AuditView rows={[{ ...row, seq: 1, object: 'old' }, { ...row, seq: 2, object: 'new', after: 'y'.repeat(500) },
    { ...row, seq: 3, what: 'logged in', object: `session/${'0123456789abcdef'.repeat(4)}` }]} />);
  assert.match(html, /logged in session\/0123456789ab…</);
  assert.ok(html.indexOf('new') < html.indexOf('old'));
  assert.match(html, /<summary>y{60}…<\/summary>y{500}/);
});

test('a long table is drawn in parts', () => {
  const objects = Array.from({ length: 10_000 }, (_, n) => ({ kind: 'domain', name: `d${n}.example.test`, group: 'core' }));
  const html = show(<ObjectsView kind="domain" objects={objects as never} />);
  assert.equal(html.match(/<tr>/g)!.length, 201);
  assert.match(html, /9800<!-- -->? ?more|9800 more/);
  assert.deepEqual(kindsOf(objects as never), [{ kind: 'domain', count: 10_000 }]);
});

test('the palette: all words, beginnings of words first', () => {
  const targets = targetsOf([{ name: 'Panel', url: '/' }], [{ kind: 'room', name: 'room-a' }, { kind: 'domain', name: 'a.room.test' }], ['room-isolated'], []);
  assert.deepEqual(match(targets, 'room isol').map((one) => one.name), ['plan room-isolated']);
  assert.deepEqual(match(targets, 'room-a').map((one) => one.name), ['move room room-a', 'room room-a']);
  assert.equal(match(targets, 'dom')[0]!.url, '/inventory/domain/a.room.test');
  assert.equal(match(targets, 'move room')[0]!.url, '/failover?target=room-a');
  assert.deepEqual(match(targets, 'nothing'), []);
  assert.equal(match(targets, '').length, targets.length);
});

test('what the server finds in a text is said; a text that is none is no question', () => {
  assert.deepEqual(findingsOf(new ApiError(400, 't', 'd', [{ text: 'pop p: city: found 7' } as never])), ['pop p: city: found 7']);
  assert.match(findingsOf(new SyntaxError('Unexpected token'))[0]!, /Unexpected token/);
  assert.match(show(<Difference checked={{ of: '', applied: { diff: '- a\n+ b\n', changes: [{}] } as never }} />), /class="removed">- a/);
});

test('hostile names stay text on each of these screens', () => {
  const evil = '"><img src=x onerror=alert(1)><script>alert(2)</script>\u202e\u{1f525}' + 'x'.repeat(4000);
  const bad = run(evil, { target: evil, actor: evil, error: evil, state: 'failed' }), step = { name: evil, kind: evil, state: 'running', started_us: 1, ended_us: 0, binding: evil, text: evil };
  const found = { url: evil, group: evil, policy: evil, turns: [{ at: evil, is: evil, why: evil }], observed: [{ edge: evil, room: evil, via: evil, requests: 1, failed: 1, rate: 1 }], probes: [{ edge: evil, room: evil }],
    edges: [{ edge: evil, state: 'silent' }], origins: [{ edge: evil, room: evil, via: evil, up: false, status: evil }], holds: [{ edge: evil, room: evil }] } as unknown as Explained;
  const screens = [
    <ExecutionsView runs={[bad]} wanted="" />, <ApprovalView one={{ run: bad, step: evil, text: evil, binding: evil, review: true, by: evil }} who="" busy={false} onAct={no} />,
    <AuditView rows={[{ seq: 1, number: 1, at: evil, at_us: 1, actor: evil, reason: evil, what: evil, object: evil, before: evil, after: evil, generation: 1, execution: evil, overrides: [evil] }]} />,
    <AgentsView agents={[{ name: evil, kind: evil, epoch: 1, generation: 1, state: evil, age_ms: 1, error: evil, holds: evil }]} epoch={1} generation={2} />,
    <HeldView held={heldOf([{ control: 'pop', object: evil, value: evil, revision: 1, actor: evil, execution: evil }], [])} onPick={no} />, <ExplainedView found={found} />,
    <ObjectsView kind={evil} objects={[{ kind: evil, name: evil, city: evil }] as never} />, <UsedBy users={[{ kind: evil, name: evil, field: evil }]} />,
    <PlansView rows={freshnessOf([{ plan: evil, summary: evil, target: evil, steps: [] }] as never, [bad], 1)} />, <Graph steps={[{ ...step, wait: evil, on_failure: evil }] as never} />,
    <GrantsView what={evil} rows={[{ name: evil, role: evil, scopes: [evil] }]} onDelete={no} />, <WebhooksView rows={[{ name: evil, url: evil, events: [evil], state: evil, attempts: 2, failing_us: 0, next_us: 0, why: evil }]} onTest={no} />,
    <Difference checked={{ of: '', findings: [evil] }} />, <Prechecks checks={[{ name: evil, state: 'block', value: evil, limit: evil, mend: evil, override: true }]} />, <StayingView stays={[{ service: evil, room: evil, rate: 1, road: evil, reached: false }]} />,
    <UndoView undo={{ controls: [{ control: 'pop', object: evil, value: evil }], left: [evil], calls: 0, forecast: { known: true, total: 1, moved: 1, moved_failing: 0, lost: 0, rows: [], notes: [evil] }, refusals: [{ rule: evil, figures: evil, way_round: evil }] }} />,
    <CompareView a={bad} b={bad} />, <VersionsView versions={[{ seq: 1, number: 1, at: '', at_us: 1, actor: evil, what: 'apply', before: evil, after: evil, generation: 1 }]} picked="1" onPick={no} />, <DeliveriesView rows={[{ number: 1, id: evil, type: evil, subject: evil, state: evil, attempt: 1, status: 0, latency_us: 1, at_us: 1, next_us: 0, error: evil }]} />,
    <HeldView held={heldOf([], [], [{ kind: 'reminder', name: evil, on: `pop/${evil}`, owner: evil, why: evil, until: evil }] as never)} onPick={no} />, <Difference checked={{ of: '', applied: { diff: evil, changes: [{}], refusals: [{ rule: evil, figures: evil, way_round: evil }] } as never }} />,
  ];
  for (const [i, screen] of screens.entries()) {
    const html = show(screen);
    assert.doesNotMatch(html, /<(img|script)/i, `screen ${i}`);
    assert.doesNotMatch(html, /<[^>]* onerror=/i, `screen ${i}`);
    assert.match(html, /&lt;img src=x/, `screen ${i}`);
    assert.doesNotMatch(html, / style="|NaN|\[object/, `screen ${i}`);
  }
});
