// failover_screen.tsx: A what is to be moved, B what that does and whether it fits, C the button.
import { useEffect, useState } from 'preact/hooks';
import { api, ApiError, newKey } from './api';
import type { Execution, Forecast, ForecastRow, Plan, Precheck, Refusal, Staying } from './api_types';
import { inventory, may, plans, stale, state } from './app';
import { go, place } from './browser';
import { blocksOf, command, expectedS, gate, newsOf, plansFor, type Preview, rowsOf } from './failover';
import { Select, Twin, Wrong } from './parts';
import { age, type Inventory, rate } from './site';

const namesOf = (objects: Inventory, kind: string): string[] => {
  const lists: Record<string, Array<{ name: string }>> = { room: objects.rooms, pop: objects.pops, line: objects.lines, edge: objects.edges };
  return (lists[kind] ?? []).map((one) => one.name).sort();
};

/** A few are read; more of them are there when asked for, and push nothing out of sight. */
function Notes({ notes }: { notes: string[] }) {
  const each = [...new Set(notes)], list = each.map((note) => <p key={note} class="note">{note}</p>);
  return each.length <= 3 ? <>{list}</> : <details><summary>{each.length} notes</summary>{list}</details>;
}

function Places({ rows }: { rows: ForecastRow[] }) {
  return <>{rowsOf(rows).map((group) => (
    <table key={group.kind}>
      <thead><tr><th scope="col">{group.kind}</th><th scope="col" class="number">now</th><th scope="col" class="number">then</th></tr></thead>
      <tbody>
        {group.rows.map((row) => (
          <tr key={row.name} class={row.before === row.after ? 'same' : ''}>
            <th scope="row">{group.kind === 'room' && row.name === 'closed' ? 'nobody (closed)' : row.name}</th><td data-of="now" class="number">{rate(row.before)}</td><td data-of="then" class="number">{rate(row.after)}{row.after > row.before ? ' ↑' : row.after < row.before ? ' ↓' : ''}</td>
          </tr>
        ))}
      </tbody>
    </table>
  ))}</>;
}

/** What a change would move, and what refuses it. Rooms are there in any case: whether they are full is what is looked for. */
export function ForecastView({ forecast, refusals }: { forecast: Forecast | undefined; refusals: Refusal[] }) {
  const rows = forecast?.rows ?? [], counts = (row: ForecastRow): boolean => row.kind === 'room' || row.before !== row.after, still = rows.filter((row) => !counts(row));
  return (
    <div>
      {refusals.map((one) => <Wrong key={one.rule}>{`${one.rule} refuses: ${one.figures}. ${one.way_round}`}</Wrong>)}
      {forecast !== undefined && !forecast.known && <Wrong>There are no fresh figures: what this moves is not known.</Wrong>}
      {forecast !== undefined && (
        <dl class="figures">
          <div><dt>moved</dt><dd>{rate(forecast.moved)}</dd></div>
          <div><dt>failing now, moved too</dt><dd>{rate(forecast.moved_failing)}</dd></div>
          <div class={forecast.lost > 0 ? 'bad' : ''}><dt>answered by nobody then</dt><dd>{rate(forecast.lost)}</dd></div>
          <div><dt>of all</dt><dd>{rate(forecast.total)}</dd></div>
        </dl>
      )}
      <Places rows={rows.filter(counts)} />
      {still.length > 0 && <details><summary>{`${still.length} ${still.length === 1 ? 'place stays as it is' : 'places stay as they are'}`}</summary><Places rows={still} /></details>}
      <Notes notes={forecast?.notes ?? []} />
    </div>
  );
}

const signs: Record<string, string> = { pass: '✓', warn: '▲', block: '✕' };
const weight = (one: Precheck): number => ['block', 'warn', 'pass'].indexOf(one.state);

/** What was looked at, what stands in the way first: value, limit, how old that is, what mends it. */
export function Prechecks({ checks }: { checks: readonly Precheck[] }) {
  const item = (one: Precheck) => (
    <li key={one.name} class={`check check-${one.state}`}>
      <b><span aria-hidden="true">{signs[one.state] ?? '?'} </span>{one.name}</b> <small>{one.state}</small>
      <p>{one.value}</p>
      <p class="note">{one.limit != null && `limit: ${one.limit}`}{one.age_ms != null && `${one.limit != null ? '; ' : ''}${age(one.age_ms)} old`}</p>
      {one.mend != null && <p class="mend">{one.mend}</p>}
    </li>
  );
  const sorted = [...checks].sort((a, b) => weight(a) - weight(b)), open = sorted.filter((one) => one.state !== 'pass'), passed = sorted.filter((one) => one.state === 'pass');
  return (
    <>
      <ul class="checks">{open.map(item)}</ul>
      {passed.length > 0 && <details><summary>{`✓ ${passed.length} of ${checks.length} prechecks pass`}</summary><ul class="checks">{passed.map(item)}</ul></details>}
    </>
  );
}

/** A rule refuses, and a person knows better: a deliberate act for each. */
export function PassOver({ rule, passed, onPassed }: { rule: string; passed: readonly string[]; onPassed: (passed: string[]) => void }) {
  const change = (on: boolean): void => onPassed(on ? [...passed, rule] : passed.filter((name) => name !== rule));
  return <label class="pass-over"><input type="checkbox" checked={passed.includes(rule)} onChange={(event) => change(event.currentTarget.checked)} /> Pass over {rule}: I answer for it, and the audit says so</label>;
}

export function StayingView({ stays }: { stays: readonly Staying[] }) {
  if (stays.length === 0) return null;
  return (
    <>
      <h3>What cannot move</h3>
      <ul>{stays.map((one) => <li key={one.service} class={one.reached ? '' : 'bad'}><b>{one.service}</b> lives in {one.room} alone, {rate(one.rate)} now: {one.road}</li>)}</ul>
    </>
  );
}

/** Levers that a step would move, from where to where. */
const setsOf = (step: object): string[] => ((step as { sets?: Array<{ control: string; object: string; before: string; value: string }> }).sets ?? [])
  .map((set) => `${set.control} ${set.object}: ${set.before} → ${set.value}`);

export function PreviewView({ preview }: { preview: Execution }) {
  return (
    <>
      {preview.checks !== undefined && <Prechecks checks={preview.checks} />}
      <StayingView stays={preview.stays ?? []} />
      <ForecastView forecast={preview.forecast} refusals={preview.checks === undefined ? preview.refusals ?? [] : []} />
      <h3>Steps</h3>
      <ol class="steps">{preview.steps.map((step) => <li key={step.name}><b>{step.name}</b> {step.kind}{step.text ? `: ${step.text}` : ''}{setsOf(step).map((set) => <p key={set}>{set}</p>)}</li>)}</ol>
    </>
  );
}

const sameChoice = (a: Preview['choice'], b: Preview['choice']): boolean => a.plan === b.plan && a.target === b.target && JSON.stringify(a.params) === JSON.stringify(b.params);

export function Failover() {
  const asked = place.value.query, target = asked.get('target') ?? '', planName = asked.get('plan') ?? '';
  const [params, setParams] = useState<Record<string, string>>({});
  const [preview, setPreview] = useState<Preview | null>(null), [typed, setTyped] = useState(''), [reason, setReason] = useState('');
  const [passed, setPassed] = useState<string[]>([]), [news, setNews] = useState<string[] | null>(null);
  const [wrong, setWrong] = useState<string | null>(null), [busy, setBusy] = useState<'' | 'preview' | 'run'>(''), [past, setPast] = useState<Execution[]>([]);
  useEffect(() => { void api('GET /v1/executions', { query: { limit: 200 } }).then((answer) => setPast(answer.executions), () => undefined); }, []);
  const objects = inventory.value, all = plans.value, site = state.value.site;
  if (objects === null || all === null || site === null) return <p class="calm">Asking the server…</p>;

  const kind = target === '' ? null : (['room', 'pop', 'line', 'edge'].find((one) => namesOf(objects, one).includes(target)) ?? null);
  const choices = plansFor(all, kind), plan: Plan | undefined = all.find((one) => one.plan === planName);
  const wanted = Object.entries((plan?.params ?? {}) as Record<string, string>);
  const choice = { plan: planName, target, params };
  const now = { generation: site.generation, stale: stale.value, role: may('operator') }, open = gate(choice, preview, now, typed, reason, passed);
  const past75 = expectedS(planName, past), whole = plan !== undefined && target !== '' && wanted.every(([name]) => params[name]);
  const move = (next: { plan?: string; target?: string }): void => {
    const query = new URLSearchParams({ plan: next.plan ?? planName, target: next.target ?? target });
    setWrong(null);
    setPassed([]);
    go(`/failover?${query}`, true);
  };
  const attempt = async (what: 'preview' | 'run', work: () => Promise<void>): Promise<void> => {
    if (busy !== '') return;
    setBusy(what);
    setWrong(null);
    try {
      await work();
    } catch (error) {
      setWrong(error instanceof ApiError ? `${error.title}: ${error.message}` : String(error));
      // Refused for what has become of the site: the button stays shut until somebody has looked again.
      if (what === 'run' && error instanceof ApiError && error.status === 412) setPreview((one) => (one === null ? one : { ...one, key: '' }));
    }
    setBusy('');
  };
  const look = (): Promise<void> => attempt('preview', async () => {
    const execution = await api('POST /v1/plans/{name}/run', { path: { name: planName }, body: { target, params, dry_run: true } });
    setNews(preview !== null && sameChoice(preview.choice, choice) ? newsOf(preview.execution, execution) : null);
    setPreview({ choice, execution, key: newKey() });
    setPassed((names) => names.filter((name) => blocksOf(execution).some((one) => one.name === name)));
  });
  const run = (): Promise<void> => attempt('run', async () => {
    if (!open.ready || preview === null) return;
    const execution = await api('POST /v1/plans/{name}/run', { path: { name: planName }, key: preview.key, body: { target, params, confirm: typed, reason: reason.trim(), generation: preview.execution.generation ?? null,
      checks: Object.fromEntries((preview.execution.checks ?? []).map((one) => [one.name, one.state])), overrides: passed } });
    go(`/executions/${encodeURIComponent(execution.id!)}`);
  });

  return (
    <div class="failover">
      <section aria-labelledby="what-title">
        <h2 id="what-title">A What is to be moved</h2>
        <Select label="From" value={target} options={kind === null || kind === 'room' ? namesOf(objects, 'room') : namesOf(objects, kind)} onPick={(value) => move({ target: value })} />
        <Select label="How" value={planName} options={choices.map((one) => one.plan)} onPick={(value) => move({ plan: value })} />
        {wanted.map(([name, of]) => (
          <Select key={name} label={name} value={params[name] ?? ''} options={namesOf(objects, of).filter((one) => one !== target)} onPick={(value) => setParams({ ...params, [name]: value })} />
        ))}
        {plan?.summary !== undefined && <p>{plan.summary}</p>}
        <Notes notes={plan?.notes ?? []} />
        {plan !== undefined && <p class="note">{past75 === null ? 'It has not run well before: how long it takes is not known.' : `Three of four of the last ${past75.runs} runs took ${past75.p75.toFixed(1)} s at most.`}</p>}
        <button type="button" class="main" disabled={!whole || busy !== '' || !may('operator')} onClick={() => void look()}>{busy === 'preview' ? 'Asking…' : `Preview ${planName} ${target}`}</button>
      </section>
      <section aria-labelledby="does-title" aria-live="polite">
        <h2 id="does-title">B What it does</h2>
        {news !== null && <div class="news"><p><b>{news.length === 0 ? 'Looked at again: all as before.' : 'What is different now:'}</b></p><ul>{news.map((line) => <li key={line}>{line}</li>)}</ul></div>}
        {preview === null ? <p class="calm">Nothing is moved that was not forecast. Make a preview.</p> : <PreviewView preview={preview.execution} />}
      </section>
      <section aria-labelledby="button-title">
        <h2 id="button-title">C The button</h2>
        <label>Type {target === '' ? 'the name' : <code>{target}</code>}
          <input value={typed} onInput={(event) => setTyped(event.currentTarget.value)} autocomplete="off" autocapitalize="none" spellcheck={false} />
        </label>
        <label>Reason<input value={reason} onInput={(event) => setReason(event.currentTarget.value)} maxLength={500} /></label>
        {may('operator') && preview !== null && blocksOf(preview.execution).filter((one) => one.override).map((one) => (
          <PassOver key={one.name} rule={one.name} passed={passed} onPassed={setPassed} />
        ))}
        <button type="button" class="danger" disabled={!open.ready || busy !== ''} aria-describedby="gate" onClick={() => void run()}>{busy === 'run' ? 'Starting…' : `Run ${planName || 'the plan'} on ${target || '…'}`}</button>
        <p id="gate" class="gate">{open.ready ? 'It can be run.' : <>{open.why} <b>{open.mend}</b></>}</p>
        {wrong !== null && <Wrong>{wrong}</Wrong>}
        {whole && <Twin command={command(choice, reason, passed)} />}
      </section>
    </div>
  );
}
