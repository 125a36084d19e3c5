// main.tsx: the shell: who, where, how old; one screen at a time.
import { options, render } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { api } from './api';
import { begin, dataAge, logOut, nowMs, session, stale, state } from './app';
import { followPlaces, go, place } from './browser';
import { Controls } from './controls';
import { ExecutionScreen } from './execution';
import { Explain } from './explain';
import { Failover } from './failover_screen';
import { Inventory } from './inventory';
import { Agents, Approvals, AuditScreen, Executions } from './lists';
import { Login } from './login';
import { Palette } from './palette';
import { Panel } from './panel';
import { Plans } from './plans';
import { Settings } from './settings';
import { age, clock, unturned } from './site';

const screens = [
  { path: '', key: 'p', name: 'Panel' },
  { path: 'failover', key: 'f', name: 'Failover' },
  { path: 'executions', key: 'r', name: 'Runs' },
  { path: 'approvals', key: 'a', name: 'Approvals' },
  { path: 'controls', key: 'c', name: 'Controls' },
  { path: 'explain', key: 'e', name: 'Explain' },
  { path: 'inventory', key: 'i', name: 'Inventory' },
  { path: 'plans', key: 'l', name: 'Plans' },
  { path: 'agents', key: 'g', name: 'Agents' },
  { path: 'audit', key: 'u', name: 'Audit' },
  { path: 'settings', key: 's', name: 'Settings' },
] as const;
const targets = screens.map((screen) => ({ name: screen.name, url: `/${screen.path}` }));

/** g, then a letter. */
function useJumps(): void {
  const armed = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const typing = event.target instanceof Element && event.target.closest('input, select, textarea') !== null;
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const screen = screens.find((one) => one.key === event.key);
      const jumps = Date.now() - armed.current < 1500;
      armed.current = event.key === 'g' && !jumps ? Date.now() : 0;
      if (screen !== undefined && jumps) go(`/${screen.path}`);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

function Screen() {
  const [first = '', second] = place.value.path;
  if (first === '') return <Panel />;
  if (first === 'failover') return <Failover />;
  if (first === 'executions') return second !== undefined ? <ExecutionScreen key={second} id={second} /> : <Executions />;
  if (first === 'approvals') return <Approvals who={session.value?.user ?? ''} />;
  if (first === 'controls') return <Controls />;
  if (first === 'explain') return <Explain key={place.value.query.toString()} />;
  if (first === 'inventory') return <Inventory />;
  if (first === 'plans') return <Plans />;
  if (first === 'agents') return <Agents />;
  if (first === 'audit') return <AuditScreen />;
  if (first === 'settings') return <Settings />;
  return <p>There is no screen of this name. <a href="/">Panel</a></p>;
}

/** In a row where there is room for it, else behind one button. */
function Screens() {
  const menu = useRef<HTMLDetailsElement>(null), here = place.value.path[0] ?? '';
  const links = screens.map((one) => <a key={one.path} href={`/${one.path}`} aria-current={here === one.path ? 'page' : undefined} title={`g ${one.key}`}>{one.name}</a>);
  useEffect(() => { if (menu.current !== null) menu.current.open = false; }, [place.value]);
  return <><nav class="wide" aria-label="screens">{links}</nav><details class="menu" ref={menu}><summary>{screens.find((one) => one.path === here)?.name ?? 'Screens'} ▾</summary><nav aria-label="screens">{links}</nav></details></>;
}

function TopBar() {
  const { site, atMs, lost } = state.value, worst = (site?.alarms ?? []).filter((alarm) => alarm.priority === 1).length;
  return (
    <header>
      <a class="brand" href="/">signalbox</a>
      <span class="cluster">{site?.cluster}</span>
      <Screens />
      <span class="fill" />
      {worst > 0 && <a class="chip p1" href="/">✕ {worst} P1</a>}
      {(site?.executions ?? []).slice(0, 1).map((run) => <a key={run.id} class="chip" href={`/executions/${encodeURIComponent(run.id)}`}>▶ {run.plan} {run.target}</a>)}
      {site !== null && <span class="note generation">generation {site.generation}</span>}
      <span class="note">{atMs === 0 ? '' : `${age(dataAge.value.ms)} old`}</span>
      <span class="note who">{session.value?.user} ({session.value?.role})</span>
      <button type="button" class="quiet" onClick={() => void logOut().catch(() => undefined)}>Log out</button>
      {stale.value && <p class="stale" role="alert">⚠ stale since {atMs === 0 ? 'the page was opened' : clock(atMs)}: {lost ?? 'the server does not answer'}. Levers are shut until it answers; the edges serve on without it.</p>}
    </header>
  );
}

/** Said once, when it begins. */
function Announcer() {
  const known = useRef(new Set<string>()), text = useRef('');
  const worst = (state.value.site?.alarms ?? []).filter((alarm) => alarm.priority === 1), fresh = worst.filter((alarm) => !known.current.has(alarm.key));
  if (fresh.length > 0) text.current = fresh.map((alarm) => `${alarm.title}, ${alarm.evidence}`).join('. ');
  known.current = new Set(worst.map((alarm) => alarm.key));
  return <div class="unseen" role="alert">{worst.length > 0 ? text.current : ''}</div>;
}

function App() {
  useJumps();
  if (session.value === undefined) return <p class="calm">Asking the server…</p>;
  if (session.value.user === null) return <Login />;
  return <><TopBar /><Announcer /><Palette screens={targets} /><main class={stale.value ? 'is-stale' : ''}><Screen /></main></>;
}

async function who(): Promise<void> {
  try {
    const found = await api('GET /v1/session');
    if (found.user === null) session.value = found;
    else begin(found);
  } catch {
    setTimeout(() => void who(), 1000); // the server is away: the page waits for it
  }
}

// Each text that is drawn, whoever wrote it; fields keep what they have.
const drawn = options.vnode;
options.vnode = (node) => {
  const text = node as { props: unknown };
  if (typeof text.props === 'string') text.props = unturned(text.props);
  drawn?.(node);
};
followPlaces();
setInterval(() => { nowMs.value = Date.now(); }, 1000);
void who();
render(<App />, document.getElementById('app')!);
