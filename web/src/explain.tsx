// explain.tsx: the whole road of a request, with the reason at each turn, and beside it what was observed.
import { useState } from 'preact/hooks';
import { api } from './api';
import type { Explained } from './api_types';
import { inventory, state } from './app';
import { go, place } from './browser';
import { Field, Twin, useAsk, Wrong } from './parts';
import { rate, shellWord } from './site';

type Row = Record<string, unknown>;
const text = (row: Row, name: string): string => String(row[name] ?? '');

export function ExplainedView({ found }: { found: Explained }) {
  const silent = found.edges.filter((row) => text(row, 'state') === 'silent');
  return (
    <div class="columns">
      <section aria-labelledby="meant-title">
        <h2 id="meant-title">Intended</h2>
        <p class="note">policy {found.policy}{found.slot != null && `, slot ${found.slot} of 1000`}{found.key != null && `, as ${found.key}`}</p>
        <ol class="road">{found.turns.map((turn, i) => <li key={i}><b>{turn.at}</b> <span>{turn.is}</span><p class="note">{turn.why}</p></li>)}</ol>
      </section>
      <section aria-labelledby="seen-title">
        <h2 id="seen-title">Observed</h2>
        {found.observed.length === 0 && <p class="calm">No edge has counted a request of this policy.</p>}
        {found.observed.length > 0 && (
          <table>
            <thead><tr><th scope="col">edge</th><th scope="col">went to</th><th scope="col" class="number">requests</th><th scope="col" class="number">failed</th><th scope="col" class="number">now</th></tr></thead>
            <tbody>
              {found.observed.map((row, i) => (
                <tr key={i}><th scope="row">{text(row, 'edge')}</th><td>{text(row, 'room') || 'nobody'} {text(row, 'via')}</td><td class="number">{text(row, 'requests')}</td>
                  <td class={`number${Number(row['failed']) > 0 ? ' bad' : ''}`}>{text(row, 'failed')}</td><td class="number">{rate(Number(row['rate']))}</td></tr>
              ))}
            </tbody>
          </table>
        )}
        {found.probes.map((row, i) => <p key={i}>probe of {text(row, 'edge')}: {text(row, 'room') === '' ? <b class="bad">✕ nobody answered</b> : <>answered by {text(row, 'room')}</>}</p>)}
        {found.origins.filter((row) => row['up'] === false).map((row, i) => <p key={i} class="bad">✕ {text(row, 'edge')} sees {text(row, 'room')} {text(row, 'via')} down, {text(row, 'status')}</p>)}
        {found.holds.map((row, i) => <p key={i} class="warned">▲ {text(row, 'edge')} holds {text(row, 'room')} away by itself</p>)}
        {silent.length > 0 && <p class="warned">▲ not heard: {silent.map((row) => text(row, 'edge')).join(', ')}</p>}
      </section>
    </div>
  );
}

export function Explain() {
  const asked = place.value.query, [form, setForm] = useState({ url: asked.get('url') ?? '', user: asked.get('user') ?? '', from: asked.get('from') ?? '', carrier: asked.get('carrier') ?? '' });
  const url = asked.get('url') ?? '', query = Object.fromEntries([...asked].filter(([name, value]) => value !== '' && ['url', 'user', 'from', 'carrier'].includes(name)));
  const { data, wrong } = useAsk(() => (url === '' ? Promise.resolve(null) : api('GET /v1/explain', { query })), [asked.toString(), state.value.site?.generation]);
  const set = (name: keyof typeof form) => (value: string): void => setForm({ ...form, [name]: value });
  const submit = (event: Event): void => {
    event.preventDefault();
    go(`/explain?${new URLSearchParams(Object.entries(form).filter(([, value]) => value.trim() !== ''))}`);
  };
  const flags = ['user', 'from', 'carrier'].map((name) => (query[name] === undefined ? '' : ` --${name} ${shellWord(query[name]!)}`)).join('');
  return (
    <>
      <h1 class="unseen">Explain</h1>
      <form class="row-form" onSubmit={submit}>
        <Field label="URL (it is never requested)" value={form.url} onValue={set('url')} required />
        <Field label="User id" value={form.user} onValue={set('user')} />
        <Field label="From edge" value={form.from} list={inventory.value?.edges.map((edge) => edge.name) ?? []} onValue={set('from')} />
        <Field label="Carrier" value={form.carrier} onValue={set('carrier')} />
        <button type="submit" class="main">Explain</button>
      </form>
      {wrong !== null && <Wrong>{wrong}</Wrong>}
      {wrong === null && data !== null && <ExplainedView found={data} />}
      {url !== '' && <Twin command={`signalbox explain ${shellWord(url)}${flags}`} />}
    </>
  );
}
