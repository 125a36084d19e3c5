// The build of the console: the same sources make the same bytes, wherever, whenever and by whom they are built.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';

declare const ROOT: string;
const fetched = ['node_modules', 'dist', 'api_types.ts']; // and what is made of the rest

/** Builds a copy of the sources in a folder of its own; what it made, file by file, and how long that took. */
function build(dir: string, env: Record<string, string>): { files: Record<string, string>; ms: number } {
  mkdirSync(join(dir, 'schema'), { recursive: true });
  cpSync(join(ROOT, 'schema/openapi.yaml'), join(dir, 'schema/openapi.yaml'));
  cpSync(join(ROOT, 'web'), join(dir, 'web'), { recursive: true, filter: (path) => !fetched.includes(basename(path)) });
  symlinkSync(join(ROOT, 'web/node_modules'), join(dir, 'web/node_modules'));
  const began = performance.now();
  execFileSync(process.execPath, ['build.mjs'], { cwd: join(dir, 'web'), env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  const ms = performance.now() - began, out = join(dir, 'web/dist');
  return { ms, files: Object.fromEntries((readdirSync(out, { recursive: true }) as string[]).filter((name) => /\.[a-z]+$/.test(name)).sort()
    .map((name) => [name, createHash('sha256').update(readFileSync(join(out, name))).digest('hex')])) };
}

test('built twice, in two places and at two times of the world: the same bytes, within half a minute', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sb-build-'));
  try {
    const one = build(join(dir, 'a'), { TZ: 'UTC', LC_ALL: 'C' });
    const two = build(join(dir, 'a longer/way to it'), { TZ: 'Asia/Kolkata', LC_ALL: 'C.UTF-8', SOURCE_DATE_EPOCH: '1' });
    assert.ok(Object.keys(one.files).some((name) => /^assets\/main-[0-9a-f]{12}\.js\.gz$/.test(name)), Object.keys(one.files).join(' '));
    assert.deepEqual(two.files, one.files);
    console.log(`a build took ${(Math.max(one.ms, two.ms) / 1000).toFixed(1)} s`);
    assert.ok(Math.max(one.ms, two.ms) < 30_000, `${one.ms.toFixed(0)} and ${two.ms.toFixed(0)} ms, expected less than 30000`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
