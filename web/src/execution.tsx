// execution.tsx: a run as it goes: steps with their evidence, what they moved, who has not proved it.
import { useEffect, useRef, useState } from 'preact/hooks';
import { api, ApiError, newKey } from './api';
import type { Execution, ExecutionStep, Undo } from './api_types';
import { may, nowMs, stale, state, told } from './app';
import { ForecastView } from './failover_screen';
import { Field, Twin, useAsk, Wrong } from './parts';
import { age, clock, reasoned, shellWord, took } from './site';

const glyphs: Record<string, string> = { succeeded: '✓', failed: '✕', running: '▶', pending: '○', skipped: '↷' };
const ended = (one: Execution): boolean => (one.ended_us ?? 0) > 0;

/** Of each step, what three of four runs of the plan that went well took at most, ms. */
export function paceOf(plan: string, runs: readonly Execution[]): Map<string, number> {
  const all = new Map<string, number[]>();
  for (const run of runs.filter((one) => one.plan === plan && one.state === 'succeeded'))
    for (const step of run.steps.filter((one) => one.ended_us > 0)) all.set(step.name, [...(all.get(step.name) ?? []), (step.ended_us - step.started_us) / 1000]);
  return new Map([...all].map(([name, took]) => [name, took.sort((a, b) => a - b)[Math.ceil(took.length * 0.75) - 1]!]));
}

type Write = NonNullable<Execution['writes']>[number];
/** What was set back, by step, the last one first: in the order in which it was undone. */
export function undoneOf(writes: readonly Write[]): Array<{ step: string; writes: Write[] }> {
  const back = writes.filter((one) => one.restored).sort((a, b) => b.generation - a.generation);
  return [...new Set(back.map((one) => one.step))].map((step) => ({ step, writes: back.filter((one) => one.step === step) }));
}

/** undone: what it moved was set back. */
export function Step({ step, now, p75, undone = false }: { step: ExecutionStep; now: number; p75: number | undefined; undone?: boolean }) {
  const since = step.started_us === 0 ? '' : step.ended_us > 0 ? took((step.ended_us - step.started_us) / 1000) : age(now - step.started_us / 1000);
  return (
    <li class={`step step-${step.state}`}>
      <span class="glyph" aria-hidden="true">{undone ? '↶' : glyphs[step.state] ?? '·'}</span> <b>{step.name}</b> <span>{step.kind}, {step.state}{undone && ', set back'}</span> <span class="since">{since}{p75 !== undefined && `, usually ${took(p75)}`}</span>
      {step.stuck === true && <b class="bad"> stuck: more than twice what it took before</b>}
      {step.text ? <p>{step.text}</p> : null}
      {(step.stragglers ?? []).length > 0 && <p class="bad">not proved by {step.stragglers!.join(', ')}</p>}
    </li>
  );
}

const phases: Array<[string, string]> = [['decide', 'decide: from the first report that it is down'], ['execute', 'execute: levers written'], ['converge', 'converge: the last edge applied it'], ['recover', 'recover: proved by users or probes']];

export function ExecutionView({ run, now, past = [] }: { run: Execution; now: number; past?: readonly Execution[] }) {
  const start = (run.started_us ?? 0) / 1000, end = ended(run) ? run.ended_us! / 1000 : now;
  const back = undoneOf(run.writes ?? []), done = run.steps.filter((step) => (step.state === 'succeeded' || step.state === 'skipped') && !back.some((one) => one.step === step.name)).length;
  const doing = run.steps.filter((step) => step.state === 'running').map((step) => step.name), pace = paceOf(run.plan ?? '', past), times = (run.times ?? {}) as Record<string, number>;
  return (
    <>
      <h2>{run.plan} {run.target} <small>{run.paused === true ? 'paused' : run.state}</small></h2>
      <p>{done} of {run.steps.length} steps done{back.length > 0 && `, ${back.length} set back`}{doing.length > 0 && `, now ${doing.join(', ')}`}, {ended(run) ? took(end - start) : age(end - start)}, begun {clock(start)} by {run.actor}{run.reason ? `: ${run.reason}` : ''}</p>
      {run.error ? <Wrong>{run.error}</Wrong> : null}
      <ol class="steps">{run.steps.map((step) => <Step key={step.name} step={step} now={now} p75={pace.get(step.name)} undone={back.some((one) => one.step === step.name)} />)}</ol>
      {back.length > 0 && <><h3>Set back, the last step first</h3><ol class="back">{back.map((one) => <li key={one.step}><b>{one.step}</b>{one.writes.map((write) => ` ${write.control} ${write.object}: ${write.after} → ${write.before}`).join(',')}</li>)}</ol></>}
      {ended(run) && <dl class="figures">{phases.map(([name, meant]) => <div key={name}><dt>{meant}</dt><dd>{(times[name] ?? -1) < 0 ? '–' : took(times[name]! / 1000)}</dd></div>)}</dl>}
      {(run.events ?? []).length > 0 && (
        <details>
          <summary>{run.events!.length} events</summary>
          <ol class="events">{run.events!.map((one) => <li key={one.seq}><time>{clock(one.at_us / 1000)}</time> {one.step && <b>{one.step}</b>} {one.text}</li>)}</ol>
        </details>
      )}
      {(run.writes ?? []).length > 0 && (
        <table>
          <thead><tr><th scope="col">lever</th><th scope="col">before</th><th scope="col">after</th><th scope="col" class="number">generation</th></tr></thead>
          <tbody>{run.writes!.map((one, i) => <tr key={i}><th scope="row">{one.control} {one.object}</th><td data-of="before">{one.before}</td><td data-of="after">{one.after}{one.restored ? ', set back' : ''}</td><td data-of="generation" class="number">{one.generation}</td></tr>)}</tbody>
        </table>
      )}
    </>
  );
}

/** What an abort would do, as the server reckons it now. */
export function UndoView({ undo }: { undo: Undo }) {
  return (
    <div id="undo" class="undo">
      {undo.controls.length === 0 && undo.calls === 0 ? <p class="note">Abort: nothing has been moved yet, so nothing is set back.</p> : (
        <>
          <p class="note">Abort sets back{undo.calls > 0 && `, and makes ${undo.calls} undo call${undo.calls === 1 ? '' : 's'} of hooks`}:</p>
          <ul>{undo.controls.map((one) => <li key={`${one.control}/${one.object}`}>{one.control} {one.object} to {one.value}</li>)}</ul>
        </>
      )}
      {undo.left.map((text) => <p key={text} class="warned">▲ stays: {text}</p>)}
      {undo.controls.length > 0 && <details><summary>What that moves</summary><ForecastView forecast={undo.forecast} refusals={[]} /></details>}
      {undo.refusals.map((one) => <Wrong key={one.rule}>{`${one.rule} would refuse it: ${one.figures}. ${one.way_round}`}</Wrong>)}
    </div>
  );
}

/** On paper everything is open. */
function printAll(): void {
  for (const one of document.querySelectorAll('details')) one.open = true;
  print();
}

export function ExecutionScreen({ id }: { id: string }) {
  const past = useAsk(() => api('GET /v1/executions', { query: { limit: 200 } }), []), [reason, setReason] = useState('');
  const [run, setRun] = useState<Execution | null>(null), [wrong, setWrong] = useState<string | null>(null), [busy, setBusy] = useState(false);
  const key = useRef(newKey()), asks = useRef({ on: false, again: false, off: false });
  const entry = told.value, mine = entry !== null && (entry.id === id || entry.id.startsWith(`${id}/`)) ? entry.seq : 0, gaps = state.value.gaps, lost = state.value.lost;
  useEffect(() => () => { asks.current.off = true; }, []);
  useEffect(() => {
    // One question at a time: what happens while it is under way is asked for after it, once.
    const one = asks.current, ask = async (): Promise<void> => {
      if (one.on) {
        one.again = true;
        return;
      }
      one.on = true;
      do {
        one.again = false;
        try {
          const answer = await api('GET /v1/executions/{id}', { path: { id } });
          if (!one.off) setRun(answer);
        } catch (error) {
          if (!one.off && error instanceof ApiError && !error.away) setWrong(error.message);
        }
      } while (one.again && !one.off);
      one.on = false;
    };
    void ask();
  }, [id, mine, gaps, lost]);
  const doAct = async (work: () => Promise<Execution>): Promise<void> => {
    setBusy(true);
    setWrong(null);
    try {
      setRun(await work());
      key.current = newKey();
    } catch (error) {
      setWrong(error instanceof ApiError ? error.message : String(error));
    }
    setBusy(false);
  };
  const undo = useAsk(async () => (run === null || ended(run) ? null : api('GET /v1/executions/{id}/undo', { path: { id } })), [run?.writes?.length ?? 0, run?.state, state.value.site?.generation ?? 0]);
  if (run === null) return wrong !== null ? <Wrong>{wrong}</Wrong> : <p class="calm">Asking the server…</p>;
  const shut = busy || stale.value || !may('operator') || ended(run), word = run.paused === true ? 'resume' : 'pause';
  const acts = async (act: string, step?: string): Promise<void> => doAct(() => api('POST /v1/executions/{id}/acts', { path: { id }, key: key.current, body: { act, step: step ?? null, reason: reason.trim() === '' ? null : reason.trim() } }));
  const open = run.steps.filter((step) => (step.state === 'running' || step.state === 'failed' || step.state === 'timed-out') && step.kind !== 'approve'), silent = reason.trim() === '';
  return (
    <div class="execution">
      <ExecutionView run={run} now={nowMs.value} past={past.data?.executions ?? []} />
      {!ended(run) && (
        <p class="buttons">
          <button type="button" disabled={shut} onClick={() => void acts(word)}>{word === 'pause' ? 'Pause' : 'Resume'}</button>
          <button type="button" class="danger" disabled={shut} aria-describedby="undo" onClick={() => void doAct(() => api('POST /v1/executions/{id}/abort', { path: { id }, key: key.current, body: { reason: silent ? null : reason.trim() } }))}>Abort and undo</button>
        </p>
      )}
      {!ended(run) && <><Twin command={`signalbox execution ${word} ${id}`} /><Twin command={reasoned(`signalbox execution abort ${id}`, reason)} /></>}
      {!ended(run) && undo.data !== null && <UndoView undo={undo.data} />}
      {!ended(run) && may('operator') && (
        <details>
          <summary>Skip, force</summary>
          <Field label="Reason" value={reason} maxLength={500} onValue={setReason} />
          <p class="buttons">
            {open.map((step) => <button key={step.name} type="button" disabled={shut || silent} onClick={() => void acts('skip', step.name)}>Go on without {step.name}</button>)}
            <button type="button" class="danger" disabled={shut || silent} onClick={() => void acts('force')}>Force: no bakes, no guards</button>
          </p>
          {open.map((step) => <Twin key={step.name} command={reasoned(`signalbox execution skip ${id} --step ${shellWord(step.name)}`, silent ? 'TEXT' : reason)} />)}
          <Twin command={reasoned(`signalbox execution force ${id}`, silent ? 'TEXT' : reason)} />
        </details>
      )}
      {run.steps.some((step) => (step.kind === 'approve' && step.state === 'running') || step.review !== undefined) && <p><a class="button" href="/approvals">A second person is waited for…</a></p>}
      {ended(run) && <p class="buttons"><button type="button" onClick={printAll}>Print the report</button></p>}
      {wrong !== null && <Wrong>{wrong}</Wrong>}
      {ended(run) && <Twin command={`signalbox execution report ${id}`} />}
    </div>
  );
}
