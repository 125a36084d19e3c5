// What stands between a plan and its button.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Choice, command, expectedS, gate, newsOf, plansFor, type Preview, rowsOf } from '../src/failover';

const choice: Choice = { plan: 'room-isolated', target: 'room-a', params: {} };
const preview = (over: object = {}): Preview => ({ choice, key: 'k', execution: { generation: 4, steps: [], refusals: [], ...over } as never });
const now = { generation: 4, stale: false, role: true };

test('the button opens for the name, a reason and a preview of just this', () => {
  assert.deepEqual(gate(choice, preview(), now, 'room-a', 'fibre cut'), { ready: true });
  const shut: Array<[ReturnType<typeof gate>, RegExp]> = [
    [gate(choice, null, now, 'room-a', 'x'), /no preview/],
    [gate(choice, preview(), now, '', 'x'), /not typed/],
    [gate(choice, preview(), now, 'room-', 'x'), /not typed/],
    [gate(choice, preview(), now, 'room-b', 'x'), /not typed/],
    [gate(choice, preview(), now, 'Room-a', 'x'), /not typed/],
    [gate(choice, preview(), now, 'room-a', '  '), /no reason/],
    [gate(choice, preview(), { ...now, stale: true }, 'room-a', 'x'), /may be old/],
    [gate(choice, preview(), { ...now, role: false }, 'room-a', 'x'), /role only looks/],
    [gate(choice, preview(), { ...now, generation: 5 }, 'room-a', 'x'), /changed since the preview \(generation 4, now 5\)/],
    [gate({ ...choice, target: 'room-b' }, preview(), now, 'room-b', 'x'), /no preview/],
    [gate({ ...choice, params: { to: 'room-b' } }, preview(), now, 'room-a', 'x'), /no preview/],
  ];
  for (const [found, why] of shut) assert.match(found.ready ? '' : found.why, why);
});

test('a refusal shuts the button, says why and what mends it', () => {
  const refusals = [{ rule: 'capacity-kept', figures: '900 of 700', way_round: 'Degrade normal services first.' }];
  assert.deepEqual(gate(choice, preview({ refusals }), now, 'room-a', 'x'),
    { ready: false, why: 'Blocked by capacity-kept.', mend: 'Degrade normal services first.' });
  assert.deepEqual(gate(choice, preview({ refusals }), now, 'room-a', 'x', ['capacity-kept']), { ready: true }, 'a person passes it over');
});

const check = (name: string, state: string, over: object = {}) => ({ name, state, value: `${name} is so`, limit: null, age_ms: 800, mend: state === 'pass' ? null : `mend ${name}`, override: false, ...over });

test('a precheck that blocks shuts the button and says what mends it; a warning does not; only a rule is passed over, by its name', () => {
  const checks = [check('figures', 'warn'), check('share-moved', 'block', { override: true }), check('room-open', 'block')];
  assert.deepEqual(gate(choice, preview({ checks }), now, 'room-a', 'x'), { ready: false, why: 'Blocked by share-moved, room-open.', mend: 'mend share-moved mend room-open' });
  assert.deepEqual(gate(choice, preview({ checks }), now, 'room-a', 'x', ['share-moved', 'room-open']), { ready: false, why: 'Blocked by room-open.', mend: 'mend room-open' });
  assert.deepEqual(gate(choice, preview({ checks: checks.slice(0, 2) }), now, 'room-a', 'x', ['share-moved']), { ready: true });
  assert.deepEqual(gate(choice, preview({ checks: checks.slice(0, 1) }), now, 'room-a', 'x'), { ready: true });
  assert.equal(command(choice, '', ['share-moved']), 'signalbox plan run room-isolated --confirm room-a --override share-moved');
});

test('a preview that was refused shuts the button until somebody has looked again', () => {
  const found = gate(choice, { ...preview(), key: '' }, now, 'room-a', 'x');
  assert.match(found.ready ? '' : `${found.why} ${found.mend}`, /has changed since.*Preview again/);
});

test('what is different between two looks', () => {
  const at = (checks: object[], text = '') => ({ steps: [{ name: 's', text }], checks }) as never;
  assert.deepEqual(newsOf(at([check('a', 'pass'), check('b', 'warn')]), at([check('a', 'pass', { value: 'other' }), check('b', 'warn')])), [], 'figures that pass go up and down');
  assert.deepEqual(newsOf(at([check('a', 'pass'), check('gone', 'warn')]), at([check('a', 'block'), check('new', 'warn')], 'x')),
    ['a was pass (a is so), is block: a is so', 'new: new is so', 'gone is looked at no more: gone is so', 'The steps are not the same.']);
});

test('the command is the same thing, safe to paste', () => {
  assert.equal(command(choice, ''), 'signalbox plan run room-isolated --confirm room-a');
  assert.equal(command({ ...choice, plan: 'service-switch', target: 'home', params: { to: 'room-b' } }, " it's; $(reboot) "),
    "signalbox plan run service-switch --confirm home --param to=room-b --reason 'it'\\''s; $(reboot)'");
});

test('what changes most stands first', () => {
  const row = (kind: string, name: string, before: number, after: number) => ({ kind, name, before, after });
  assert.deepEqual(rowsOf([row('room', 'b', 5, 5), row('edge', 'e', 1, 1), row('room', 'a', 5, 9), row('room', 'c', 9, 0)])
    .map((group) => [group.kind, group.rows.map((one) => one.name)]), [['room', ['c', 'a', 'b']], ['edge', ['e']]]);
});

test('expected time: of runs of this plan that went well', () => {
  const run = (plan: string, state: string, s: number) => ({ plan, state, started_us: 1e6, ended_us: 1e6 + s * 1e6 }) as never;
  assert.equal(expectedS('p', [run('q', 'succeeded', 9), run('p', 'failed', 99)]), null);
  assert.deepEqual(expectedS('p', [1, 2, 3, 40].map((s) => run('p', 'succeeded', s))), { p75: 3, runs: 4 });
  assert.deepEqual(plansFor([{ plan: 'a', target: 'room' }, { plan: 'b', target: 'pop' }, { plan: 'c' }] as never, 'room').map((one) => one.plan), ['a']);
});
