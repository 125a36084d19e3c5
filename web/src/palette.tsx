// palette.tsx: Ctrl-K: where to, by a few letters of its name.
import { useEffect, useRef, useState } from 'preact/hooks';
import { plans, state, things } from './app';
import { go } from './browser';

export interface Target { name: string; url: string }
const shown = 12;
const act = new Set(['room', 'pop', 'line', 'edge']);

/** Everything that has a page, screens first. */
export function targetsOf(screens: readonly Target[], objects: ReadonlyArray<{ kind: string; name: string }>, planNames: readonly string[], runs: ReadonlyArray<{ id: string; plan: string; target: string | null }>): Target[] {
  return [
    ...screens,
    ...runs.map((run) => ({ name: `run ${run.plan} ${run.target ?? ''}`, url: `/executions/${encodeURIComponent(run.id)}` })),
    ...objects.filter((one) => act.has(one.kind)).map((one) => ({ name: `move ${one.kind} ${one.name}`, url: `/failover?target=${encodeURIComponent(one.name)}` })),
    ...planNames.map((name) => ({ name: `plan ${name}`, url: `/plans/${encodeURIComponent(name)}` })),
    ...objects.map((one) => ({ name: `${one.kind} ${one.name}`, url: `/inventory/${encodeURIComponent(one.kind)}/${encodeURIComponent(one.name)}` })),
  ];
}
/** Those that have all the words, a match at the beginning of a word before others. */
export function match(targets: readonly Target[], typed: string): Target[] {
  const words = typed.toLowerCase().split(' ').filter((word) => word !== '');
  const weight = (name: string): number => words.filter((word) => !name.startsWith(word) && !name.includes(` ${word}`)).length;
  return targets.map((target) => ({ target, name: target.name.toLowerCase() })).filter(({ name }) => words.every((word) => name.includes(word)))
    .map((one, i) => ({ ...one, i, weight: weight(one.name) })).sort((a, b) => a.weight - b.weight || a.i - b.i).slice(0, shown).map(({ target }) => target);
}

export function Palette({ screens }: { screens: readonly Target[] }) {
  const dialog = useRef<HTMLDialogElement>(null), [typed, setTyped] = useState(''), [at, setAt] = useState(0), [open, setOpen] = useState(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      setTyped('');
      setAt(0);
      setOpen(true);
      if (dialog.current?.open === false) dialog.current.showModal();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  // Of everything there is a list is made only while somebody looks at it: a large site has ten thousand names.
  const found = open ? match(targetsOf(screens, things.value, plans.value?.map((plan) => plan.plan) ?? [], state.value.site?.executions ?? []), typed) : [], here = Math.min(at, found.length - 1);
  const follow = (target: Target | undefined): void => {
    if (target === undefined) return;
    dialog.current?.close();
    go(target.url);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'ArrowDown') setAt(Math.min(here + 1, found.length - 1));
    else if (event.key === 'ArrowUp') setAt(Math.max(here - 1, 0));
    else if (event.key === 'Enter') follow(found[here]);
    else return;
    event.preventDefault();
  };
  return (
    <dialog ref={dialog} class="palette" aria-label="go to" onClose={() => setOpen(false)}>
      <input role="combobox" aria-label="where to" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={found.length > 0 ? `palette-${here}` : undefined} value={typed}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          setAt(0);
        }} onKeyDown={onKey} autocomplete="off" autocapitalize="none" spellcheck={false} />
      <ul id="palette-list" role="listbox" aria-label="places">
        {found.map((target, i) => <li key={target.url + target.name} id={`palette-${i}`} role="option" aria-selected={i === here} onClick={() => follow(target)}>{target.name}</li>)}
      </ul>
    </dialog>
  );
}
