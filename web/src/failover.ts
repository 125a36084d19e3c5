// failover.ts: what stands between a plan and its button. Pure.
import type { Execution, ForecastRow, Plan, Precheck } from './api_types';
import { reasoned, shellWord } from './site';

export interface Choice { plan: string; target: string; params: Record<string, string> }

/** A preview, and what it was made of: it is good for that alone. */
export interface Preview { choice: Choice; execution: Execution; key: string }

export type Gate = { ready: true } | { ready: false; why: string; mend: string };

const same = (a: Choice, b: Choice): boolean =>
  a.plan === b.plan && a.target === b.target && JSON.stringify(Object.entries(a.params).sort()) === JSON.stringify(Object.entries(b.params).sort());

/** What stands in the way of a preview: its prechecks, of an older server its refusals. */
export function blocksOf(execution: Execution): Precheck[] {
  if (execution.checks !== undefined) return execution.checks.filter((one) => one.state === 'block');
  return (execution.refusals ?? []).map((one) => ({ name: one.rule, state: 'block', value: one.figures, mend: one.way_round, override: true }));
}

/** May the button be pressed? If not, why, and what mends it. `passed`: rules that a person passes over. */
export function gate(choice: Choice, preview: Preview | null, now: { generation: number; stale: boolean; role: boolean }, typed: string, reason: string, passed: readonly string[] = []): Gate {
  const no = (why: string, mend: string): Gate => ({ ready: false, why, mend });
  if (!now.role) return no('Your role only looks.', 'An operator can run it: give them the command below.');
  if (now.stale) return no('What is shown may be old.', 'Wait until the server answers again.');
  if (preview === null || !same(choice, preview.choice)) return no('There is no preview of this yet.', 'Make one: nothing is moved that was not forecast.');
  if (preview.key === '') return no('The site has changed since the preview.', 'Preview again and look at what is different.');
  if (preview.execution.generation !== now.generation)
    return no(`The site has changed since the preview (generation ${preview.execution.generation}, now ${now.generation}).`, 'Preview again and look at what is different.');
  const blocks = blocksOf(preview.execution).filter((one) => !(one.override && passed.includes(one.name)));
  if (blocks.length > 0) return no(`Blocked by ${blocks.map((one) => one.name).join(', ')}.`, blocks.map((one) => one.mend ?? '').join(' '));
  if (typed !== choice.target) return no('The name is not typed yet.', `Type ${choice.target}.`);
  if (reason.trim() === '') return no('There is no reason yet.', 'A few words: they stand in the audit.');
  return { ready: true };
}

/** How two previews of the same choice differ, a line each: what somebody who looks again has to see. */
export function newsOf(before: Execution, after: Execution): string[] {
  const old = new Map((before.checks ?? []).map((one) => [one.name, one])), out: string[] = [];
  for (const one of after.checks ?? []) {
    const was = old.get(one.name);
    if (was === undefined) out.push(`${one.name}: ${one.value}`);
    else if (was.state !== one.state || (one.state !== 'pass' && was.value !== one.value)) out.push(`${one.name} was ${was.state} (${was.value}), is ${one.state}: ${one.value}`);
    old.delete(one.name);
  }
  for (const was of old.values()) out.push(`${was.name} is looked at no more: ${was.value}`);
  const sets = (one: Execution): string => one.steps.map((step) => `${step.name} ${step.text ?? ''} ${JSON.stringify((step as { sets?: unknown }).sets ?? null)}`).join('\n');
  if (sets(before) !== sets(after)) out.push('The steps are not the same.');
  return out;
}

/** The same, as it is typed in a shell. */
export function command(choice: Choice, reason: string, passed: readonly string[] = []): string {
  const params = Object.entries(choice.params).map(([name, value]) => ` --param ${shellWord(`${name}=${value}`)}`).join('');
  return reasoned(`signalbox plan run ${shellWord(choice.plan)} --confirm ${shellWord(choice.target)}${params}${passed.map((name) => ` --override ${shellWord(name)}`).join('')}`, reason);
}

/** Rows of the forecast by kind of place, those that change most first. */
export function rowsOf(rows: ForecastRow[]): Array<{ kind: string; rows: ForecastRow[] }> {
  const kinds = [...new Set(rows.map((row) => row.kind))];
  return kinds.map((kind) => ({
    kind,
    rows: rows.filter((row) => row.kind === kind).sort((a, b) => Math.abs(b.after - b.before) - Math.abs(a.after - a.before) || (a.name < b.name ? -1 : 1)),
  }));
}

/** What three of four runs that went well took at most, s; null: there were none. */
export function expectedS(plan: string, executions: Execution[]): { p75: number; runs: number } | null {
  const took = executions.filter((one) => one.plan === plan && one.state === 'succeeded' && (one.ended_us ?? 0) > 0)
    .map((one) => (one.ended_us! - one.started_us!) / 1e6).sort((a, b) => a - b);
  return took.length === 0 ? null : { p75: took[Math.ceil(took.length * 0.75) - 1]!, runs: took.length };
}

/** Plans that a person may choose for a target of this kind; without one: all that have a target. */
export function plansFor(plans: Plan[], kind: string | null): Plan[] {
  return plans.filter((plan) => plan.target !== undefined && (kind === null || plan.target === kind));
}
