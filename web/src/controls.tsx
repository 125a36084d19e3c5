// controls.tsx: levers: which are off their defaults, who holds them and why, and one moved by hand. The list is what a
// shift hands to the next.
import { useState } from 'preact/hooks';
import { api, newKey } from './api';
import { type AuditEntry, type Control, type ControlsSet, type Lever, levers } from './api_types';
import { inventory, may, session, stale, state, things } from './app';
import { goQuery, place } from './browser';
import { ForecastView } from './failover_screen';
import { type Column, Field, Select, Table, Twin, useAct, useAsk, Waiting, When, Wrong } from './parts';
import { age, shellWord } from './site';

export interface Held extends Control { sinceUs: number; why: string; until: string }
/** Levers off their defaults, the newest first, with what the audit knows of them. */
export function heldOf(controls: Control[], audit: AuditEntry[]): Held[] {
  return controls.filter((one) => one.value !== 'default').sort((a, b) => b.revision - a.revision).map((one) => {
    const entry = audit.find((row) => row.generation === one.revision && (row.object ?? '').endsWith(one.object)) ?? audit.find((row) => row.generation === one.revision);
    return { ...one, sinceUs: entry?.at_us ?? 0, why: entry?.reason ?? '', until: /@(\S+)$/.exec(one.value)?.[1] ?? '' };
  });
}
/** For the next shift, in a chat or on paper. */
export function handover(held: Held[], cluster: string, nowMs: number): string {
  const rows = held.map((one) => `- ${one.control} ${one.object} is ${one.value}: ${one.actor ?? 'nobody'}${one.execution ? `, run ${one.execution}` : ''}` +
    `${one.sinceUs > 0 ? `, for ${age(nowMs - one.sinceUs / 1000)}` : ''}${one.why === '' ? '' : `, "${one.why}"`}${one.until === '' ? ', until it is set back' : `, until ${one.until}`}`);
  return `${cluster}, ${new Date(nowMs).toISOString().slice(0, 16)} UTC: ${rows.length === 0 ? 'every lever is at its default' : `${rows.length} off their defaults`}\n${rows.join('\n')}`.trim();
}

export function HeldView({ held, onPick }: { held: Held[]; onPick: (one: Held) => void }) {
  const columns: Column<Held>[] = [
    { name: 'lever', cell: (one) => `${one.control} ${one.object}` },
    { name: 'is', cell: (one) => one.value },
    { name: 'who', cell: (one) => <>{one.actor}{one.execution ? <>, <a href={`/executions/${encodeURIComponent(one.execution)}`}>run</a></> : ' by hand'}</> },
    { name: 'since (UTC)', cell: (one) => (one.sinceUs > 0 ? <When us={one.sinceUs} /> : `generation ${one.revision}`) },
    { name: 'why', cell: (one) => one.why },
    { name: 'until', cell: (one) => one.until },
    { name: '', cell: (one) => <button type="button" class="quiet" onClick={() => onPick(one)} aria-label={`Set back… ${one.control} ${one.object}`}>Set back…</button> },
  ];
  return <Table label="levers off their defaults" rows={held} columns={columns} empty="Every lever is at its default." text={(one) => `${one.control} ${one.object} ${one.value} ${one.actor} ${one.why}`} />;
}

/** Levers of a room move everybody in it: who does that types its name. */
const wide = (name: string): boolean => levers.find((lever) => lever.name === name)?.kind === 'room';

function Mover({ onMoved }: { onMoved: () => void }) {
  const query = place.value.query, name = query.get('lever') ?? '', object = query.get('object') ?? '', value = query.get('value') ?? '';
  const lever = levers.find((one) => one.name === name), { busy, wrong, act } = useAct();
  const [seen, setSeen] = useState<{ of: string; revision: number; result: ControlsSet } | null>(null), [reason, setReason] = useState(''), [typed, setTyped] = useState('');
  const of = `${name} ${object} ${value}`, ready = lever !== undefined && object !== '' && value !== '', good = seen !== null && seen.of === of;
  const names = things.value.filter((one) => one.kind === lever?.kind).map((one) => one.name);
  const choices = (lever?.values ?? '').startsWith('one of ') ? ['default', ...lever!.values.slice(7).split(', ')] : ['default'];
  const shut = !good || stale.value || !may('operator') || (seen.result.refusals ?? []).length > 0 || reason.trim() === '' || (wide(name) && typed !== object);
  const look = (): void => act(async () => {
    const now = await api('GET /v1/controls/{lever}/{object}', { path: { lever: name, object } });
    setSeen({ of, revision: now.revision, result: await api('POST /v1/forecast', { body: { changes: [{ control: name as Lever, object, value }] } }) });
  });
  const move = (): void => act(async () => {
    await api('PUT /v1/controls/{lever}/{object}', { path: { lever: name, object }, ifMatch: `"${seen!.revision}"`, key: newKey(), body: { value, reason: reason.trim() } });
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
      {good && <Field label="Reason" value={reason} maxLength={500} onValue={setReason} />}
      {good && wide(name) && <Field label={`Type ${object}`} value={typed} onValue={setTyped} />}
      {good && <p class="buttons"><button type="button" class="danger" disabled={shut || busy} onClick={move}>Set {name} {object} to {value}</button></p>}
      {wrong !== null && <Wrong>{wrong}</Wrong>}
      {ready && <Twin command={`signalbox control set ${name} ${shellWord(object)} ${shellWord(value)}${reason.trim() === '' ? '' : ` --reason ${shellWord(reason.trim())}`}`} />}
    </section>
  );
}

export function Controls() {
  const generation = state.value.site?.generation ?? 0;
  const { data, wrong, again } = useAsk(async () => {
    const [controls, audit] = await Promise.all([api('GET /v1/controls'), api('GET /v1/audit', { query: { limit: 1000 } })]);
    return heldOf(controls.controls, audit.audit);
  }, [generation]);
  return (
    <div class="columns">
      <section aria-labelledby="held-title">
        <h2 id="held-title">Levers off their defaults</h2>
        {data === null ? <Waiting wrong={wrong} /> : <HeldView held={data} onPick={(one) => goQuery({ lever: one.control, object: one.object, value: 'default' })} />}
        {data !== null && <details><summary>For the next shift</summary><pre class="handover">{handover(data, state.value.site?.cluster ?? '', Date.now())}</pre></details>}
        <Twin command="signalbox control list" />
      </section>
      {may('operator') && inventory.value !== null && session.value?.user != null && <Mover onMoved={again} />}
    </div>
  );
}
