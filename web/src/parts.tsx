// parts.tsx: small pieces that several screens have.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { type Health, marks } from './site';

/** Shape, then word for who hears the page; colour is only beside them. */
export function Mark({ health }: { health: Health }) {
  return <span class={`mark is-${health}`} title={marks[health].word} role="img" aria-label={marks[health].word}>{marks[health].glyph}</span>;
}

/** The same, as it is typed: whoever can press the button can write it into a runbook. */
export function Twin({ command }: { command: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(command);
    setCopied(true);
  };
  return (
    <p class="twin">
      <code>{command}</code>
      <button type="button" class="quiet" onClick={() => void copy()} aria-live="polite">{copied ? 'copied' : 'copy'}</button>
    </p>
  );
}

/** What is wrong, where it happened: never a toast alone. */
export function Wrong({ children }: { children: ComponentChildren }) {
  return <p class="wrong" role="alert"><span aria-hidden="true">✕ </span>{children}</p>;
}

/** Share of something, with its normal range where there is one. */
export function Bar({ part, of, label }: { part: number; of: number; label: string }) {
  const percent = of > 0 ? Math.min(100, (100 * part) / of) : 0;
  return (
    <svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label={label}>
      <rect class="bar-back" width="100" height="6" /><rect class="bar-fill" width={percent} height="6" />
    </svg>
  );
}

/** Values over time, the newest right; failing ones below, in another shape too. */
export function Trend({ values, failing, label }: { values: number[]; failing: number[]; label: string }) {
  const top = Math.max(1, ...values), n = Math.max(2, values.length);
  const points = (list: number[]): string => list.map((value, i) => `${((i / (n - 1)) * 100).toFixed(1)},${(30 - (28 * Math.min(value, top)) / top).toFixed(1)}`).join(' ');
  return (
    <svg class="trend" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={label}>
      <polyline class="trend-line" points={points(values)} />
      {failing.some((value) => value > 0) && <polyline class="trend-failing" points={points(failing)} />}
    </svg>
  );
}
