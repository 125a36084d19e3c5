// main.tsx: the shell: who, where, how old; one screen at a time.
import { render } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { api } from './api';
import { begin, dataAge, logOut, nowMs, session, stale, state } from './app';
import { followPlaces, go, place } from './browser';
import { ExecutionScreen } from './execution';
import { Failover } from './failover_screen';
import { Login } from './login';
import { Panel } from './panel';
import { age, clock } from './site';

const screens = [
  { path: '', key: 'p', name: 'Panel' },
  { path: 'failover', key: 'f', name: 'Failover' },
] as const;

/** g, then a letter. */
function useJumps(): void {
  const armed = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const typing = event.target instanceof Element && event.target.closest('input, select, textarea') !== null;
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const screen = screens.find((one) => one.key === event.key);
      if (event.key === 'g') armed.current = Date.now();
      else if (screen !== undefined && Date.now() - armed.current < 1500) go(`/${screen.path}`);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

function Screen() {
  const [first = '', second] = place.value.path;
  if (first === '') return <Panel />;
  if (first === 'failover') return <Failover />;
  if (first === 'executions' && second !== undefined) return <ExecutionScreen key={second} id={second} />;
  return <p>There is no screen of this name. <a href="/">Panel</a></p>;
}

function TopBar() {
  const { site, atMs, lost } = state.value, worst = (site?.alarms ?? []).filter((alarm) => alarm.priority === 1).length;
  return (
    <header>
      <a class="brand" href="/">signalbox</a>
      <span class="cluster">{site?.cluster}</span>
      <nav aria-label="screens">{screens.map((one) => <a key={one.path} href={`/${one.path}`} aria-current={(place.value.path[0] ?? '') === one.path ? 'page' : undefined} title={`g ${one.key}`}>{one.name}</a>)}</nav>
      <span class="fill" />
      {worst > 0 && <a class="chip p1" href="/">✕ {worst} P1</a>}
      {(site?.executions ?? []).slice(0, 1).map((run) => <a key={run.id} class="chip" href={`/executions/${encodeURIComponent(run.id)}`}>▶ {run.plan} {run.target}</a>)}
      {site !== null && <span class="note">generation {site.generation}</span>}
      <span class="note">{atMs === 0 ? '' : `${age(dataAge.value.ms)} old`}</span>
      <span class="note">{session.value?.user} ({session.value?.role})</span>
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
  return <><TopBar /><Announcer /><main class={stale.value ? 'is-stale' : ''}><Screen /></main></>;
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

followPlaces();
setInterval(() => { nowMs.value = Date.now(); }, 1000);
void who();
render(<App />, document.getElementById('app')!);
