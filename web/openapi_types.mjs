// openapi_types.mjs: TypeScript types of the API out of schema/openapi.yaml, so that console and server cannot differ
// unseen. Pure: text in, text out.

// The YAML that the server's own writer makes (schema/yamlformat.c): blocks of mappings and lists, scalars on one line,
// a list at the indentation of its key. Anything else is an error, not a guess.
export function parseYaml(text) {
  const lines = text.split('\n').map((line, i) => ({ number: i + 1, indent: line.search(/\S/), text: line.trim() }))
    .filter((line) => line.indent >= 0);
  let at = 0;
  const fail = (line, expected) => {
    throw new Error(`line ${line.number}: found ${JSON.stringify(line.text)}, expected ${expected}`);
  };
  const unquote = (text, line) => {
    if (text.startsWith('"')) return JSON.parse(text.replace(/\\x([0-9A-Fa-f]{2})/g, '\\u00$1'));
    if (text.startsWith("'")) return text.endsWith("'") && text.length > 1 ? text.slice(1, -1).replaceAll("''", "'") : fail(line, "a closing '");
    return text;
  };
  const scalar = (text, line) => {
    if (text === '{}') return {};
    if (text === '[]') return [];
    if (/^[&*!|>{[]/.test(text)) fail(line, 'a plain or quoted value');
    if (/^["']/.test(text)) return unquote(text, line);
    if (text === 'true' || text === 'false') return text === 'true';
    if (text === 'null') return null;
    return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  };
  // "key: value", "key:"; the key may be quoted.
  const keyed = (text) => /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'#:](?:[^:]|:(?! |$))*):(?: (.*))?$/.exec(text);
  const list = (indent) => {
    const out = [];
    while (at < lines.length && lines[at].indent === indent && /^- ?/.test(lines[at].text)) {
      const line = lines[at], rest = line.text.slice(1).trim();
      if (rest === '') fail(line, 'an item');
      if (keyed(rest)) { // its mapping goes on two columns further right
        lines[at] = { ...line, indent: indent + 2, text: rest };
        out.push(mapping(indent + 2));
      } else {
        at++;
        out.push(scalar(rest, line));
      }
    }
    return out;
  };
  const mapping = (indent) => {
    const out = {};
    while (at < lines.length && lines[at].indent === indent && !lines[at].text.startsWith('- ')) {
      const line = lines[at++], found = keyed(line.text) ?? fail(line, 'KEY: VALUE'), key = unquote(found[1], line), next = lines[at];
      if (found[2] !== undefined) out[key] = scalar(found[2], line);
      else if (next?.text.startsWith('- ') && next.indent >= indent) out[key] = list(next.indent);
      else if (next && next.indent > indent) out[key] = mapping(next.indent);
      else fail(line, 'a value');
    }
    return out;
  };
  const root = mapping(0);
  if (at < lines.length) fail(lines[at], 'less indentation');
  return root;
}

const nameOf = (ref) => {
  const name = ref.split('/').pop();
  return name[0] === name[0].toUpperCase() ? name : `Object_${name}`;
};

function typeOf(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(' | ');
  if (schema.oneOf && !schema.properties) return schema.oneOf.map(typeOf).join(' | ');
  const types = [schema.type].flat().map((type) => {
    switch (type) {
      case 'string': case 'boolean': case 'null': return type;
      case 'integer': case 'number': return 'number';
      case 'array': return `Array<${schema.items ? typeOf(schema.items) : 'unknown'}>`;
      case 'object': return schema.properties ? membersOf(schema) : 'Record<string, unknown>';
      default: return 'unknown';
    }
  });
  return [...new Set(types)].join(' | ');
}

function membersOf(schema) {
  const required = new Set(schema.required ?? []);
  const members = Object.entries(schema.properties).map(([name, member]) => {
    const doc = member.description ? `  /** ${member.description.replaceAll('*/', '* /')} */\n` : '';
    return `${doc}  ${JSON.stringify(name)}${required.has(name) ? '' : '?'}: ${typeOf(member)};\n`;
  });
  return `{\n${members.join('')}}`;
}

const contentOf = (part) => {
  const schema = part?.content?.['application/json']?.schema;
  return schema ? typeOf(schema) : 'undefined';
};

export function typesOf(spec) {
  const out = ['// Made from schema/openapi.yaml by openapi_types.mjs; not to be edited.\n'];
  for (const [name, schema] of Object.entries(spec.components.schemas))
    out.push(`export type ${nameOf(name)} = ${typeOf(schema)};\n`);
  const { enum: names, description } = spec.components.schemas.Lever;
  const levers = [...description.matchAll(/([\w.]+) of a (\w+) \((?:default or )?([^)]*)\): (.*?)(?=; [\w.]+ of a \w+ \(|$)/g)]
    .map(([, name, kind, values, doc]) => ({ name, kind, values, doc }));
  if (levers.map((lever) => lever.name).join() !== names.join()) throw new Error(`openapi: Lever: found ${levers.map((lever) => lever.name)}, expected ${names}`);
  out.push(`/** What people may move: on objects of which kind, to which values. */\nexport const levers: ReadonlyArray<{ name: Lever; kind: string; values: string; doc: string }> = ${JSON.stringify(levers, null, 1)};\n`);
  out.push('/** What each operation takes and answers. */\nexport interface Operations {\n');
  for (const [path, methods] of Object.entries(spec.paths))
    for (const [method, operation] of Object.entries(methods))
      out.push(`  /** ${operation.summary} */\n  '${method.toUpperCase()} ${path}': { body: ${contentOf(operation.requestBody)}; ` +
        `answer: ${contentOf(operation.responses['2XX'])}; role: '${operation['x-role']}' };\n`);
  out.push('}\n');
  return out.join('\n');
}
