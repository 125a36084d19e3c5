// controls.tsx: levers: which are off their defaults, who holds them and why, and one moved by hand. The list is what a
// shift hands to the next.
import { useState } from 'preact/hooks';
import { api, newKey } from './api';
import { type AuditEntry, type Control, type ControlsSet, type Lever, levers, type Object_reminder } from './api_types';
import { inventory, may, nowMs, session, stale, state, things } from './app';
import { goQuery, place } from './browser';
import { ForecastView, PassOver } from './failover_screen';
import { type Column, Field, Select, Table, Twin, useAct, useAsk, Waiting, When, Wrong } from './parts';
import { age, reasoned, shellWord } from './site';

export type Reminder = Object_reminder;
export const remindersOf = (all: ReadonlyArray<{ kind: string }>): Reminder[] => all.filter((one) => one.kind === 'reminder') as unknown as Reminder[];
export interface Held extends Control { sinceUs: number; why: string; until: string; owner: string; locked: boolean }
/** Levers off their defaults, and those that hang a reminder, the newest first, with what the audit knows of them. */
export function heldOf(controls: Control[], audit: AuditEntry[], reminders: readonly Reminder[] = []): Held[] {
  const at = new Map(reminders.map((one) => [one.on, one])), known = new Set(controls.map((one) => `${one.control}/${one.object}`));
  const bare = reminders.filter((one) => !known.has(one.on)).map((one): Control => ({ control: one.on.split('/')[0] as Lever, object: one.on.slice(one.on.indexOf('/') + 1), value: 'default', revision: 0 }));
  return [...controls, ...bare].filter((one) => one.value !== 'default' || at.has(`${one.control}/${one.object}`)).sort((a, b) => b.revision - a.revision).map((one) => {
    const reminder = at.get(`${one.control}/${one.object}`);
    const entry = audit.find((row) => row.generation === one.revision && (row.object ?? '').endsWith(one.object)) ?? audit.find((row) => row.generation === one.revision);
    return { ...one, sinceUs: one.revision > 0 ? entry?.at_us ?? 0 : 0, why: [one.revision > 0 ? entry?.reason ?? '' : '', reminder?.why ?? ''].filter((text) => text !== '').join('; '),
      until: reminder?.until ?? /@(\S+)$/.exec(one.value)?.[1] ?? '', owner: reminder?.owner ?? '', locked: reminder?.lock === true };
  });
}
/** It should have been set back by now. */
export const overdue = (one: Held, nowMs: number): boolean => one.until !== '' && Date.parse(one.until) < nowMs;
/** For the next shift, in a chat or on paper. */
export function handover(held: Held[], cluster: string, nowMs: number): string {
  const rows = held.map((one) => `- ${one.control} ${one.object} is ${one.value}${one.locked ? ', locked' : ''}: ${one.owner !== '' ? `ask ${one.owner}; ` : ''}${one.actor ?? 'nobody'}${one.execution ? `, run ${one.execution}` : ''}` +
    `${one.sinceUs > 0 ? `, for ${age(nowMs - one.sinceUs / 1000)}` : ''}${one.why === '' ? '' : `, "${one.why}"`}${one.until === '' ? ', until it is set back' : `, until ${one.until}${overdue(one, nowMs) ? ', which is over' : ''}`}`);
  return `${cluster}, ${new Date(nowMs).toISOString().slice(0, 16)} UTC: ${rows.length === 0 ? 'every lever is at its default' : `${rows.length} off their defaults`}\n${rows.join('\n')}`.trim();
}

export function HeldView({ held, onPick, nowMs = 0 }: { held: Held[]; onPick: (one: Held) => void; nowMs?: number }) {
  const columns: Column<Held>[] = [
    { name: 'lever', cell: (one) => `${one.control} ${one.object}` },
    { name: 'is', cell: (one) => <>{one.value}{one.locked && <b> ⊠ locked</b>}</> },
    { name: 'owner', cell: (one) => one.owner || one.actor },
    { name: 'who', cell: (one) => <>{one.actor}{one.execution ? <>, <a href={`/executions/${encodeURIComponent(one.execution)}`}>run</a></> : ' by hand'}</> },
    { name: 'since (UTC)', cell: (one) => (one.sinceUs > 0 ? <When us={one.sinceUs} /> : `generation ${one.revision}`) },
    { name: 'why', cell: (one) => one.why },
    { name: 'until', cell: (one) => <>{one.until}{overdue(one, nowMs) && <b class="warned"> ▲ over</b>}</> },
    { name: '', cell: (one) => (one.value === 'default' ? '' : <button type="button" class="quiet" onClick={() => onPick(one)} aria-label={`Set back… ${one.control} ${one.object}`}>Set back…</button>) },
  ];
  return <Table label="levers off their defaults" rows={held} columns={columns} empty="Every lever is at its default." text={(one) => `${one.control} ${one.object} ${one.value} ${one.actor} ${one.why}`} />;
}

/** Levers of a room move everybody in it: who does that types its name. */
const wide = (name: string): boolean => levers.find((lever) => lever.name === name)?.kind === 'room';

function Mover({ onMoved }: { onMoved: () => void }) {
  const query = place.value.query, name = query.get('lever') ?? '', object = query.get('object') ?? '', value = query.get('value') ?? '';
  const lever = levers.find((one) => one.name === name), { busy, wrong, act } = useAct();
  const [seen, setSeen] = useState<{ of: string; revision: number; result: ControlsSet } | null>(null), [reason, setReason] = useState(''), [typed, setTyped] = useState(''), [passed, setPassed] = useState<string[]>([]);
  const of = `${name} ${object} ${value}`, ready = lever !== undefined && object !== '' && value !== '', good = seen !== null && seen.of === of;
  const names = things.value.filter((one) => one.kind === lever?.kind).map((one) => one.name);
  const choices = (lever?.values ?? '').startsWith('one of ') ? ['default', ...lever!.values.slice(7).split(', ')] : ['default'];
  const shut = !good || stale.value || !may('operator') || (seen.result.refusals ?? []).some((one) => !passed.includes(one.rule)) || reason.trim() === '' || (wide(name) && typed !== object);
  const look = (): void => act(async () => {
    const now = await api('GET /v1/controls/{lever}/{object}', { path: { lever: name, object } });
    setSeen({ of, revision: now.revision, result: await api('POST /v1/forecast', { body: { changes: [{ control: name as Lever, object, value }] } }) });
  });
  const move = (): void => act(async () => {
    await api('PUT /v1/controls/{lever}/{object}', { path: { lever: name, object }, ifMatch: `"${seen!.revision}"`, key: newKey(), body: { value, reason: reason.trim(), overrides: passed } });
    setSeen(null);
    setTyped('');
    goQuery({ lever: '', object: '', value: '' });
    onMoved();
  });
  return (
    <section aria-labelledby="mover-title" class="mover">
      <h2 id="mover-title">Move one by hand</h2>
      <Select label="Lever" value={name} options={levers.map((one) => one.name)} onPick={(picked) => goQuery({ lever: picked, object: '', value: '' })} />
      {lever !== undefined && <p class="note">{lever.doc}</p>}
      {lever !== undefined && <Field label={`On which ${lever.kind}`} value={object} list={names} onValue={(picked) => goQuery({ object: picked })} />}
      {lever !== undefined && <Field label={`Value: default or ${lever.values}`} value={value} list={choices} onValue={(picked) => goQuery({ value: picked })} />}
      <button type="button" class="main" disabled={!ready || busy} onClick={look}>Preview</button>
      {good && <ForecastView forecast={seen.result.forecast} refusals={seen.result.refusals ?? []} />}
      {good && (seen.result.refusals ?? []).map((one) => <PassOver key={one.rule} rule={one.rule} passed={passed} onPassed={setPassed} />)}
      {good && <Field label="Reason" value={reason} maxLength={500} onValue={setReason} />}
      {good && wide(name) && <Field label={`Type ${object}`} value={typed} onValue={setTyped} />}
      {good && <p class="buttons"><button type="button" class="danger" disabled={shut || busy} onClick={move}>Set {name} {object} to {value}</button></p>}
      {wrong !== null && <Wrong>{wrong}</Wrong>}
      {ready && <Twin command={reasoned(`signalbox control set ${name} ${shellWord(object)} ${shellWord(value)}`, reason) + passed.map((rule) => ` --override ${shellWord(rule)}`).join('')} />}
    </section>
  );
}

const nameFor = (on: string): string => on.replace(/[^A-Za-z0-9]+/g, '-').toLowerCase().replace(/^-|-$/g, '').slice(0, 60);
const hour = 3_600_000;

/** What hangs on levers, and one more: who is to be asked, why, until when; a lock keeps others from moving it. */
function Reminders({ onHung }: { onHung: () => void }) {
  const query = place.value.query, on = query.get('lever') !== null && query.get('object') !== null ? `${query.get('lever')}/${query.get('object')}` : '';
  const all = remindersOf(things.value), there = all.find((one) => one.on === on), { busy, wrong, act } = useAct();
  const [owner, setOwner] = useState(''), [why, setWhy] = useState(''), [hours, setHours] = useState('8'), [lock, setLock] = useState(false);
  const revision = async (name: string): Promise<string> => api('GET /v1/inventory/{kind}/{name}', { path: { kind: 'reminder', name } }).then((one) => `"${String((one as unknown as { revision: number }).revision)}"`, () => '"0"');
  const name = there?.name ?? nameFor(on), asked = owner.trim() === '' ? session.value?.user ?? '' : owner.trim();
  const endOf = (ms: number): string | undefined => (Number(hours) > 0 ? `${new Date(ms + Number(hours) * hour).toISOString().slice(0, 19)}Z` : undefined);
  const twin = `signalbox reminder set ${name} --on ${shellWord(on)} --owner ${shellWord(asked)} --why ${shellWord(why.trim())}${Number(hours) > 0 ? ` --until ${endOf(nowMs.value)}` : ''}${lock ? ' --lock' : ''}`;
  const hang = (): void => act(async () => {
    const until = endOf(Date.now());
    await api('PUT /v1/reminders/{name}', { path: { name }, ifMatch: await revision(name), key: newKey(), body: { on, lock, owner: asked, why: why.trim(), ...(until === undefined ? {} : { until }), reason: why.trim() } as never });
    setWhy('');
    onHung();
  });
  const take = (name: string): void => act(async () => {
    await api('DELETE /v1/reminders/{name}', { path: { name }, ifMatch: await revision(name), key: newKey() });
    onHung();
  });
  return (
    <section aria-labelledby="reminders-title">
      <h2 id="reminders-title">Reminders</h2>
      {all.length === 0 ? <p class="calm">Nothing hangs on a lever.</p> : (
        <ul class="runs">{all.map((one) => <li key={one.name}>{one.lock === true && '⊠ '}<b>{one.on}</b>: {one.owner}, {one.why}{one.until !== undefined && `, until ${one.until}`} <button type="button" class="quiet" disabled={busy || stale.value || !may('operator')} onClick={() => take(one.name)} aria-label={`Take off ${one.name}`}>Take off</button></li>)}</ul>
      )}
      {on === '' || on.endsWith('/') ? <p class="note">Choose a lever and its object above to hang one there.</p> : (
        <>
          <Field label="Who is to be asked (you, if empty)" value={owner} maxLength={60} onValue={setOwner} />
          <Field label="Why" value={why} maxLength={200} onValue={setWhy} />
          <Field label="For how many hours (0: until it is taken off)" value={hours} type="number" onValue={setHours} />
          <label class="pass-over"><input type="checkbox" checked={lock} onChange={(event) => setLock(event.currentTarget.checked)} /> A lock: nobody moves {on}, unless by an override of its name</label>
          <p class="buttons"><button type="button" class="main" disabled={busy || stale.value || why.trim() === ''} onClick={hang}>{there === undefined ? 'Hang' : 'Change'} the reminder on {on}</button></p>
          {why.trim() !== '' && <Twin command={twin} />}
        </>
      )}
      {wrong !== null && <Wrong>{wrong}</Wrong>}
      <Twin command={all.length === 0 ? 'signalbox reminder list' : 'signalbox reminder clear REMINDER'} />
    </section>
  );
}

export function Controls() {
  const generation = state.value.site?.generation ?? 0;
  const { data, wrong, again } = useAsk(async () => {
    const [controls, audit] = await Promise.all([api('GET /v1/controls'), api('GET /v1/audit', { query: { limit: 1000 } })]);
    return { controls: controls.controls, audit: audit.audit };
  }, [generation]);
  const held = data === null ? null : heldOf(data.controls, data.audit, remindersOf(things.value));
  return (
    <div class="columns">
      <section class="whole" aria-labelledby="held-title">
        <h2 id="held-title">Levers off their defaults</h2>
        {held === null ? <Waiting wrong={wrong} /> : <HeldView held={held} nowMs={nowMs.value} onPick={(one) => goQuery({ lever: one.control, object: one.object, value: 'default' })} />}
        {held !== null && <details><summary>For the next shift</summary><pre class="handover">{handover(held, state.value.site?.cluster ?? '', Date.now())}</pre></details>}
        <Twin command="signalbox control list" />
      </section>
      {may('operator') && inventory.value !== null && session.value?.user != null && <><Mover onMoved={again} /><Reminders onHung={again} /></>}
    </div>
  );
}
