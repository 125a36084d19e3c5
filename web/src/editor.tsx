// editor.tsx: an object or a plan as text, checked by the server while it is typed; nothing is saved that was not seen as
// a difference.
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from './api';
import type { Applied } from './api_types';
import { ForecastView } from './failover_screen';
import { Field, Twin, useAct, Wrong } from './parts';
import { reasoned } from './site';

const pauseMs = 400; // after the last key

export type Checked = { of: string; applied: Applied } | { of: string; findings: string[] };
/** What is wrong with a text, in words: before the server is asked, or as it has answered. */
export function findingsOf(error: unknown): string[] {
  if (error instanceof ApiError) return error.errors.length > 0 ? error.errors.map((one) => one.text) : [error.message];
  return [error instanceof Error ? error.message : String(error)];
}

/** Lines of two texts: kept, taken out, put in; as few of the latter as can be. */
export function lineDiff(before: string, after: string): Array<{ sign: ' ' | '-' | '+'; line: string }> {
  const a = before.split('\n'), b = after.split('\n');
  const kept: number[][] = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) kept[i]![j] = a[i] === b[j] ? kept[i + 1]![j + 1]! + 1 : Math.max(kept[i + 1]![j]!, kept[i]![j + 1]!);
  const out: Array<{ sign: ' ' | '-' | '+'; line: string }> = [];
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) out.push({ sign: ' ', line: a[i++]! }), j++;
    else if (i < a.length && (j === b.length || kept[i + 1]![j]! >= kept[i]![j + 1]!)) out.push({ sign: '-', line: a[i++]! });
    else out.push({ sign: '+', line: b[j++]! });
  }
  return out;
}

export function Difference({ checked }: { checked: Checked }) {
  if ('findings' in checked) return <>{checked.findings.map((text) => <Wrong key={text}>{text}</Wrong>)}</>;
  const { applied } = checked;
  if (applied.changes.length === 0) return <p class="calm">Nothing is different.</p>;
  return (
    <>
      <pre class="diff">{applied.diff.split('\n').map((line, i) => <span key={i} class={line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : ''}>{line}{'\n'}</span>)}</pre>
      <ForecastView forecast={applied.forecast} refusals={applied.refusals ?? []} />
    </>
  );
}

interface Work {
  /** As it stands. */
  initial: string;
  /** What the text is called. */
  label: string;
  /** The body of a question, from the text; throws where it is none. */
  parse: (text: string) => Record<string, unknown>;
  /** What the server made of it, while it is typed; null: of what stands there nothing can be made. */
  onChecked?: (applied: Applied | null) => void;
  check: (body: Record<string, unknown>) => Promise<Applied>;
  save: (body: Record<string, unknown>, reason: string) => Promise<void>;
  may: boolean;
}
export function Editor({ initial, label, parse, onChecked, check, save, may }: Work) {
  const [text, setText] = useState(initial), [checked, setChecked] = useState<Checked | null>(null), [reason, setReason] = useState(''), { busy, wrong, act } = useAct();
  useEffect(() => { setText(initial); }, [initial]);
  useEffect(() => {
    if (text === initial) {
      setChecked(null);
      onChecked?.(null);
      return undefined;
    }
    let off = false;
    const timer = setTimeout(() => {
      const tell = (found: Checked): void => {
        if (off) return;
        setChecked(found);
        onChecked?.('applied' in found ? found.applied : null);
      };
      void (async () => check(parse(text)))().then((applied) => tell({ of: text, applied }), (error: unknown) => tell({ of: text, findings: findingsOf(error) }));
    }, pauseMs);
    return () => {
      off = true;
      clearTimeout(timer);
    };
  }, [text, initial]);
  const good = checked !== null && checked.of === text && 'applied' in checked && checked.applied.changes.length > 0 && (checked.applied.refusals ?? []).length === 0;
  return (
    <div>
      <label>{label}
        <textarea class="source" value={text} readOnly={!may} rows={Math.min(40, initial.split('\n').length + 2)} spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <div aria-live="polite">{checked !== null && <Difference checked={checked} />}</div>
      {good && <Field label="Reason" value={reason} maxLength={500} onValue={setReason} />}
      {may && <p class="buttons">
        <button type="button" class="main" disabled={!good || busy || reason.trim() === ''} onClick={() => act(() => save(parse(text), reason.trim()))}>Save the difference</button>
        <button type="button" disabled={text === initial} onClick={() => setText(initial)}>As it was</button>
      </p>}
      {wrong !== null && <Wrong>{wrong}</Wrong>}
      {good && may && <Twin command={reasoned('signalbox apply -f FILE', reason)} />}
    </div>
  );
}
