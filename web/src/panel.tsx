// panel.tsx: the site as a railway panel: what is abnormal, since when, what can be done. Grey is normal.
import { useMemo } from 'preact/hooks';
import { dataAge, inventory, may, nowMs, state } from './app';
import type { Alarm } from './api_types';
import { Acknowledge } from './alarm';
import { type Box, layout, type Panel as Drawn, type RoomBox } from './layout';
import { Bar, Mark } from './parts';
import { Scrubber, usePast } from './past';
import { age, agentHealth, astrayWords, clock, cut, type EntranceRow, entranceHealth, type Inventory, leaking, lineHealth, marks, rate, roomHealth, type RoomRow, type Site, unconverged } from './site';
import type { Sample } from './state';
import { LineList, Meant, PublicRoads, Stragglers, TrackShape } from './tracks';
import { Trend } from './trend';

export function AlarmList({ alarms, now, live }: { alarms: Alarm[]; now: number; live: boolean }) {
  const shown = alarms.slice(0, 10);
  return (
    <section class="alarms" aria-labelledby="alarms-title">
      <h2 id="alarms-title">Alarms{alarms.length > 0 ? ` (${alarms.length})` : ''}</h2>
      {alarms.length === 0 && <p class="calm">None. Every entrance, edge and name server is as it should be.</p>}
      <ol>
        {shown.map((alarm) => (
          <li key={alarm.key} class={`alarm p${alarm.priority}`}>
            <strong><span aria-hidden="true">{alarm.priority === 1 ? '✕' : '▲'} </span>P{alarm.priority} {alarm.title}</strong>
            <span class="since">since {clock(alarm.since_us / 1000)}, {age(now - alarm.since_us / 1000)}</span>
            <span class="evidence">{alarm.evidence}</span>
            {live && alarm.plan != null && (
              <a class="button main" href={`/failover?plan=${encodeURIComponent(alarm.plan)}&target=${encodeURIComponent(alarm.object)}`}>
                {alarm.plan} {alarm.object}…
              </a>
            )}
            <Acknowledge alarm={alarm} live={live} />
          </li>
        ))}
      </ol>
      {alarms.length > shown.length && <p>and {alarms.length - shown.length} more</p>}
    </section>
  );
}

function RoomCard({ room, site, samples, live }: { room: RoomRow; site: Site; samples: Sample[]; live: boolean }) {
  const health = roomHealth(room, site);
  const entrances = site.entrances.filter((row) => row.room === room.name);
  const points = useMemo(() => samples.map(({ atMs, rooms }) => ({ atMs, rate: rooms[room.name]?.rate ?? 0, failing: rooms[room.name]?.failing ?? 0 })), [samples]);
  return (
    <article class={`card is-${health}`} aria-label={`${room.name}: ${marks[health].word}`}>
      <div class="row">
        <h3><Mark health={health} /> {room.name} <small>{room.zone}</small></h3>
        {live && may('operator') && <a class="button" href={`/failover?target=${encodeURIComponent(room.name)}`} aria-label={`Evacuate ${room.name}…`}>Evacuate…</a>}
      </div>
      <p>{room.share_percent.toFixed(0)} % of requests, {rate(room.rate)}{room.fail_rate > 0 && <>, <b class="bad">{rate(room.fail_rate)} fail</b></>}</p>
      <Bar part={room.share_percent} of={100} label={`${room.share_percent.toFixed(0)} percent of requests`} />
      <p>{marks[health].word}{room.ingress === 'closed' && ', ingress closed'}{room.compute === 'closed' && ', compute closed'}{room.held !== null && `, ${room.held}`}</p>
      <p class="entrances">{entrances.map((row) => <span key={row.via}><Mark health={entranceHealth(row)} /> {row.via} {row.seen === 0 ? 'not seen' : `${row.up}/${row.seen}`} </span>)}</p>
      <Trend points={points} name={room.name} />
    </article>
  );
}

function Word({ x, y, cls, children }: { x: number; y: number; cls?: string | undefined; children: string }) {
  return <text x={x} y={y} class={cls}>{cut(children, 18)}</text>;
}

function RoomShape({ box, site }: { box: RoomBox; site: Site }) {
  const row = site.rooms.find((one) => one.name === box.room.name);
  const health = row === undefined ? 'unknown' : roomHealth(row, site), ring = site.entrances.find((one) => one.room === box.room.name && one.via === 'ring');
  const gateways = site.gateways.filter((one) => one.room === box.room.name);
  return (
    <g>
      {box.pops.map((pop) => {
        const entrance: EntranceRow | undefined = site.entrances.find((one) => one.via === pop.pop.name), state = entranceHealth(entrance);
        return (
          <g key={pop.pop.name} class={`box is-${state}`}>
            <title>{`${pop.pop.name}, ${pop.pop.city}, ${pop.pop.carriers.join(', ')}: ${marks[state].word} ${entrance?.status ?? ''}`}</title>
            <rect x={pop.x} y={pop.y} width={pop.w} height={pop.h} rx="4" />
            <Word x={pop.x + 10} y={pop.y + 22} cls="name">{`${marks[state].glyph} ${pop.pop.name}`}</Word>
            <Word x={pop.x + 10} y={pop.y + 42}>{entrance !== undefined ? `${entrance.up}/${entrance.seen} ${rate(entrance.rate ?? 0)}` : ''}</Word>
            <Word x={pop.x + 10} y={pop.y + 61}>{pop.pop.carriers.join(' ')}</Word>
            {leaking(entrance, row) && <text x={pop.x + 10} y={pop.y - 6} class="lever over">▲ shut, yet used</text>}
          </g>
        );
      })}
      <g class={`box room is-${health}`}>
        <title>{`${box.room.name}, ${box.room.zone}: ${marks[health].word}`}</title>
        <rect x={box.x} y={box.y} width={box.w} height={box.h} rx="4" />
        <Word x={box.x + 12} y={box.y + 28} cls="name big">{`${marks[health].glyph} ${box.room.name}`}</Word>
        {row !== undefined && <text x={box.x + 12} y={box.y + 50}>{`${row.share_percent.toFixed(0)} %, ${rate(row.rate)}${row.fail_rate > 0 ? `, ${rate(row.fail_rate)} fail` : ''}`}</text>}
        {ring !== undefined && ring.seen > 0 && <text x={box.x + box.w - 12} y={box.y + 50} text-anchor="end">{`ring ${ring.up}/${ring.seen} ${rate(ring.rate ?? 0)}`}</text>}
        {row !== undefined && (row.ingress === 'closed' || row.compute === 'closed') &&
          <text x={box.x + box.w - 12} y={box.y + 28} text-anchor="end" class="lever">{`◇ ${row.ingress === 'closed' ? 'ingress ' : ''}${row.compute === 'closed' ? 'compute ' : ''}closed`}</text>}
        {gateways.length > 0 && <text x={box.x + 12} y={box.y + 70}>{`gateways ${gateways.slice(0, 3).map((one) => `${marks[agentHealth(one)].glyph} ${cut(one.name, 8)}`).join('  ')}${gateways.length > 3 ? ' …' : ''}`}</text>}
        <Meant box={box} site={site} />
      </g>
    </g>
  );
}

function ControlShape({ box, site }: { box: Box; site: Site }) {
  const servers = [...site.servers, ...site.registries], well = servers.filter((row) => row.age_ms !== null && !row.error).length, heard = site.edges.filter((row) => agentHealth(row) === 'ok').length;
  const health = well < servers.length ? 'warn' : 'ok';
  return (
    <g class={`box control is-${health}`}>
      <title>the control site: it stands in no room; edges, gateways and name servers serve on without it</title>
      <rect x={box.x} y={box.y} width={box.w} height={box.h} rx="4" />
      <text x={box.x + 14} y={box.y + 19} class="name">{`${marks[health].glyph} control site, generation ${site.generation}`}</text>
      <text x={box.x + 14} y={box.y + 36}>{`hears ${heard}/${site.edges.length} edges${servers.length > 0 ? `, ${well}/${servers.length} name servers` : ''}`}</text>
    </g>
  );
}

const widest = 1500, smallest = 0.75; // px; of the size that its texts were laid out for
const movingMost = 40; // roads and lines: more that move are a blur, and cost a slow machine its time

export function Topology({ drawn, site }: { drawn: Drawn; site: Site }) {
  const edges = [...drawn.publicEdges, ...drawn.dedicatedEdges], lines = drawn.tracks.map((track) => track.line), rows = new Map(site.lines.map((row) => [row.name, row]));
  const moving = lines.length + drawn.rooms.reduce((sum, box) => sum + box.pops.length, 0) <= movingMost, downs = new Set(site.lines.filter((row) => lineHealth(row) === 'down').map((row) => row.name));
  const said = new Map(site.edges.map((row) => [row.name, row]));
  // A site too wide to be read whole is drawn as it is and scrolled, as a panel along a wall.
  const long = drawn.width > widest;
  const panel = (
    <svg class={long ? '' : 'whole'} width={drawn.width * smallest} height={drawn.height * smallest} viewBox={`0 0 ${drawn.width} ${drawn.height}`} role="img" aria-label="rooms, POPs, lines and edges; the list beside has the same in words">
      <PublicRoads drawn={drawn} site={site} moving={moving} />
      {drawn.tracks.map((track) => <TrackShape key={track.line.name} track={track} row={rows.get(track.line.name)} lines={lines} downs={downs} moving={moving} />)}
      {drawn.rooms.map((box) => <RoomShape key={box.room.name} box={box} site={site} />)}
      {edges.map((box) => {
        const row = said.get(box.edge.name), health = row === undefined ? 'unknown' : agentHealth(row);
        const behind = row !== undefined && unconverged(row, site);
        return (
          <g key={box.edge.name} class={`box edge is-${health}${behind ? ' is-behind' : ''}`}>
            <title>{`${box.edge.name}, ${box.edge.class}, ${box.edge.region}: ${marks[health].word}${behind ? `; has proved generation ${row?.generation ?? 'none'} of ${site.generation}` : ''}`}</title>
            <rect x={box.x} y={box.y} width={box.w} height={box.h} rx="22" />
            <Word x={box.x + 14} y={box.y + 19} cls="name">{`${marks[health].glyph} ${box.edge.name}`}</Word>
            <Word x={box.x + 14} y={box.y + 36}>{row === undefined || row.age_ms === null ? 'never seen' : health === 'down' ? `silent ${age(row.age_ms)}` : behind ? `≠ gen ${row.generation ?? '–'}` : rate(row.rate ?? 0)}</Word>
          </g>
        );
      })}
      <ControlShape box={drawn.control} site={site} />
      <Stragglers drawn={drawn} site={site} />
    </svg>
  );
  return long ? <div class="topology scroll" role="region" aria-label="panel" tabIndex={0}>{panel}</div> : <div class="topology">{panel}</div>;
}

const namedMost = 10;

/** What is meant is not what is: who, and what of it. */
function Astray({ site }: { site: Site }) {
  const rows = astrayWords(site);
  if (rows.length === 0) return null;
  return (
    <section class="astray" aria-labelledby="astray-title">
      <h2 id="astray-title">Not as it is meant</h2>
      <ul>{rows.slice(0, namedMost).map(({ who, text }) => <li key={who + text}><b>≠ {who}</b> {text}</li>)}</ul>
      {rows.length > namedMost && <p>and {rows.length - namedMost} more</p>}
    </section>
  );
}

/** live: it is now, and something can be done about it. */
export function PanelView({ site, objects, samples, now, live = true }: { site: Site; objects: Inventory | null; samples: Sample[]; now: number; live?: boolean }) {
  const drawn = useMemo(() => (objects === null ? null : layout(objects)), [objects]);
  // What does not depend on the time is not gone through again when only that has changed.
  const topology = useMemo(() => (drawn === null ? null : <Topology drawn={drawn} site={site} />), [drawn, site]);
  const cards = useMemo(() => site.rooms.map((room) => <RoomCard key={room.name} room={room} site={site} samples={samples} live={live} />), [site, samples, live]);
  const words = useMemo(() => <><Astray site={site} />{objects !== null && <LineList lines={objects.lines} site={site} />}</>, [site, objects]);
  return (
    <div class="panel">
      <div class="side">
        <AlarmList alarms={site.alarms} now={now} live={live} />
        {site.executions.length > 0 && (
          <section aria-labelledby="runs-title">
            <h2 id="runs-title">Under way</h2>
            <ul class="runs">
              {site.executions.map((run) => (
                <li key={run.id}><a href={`/executions/${encodeURIComponent(run.id)}`}>{run.plan} {run.target}</a> {run.state}{run.step !== null && `, ${run.step}`}{run.text !== null && `: ${run.text}`}</li>
              ))}
            </ul>
          </section>
        )}
        <section class="rooms" aria-label="rooms">{cards}</section>
        {words}
        {site.warnings.length > 0 && (
          <details open={site.warnings.length < 4}>
            <summary>{site.warnings.length === 1 ? 'One thing' : `${site.warnings.length} things`} to know</summary>
            <ul>{site.warnings.map((text) => <li key={text}>{text}</li>)}</ul>
          </details>
        )}
      </div>
      {topology}
    </div>
  );
}

export function Panel() {
  const { site, samples } = state.value, past = usePast();
  if (site === null) return <p class="calm">Asking the server…</p>;
  const shown = past.at === null ? site : past.site;
  return (
    <div data-age={dataAge.value.ms > 5000 ? 'old' : 'fresh'}>
      {shown === null ? <p class="calm">Asking the black box…</p>
        : <PanelView site={shown} objects={inventory.value} samples={past.at === null ? samples : []} now={past.at ?? nowMs.value} live={past.at === null} />}
      <Scrubber at={past.at} fromMs={past.fromMs} toMs={nowMs.value} wrong={past.wrong} />
    </div>
  );
}
