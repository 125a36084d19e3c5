// rig.ts: a real signalboxd on loopback with the site of the lab, a person who may log in, and edges that report as
// they are told to. For tests that have the programs (SIGNALBOXD, SIGNALBOX: ctest gives them).
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

declare const ROOT: string;
export const programs = process.env['SIGNALBOXD'] !== undefined && process.env['SIGNALBOX'] !== undefined;
export const password = 'correct horse battery';
/** Who may log in, and as what. */
export const people = [['alice', 'operator'], ['carol', 'admin'], ['victor', 'viewer']] as const;
export const edges = ['edge-1', 'edge-2', 'edge-3', 'edge-4'];

const freePort = (): Promise<number> => new Promise((resolve) => {
  const one = createServer().listen(0, '127.0.0.1', () => {
    const { port } = one.address() as { port: number };
    one.close(() => resolve(port));
  });
});

export interface Seen {
  /** The room whose POPs answer nobody; null: all do. */
  down: string | null;
  /** Edges that say nothing. */
  silent?: string[];
  /** Lines that gateways say of: Mbit/s since the last time, those that are down below 0. */
  lines?: Record<string, number>;
}
/** Of a site with gateways (tests/lab/sites/gateways.yaml): who is an end of these lines, by the place of the port. */
const gateways = ['gw-a1', 'gw-b1'], places: Record<string, number> = { 'line-5': 3, 'line-6': 4, 'line-7': 5 };

/** A dedicated edge: it sees rooms by the ring, others see POPs. */
const onRing = (edge: string): boolean => edge === 'edge-3' || edge === 'edge-4';
/** Requests of an edge, by policy and room: creator lives in room A alone, and fails when that is cut off. */
function counters(edge: string, down: string | null): object[] {
  const dedicated = onRing(edge);
  const row = (policy: string, room: string, rate: number, failed: number): object =>
    ({ policy, room, via: dedicated ? 'ring' : `pop-${room.slice(-1)}1`, requests: rate, failed, rate, fail_rate: failed });
  return dedicated ? [row('manual-line.home', 'room-a', 40, 0), row('manual-line.home', 'room-b', 60, 0)]
    : [row('core.playback', 'room-a', down === 'room-a' ? 0 : 210, 0), row('core.playback', 'room-b', down === 'room-a' ? 420 : 190, 0),
      row('manual.home', 'room-a', 90, down === 'room-a' ? 90 : 0), row('manual.home', 'room-b', 110, 0), row('creator.creator', 'room-a', 35, down === 'room-a' ? 35 : 0)];
}

export class Rig {
  readonly dir = mkdtempSync(join(tmpdir(), 'sb-console-rig-'));
  base = '';
  private agents = '';
  private tokens: Record<string, string> = {};
  private server: ChildProcess | null = null;
  private ports: number[] = [];
  /** What room A's gateway has sent by each line, bytes, and when it said so last. */
  private sent: Record<string, number> = {};
  private saidMs = 0;

  /** Starts, or starts again on the same ports and state. */
  async start(): Promise<void> {
    if (this.ports.length === 0) this.ports = [await freePort(), await freePort()];
    this.base = `http://127.0.0.1:${this.ports[0]}`;
    this.agents = `http://127.0.0.1:${this.ports[1]}`;
    const child = spawn(process.env['SIGNALBOXD']!, ['--cluster=two-rooms', `--state=${this.dir}/state`, `--socket=${this.dir}/socket`,
      `--listen=127.0.0.1:${this.ports[0]}`, `--agents-listen=127.0.0.1:${this.ports[1]}`, `--runbooks=${ROOT}/runbooks`], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.server = child;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      child.stderr!.on('data', (bytes: Buffer) => {
        log += bytes.toString();
        if (log.includes('>ready ')) resolve();
      });
      child.on('exit', (code) => reject(new Error(`signalboxd ended with ${code}: ${log}`)));
    });
  }

  /** The server is gone as if its machine were. */
  async kill(): Promise<void> {
    const child = this.server;
    this.server = null;
    if (child === null) return;
    const gone = new Promise((resolve) => child.on('close', resolve));
    child.removeAllListeners('exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** What the server has in memory. */
  residentBytes(): number {
    return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.server!.pid}/status`, 'utf8'))![1]);
  }

  /** `dns`: with its name servers, of which nobody answers here. `site`: of the lab, or the YAML of another, whose agents these are. */
  async populate(dns: boolean, site = 'two-rooms', agents: readonly string[] = edges): Promise<void> {
    const yaml = /\n/.test(site) ? site : readFileSync(join(ROOT, `tests/lab/sites/${site}.yaml`), 'utf8').split('\n').filter((line) => dns || !/^nameservers:| {2}- \{name: ns-/.test(line)).join('\n');
    writeFileSync(join(this.dir, 'site.yaml'), yaml);
    this.signalbox(['apply', '-f', join(this.dir, 'site.yaml')]);
    for (const [name, role] of people) this.signalbox(['user', 'add', name, '--role', role], `${password}\n`);
    for (const agent of [...agents, ...(yaml.includes('gateways:\n') ? gateways : [])]) this.tokens[agent] = this.signalbox(['token', 'create', '--name', agent, '--role', 'agent']);
  }

  /** A text as `signalbox apply -f` takes it. */
  file(name: string, text: string): void {
    writeFileSync(join(this.dir, name), text);
    this.signalbox(['apply', '-f', join(this.dir, name)]);
  }

  signalbox(words: string[], input = ''): string {
    return execFileSync(process.env['SIGNALBOX']!, ['--socket', join(this.dir, 'socket'), ...words], { input, encoding: 'utf8' }).trim();
  }

  /** What is in force. */
  stamp(): { epoch: number; generation: number } {
    const { epoch, generation } = JSON.parse(this.signalbox(['status', '--json'])) as { epoch: number; generation: number };
    return { epoch, generation };
  }
  /** A report of one agent that has applied `stamp`. */
  async reportAs(agent: string, stamp: { epoch: number; generation: number }, more: object): Promise<void> {
    const answer = await realFetch(`${this.agents}/agent/v1/edges/${agent}/report`, { method: 'POST', headers: { Authorization: `Bearer ${this.tokens[agent]}` },
      body: JSON.stringify({ edge: agent, cluster: 'two-rooms', promised: stamp.epoch, applied: stamp, state: 'applied', error: null, window_us: 1_000_000, counters: [], origins: [], probes: [], events: [], ...more }) });
    if (answer.status !== 200) throw new Error(`report of ${agent}: found ${answer.status} ${await answer.text()}, expected 200`);
  }

  /** What the edges see, and the gateways of the lines that are told of, said once. */
  async report({ down, silent = [], lines }: Seen): Promise<void> {
    const stamp = this.stamp(), say = (agent: string, more: object): Promise<void> => this.reportAs(agent, stamp, more);
    const ring = ['room-a', 'room-b'].map((room) => ({ room, via: 'ring', up: true, status: 'L4OK', latency_us: 900 }));
    const pops = ['a1', 'a2', 'b1', 'b2'].map((id) => {
      const room = `room-${id[0]}`, up = room !== down;
      return { room, via: `pop-${id}`, up, status: up ? 'L4OK' : 'L4TOUT', latency_us: 900 };
    });
    await Promise.all(edges.filter((edge) => !silent.includes(edge)).map((edge) => say(edge, { counters: counters(edge, down), origins: onRing(edge) ? ring : pops })));
    if (lines === undefined) return;
    const passedMs = this.saidMs === 0 ? 0 : Date.now() - this.saidMs;
    this.saidMs = Date.now();
    for (const [name, mbit] of Object.entries(lines)) this.sent[name] = (this.sent[name] ?? 0) + Math.round((Math.max(0, mbit) * passedMs * 1000) / 8);
    const shown = (sends: boolean): string[] => Object.entries(lines).map(([name, mbit]) => `adjacency ${places[name]} port 3 known 1 bfd ${mbit < 0 ? 'down' : 'up'} tx_bytes ${sends ? this.sent[name] : 0}`);
    await Promise.all(gateways.map((name) => say(name, { gateway: { forwarder: true, table: 1, vips: [], backends: [], shown: shown(name === 'gw-a1') } })));
  }

  levers(): Array<{ control: string; object: string; value: string }> {
    return (JSON.parse(this.signalbox(['control', 'list', '--json'])) as { controls: Array<{ control: string; object: string; value: string }> }).controls;
  }

  /** No run under way, every lever at its default. */
  async atRest(): Promise<void> {
    const { executions } = JSON.parse(this.signalbox(['execution', 'list', '--json'])) as { executions: Array<{ id: string; state: string }> };
    // Who waits for the edges must not keep them from reporting.
    for (const run of executions.filter((one) => one.state === 'running')) await promisify(execFile)(process.env['SIGNALBOX']!, ['--socket', join(this.dir, 'socket'), 'execution', 'abort', run.id]).catch(() => undefined); // 5: rolled back
    for (const one of this.levers().filter((lever) => lever.value !== 'default'))
      this.signalbox(['control', 'set', one.control, one.object, 'default', '--reason', 'at rest', '--override', 'share-moved']);
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Before a test puts a browser's in its place. */
export const realFetch = globalThis.fetch;
