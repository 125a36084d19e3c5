// test.mjs: bundles test/*.test.ts(x) and runs them under node's own test runner: node test.mjs [FOLDER/] [NAME...];
// FOLDER browser/: those that need Chromium.
import * as esbuild from 'esbuild';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv.slice(2).find((word) => word.endsWith('/'))?.slice(0, -1) ?? 'test';
const wanted = process.argv.slice(2).filter((word) => !word.endsWith('/'));
const names = readdirSync(join(here, folder)).filter((name) => /\.test\.tsx?$/.test(name))
  .filter((name) => wanted.length === 0 || wanted.includes(name.split('.')[0]));
if (names.length === 0) throw new Error(`found no test of ${wanted.join(', ')}, expected names of files in ${folder}/`);
const out = mkdtempSync(join(tmpdir(), 'sb-console-'));
try {
  await esbuild.build({ absWorkingDir: here, entryPoints: names.map((name) => `${folder}/${name}`), bundle: true, platform: 'node', format: 'esm',
    target: 'es2022', jsx: 'automatic', jsxImportSource: 'preact', outdir: out, outExtension: { '.js': '.mjs' }, sourcemap: 'inline',
    define: { ROOT: JSON.stringify(join(here, '..')) } });
  const files = names.map((name) => join(out, name.replace(/\.tsx?$/, '.mjs')));
  process.exitCode = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files], { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
