// lists.tsx: screens that are a list: runs, approvals, the audit, agents.
import { useMemo } from 'preact/hooks';
import { api } from './api';
import type { Agent, AuditEntry, Execution } from './api_types';
import { may, stale, state, told } from './app';
import { goQuery, place } from './browser';
import { agentHealth, type AgentRow, age, reasoned, took, unconverged } from './site';
import { type Column, Field, Mark, Select, Table, Twin, useAct, useAsk, Waiting, When, Wrong } from './parts';
import { expectedS } from './failover';

const runUrl = (id: string): string => `/executions/${encodeURIComponent(id)}`;
/** Grows when something happened that a list may have to show. */
export const changes = (): string => `${told.value?.kind === 'execution' ? told.value.seq : 0} ${state.value.gaps}`;

// ---- runs ----
const states = ['running', 'succeeded', 'incomplete', 'failed', 'refused', 'aborting', 'aborted'];
const lastedMs = (run: Execution): number => ((run.ended_us ?? 0) > 0 ? (run.ended_us! - run.started_us!) / 1000 : 0);

/** Two runs step by step: who was slower, and where. */
export function CompareView({ a, b }: { a: Execution; b: Execution }) {
  const ms = (run: Execution, name: string): number | null => {
    const step = run.steps.find((one) => one.name === name);
    return step === undefined || step.ended_us === 0 ? null : (step.ended_us - step.started_us) / 1000;
  };
  const names = [...new Set([...a.steps, ...b.steps].map((step) => step.name))], stateOf = (run: Execution, name: string): string => run.steps.find((one) => one.name === name)?.state ?? 'not there';
  const cell = (run: Execution, name: string): string => `${stateOf(run, name)}${ms(run, name) === null ? '' : `, ${took(ms(run, name)!)}`}`;
  const columns: Column<string>[] = [
    { name: 'step', cell: (name) => name },
    { name: `${a.plan} ${a.target}, ${a.id}`, cell: (name) => cell(a, name) },
    { name: `${b.plan} ${b.target}, ${b.id}`, cell: (name) => cell(b, name) },
    { name: 'slower', number: true, cell: (name) => {
      const x = ms(a, name), y = ms(b, name);
      return x === null || y === null ? '' : `${y >= x ? '+' : '−'}${took(Math.abs(y - x))}`;
    } },
  ];
  return (
    <section aria-labelledby="compare-title">
      <h2 id="compare-title">Two runs beside each other</h2>
      <p>{a.state}, {took(lastedMs(a))}, {a.actor} <When us={a.started_us ?? 0} /> and {b.state}, {took(lastedMs(b))}, {b.actor} <When us={b.started_us ?? 0} /></p>
      <Table label="compared" rows={names} columns={columns} empty="Neither has a step." text={(name) => name} />
      <button type="button" onClick={() => goQuery({ a: '', b: '' })}>All runs</button>
    </section>
  );
}

export function ExecutionsView({ runs, wanted, first = '' }: { runs: Execution[]; wanted: string; first?: string }) {
  const shown = wanted === '' ? runs : runs.filter((run) => run.state === wanted);
  const columns: Column<Execution>[] = [
    { name: 'run', cell: (run) => <a href={runUrl(run.id ?? '')}>{run.plan} {run.target}</a> },
    { name: 'state', cell: (run) => (run.paused === true ? 'paused' : run.state) },
    { name: 'began (UTC)', cell: (run) => <When us={run.started_us ?? 0} /> },
    { name: 'took', number: true, cell: (run) => {
      const p75 = expectedS(run.plan ?? '', runs), ms = lastedMs(run);
      return ms === 0 ? 'goes on' : <>{took(ms)}{p75 !== null && p75.runs > 2 && ms > p75.p75 * 2000 && <b class="bad"> ▲ slow</b>}</>;
    } },
    { name: 'who', cell: (run) => run.actor },
    { name: 'why', cell: (run) => run.reason ?? '' },
    { name: 'error', cell: (run) => (run.error ? <span class="brief">{run.error}</span> : '') }, // whole in the run itself
    { name: '', cell: (run) => (run.id === first ? 'compared with…'
      : <button type="button" class="quiet" aria-label={`Compare ${run.id}${first === '' ? '…' : ` with ${first}`}`} onClick={() => goQuery(first === '' ? { a: run.id ?? '' } : { b: run.id ?? '' })}>{first === '' ? 'Compare…' : 'with this'}</button>) },
  ];
  return <Table label="runs" rows={shown} columns={columns} empty="No plan was run yet." text={(run) => `${run.plan} ${run.target} ${run.state} ${run.actor} ${run.reason} ${run.error}`} />;
}

export function Executions() {
  const { data, wrong } = useAsk(() => api('GET /v1/executions', { query: { limit: 200 } }), [changes()]), wanted = place.value.query.get('state') ?? '', first = place.value.query.get('a') ?? '', second = place.value.query.get('b') ?? '';
  const a = data?.executions.find((run) => run.id === first), b = data?.executions.find((run) => run.id === second);
  if (a !== undefined && b !== undefined) return <CompareView a={a} b={b} />;
  return (
    <>
      <h2>Runs of plans</h2>
      <div class="filter"><Select label="State" value={wanted} options={states} onPick={(value) => goQuery({ state: value })} /></div>
      {data === null ? <Waiting wrong={wrong} /> : <ExecutionsView runs={data.executions} wanted={wanted} first={first} />}
      <Twin command="signalbox execution list" />
    </>
  );
}

// ---- approvals ----
/** by: who passed it, where it is to be reviewed. */
export interface Approval { run: Execution; step: string; text: string; binding: string; review: boolean; by: string }
/** Steps that wait for a second person, and emergencies that one has to review. */
export function approvalsOf(runs: Execution[]): Approval[] {
  return runs.flatMap((run) => run.steps.filter((step) => (step.kind === 'approve' && step.state === 'running') || step.review !== undefined)
    .map((step) => ({ run, step: step.name, text: step.text ?? '', binding: step.binding ?? '', review: step.review !== undefined, by: step.review ?? '' })));
}

export function ApprovalView({ one, who, onAct, busy, reason = '' }: { one: Approval; who: string; busy: boolean; onAct: (act: string) => void; reason?: string }) {
  const own = one.review ? one.by === who : one.run.actor === who, silent = reason.trim() === '';
  return (
    <article class="card">
      <h3><a href={runUrl(one.run.id ?? '')}>{one.run.plan} {one.run.target}</a> <small>step {one.step}</small></h3>
      <p>{one.text}</p>
      <p class="note">started by {one.run.actor}{one.run.reason ? `: ${one.run.reason}` : ''}</p>
      {one.review && <p class="warned">▲ {one.by} passed it alone, in an emergency: a second person looks at it afterwards.</p>}
      {own && <p class="note">{one.review ? 'You passed it' : 'You started it'}: a second person has to look at it.</p>}
      {silent && <p class="note">{one.review ? 'A review' : 'To decline it, or to pass it alone,'} needs a reason.</p>}
      <p class="buttons">
        {one.review ? <button type="button" class="main" disabled={busy || own || silent} onClick={() => onAct('review')}>Reviewed {one.run.plan}</button> : (
          <>
            <button type="button" class="main" disabled={busy || own} onClick={() => onAct('approve')}>Approve {one.run.plan} {one.run.target}</button>
            <button type="button" disabled={busy || silent} onClick={() => onAct('decline')}>Decline</button>
            <button type="button" class="danger" disabled={busy || silent} onClick={() => onAct('emergency')}>Emergency: pass it alone</button>
          </>
        )}
      </p>
      {one.review ? <Twin command={reasoned(`signalbox execution review ${one.run.id}`, silent ? 'TEXT' : reason)} /> : <Twin command={`signalbox execution approve ${one.run.id} --binding ${one.binding}`} />}
      {!one.review && !silent && <><Twin command={reasoned(`signalbox execution decline ${one.run.id}`, reason)} /><Twin command={reasoned(`signalbox execution emergency ${one.run.id}`, reason)} /></>}
    </article>
  );
}

export function Approvals({ who }: { who: string }) {
  const { data, wrong, again } = useAsk(() => api('GET /v1/executions', { query: { limit: 200 } }), [changes()]), { busy, wrong: refused, act } = useAct();
  const reason = place.value.query.get('reason') ?? '';
  if (data === null) return <Waiting wrong={wrong} />;
  const waiting = approvalsOf(data.executions);
  const press = (one: Approval, word: string): void => act(async () => {
    await api('POST /v1/executions/{id}/acts', { path: { id: one.run.id! },
      body: { act: word, step: one.step, reason: reason === '' ? null : reason, ...(word === 'approve' ? { binding: one.binding } : {}) } });
    again();
  });
  return (
    <>
      <h2>Approvals</h2>
      {waiting.length === 0 ? <p class="calm">Nobody waits for a second person.</p> : <Field label="Reason (all but an approval need one)" value={reason} maxLength={500} onValue={(value) => goQuery({ reason: value })} />}
      {refused !== null && <Wrong>{refused}</Wrong>}
      {waiting.map((one) => <ApprovalView key={`${one.run.id} ${one.step}`} one={one} who={who} busy={busy || stale.value || !may('operator')} reason={reason} onAct={(word) => press(one, word)} />)}
    </>
  );
}

// ---- audit ----
/** Of a hash so much that it is known again. */
const shortened = (text: string): string => text.replace(/\b([0-9a-f]{12})[0-9a-f]{20,}\b/, '$1…');
const longest = 80; // characters of a value that are shown at once: an object is whole behind them
function Value({ text }: { text: string }) {
  return text.length <= longest ? <>{text}</> : <details><summary>{text.slice(0, longest - 20)}…</summary>{text}</details>;
}

export function AuditView({ rows }: { rows: AuditEntry[] }) {
  const columns: Column<AuditEntry>[] = [
    { name: 'time (UTC)', cell: (row) => <When us={row.at_us} /> },
    { name: 'who', cell: (row) => row.actor },
    { name: 'what', long: true, cell: (row) => <>{row.what} {shortened(row.object ?? '')}{(row.overrides ?? []).length > 0 && <b class="bad"> ▲ passed over {row.overrides!.join(', ')}</b>}</> },
    { name: 'before', long: true, cell: (row) => <Value text={row.before ?? ''} /> },
    { name: 'after', long: true, cell: (row) => <Value text={row.after ?? ''} /> },
    { name: 'why', cell: (row) => row.reason ?? '' },
    { name: 'run', cell: (row) => (row.execution ? <a href={runUrl(row.execution)}>{row.execution}</a> : '') },
  ];
  const newest = useMemo(() => [...rows].sort((a, b) => b.seq - a.seq), [rows]);
  return <Table label="audit" rows={newest} columns={columns} empty="Nothing was done yet." text={(row) => Object.values(row).join(' ')} />;
}

export function AuditScreen() {
  const cursor = place.value.query.get('cursor') ?? '';
  const { data, wrong } = useAsk(() => api('GET /v1/audit', { query: { limit: 200, ...(cursor === '' ? {} : { cursor }) } }), [cursor, changes()]), verify = useAsk(() => api('GET /v1/audit/verify'), []);
  return (
    <>
      <h2>Audit</h2>
      {verify.data !== null && (verify.data.findings.length === 0
        ? <p class="note">✓ The chain of {verify.data.records} records is whole{verify.data.store_error !== null ? `; the store does not answer: ${verify.data.store_error}` : ''}.</p>
        : <Wrong>The chain of hashes is broken: {verify.data.findings.length} findings. See signalbox audit verify.</Wrong>)}
      {data === null ? <Waiting wrong={wrong} /> : <AuditView rows={data.audit} />}
      {data?.next != null && <button type="button" onClick={() => goQuery({ cursor: data.next! })}>Older</button>}
      {cursor !== '' && <button type="button" onClick={() => goQuery({ cursor: '' })}>Newest</button>}
      <Twin command="signalbox audit" />
    </>
  );
}

// ---- agents ----
export function AgentsView({ agents, epoch, generation }: { agents: Agent[]; epoch: number; generation: number }) {
  const site = { epoch, generation };
  const columns: Column<Agent>[] = [
    { name: 'agent', cell: (row) => <><Mark health={agentHealth(row as AgentRow)} /> {row.name}</> },
    { name: 'kind', cell: (row) => row.kind },
    { name: 'state', cell: (row) => row.state },
    { name: 'proved', number: true, cell: (row) => <>{row.generation ?? '–'}{unconverged(row as AgentRow, site) && <b class="warned"> ≠ {generation}</b>}</> },
    { name: 'heard', number: true, cell: (row) => (row.age_ms === null ? 'never' : `${age(row.age_ms)} ago`) },
    { name: 'complains', cell: (row) => row.error ?? '' },
    { name: 'holds by itself', cell: (row) => row.holds ?? '' },
  ];
  return <Table label="agents" rows={agents} columns={columns} empty="The inventory has no edge and no name server." text={(row) => `${row.name} ${row.kind} ${row.state} ${row.error}`} />;
}

/** From the status: as fresh as the panel. */
export function Agents() {
  const { site } = state.value;
  if (site === null) return <Waiting wrong={null} />;
  return (
    <>
      <h2>Agents</h2>
      <AgentsView agents={[...site.edges, ...site.servers, ...site.registries] as Agent[]} epoch={site.epoch} generation={site.generation} />
      <Twin command="signalbox agents" />
    </>
  );
}
