// plans.tsx: contingency plans: how fresh each is, its steps as they depend on each other, and its text.
import { api, newKey } from './api';
import { useState } from 'preact/hooks';
import type { Applied, AuditEntry, Execution, Plan, Step } from './api_types';
import { may, plans, stale, state } from './app';
import { place } from './browser';
import { Editor, lineDiff } from './editor';
import { expectedS } from './failover';
import { changes } from './lists';
import { type Column, Select, Table, Twin, useAsk, Waiting, When } from './parts';
import { took } from './site';

export interface Freshness { plan: Plan; last: Execution | null; p75: number | null; old: boolean }
const oldMs = 90 * 86_400_000; // a plan that nobody has run for a quarter is a hope
/** What is known of how each plan does. */
export function freshnessOf(all: readonly Plan[], runs: readonly Execution[], nowMs: number): Freshness[] {
  return all.map((plan) => {
    const last = runs.find((run) => run.plan === plan.plan && (run.ended_us ?? 0) > 0) ?? null;
    return { plan, last, p75: expectedS(plan.plan, [...runs])?.p75 ?? null, old: last === null || nowMs - last.ended_us! / 1000 > oldMs };
  });
}

export function PlansView({ rows }: { rows: Freshness[] }) {
  const columns: Column<Freshness>[] = [
    { name: 'plan', cell: (row) => <a href={`/plans/${encodeURIComponent(row.plan.plan)}`}>{row.plan.plan}</a> },
    { name: 'on', cell: (row) => row.plan.target ?? '' },
    { name: 'what for', cell: (row) => row.plan.summary ?? '' },
    { name: 'last run (UTC)', cell: (row) => (row.last === null ? '▲ never' : <><a href={`/executions/${encodeURIComponent(row.last.id ?? '')}`}><When us={row.last.ended_us!} /></a> {row.last.state}{row.old && ' ▲ long ago'}</>) },
    { name: 'takes', number: true, cell: (row) => (row.p75 === null ? '' : took(row.p75 * 1000)) },
  ];
  return <Table label="plans" rows={rows} columns={columns} empty="There is no plan." text={(row) => `${row.plan.plan} ${row.plan.target} ${row.plan.summary}`} />;
}

/** Steps in columns: each stands behind what it needs. */
export function columnsOf(steps: readonly Step[]): Step[][] {
  const depth = new Map<string, number>(), out: Step[][] = [];
  steps.forEach((step, i) => {
    const needs = step.needs ?? (i === 0 ? [] : [steps[i - 1]!.name]), at = needs.reduce((most, name) => Math.max(most, (depth.get(name) ?? -1) + 1), 0);
    depth.set(step.name, at);
    (out[at] ??= []).push(step);
  });
  return out;
}
const kinds = ['check', 'set', 'ramp', 'wait', 'verify', 'warm', 'approve', 'hook', 'notify', 'run'] as const;
const kindOf = (step: Step): string => kinds.find((kind) => kind in step) ?? '';
const argument = (step: Step): string => {
  const value = (step as unknown as Record<string, unknown>)[kindOf(step)];
  return typeof value === 'string' ? value : Array.isArray(value) ? value.map((one) => Object.values(one as object).join(' ')).join('; ') : JSON.stringify(value ?? '');
};

export function Graph({ steps }: { steps: readonly Step[] }) {
  return (
    <ol class="graph" aria-label="steps, each column after the one before">
      {columnsOf(steps).map((column, i) => (
        <li key={i}><ul>{column.map((step) => (
          <li key={step.name} class="card"><b>{step.name}</b> <span class="note">{kindOf(step)}</span><p>{argument(step)}</p>{step.on_failure !== undefined && <p class="note">if it fails: {step.on_failure}</p>}</li>
        ))}</ul></li>
      ))}
    </ol>
  );
}

/** Versions of a plan, the newest first, as the audit has them. */
export function versionsOf(audit: readonly AuditEntry[], name: string): AuditEntry[] {
  return audit.filter((one) => one.object === `plan/${name}` && ((one.after ?? '') !== '' || (one.before ?? '') !== '')).sort((a, b) => b.seq - a.seq);
}
const pretty = (text: string): string => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

export function VersionsView({ versions, picked, onPick }: { versions: readonly AuditEntry[]; picked: string; onPick: (generation: string) => void }) {
  if (versions.length === 0) return <p class="calm">It is as it came; nobody has changed it within the newest 1000 records of the audit.</p>;
  const one = versions.find((version) => String(version.generation) === picked);
  return (
    <>
      <Select label="What was changed by generation" value={picked} options={versions.map((version) => String(version.generation))} onPick={onPick} />
      {one !== undefined && <p><When us={one.at_us} /> {one.actor}{one.reason ? `: ${one.reason}` : ''}</p>}
      {one !== undefined && <pre class="diff">{lineDiff(pretty(one.before ?? ''), pretty(one.after ?? '')).map(({ sign, line }, i) => <span key={i} class={sign === '+' ? 'added' : sign === '-' ? 'removed' : ''}>{sign} {line}{'\n'}</span>)}</pre>}
    </>
  );
}

function Versions({ name }: { name: string }) {
  const { data, wrong } = useAsk(() => api('GET /v1/audit', { query: { limit: 1000 } }), [name, state.value.site?.generation ?? 0]), [picked, setPicked] = useState('');
  return (
    <section aria-labelledby="versions-title">
      <h3 id="versions-title">Versions</h3>
      {data === null ? <Waiting wrong={wrong} /> : <VersionsView versions={versionsOf(data.audit, name)} picked={picked} onPick={setPicked} />}
    </section>
  );
}

/** The plan that a text which is being typed makes, if it makes one. */
export function typedPlan(applied: Applied | null, name: string): Plan | null {
  const change = (applied?.changes ?? []).find((one) => (one as { kind?: string }).kind === 'plan' && (one as { name?: string }).name === name) as { after?: Plan | null } | undefined;
  return change?.after ?? null;
}

function OnePlan({ plan }: { plan: Plan }) {
  const { data, wrong } = useAsk(() => api('GET /v1/plans/{name}/text', { path: { name: plan.plan } }), [plan]), [typed, setTyped] = useState<Plan | null>(null);
  return (
    <>
      <h2>{plan.plan} <small>on a {plan.target ?? 'site'}</small></h2>
      <p>{plan.summary}</p>
      {(plan.notes ?? []).map((note) => <p key={note} class="note">{note}</p>)}
      {plan.target !== undefined && <p class="buttons"><a class="button" href={`/failover?plan=${encodeURIComponent(plan.plan)}`}>Dry run {plan.plan}…</a></p>}
      <div class="columns">
        <section aria-labelledby="steps-title"><h3 id="steps-title">Steps{typed !== null && ' as typed'}</h3><Graph steps={(typed ?? plan).steps} /></section>
        <section aria-labelledby="text-title">
          <h3 id="text-title">Text</h3>
          {data === null ? <Waiting wrong={wrong} /> : (
            <Editor initial={data.yaml} label="As text (YAML)" parse={(yaml) => ({ yaml })} may={may('admin') && !stale.value} onChecked={(applied) => setTyped(typedPlan(applied, plan.plan))}
              check={(body) => api('POST /v1/apply', { query: { dry_run: 1 }, body })}
              save={async (body, reason) => { await api('POST /v1/apply', { key: newKey(), body: { ...body, reason } }); }} />
          )}
        </section>
      </div>
      <Versions name={plan.plan} />
      <Twin command={`signalbox plan show ${plan.plan}`} />
    </>
  );
}

export function Plans() {
  const [, name] = place.value.path, { data, wrong } = useAsk(() => api('GET /v1/executions', { query: { limit: 200 } }), [changes()]);
  const plan = plans.value?.find((one) => one.plan === name);
  if (name !== undefined && plan !== undefined) return <OnePlan plan={plan} />;
  if (plans.value === null || data === null) return <Waiting wrong={wrong} />;
  if (name !== undefined) return <p>There is no plan {name}. <a href="/plans">Plans</a></p>;
  return <><h2>Plans</h2><PlansView rows={freshnessOf(plans.value, data.executions, state.value.atMs)} /><Twin command="signalbox plan list" /></>;
}
