// The generator of API types: what it reads of YAML, and what it makes of it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
// @ts-expect-error: plain JavaScript, as the build runs it
import { parseYaml, typesOf } from '../openapi_types.mjs';

declare const ROOT: string;

test('reads the blocks, lists and scalars that the server writes', () => {
  const text = 'a: "3.1.0"\nb:\n  c: \'it\'\'s: x\'\n  $d: true\n  2XX: 7\nlist:\n- one\n- "null"\n- name: n\n  schema:\n    type:\n    - string\n    - "null"\n- last: -1\nempty: []\nlong: a: b\n';
  assert.throws(() => parseYaml('a: |\n  x\n'), /line 1: found "a: \|", expected a plain or quoted value/);
  assert.throws(() => parseYaml('a:\n'), /line 1: .*expected a value/);
  assert.throws(() => parseYaml('a: 1\n   b: 2\n'), /line 2/);
  assert.deepEqual(parseYaml(text.replace('long: a: b\n', '')), {
    a: '3.1.0', b: { c: "it's: x", $d: true, '2XX': 7 },
    list: ['one', 'null', { name: 'n', schema: { type: ['string', 'null'] } }, { last: -1 }], empty: [],
  });
});

test('every operation and every body of the API has a type', () => {
  const spec = parseYaml(readFileSync(join(ROOT, 'schema/openapi.yaml'), 'utf8')), types = typesOf(spec) as string;
  const paths = Object.entries(spec.paths as Record<string, object>);
  assert.ok(paths.length > 30);
  for (const [path, methods] of paths)
    for (const method of Object.keys(methods)) assert.ok(types.includes(`'${method.toUpperCase()} ${path}': {`), `${method} ${path}`);
  for (const name of Object.keys(spec.components.schemas)) assert.match(types, new RegExp(`export type (Object_)?${name} =`));
  assert.match(types, /"reason"\?: string \| null;/);
  assert.match(types, /export type Object_room = \{/);
  assert.match(types, /'POST \/v1\/plans\/\{name\}\/run': \{ body: PlanRun; answer: Execution; role: 'operator' \}/);
  assert.ok(!types.includes('unknown;'), 'nothing is left without a type');
});
