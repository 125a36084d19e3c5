// parts.tsx: small pieces that several screens have.
import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ApiError } from './api';
import { goQuery, place } from './browser';
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

/** What a question was answered, or why not; asked again when one of `deps` changes. An answer that was overtaken is dropped. */
export function useAsk<T>(ask: () => Promise<T>, deps: unknown[]): { data: T | null; wrong: string | null; again: () => void } {
  const [data, setData] = useState<T | null>(null), [wrong, setWrong] = useState<string | null>(null), [times, setTimes] = useState(0);
  useEffect(() => {
    let off = false;
    void ask().then((answer) => {
      if (off) return;
      setData(answer);
      setWrong(null);
    }, (error: unknown) => { if (!off) setWrong(words(error)); });
    return () => { off = true; };
  }, [...deps, times]);
  return { data, wrong, again: () => setTimes((n) => n + 1) };
}

/** One act at a time: who presses twice has pressed once. */
export function useAct(): { busy: boolean; wrong: string | null; act: (work: () => Promise<void>) => void } {
  const [busy, setBusy] = useState(false), [wrong, setWrong] = useState<string | null>(null), on = useRef(false);
  const act = (work: () => Promise<void>): void => {
    if (on.current) return;
    on.current = true;
    setBusy(true);
    setWrong(null);
    void work().catch((error: unknown) => setWrong(words(error))).finally(() => {
      on.current = false;
      setBusy(false);
    });
  };
  return { busy, wrong, act };
}
const words = (error: unknown): string => {
  if (!(error instanceof ApiError)) return String(error);
  return [`${error.title}: ${error.message}`, ...error.refusals.map((one) => `${one.rule}: ${one.figures}. ${one.way_round}`)].join(' ');
};

/** What stands where there is nothing to show yet. */
export function Waiting({ wrong }: { wrong: string | null }) {
  return wrong !== null ? <Wrong>{wrong}</Wrong> : <p class="calm">Asking the server…</p>;
}

/** long: text of any length, which is broken wherever it must be, so that it pushes no other column out. */
export interface Column<T> { name: string; cell: (row: T) => ComponentChildren; number?: boolean; long?: boolean }
const classOf = <T,>(column: Column<T>): string | undefined => (column.number === true ? 'number' : column.long === true ? 'long' : undefined);
const rowsDrawn = 200; // more than anybody reads, few enough to be drawn at once

/** Rows with a filter over all their text, which the URL keeps (?q=). */
export function Table<T>({ label, rows, columns, text, empty }: { label: string; rows: readonly T[]; columns: Column<T>[]; text: (row: T) => string; empty: string }) {
  const [drawn, setDrawn] = useState(rowsDrawn), wanted = place.value.query.get('q') ?? '';
  const found = useMemo(() => {
    const parts = wanted.toLowerCase().split(' ').filter((part) => part !== '');
    return parts.length === 0 ? rows : rows.filter((row) => parts.every((part) => text(row).toLowerCase().includes(part)));
  }, [rows, wanted]);
  return (
    <>
      {(rows.length > 8 || wanted !== '') && (
        <label class="filter">Filter
          <input type="search" value={wanted} onInput={(event) => goQuery({ q: event.currentTarget.value })} autocomplete="off" autocapitalize="none" spellcheck={false} />
        </label>
      )}
      {found.length === 0 ? <p class="calm">{wanted === '' ? empty : `Nothing has "${wanted}".`}</p> : (
        <div class="scroll" role="region" aria-label={label} tabIndex={0}>
          <table>
            <thead><tr>{columns.map((column) => <th key={column.name} scope="col" class={classOf(column)}>{column.name}</th>)}</tr></thead>
            <tbody>
              {found.slice(0, drawn).map((row, i) => (
                <tr key={i}>{columns.map((column, j) => (j === 0 ? <th key={column.name} scope="row">{column.cell(row)}</th>
                  : <td key={column.name} data-of={column.name} class={classOf(column)}>{column.cell(row)}</td>))}</tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found.length > drawn && <button type="button" onClick={() => setDrawn(drawn + rowsDrawn)}>{found.length - drawn} more</button>}
    </>
  );
}

export function Field({ label, value, onValue, list, ...rest }: { label: string; value: string; onValue: (value: string) => void; list?: string[]; type?: string; maxLength?: number; required?: boolean }) {
  const id = `list-${label.replaceAll(' ', '-')}`;
  return (
    <label>{label}
      <input value={value} onInput={(event) => onValue(event.currentTarget.value)} autocomplete="off" autocapitalize="none" spellcheck={false} {...(list === undefined ? {} : { list: id })} {...rest} />
      {list !== undefined && <datalist id={id}>{list.map((one) => <option key={one} value={one} />)}</datalist>}
    </label>
  );
}

export function Select({ label, value, options, onPick }: { label: string; value: string; options: readonly string[]; onPick: (value: string) => void }) {
  return (
    <label>{label}
      <select value={value} onChange={(event) => onPick(event.currentTarget.value)}>
        <option value="">choose…</option>
        {options.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

/** A moment, as people note it down. */
export function When({ us }: { us: number }) {
  const iso = new Date(us / 1000).toISOString();
  return <time dateTime={iso}>{`${iso.slice(0, 10)} ${iso.slice(11, 19)}`}</time>;
}
