// trend.tsx: how a room's requests went while this page was open: uPlot, one cursor for all rooms, by pointer or by keys.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { age, clock, rate } from './site';

export interface Point { atMs: number; rate: number; failing: number }

/** What is pointed at in any of them, ms: all of them say how it was then. null: now. */
const cursor = signal<number | null>(null);

/** Columns as uPlot takes them: seconds, requests/s, of them failing: where none does there is no line, as it has a hue. */
export function columnsOf(points: readonly Point[]): [number[], number[], Array<number | null>] {
  return [points.map((point) => point.atMs / 1000), points.map((point) => point.rate), points.map((point) => (point.failing > 0 ? point.failing : null))];
}
/** The first point at that time or behind it; the last one where there is none. */
export function pointAt(points: readonly Point[], atMs: number | null): Point | undefined {
  return (atMs === null ? undefined : points.find((point) => point.atMs >= atMs)) ?? points[points.length - 1];
}
/** In words what is drawn: for who hears the page, and under it. */
export function wordsOf(points: readonly Point[], atMs: number | null): string {
  const shown = pointAt(points, atMs);
  if (shown === undefined) return '';
  const now = `${rate(shown.rate)}${shown.failing > 0 ? `, ${rate(shown.failing)} fail` : ''}`;
  if (atMs !== null) return `${clock(shown.atMs)}: ${now}`;
  const most = `up to ${rate(Math.max(...points.map((point) => point.rate)))}`, spanMs = shown.atMs - points[0]!.atMs;
  return spanMs < 1000 ? most : `${most} in ${age(spanMs)}`;
}

const heightPx = 64, axisPx = 52;
const token = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function plotIn(box: HTMLElement, points: readonly Point[]): uPlot {
  const font = '11px system-ui, sans-serif', dim = token('--dim');
  return new uPlot({
    width: box.clientWidth, height: heightPx, legend: { show: false }, padding: [6, 0, 4, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 }, sync: { key: 'rooms', scales: ['x', null] } },
    scales: { x: { time: false }, y: { range: (_, low, high) => [Math.min(0, low), Math.max(1, high)] } },
    axes: [{ show: false }, { size: axisPx, font, stroke: dim, space: 22, grid: { stroke: token('--raised'), width: 1 }, ticks: { show: false }, values: (_, ticks) => ticks.map(rate) }],
    series: [{}, { stroke: dim, width: 1.5, points: { show: false } }, { stroke: token('--crit'), width: 1.5, dash: [4, 2], points: { show: false } }],
    hooks: { setCursor: [(plot) => {
      const at = plot.cursor.idx == null ? undefined : plot.data[0][plot.cursor.idx];
      cursor.value = at === undefined || (plot.cursor.left ?? -1) < 0 ? null : at * 1000;
    }] },
  }, columnsOf(points), box);
}

/** `name`: what it is a trend of. Failing ones in another shape too. */
export function Trend({ points, name }: { points: Point[]; name: string }) {
  const box = useRef<HTMLDivElement>(null), plot = useRef<uPlot | null>(null), latest = useRef(points), inSight = useRef(true), at = cursor.value;
  const first = points[0], last = points[points.length - 1], drawn = first !== undefined && last !== undefined && last.atMs > first.atMs;
  useEffect(() => {
    if (!drawn || box.current === null) return undefined;
    const place = box.current, scheme = matchMedia('(prefers-color-scheme: light)');
    const draw = (): void => {
      plot.current?.destroy();
      plot.current = plotIn(place, points);
    };
    const sizes = new ResizeObserver(() => { if (plot.current !== null && plot.current.width !== place.clientWidth) plot.current.setSize({ width: place.clientWidth, height: heightPx }); });
    const sight = new IntersectionObserver((entries) => {
      inSight.current = entries[entries.length - 1]!.isIntersecting;
      if (inSight.current) plot.current?.setData(columnsOf(latest.current));
    });
    draw();
    sight.observe(place);
    sizes.observe(place);
    scheme.addEventListener('change', draw);
    return () => {
      sight.disconnect();
      sizes.disconnect();
      scheme.removeEventListener('change', draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [drawn]);
  // Of a plot that nobody sees only the words under it follow.
  useEffect(() => {
    latest.current = points;
    if (inSight.current) plot.current?.setData(columnsOf(points));
  }, [points]);
  // Where the keys have put it; where the pointer did, it stands there already.
  useEffect(() => { plot.current?.setCursor(at === null ? { left: -10, top: -10 } : { left: plot.current.valToPos(at / 1000, 'x'), top: 0 }, false); }, [at]);
  if (!drawn) return null;
  const step = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (event.key === 'Escape') cursor.value = null;
    if (by === undefined) return;
    event.preventDefault();
    const here = points.indexOf(pointAt(points, at)!), next = points[Math.max(0, here + by)];
    cursor.value = next === undefined ? null : next.atMs;
  };
  const words = wordsOf(points, at);
  return (
    <figure class="trend">
      <div ref={box} class="plot" role="slider" tabIndex={0} aria-label={`requests per second of ${name}, while this page is open`} aria-valuemin={first.atMs} aria-valuemax={last.atMs}
        aria-valuenow={Math.min(at ?? last.atMs, last.atMs)} aria-valuetext={words} onKeyDown={step} onBlur={() => { cursor.value = null; }} />
      <figcaption class="note">{words}</figcaption>
    </figure>
  );
}
