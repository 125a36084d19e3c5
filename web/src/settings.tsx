// settings.tsx: people, tokens, webhooks.
import { useState } from 'preact/hooks';
import { api, newKey } from './api';
import type { Delivery, Webhook } from './api_types';
import { may, session } from './app';
import { place } from './browser';
import { type Column, Field, Select, Table, Twin, useAct, useAsk, Waiting, When, Wrong } from './parts';
import { shellWord, took } from './site';

type Row = Record<string, unknown>;
const text = (row: Row, name: string): string => (Array.isArray(row[name]) ? row[name].join(', ') : String(row[name] ?? ''));
const roles = ['viewer', 'operator', 'admin'] as const;

export function GrantsView({ what, rows, onDelete }: { what: string; rows: Row[]; onDelete: (name: string) => void }) {
  const [sure, setSure] = useState('');
  const columns: Column<Row>[] = [
    { name: 'name', cell: (row) => text(row, 'name') },
    { name: 'role', cell: (row) => text(row, 'role') },
    { name: 'good for', cell: (row) => text(row, 'scopes') || 'all' },
    { name: 'until', cell: (row) => (Number(row['expires_us'] ?? 0) > 0 ? new Date(Number(row['expires_us']) / 1000).toISOString().slice(0, 10) : '') },
    { name: '', cell: (row) => {
      const name = text(row, 'name');
      return sure === name ? <button type="button" class="danger" onClick={() => onDelete(name)}>Delete {what} {name}</button>
        : <button type="button" class="quiet" aria-label={`Delete… ${what} ${name}`} onClick={() => setSure(name)}>Delete…</button>;
    } },
  ];
  const all = <Table label={`${what}s`} rows={rows} columns={columns} empty={`There is no ${what}.`} text={(row) => `${text(row, 'name')} ${text(row, 'role')}`} />;
  return <>{all}{sure !== '' && <Twin command={`signalbox ${what === 'person' ? 'user remove' : 'token delete'} ${shellWord(sure)}`} />}</>;
}

function People() {
  const { data, wrong, again } = useAsk(() => api('GET /v1/users'), []), { busy, wrong: refused, act } = useAct();
  const [name, setName] = useState(''), [role, setRole] = useState(''), [password, setPassword] = useState('');
  if (data === null) return <Waiting wrong={wrong} />;
  const known = data.users.some((row) => row['name'] === name);
  const save = (): void => act(async () => {
    if (known) await api('PUT /v1/users/{name}/password', { path: { name }, body: { password } });
    else await api('POST /v1/users', { body: { name, role, password } });
    setPassword('');
    again();
  });
  return (
    <section aria-labelledby="people-title">
      <h2 id="people-title">People</h2>
      <GrantsView what="person" rows={data.users} onDelete={(gone) => act(async () => {
        await api('DELETE /v1/users/{name}', { path: { name: gone }, key: newKey() });
        again();
      })} />
      <Field label="Name of a person" value={name} onValue={setName} />
      {!known && <Select label="Role of a person" value={role} options={roles} onPick={setRole} />}
      <Field label="Password" value={password} onValue={setPassword} type="password" />
      <button type="button" class="main" disabled={busy || name === '' || password === '' || (!known && role === '')} onClick={save}>{known ? `Another password for ${name}` : `Let ${name || '…'} log in`}</button>
      {refused !== null && <Wrong>{refused}</Wrong>}
      {name !== '' && <Twin command={known ? `signalbox user passwd ${shellWord(name)}` : `signalbox user add ${shellWord(name)} --role ${role || 'ROLE'}`} />}
    </section>
  );
}

function Tokens() {
  const { data, wrong, again } = useAsk(() => api('GET /v1/tokens'), []), { busy, wrong: refused, act } = useAct();
  const [name, setName] = useState(''), [role, setRole] = useState(''), [made, setMade] = useState<{ name: string; token: string } | null>(null);
  if (data === null) return <Waiting wrong={wrong} />;
  return (
    <section aria-labelledby="tokens-title">
      <h2 id="tokens-title">Tokens</h2>
      <GrantsView what="token" rows={data.tokens} onDelete={(gone) => act(async () => {
        await api('DELETE /v1/tokens/{name}', { path: { name: gone }, key: newKey() });
        again();
      })} />
      <Field label="Name of a token" value={name} onValue={setName} />
      <Select label="Role of a token" value={role} options={[...roles, 'agent']} onPick={setRole} />
      <button type="button" class="main" disabled={busy || name === '' || role === ''} onClick={() => act(async () => {
        const { token } = await api('POST /v1/tokens', { body: { name, role } });
        setMade({ name, token });
        setName('');
        again();
      })}>Make token {name}</button>
      {made !== null && <><p>The secret of {made.name}, shown this once:</p><Twin command={made.token} /></>}
      {refused !== null && <Wrong>{refused}</Wrong>}
      {name !== '' && <Twin command={`signalbox token create --name ${shellWord(name)} --role ${role || 'ROLE'}`} />}
    </section>
  );
}

export function DeliveriesView({ rows }: { rows: Delivery[] }) {
  const columns: Column<Delivery>[] = [
    { name: 'time (UTC)', cell: (row) => <When us={row.at_us} /> },
    { name: 'what', cell: (row) => `${row.type} ${row.subject}` },
    { name: 'state', cell: (row) => <>{row.state}{row.state === 'failed' && <b class="bad"> ✕</b>}</> },
    { name: 'attempt', number: true, cell: (row) => row.attempt },
    { name: 'answer', number: true, cell: (row) => (row.status === 0 ? 'none' : row.status) },
    { name: 'took', number: true, cell: (row) => took(row.latency_us / 1000) },
    { name: 'why', cell: (row) => row.error ?? '' },
  ];
  return <Table label="deliveries" rows={rows} columns={columns} empty="It was told nothing yet." text={(row) => `${row.type} ${row.subject} ${row.state} ${row.error}`} />;
}

function Deliveries({ name }: { name: string }) {
  const { data, wrong } = useAsk(() => api('GET /v1/webhooks/{name}/deliveries', { path: { name }, query: { limit: 100 } }), [name]);
  return <><h3>What {name} was told</h3>{data === null ? <Waiting wrong={wrong} /> : <DeliveriesView rows={data.deliveries} />}</>;
}

export function WebhooksView({ rows, onTest }: { rows: Webhook[]; onTest: (name: string) => void }) {
  const columns: Column<Webhook>[] = [
    { name: 'webhook', cell: (row) => <a href={`/settings?webhook=${encodeURIComponent(row.name)}`}>{row.name}</a> },
    { name: 'told of', cell: (row) => row.events.join(', ') },
    { name: 'state', cell: (row) => <>{row.state}{row.attempts > 1 && <b class="warned"> ▲ {row.attempts} attempts</b>}</> },
    { name: 'why', cell: (row) => row.why ?? '' },
    { name: '', cell: (row) => <button type="button" class="quiet" disabled={!may('operator')} onClick={() => onTest(row.name)} aria-label={`Test ${row.name}`}>Test</button> },
  ];
  return <Table label="webhooks" rows={rows} columns={columns} empty="Nobody is told: webhooks of the inventory name who is." text={(row) => `${row.name} ${row.state}`} />;
}

function Webhooks() {
  const { data, wrong, again } = useAsk(() => api('GET /v1/webhooks'), []), { wrong: refused, act } = useAct();
  return (
    <section aria-labelledby="hooks-title">
      <h2 id="hooks-title">Webhooks</h2>
      {data === null ? <Waiting wrong={wrong} /> : <WebhooksView rows={data.webhooks} onTest={(name) => act(async () => {
        await api('POST /v1/webhooks/{name}/deliveries', { path: { name }, body: {} });
        again();
      })} />}
      {refused !== null && <Wrong>{refused}</Wrong>}
      {(place.value.query.get('webhook') ?? '') !== '' && <Deliveries name={place.value.query.get('webhook')!} />}
      <Twin command="signalbox webhook list" />
      {(data?.webhooks ?? []).length > 0 && <Twin command={`signalbox webhook test ${place.value.query.get('webhook') || 'WEBHOOK'}`} />}
    </section>
  );
}

export function Settings() {
  return (
    <div class="columns">
      {may('admin') ? <><People /><Tokens /></> : <p class="note">{session.value?.user} is {session.value?.role}: people and tokens are an admin's.</p>}
      <Webhooks />
    </div>
  );
}
