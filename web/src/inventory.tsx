// inventory.tsx: objects by kind, one of them with who names it, and its text to be changed.
import { api, newKey } from './api';
import type { Object as Thing, ObjectPut, ObjectUse } from './api_types';
import { may, stale, state, things } from './app';
import { go, place } from './browser';
import { Editor } from './editor';
import { type Column, Table, Twin, useAsk, Waiting } from './parts';
import { shellWord } from './site';

type Row = Record<string, unknown>;
const urlOf = (kind: string, name: string): string => `/inventory/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`;

/** Kinds with how many there are. */
export function kindsOf(objects: readonly Thing[]): Array<{ kind: string; count: number }> {
  const count = new Map<string, number>();
  for (const one of objects) count.set(one.kind, (count.get(one.kind) ?? 0) + 1);
  return [...count].map(([kind, n]) => ({ kind, count: n })).sort((a, b) => (a.kind < b.kind ? -1 : 1));
}
const short = (value: unknown): string => (Array.isArray(value) ? value.map(short).join(', ') : typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? ''));

/** Columns: what objects of the kind have, but at most six of it; the rest is on the page of each. */
export function ObjectsView({ kind, objects }: { kind: string; objects: readonly Thing[] }) {
  const rows = objects.filter((one) => one.kind === kind) as unknown as Row[];
  const members = [...new Set(rows.slice(0, 50).flatMap((row) => Object.keys(row)))].filter((name) => name !== 'kind' && name !== 'name').slice(0, 6);
  const columns: Column<Row>[] = [
    { name: kind, cell: (row) => <a href={urlOf(kind, String(row['name']))}>{String(row['name'])}</a> },
    ...members.map((name) => ({ name, cell: (row: Row) => short(row[name]) })),
  ];
  return <Table label={`objects of kind ${kind}`} rows={rows} columns={columns} empty={`There is no ${kind}.`} text={(row) => Object.values(row).map(short).join(' ')} />;
}

export function UsedBy({ users }: { users: ObjectUse[] }) {
  if (users.length === 0) return <p class="calm">Nothing names it.</p>;
  return (
    <ul>
      {users.map((one, i) => (
        <li key={i}>{one.kind === 'control' ? <a href={`/controls?q=${encodeURIComponent(one.name)}`}>lever {one.name}, {one.field}</a> : <><a href={urlOf(one.kind, one.name)}>{one.kind} {one.name}</a>, {one.field}</>}</li>
      ))}
    </ul>
  );
}

function OneObject({ kind, name }: { kind: string; name: string }) {
  const path = { kind, name }, generation = state.value.site?.generation ?? 0;
  const { data, wrong, again } = useAsk(async () => {
    const [object, users] = await Promise.all([api('GET /v1/inventory/{kind}/{name}', { path }), api('GET /v1/inventory/{kind}/{name}/users', { path })]);
    return { object: object as unknown as Row, users: users.users };
  }, [kind, name, generation]);
  if (data === null) return <Waiting wrong={wrong} />;
  const { revision, ...rest } = data.object, match = `"${String(revision)}"`;
  return (
    <div class="columns">
      <section aria-labelledby="object-title">
        <h2 id="object-title">{kind} {name} <small>of generation {String(revision)}</small></h2>
        <Editor initial={JSON.stringify(rest, null, 2)} label="As text (JSON)" parse={(text) => JSON.parse(text) as Record<string, unknown>} may={may('admin') && !stale.value}
          check={(body) => api('PUT /v1/inventory/{kind}/{name}', { path, query: { dry_run: 1 }, ifMatch: match, body: body as ObjectPut })}
          save={async (body, reason) => {
            await api('PUT /v1/inventory/{kind}/{name}', { path, ifMatch: match, key: newKey(), body: { ...body, reason } as ObjectPut });
            again();
          }} />
        <Twin command={`signalbox inventory show ${kind} ${shellWord(name)}`} />
      </section>
      <section aria-labelledby="users-title">
        <h2 id="users-title">Used by</h2>
        <UsedBy users={data.users} />
        <Twin command={`signalbox inventory used-by ${kind} ${shellWord(name)}`} />
      </section>
    </div>
  );
}

export function Inventory() {
  const [, kind, name] = place.value.path;
  if (kind !== undefined && name !== undefined) return <OneObject kind={kind} name={name} />;
  const kinds = kindsOf(things.value), picked = kind ?? kinds[0]?.kind;
  return (
    <>
      <h2>Inventory</h2>
      <nav class="tabs" aria-label="kinds of objects">{kinds.map((one) => <a key={one.kind} href={`/inventory/${one.kind}`} aria-current={one.kind === picked ? 'page' : undefined} onClick={(event) => {
        event.preventDefault();
        go(`/inventory/${one.kind}`);
      }}>{one.kind} <small>{one.count}</small></a>)}</nav>
      {picked !== undefined && <ObjectsView key={picked} kind={picked} objects={things.value} />}
      <Twin command="signalbox export" />
    </>
  );
}
