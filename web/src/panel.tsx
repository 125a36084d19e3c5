// panel.tsx: the site as a railway panel: what is abnormal, since when, what can be done. Grey is normal.
import { useMemo } from 'preact/hooks';
import { dataAge, inventory, may, nowMs, state } from './app';
import type { Alarm } from './api_types';
import { Bar, Mark, Trend } from './parts';
import { Scrubber, usePast } from './past';
import { layout, type Panel as Drawn, type RoomBox, type Track } from './layout';
import { age, agentHealth, clock, type EntranceRow, entranceHealth, type Inventory, leaking, marks, rate, roomHealth, type RoomRow, type Site, unconverged } from './site';
import type { Sample } from './state';

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
              <a class="button" href={`/failover?plan=${encodeURIComponent(alarm.plan)}&target=${encodeURIComponent(alarm.object)}`}>
                {alarm.plan} {alarm.object}…
              </a>
            )}
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
  const points = samples.map(({ atMs, rooms }) => ({ atMs, rate: rooms[room.name]?.rate ?? 0, failing: rooms[room.name]?.failing ?? 0 }));
  return (
    <article class={`card is-${health}`} aria-label={`${room.name}: ${marks[health].word}`}>
      <div class="row">
        <h3><Mark health={health} /> {room.name} <small>{room.zone}</small></h3>
        {live && may('operator') && <a class="button" href={`/failover?target=${encodeURIComponent(room.name)}`} aria-label={`Evacuate ${room.name}…`}>Evacuate…</a>}
      </div>
      <p>{room.share_percent.toFixed(0)} % of requests, {rate(room.rate)}{room.fail_rate > 0 && <b class="bad">, {rate(room.fail_rate)} fail</b>}</p>
      <Bar part={room.share_percent} of={100} label={`${room.share_percent.toFixed(0)} percent of requests`} />
      <p>{marks[health].word}{room.ingress === 'closed' && ', ingress closed'}{room.compute === 'closed' && ', compute closed'}{room.held !== null && `, ${room.held}`}</p>
      <p class="entrances">{entrances.map((row) => <span key={row.via}><Mark health={entranceHealth(row)} /> {row.via} {row.seen === 0 ? 'not seen' : `${row.up}/${row.seen}`} </span>)}</p>
      <Trend points={points} label={`requests of ${room.name}, while this page is open`} />
    </article>
  );
}

function Word({ x, y, cls, children }: { x: number; y: number; cls?: string | undefined; children: string }) {
  return <text x={x} y={y} class={cls}>{children.length > 18 ? `${children.slice(0, 17)}…` : children}</text>;
}

function RoomShape({ box, site }: { box: RoomBox; site: Site }) {
  const row = site.rooms.find((one) => one.name === box.room.name);
  const health = row === undefined ? 'unknown' : roomHealth(row, site), ring = site.entrances.find((one) => one.room === box.room.name && one.via === 'ring');
  return (
    <g>
      {box.pops.map((pop) => {
        const entrance: EntranceRow | undefined = site.entrances.find((one) => one.via === pop.pop.name), state = entranceHealth(entrance);
        return (
          <g key={pop.pop.name} class={`box is-${state}`}>
            <title>{`${pop.pop.name}, ${pop.pop.city}, ${pop.pop.carriers.join(', ')}: ${marks[state].word} ${entrance?.status ?? ''}`}</title>
            <path class="rail" d={`M${pop.x + pop.w / 2} ${pop.y + pop.h}V${box.y}`} />
            <rect x={pop.x} y={pop.y} width={pop.w} height={pop.h} rx="4" />
            <Word x={pop.x + 10} y={pop.y + 22} cls="name">{`${marks[state].glyph} ${pop.pop.name}`}</Word>
            <Word x={pop.x + 10} y={pop.y + 42}>{entrance !== undefined ? `${entrance.up}/${entrance.seen} ${rate(entrance.rate ?? 0)}` : ''}</Word>
            <Word x={pop.x + 10} y={pop.y + 61}>{pop.pop.carriers.join(' ')}</Word>
            {leaking(entrance, row) && <text x={pop.x + 10} y={pop.y - 6} class="lever">▲ shut, yet used</text>}
          </g>
        );
      })}
      <g class={`box room is-${health}`}>
        <title>{`${box.room.name}, ${box.room.zone}: ${marks[health].word}`}</title>
        <rect x={box.x} y={box.y} width={box.w} height={box.h} rx="4" />
        <Word x={box.x + 12} y={box.y + 28} cls="name big">{`${marks[health].glyph} ${box.room.name}`}</Word>
        {row !== undefined && <text x={box.x + 12} y={box.y + 50}>{`${row.share_percent.toFixed(0)} %  ${rate(row.rate)}${row.fail_rate > 0 ? `  ${rate(row.fail_rate)} fail` : ''}`}</text>}
        {ring !== undefined && ring.seen > 0 && <text x={box.x + box.w - 12} y={box.y + 50} text-anchor="end">{`ring ${ring.up}/${ring.seen} ${rate(ring.rate ?? 0)}`}</text>}
        {row !== undefined && (row.ingress === 'closed' || row.compute === 'closed') &&
          <text x={box.x + 12} y={box.y + 70} class="lever">{`⛔ ${row.ingress === 'closed' ? 'ingress ' : ''}${row.compute === 'closed' ? 'compute ' : ''}closed`}</text>}
      </g>
    </g>
  );
}

function TrackShape({ track }: { track: Track }) {
  return (
    <g class="track">
      <title>{`${track.line.name}: ${track.line.from} to ${track.line.to}, ${track.line.bandwidth} Mbit/s, shares ${track.line.srlg.join(', ') || 'nothing'}`}</title>
      <path d={track.path} stroke-width={track.width} />
    </g>
  );
}

const widest = 1500, smallest = 0.75; // px; of the size that its texts were laid out for

export function Topology({ drawn, site }: { drawn: Drawn; site: Site }) {
  const edges = [...drawn.publicEdges, ...drawn.dedicatedEdges];
  // A site too wide to be read whole is drawn as it is and scrolled, as a panel along a wall.
  const long = drawn.width > widest;
  const panel = (
    <svg class={long ? '' : 'whole'} width={drawn.width * smallest} height={drawn.height * smallest} viewBox={`0 0 ${drawn.width} ${drawn.height}`} role="img" aria-label="rooms, POPs, lines and edges; the list beside has the same in words">
      {drawn.tracks.map((track) => <TrackShape key={track.line.name} track={track} />)}
      {drawn.tracks.map(({ line, label }) => <text key={line.name} class="label" x={label.x} y={label.y} text-anchor={label.anchor}>{`${line.name} ${line.bandwidth / 1000}G`}</text>)}
      {drawn.rooms.map((box) => <RoomShape key={box.room.name} box={box} site={site} />)}
      {edges.map((box) => {
        const row = site.edges.find((one) => one.name === box.edge.name), health = row === undefined ? 'unknown' : agentHealth(row);
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
    </svg>
  );
  return long ? <div class="topology scroll" role="region" aria-label="panel" tabIndex={0}>{panel}</div> : <div class="topology">{panel}</div>;
}

/** live: it is now, and something can be done about it. */
export function PanelView({ site, objects, samples, now, live = true }: { site: Site; objects: Inventory | null; samples: Sample[]; now: number; live?: boolean }) {
  const drawn = useMemo(() => (objects === null ? null : layout(objects)), [objects]);
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
        <section class="rooms" aria-label="rooms">{site.rooms.map((room) => <RoomCard key={room.name} room={room} site={site} samples={samples} live={live} />)}</section>
        {site.warnings.length > 0 && (
          <details open={site.warnings.length < 4}>
            <summary>{site.warnings.length === 1 ? 'One thing' : `${site.warnings.length} things`} to know</summary>
            <ul>{site.warnings.map((text) => <li key={text}>{text}</li>)}</ul>
          </details>
        )}
      </div>
      {drawn !== null && <Topology drawn={drawn} site={site} />}
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
