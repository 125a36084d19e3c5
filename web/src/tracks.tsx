// tracks.tsx: what runs on the panel: lines with what they carry, roads with what takes them, and what is meant beside it.
// Width is how much, inside it how full; dashes and a cross are down; an arrow is where to; hue only beside these.
import type { Box, Panel as Drawn, RoomBox, Track } from './layout';
import { astray, bandwidth, clock, cut, type EntranceRow, entranceHealth, type Line, lineHealth, lineLoad, type LineRow, marks, placeName, rate, type RoadRow, shared, type Site, unconverged } from './site';

const hot = 0.8; // of a line: more than that leaves nothing for what another one loses

function Flow({ path, back = false, moving }: { path: string; back?: boolean; moving: boolean }) {
  return moving ? <path class={`flow${back ? ' back' : ''}`} d={path} /> : null;
}

/** "▶ 12 % 4.8G", "▶ 40/s": where to, how full, how much. */
function loadWords(line: Line, row: LineRow | undefined, right: boolean): string {
  const load = lineLoad(row, line.bandwidth), arrow = (back: boolean): string => (right === back ? '◀' : '▶');
  if (load !== null) return load.mbit < 0.05 ? 'idle' : `${arrow(load.back)} ${(100 * load.share).toFixed(load.share < 0.095 ? 1 : 0)} % ${bandwidth(load.mbit)}`;
  return row !== undefined && row.rate > 0 ? `◆ ${rate(row.rate)}` : '';
}

const glyphs: Record<string, string> = { down: '✕ ', part: '▲ ', suspect: '? ' };

export function TrackShape({ track, row, lines, downs, moving }: { track: Track; row: LineRow | undefined; lines: readonly Line[]; downs: ReadonlySet<string>; moving: boolean }) {
  const { line, label } = track, health = lineHealth(row), load = lineLoad(row, line.bandwidth), risks = shared(line, lines);
  // One of a duct is down: who shares it may be next.
  const near = health === 'ok' && risks.some((risk) => lines.some((other) => other.srlg.includes(risk) && downs.has(other.name)));
  const full = load !== null && load.share > hot;
  const words = row === undefined ? 'not in the status' : row.state === 'unwatched' ? 'no gateway watches it' : row.state === 'suspect' ? 'an edge at its end has lost the room at the other' :
    `${row.state === 'up' ? 'up' : `${row.down} of ${row.seen} ends see it down${row.since_us === null ? '' : ` since ${clock(row.since_us / 1000)}`}`}${row.control === 'out' ? ', out by its lever' : ''}`;
  const second = health === 'down' && row?.since_us != null ? `down since ${clock(row.since_us / 1000)}` : loadWords(line, row, track.right);
  return (
    <g class={`track is-${health}${near ? ' is-near' : ''}${full ? ' is-full' : ''}`} data-line={line.name}>
      <title>{`${line.name}: ${line.from} to ${line.to}, ${bandwidth(line.bandwidth)}, ${words}; shares ${line.srlg.join(', ') || 'nothing'}${load === null ? '' : `; ${bandwidth(load.mbit)} of it used`}`}</title>
      <path class="bed" d={track.path} stroke-width={track.width} />
      {load !== null && load.share > 0 && health !== 'down' && <path class="load" d={track.path} stroke-width={Math.max(1, (track.width - 2) * load.share)} />}
      <Flow path={track.path} back={load?.back ?? false} moving={moving && health !== 'down' && ((load !== null && load.mbit >= 0.05) || (row !== undefined && row.rate > 0))} />
      {health === 'down' && <text class="cross" x={track.middle.x} y={track.middle.y + 7} text-anchor="middle">✕</text>}
      <text class="label" x={label.x} y={label.y} text-anchor={label.anchor}>
        <tspan class="line-name">{`${glyphs[row?.state ?? ''] ?? (row?.control === 'out' ? '◇ ' : '')}${cut(line.name, 18)} ${bandwidth(line.bandwidth)}${full ? ' ▲ full' : ''}${near ? ' ▲' : ''}${risks.length > 0 ? ` ∥${cut(risks.join(' '), 18)}` : ''}`}</tspan>
        {second !== '' && <tspan {...(label.below ? { x: label.x, dy: 14 } : { dx: 14 })}>{second}</tspan>}
      </text>
    </g>
  );
}

/** From the public edges down to each POP, and from there into its room: as wide as what takes it. */
export function PublicRoads({ drawn, site, moving }: { drawn: Drawn; site: Site; moving: boolean }) {
  const pops = drawn.rooms.flatMap((box) => box.pops), last = Math.max(...drawn.publicEdges.map((box) => box.y)), row = drawn.publicEdges.filter((box) => box.y === last);
  if (pops.length === 0 || row.length === 0) return null;
  const entrances = new Map(site.entrances.map((one): [string, EntranceRow] => [one.via, one])), middle = (box: Box): number => box.x + box.w / 2;
  const all = Math.max(1, site.entrances.filter((one) => one.via !== 'ring').reduce((sum, one) => sum + (one.rate ?? 0), 0));
  const xs = [...pops, ...row].map(middle), busY = last + row[0]!.h + 30;
  return (
    <g class="roads">
      {drawn.publicEdges.length === row.length && row.map((box) => <path key={box.edge.name} class="bed" stroke-width="2" d={`M${middle(box)} ${box.y + box.h}V${busY}`} />)}
      <path class="bed" stroke-width="2" d={`M${Math.min(...xs)} ${busY}H${Math.max(...xs)}`} />
      {drawn.rooms.flatMap((box) => box.pops.map((pop) => {
        const entrance = entrances.get(pop.pop.name), taken = entrance?.rate ?? 0, down = entranceHealth(entrance) === 'down', width = 2 + (8 * taken) / all;
        const parts = [`M${middle(pop)} ${busY}V${pop.y}`, `M${middle(pop)} ${pop.y + pop.h}V${box.y}`];
        return (
          <g key={pop.pop.name} class={`road${down ? ' is-down' : ''}`}>
            {parts.map((path) => <g key={path}><path class="bed" d={path} stroke-width={width} /><Flow path={path} moving={moving && taken > 0} /></g>)}
            {down && <text class="cross" x={middle(pop)} y={pop.y + pop.h + 19} text-anchor="middle">✕</text>}
          </g>
        );
      }))}
    </g>
  );
}

const gauge = { x: 90, w: 50, h: 12, row: 20 } as const; // behind it there is room for "≠ 9.9k not 9.9k/s"

/** A room's requests by class of edges: what comes inside of what is meant. */
export function Meant({ box, site }: { box: RoomBox; site: Site }) {
  const classes = [...new Set(site.roads.map((row) => row.class))].sort().reverse(); // public above dedicated, as they stand
  return <>{classes.map((name, i) => {
    const rows = site.roads.filter((row) => row.class === name && row.edge === null), row = rows.find((one) => one.room === box.room.name);
    const all = Math.max(1, ...rows.map((one) => Math.max(one.rate, one.intended))), y = box.y + 80 + i * gauge.row;
    const seen = row?.rate ?? 0, meant = row?.intended ?? 0, apart = row !== undefined && astray(row, site);
    return (
      <g key={name} class={`meant${apart ? ' is-apart' : ''}`} data-meant={name}>
        <title>{`${name} edges to ${box.room.name}: ${rate(seen)}, meant ${rate(meant)}`}</title>
        <text x={box.x + 12} y={y + 11}>{name}</text>
        <rect class="intended" x={box.x + gauge.x} y={y} width={(gauge.w * meant) / all} height={gauge.h} />
        <rect class="observed" x={box.x + gauge.x} y={y + 3} width={(gauge.w * seen) / all} height={gauge.h - 6} />
        <text x={box.x + gauge.x + gauge.w + 8} y={y + 11}>{apart ? `≠ ${rate(seen).replace('/s', '')} not ${rate(meant)}` : rate(seen)}</text>
      </g>
    );
  })}</>;
}

const drawnBehind = 6; // more would hide each other; all are named in words

/** An edge that is behind: by what road it was last heard to send, and by what it is meant to. */
export function Stragglers({ drawn, site }: { drawn: Drawn; site: Site }) {
  const names = site.edges.filter((edge) => unconverged(edge, site)).map((edge) => edge.name).slice(0, drawnBehind);
  const boxes = new Map([...drawn.publicEdges, ...drawn.dedicatedEdges].map((box) => [box.edge.name, box])), rooms = new Map(drawn.rooms.map((box) => [box.room.name, box]));
  return <>{names.flatMap((name, i) => site.roads.filter((row) => row.edge === name).flatMap((row) => {
    const from = boxes.get(name), to = rooms.get(row.room);
    if (from === undefined || to === undefined) return [];
    return [<StragglerRoad key={`${name} ${row.room}`} row={row} from={from} to={to} lane={i} above={from.y < to.y} />];
  }))}</>;
}

function StragglerRoad({ row, from, to, lane, above }: { row: RoadRow; from: Box; to: RoomBox; lane: number; above: boolean }) {
  // Down beside a room's first POP, or up to its right corner: where no other road runs.
  const gap = to.pops.length > 1 ? (to.pops[0]!.x + to.pops[0]!.w + to.pops[1]!.x) / 2 : to.x + to.w - 16;
  const start = from.x + from.w / 2 + 22 + 4 * lane, end = above ? gap + 3 * lane : to.x + to.w - 16 - 4 * lane;
  const way = (shift: number): string => (above ? `M${start + shift} ${from.y + from.h}V${from.y + from.h + 10 + 4 * lane + shift}H${end + shift}V${to.y}`
    : `M${start + shift} ${from.y}V${to.y + to.h + 10 + 3 * lane + shift}H${end + shift}V${to.y + to.h}`);
  const apart = row.rate >= 1 && row.rate > row.intended * 1.1, text = `${row.edge}: ${rate(row.rate)} to ${placeName(row.room)} when last heard, meant ${rate(row.intended)}`;
  return (
    <g class="straggler" data-edge={row.edge ?? ''} data-room={row.room}>
      <title>{text}</title>
      {row.rate >= 1 && <path class={apart ? 'seen is-apart' : 'seen'} d={way(0)} />}
      {row.intended >= 1 && <path class="wanted" d={way(5)} />}
      {apart && <text class="label" x={end + 6} y={above ? from.y + from.h + 26 + 4 * lane : to.y + to.h + 26}>{cut(`≠ ${row.edge} ${rate(row.rate)}`, 26)}</text>}
    </g>
  );
}

/** Every line in words; those that are not as they should be first. */
export function LineList({ lines, site }: { lines: readonly Line[]; site: Site }) {
  const rows = new Map(site.lines.map((row) => [row.name, row]));
  if (lines.length === 0) return null;
  const told = lines.map((line) => ({ line, row: rows.get(line.name), health: lineHealth(rows.get(line.name)) })).sort((a, b) => Number(a.health === 'ok') - Number(b.health === 'ok') || (a.line.name < b.line.name ? -1 : 1));
  const bad = told.filter((one) => one.health !== 'ok').length;
  return (
    <details class="lines" open={bad > 0}>
      <summary>{lines.length} {lines.length === 1 ? 'line' : 'lines'}{bad > 0 ? `, ${bad} not in service` : ''}</summary>
      <ul>{told.slice(0, bad > 0 ? Math.max(bad, 10) : 40).map(({ line, row, health }) => (
        <li key={line.name} class={`is-${health}`}>
          <b>{health === 'ok' ? '' : `${marks[health].glyph} `}{line.name}</b> {line.from} – {line.to}, {bandwidth(line.bandwidth)}
          {row !== undefined && row.state !== 'up' && row.state !== 'unwatched' && `, ${row.state === 'down' ? 'down' : row.state === 'part' ? `down at ${row.down} of ${row.seen} ends` : 'may be down'}`}
          {row?.since_us != null && ` since ${clock(row.since_us / 1000)}`}{row?.control === 'out' && ', out'}{health === 'down' || (row?.state === 'unwatched' && row.rate === 0) ? '' : `, ${loadWords(line, row, true) || 'load not known'}`}
          {line.srlg.length > 0 && `, ${line.srlg.join(' ')}`}
        </li>
      ))}</ul>
    </details>
  );
}
