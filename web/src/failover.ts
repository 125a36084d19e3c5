// failover.ts: what stands between a plan and its button. Pure.
import type { Execution, ForecastRow, Plan } from './api_types';
import { shellWord } from './site';

export interface Choice { plan: string; target: string; params: Record<string, string> }

/** A preview, and what it was made of: it is good for that alone. */
export interface Preview { choice: Choice; execution: Execution; key: string }

export type Gate = { ready: true } | { ready: false; why: string; mend: string };

const same = (a: Choice, b: Choice): boolean =>
  a.plan === b.plan && a.target === b.target && JSON.stringify(Object.entries(a.params).sort()) === JSON.stringify(Object.entries(b.params).sort());

/** May the button be pressed? If not, why, and what mends it. */
export function gate(choice: Choice, preview: Preview | null, now: { generation: number; stale: boolean; role: boolean }, typed: string, reason: string): Gate {
  const no = (why: string, mend: string): Gate => ({ ready: false, why, mend });
  if (!now.role) return no('Your role only looks.', 'An operator can run it: give them the command below.');
  if (now.stale) return no('What is shown may be old.', 'Wait until the server answers again.');
  if (preview === null || !same(choice, preview.choice)) return no('There is no preview of this yet.', 'Make one: nothing is moved that was not forecast.');
  if (preview.execution.generation !== now.generation)
    return no(`The site has changed since the preview (generation ${preview.execution.generation}, now ${now.generation}).`, 'Preview again and look at what is different.');
  const refusals = preview.execution.refusals ?? [];
  if (refusals.length > 0) return no(`Refused by ${refusals.map((one) => one.rule).join(', ')}.`, refusals.map((one) => one.way_round).join(' '));
  if (typed !== choice.target) return no('The name is not typed yet.', `Type ${choice.target}.`);
  if (reason.trim() === '') return no('There is no reason yet.', 'A few words: they stand in the audit.');
  return { ready: true };
}

/** The same, as it is typed in a shell. */
export function command(choice: Choice, reason: string): string {
  const params = Object.entries(choice.params).map(([name, value]) => ` --param ${shellWord(`${name}=${value}`)}`).join('');
  return `signalbox plan run ${shellWord(choice.plan)} --confirm ${shellWord(choice.target)}${params}${reason.trim() === '' ? '' : ` --reason ${shellWord(reason.trim())}`}`;
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
