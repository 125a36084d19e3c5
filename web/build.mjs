// build.mjs: the console as files to be embedded: node build.mjs [FOLDER] (dist). Each file stands there raw and as .gz;
// names under assets/ carry a hash of what is in them. The same sources make the same bytes.
import * as esbuild from 'esbuild';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { parseYaml, typesOf } from './openapi_types.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, 'dist'));
const budget = 90_000; // bytes of all scripts, gzipped: what a phone on a bad line loads in a second or two

// Not touched when it says the same: another build may read it just now.
const types = join(here, 'src/api_types.ts'), text = typesOf(parseYaml(readFileSync(join(here, '../schema/openapi.yaml'), 'utf8')));
if (!existsSync(types) || readFileSync(types, 'utf8') !== text) writeFileSync(types, text);
execFileSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '-p', here], { stdio: 'inherit' });

const built = await esbuild.build({
  absWorkingDir: here,
  entryPoints: ['src/main.tsx', 'src/console.css'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'none',
  write: false,
  outdir: 'out',
});

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, 'assets'), { recursive: true });
const put = (path, bytes) => {
  const packed = gzipSync(bytes, { level: 9 });
  writeFileSync(join(out, path), bytes);
  writeFileSync(join(out, `${path}.gz`), packed);
  return packed.length;
};

let html = readFileSync(join(here, 'src/index.html'), 'utf8'), scripts = 0;
for (const file of built.outputFiles) {
  const name = file.path.split('/').pop(), dot = name.lastIndexOf('.');
  const hash = createHash('sha256').update(file.contents).digest('hex').slice(0, 12);
  const path = `assets/${name.slice(0, dot)}-${hash}${name.slice(dot)}`, size = put(path, file.contents);
  if (name.endsWith('.js')) scripts += size;
  html = html.replace(`{{${name}}}`, `/${path}`);
  console.log(`console: ${path} ${file.contents.length} bytes, ${size} gzipped`);
}
if (html.includes('{{')) throw new Error(`index.html: found ${/\{\{.*?\}\}/.exec(html)[0]}, expected the name of a file that is built`);
put('index.html', Buffer.from(html));
put('favicon.svg', readFileSync(join(here, 'src/favicon.svg')));
if (scripts > budget) throw new Error(`scripts: found ${scripts} bytes gzipped, expected at most ${budget}`);
