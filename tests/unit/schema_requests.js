// schema_requests.js: random requests made from openapi.yaml, and answers checked against it by ajv, which shares no
// line with the server: for every operation so many, some valid, some nearly, some hostile. None may be answered with
// 5xx or not at all; what is answered must be as described; what the description refuses must not be accepted; and
// nine of ten operations must have been carried out at least once.
//
//   node schema_requests.js OPERATORS AGENTS TOKEN AGENT_TOKEN REQUESTS SEED
//
// TOKEN: an admin's; AGENT_TOKEN: that of edge-1. Exit code 1: it failed, with a line for each kind of failure.
'use strict';
const Ajv = require('ajv'), http = require('http'), yaml = require('js-yaml');
const [operators, agents, token, agentToken, requestsText, seedText] = process.argv.slice(2);
const requests = Number(requestsText);

// ---- chance (mulberry32) ----
let state = Number(seedText) >>> 0;
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const below = (n) => Math.floor(random() * n);
const chance = (p) => random() < p;
const pick = (list) => list[below(list.length)];

// ---- HTTP ----
function ask(base, bearer, method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const all = Object.assign({}, headers, bearer ? { Authorization: `Bearer ${bearer}` } : {});
    if (body !== undefined) Object.assign(all, { 'Content-Type': 'application/json', 'Content-Length': body.length });
    const request = http.request(base + path, { method, headers: all, agent: false, timeout: 60000 }, (answer) => {
      const parts = [];
      answer.on('data', (bytes) => parts.push(bytes));
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode, type: answer.headers['content-type'] || '',
        text: Buffer.concat(parts).toString('utf8') }));
    });
    request.on('timeout', () => request.destroy(new Error('no answer for 60 s')));
    request.on('error', reject);
    request.end(body);
  });
}
async function get(path) {
  const answer = await ask(operators, token, 'GET', path, {});
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text}`);
  return JSON.parse(answer.text);
}

// ---- words ----
const nasty = ['', ' ', '.', '..', '-', '*', 'A', 'a b', 'a\nb', 'a\r\nX: y', 'a"b', "' or 1=1 --", '../../etc/passwd', '$(reboot)',
  '%s%n', '\u0000', '\u0001', '\u001b[2J', '\u202e', '\ufeffa', '\ud83d\udd25', '\ud800', '9223372036854775808', '-1', '1e999', 'NaN',
  'a'.repeat(41), 'a'.repeat(300), '\u00fc'.repeat(200)];
const hostileBodies = ['', '{', '[]', '[1]', 'null', '7', '"x"', '{"a":1}x', '{"a":1,"a":2}', '{a:1}', "{'a':1}", '{"a":NaN}', '{"a":1e999}',
  '{"a":01}', '{"a":"\\u0000"}', '{"a":"\\ud800"}', '{"\\u0000":1}', '{"a":"\t"}', '\ufeff{}', '{"reason":7}', '{"dry_run":"yes"}',
  '{"overrides":"x"}', '{"overrides":[null]}', '['.repeat(5000), '{"a":'.repeat(3000) + '1' + '}'.repeat(3000), '{"reason":"' + 'a'.repeat(60000) + '"}',
  `{"a":${'9'.repeat(400)}}`, '<?xml version="1.0"?><a/>'].map((text) => Buffer.from(text));
hostileBodies.push(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), Buffer.alloc(70000, 0x20));
const values = ['open', 'closed', 'drain', 'in', 'out', 'default', 'public', 'dedicated', 'on', 'off', 'static', 'stale', '500', '50%',
  'room-a', 'room-a:100', 'room-a:1+room-b:1', 'zone-1=zone-1:90+zone-2:10', 'hold', 'full'];
const byMember = { value: values, cluster: ['two-rooms'], edge: ['edge-1'], state: ['applied', 'failing'], role: ['viewer', 'operator', 'admin', 'agent'],
  password: ['correct horse battery'], scopes: ['plans', 'controls', 'status', 'plans/pop-out'], act: ['pause', 'resume', 'force', 'approve', 'skip', 'review', 'rotate', 'revoke'], purpose: ['user', 'staff', 'canary'],
  overrides: ['capacity-kept', 'last-open'], address: ['192.0.2.7', '192.0.2.8:80'], timeout: ['500ms', '10s', '2m'], bake: ['1s'],
  latency: ['50ms'], prefix: ['/a', '/b/c'], from: ['2030-11-01T00:00:00Z'], until: ['2030-11-30T00:00:00Z'], check: ['forecast'],
  url: ['http://home.example.test/', 'https://creator.example.test/upload'], head: [`1:${'0'.repeat(64)}`], stages: [100], reason: ['because'],
  carrier: ['carrier-1', 'carrier-2'], user: ['42', 'alice'] };
let pool, spec, made = 0;

// What there is on the server, so that requests find something.
async function look() {
  const site = await get('/v1/export');
  pool = { object: {}, plan: site.plans.map((plan) => plan.plan) };
  for (const object of site.objects) (pool.object[object.kind] = pool.object[object.kind] || []).push(object.name);
  pool.kinds = Object.keys(pool.object);
  pool.names = site.objects.map((object) => object.name);
  const executions = (await get('/v1/executions')).executions, running = executions.filter((row) => row.state === 'running');
  pool.executions = (running.length > 0 ? running : executions).slice(0, 5).map((row) => row.id);
  pool.recordings = (await get('/v1/recordings')).recordings.map((row) => row.name);
  pool.users = (await get('/v1/users')).users.map((row) => row.name);
  pool.alarms = (await get('/v1/status')).alarms;
  pool.tokens = (await get('/v1/tokens')).tokens.map((row) => row.name).filter((name) => !/^keep-|^edge-/.test(name));
  const manifest = JSON.parse((await ask(agents, agentToken, 'GET', '/agent/v1/edges/edge-1/table', {})).text);
  pool.parts = Object.values(manifest.parts || {});
  return site;
}
const newName = () => `new-${++made}`;
// Levers are described in words: "; room.ingress of a room (open, closed or default): ...".
const levers = {};
function readLevers() {
  const { enum: names, description } = spec.components.schemas.Lever;
  for (const name of names) {
    const found = description.match(new RegExp(`[:;] ${name.replace('.', '\\.')} of an? (\\w+) \\(([^)]*)\\)`));
    levers[name] = found ? { kind: found[1], words: found[2].match(/[a-z0-9]+/g).filter((one) => one !== 'or') } : { kind: 'x', words: [] };
  }
}
// An object of the inventory, in a body of its own.
const isObject = (template) => /^\/v1\/(inventory|reminders)\//.test(template);
const objectOf = (lever) => pick((levers[lever] && pool.object[levers[lever].kind]) || ['tier/normal']);

function word(member, description) {
  const reference = /name of an? (\w+)/.exec(description || '');
  if (reference && pool.object[reference[1]]) return pick(pool.object[reference[1]]);
  if (byMember[member] && !(member === 'from' && /edge/.test(description))) return pick(byMember[member]);
  if (pool.object[member]) return pick(pool.object[member]);
  if (['target', 'confirm', 'object', 'on', 'to', 'away', 'room'].includes(member)) return pick(pool.object.room || pool.names);
  if (member === 'remove') return chance(0.5) ? `plan/${pick(pool.plan)}` : `zone/${newName()}`;
  if (member === 'plan' || member === 'run') return pick(pool.plan);
  return chance(0.5) ? newName() : pick(pool.names);
}

// ---- values of a schema ----
function valid(schema, member, description) {
  if (schema.$ref) return valid(spec.components.schemas[schema.$ref.split('/').pop()], member, schema.description || description);
  const doc = schema.description || description;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return pick(schema.enum);
  if (schema.oneOf && !schema.properties) return valid(pick(schema.oneOf), member, doc);
  const type = Array.isArray(schema.type) ? pick(schema.type) : schema.type;
  switch (type) {
    case 'object': return validObject(schema);
    case 'array': {
      const size = Math.max(schema.minItems || 0, Math.min(below(3) + (chance(0.8) ? 1 : 0), schema.maxItems || 3));
      const items = Array.from({ length: size }, () => valid(schema.items, member, doc));
      return schema.uniqueItems ? [...new Set(items)] : items;
    }
    case 'integer': {
      const min = schema.minimum !== undefined ? schema.minimum : 0, max = schema.maximum !== undefined ? schema.maximum : min + 100000;
      if (['generation', 'after'].includes(member)) return min + below(30);
      if (member === 'at') return Date.now() * 1000;
      if (member === 'expires_us') return Date.now() * 1000 + 3600e6;
      return chance(0.2) ? pick([min, Math.min(max, Number.MAX_SAFE_INTEGER)]) : min + below(Math.min(max - min, 1e6) + 1);
    }
    case 'number': return random() * 1000;
    case 'boolean': return member === 'prune' ? chance(0.05) : chance(0.5);
    case 'null': return null;
    default: return word(member, doc).slice(0, schema.maxLength || 500);
  }
}
function validObject(schema) {
  const out = {}, properties = schema.properties || {}, choice = schema.oneOf ? pick(schema.oneOf).required : [];
  const others = (schema.oneOf || []).flatMap((one) => one.required).filter((name) => !choice.includes(name));
  for (const name of Object.keys(properties)) {
    const wanted = (schema.required || []).includes(name) || choice.includes(name);
    if (wanted || (chance(0.4) && !others.includes(name))) out[name] = valid(properties[name], name);
  }
  if ('control' in out && levers[out.control]) {
    Object.assign(out, 'on' in out ? { on: objectOf(out.control) } : 'object' in out ? { object: objectOf(out.control) } : {});
    if ('value' in out && chance(0.8)) out.value = pick([...levers[out.control].words, 'default', 'default']);
  }
  return out;
}
// Another one, in one place.
function mutate(value) {
  if (value !== null && typeof value === 'object' && chance(0.7)) {
    const keys = Object.keys(value);
    if (keys.length > 0 && chance(0.85)) {
      const key = pick(keys);
      if (chance(0.2)) Array.isArray(value) ? value.splice(key, 1) : delete value[key];
      else value[key] = mutate(value[key]);
      return value;
    }
    Array.isArray(value) ? value.push(pick([null, 7, 'x', {}, []])) : (value[pick(['extra', '', '$ref', '__proto__', 'A'])] = 1);
    return value;
  }
  return pick([null, true, 0, -1, 0.5, 1e18, 'x', [], {}, [[]], { a: 1 }, pick(nasty), pick(nasty)]);
}

// ---- one request ----
const paramValues = {
  '/v1/inventory': { kind: () => pick([...pool.kinds, 'zone']), name: (kind) => pick((pool.object[kind] || []).concat(newName())) },
  '/v1/controls': { lever: () => pick(Object.keys(levers)), object: (lever) => objectOf(lever) },
  '/v1/eastwest': { kind: () => pick(['service', 'interface', 'services']), name: (kind) => pick(pool.object[kind.replace(/s$/, '')] || ['x']) },
  '/v1/plans': { name: () => pick(pool.plan) },
  '/v1/executions': { id: () => pick(pool.executions.concat('none')) },
  '/v1/recordings': { name: () => pick(pool.recordings.concat('none')) },
  '/v1/tokens': { name: () => pick(pool.tokens.concat('none')) },
  '/v1/reminders': { name: () => pick((pool.object.reminder || []).concat(newName())) },
  '/v1/alarms': { kind: () => pick(pool.alarms.map((one) => one.kind).concat('pop')),
    object: (kind) => pick(pool.alarms.filter((one) => one.kind === kind).map((one) => one.object).concat('pop-a1')) },
  '/v1/users': { name: () => pick(pool.users.concat('none')) },
  '/v1/webhooks': { name: () => pick((pool.object.webhook || []).concat('none')) },
  '/agent/v1/edges': { name: () => 'edge-1' },
  '/agent/v1/parts': { hash: () => pick(pool.parts.concat('0123')) },
};
function pathOf(template, mood, taken) {
  const prefix = Object.keys(paramValues).find((start) => template.startsWith(start));
  let before;
  return template.replace(/\{(\w+)\}/g, (all, name) => {
    const make = prefix && paramValues[prefix][name];
    before = mood === 'hostile' && chance(0.4) ? pick(nasty) : make ? make(before) : newName();
    taken[name] = before;
    return encodeURIComponent(before.isWellFormed && !before.isWellFormed() ? '%' : Buffer.from(before).toString());
  });
}
function queryOf(parameters, mood) {
  const parts = [];
  for (const parameter of parameters.filter((one) => one.in === 'query')) {
    const name = parameter.name, waits = name === 'wait'; // it is its default that is long
    if (!waits && chance(0.5) && !(mood === 'valid' && ['url', 'generation', 'at'].includes(name))) continue;
    const wrong = mood !== 'valid' && chance(0.5);
    const value = wrong ? pick([...nasty, '99999', '-1', '1.5', '0x1']) : waits ? 0 : valid(parameter.schema, name, parameter.description);
    if (waits && /^(\+|\s)*0*(1?\d|2[0-5])$/.test(String(value).trim())) parts.push('wait=0');
    else if (name !== 'cursor' || wrong) parts.push(`${name}=${encodeURIComponent(Buffer.from(String(value)).toString())}`);
  }
  if (mood === 'hostile' && chance(0.3)) parts.push(pick(['&&', '=', 'a', 'a=%', '%00=1', 'limit=1&limit=2', 'dry_run=2', `x=${'a'.repeat(3000)}`]));
  return parts.length > 0 ? `?${parts.join('&')}` : '';
}
const header = (text) => Buffer.from(text).toString('latin1').replace(/[^\x20-\x7e\x80-\xff]/g, '?');
function headersOf(method, mood) {
  const out = {}, odd = () => header(pick(nasty));
  if (method !== 'GET' && chance(0.9)) out['If-Match'] = mood === 'hostile' ? odd() : pick(['*', '*', '*', '"0"', '"3"', 'W/"3"']);
  if (method !== 'GET' && chance(0.4)) out['Idempotency-Key'] = mood === 'hostile' ? odd() : pick([newName(), newName(), 'same']);
  if (mood === 'hostile' && chance(0.2)) out['Last-Event-ID'] = odd();
  return out;
}
// An object, or a part of it, is the one that the path names.
function objectBody(operation, taken) {
  const json = valid(spec.components.schemas[taken.kind] || spec.components.schemas.zone);
  const lever = pick(Object.keys(levers));
  if (taken.kind === 'reminder') json.on = `${lever}/${objectOf(lever)}`;
  if (operation.method === 'PUT') return Object.assign(json, { kind: taken.kind, name: taken.name });
  for (const key of Object.keys(json)) if (['kind', 'name'].includes(key) || chance(0.5)) delete json[key];
  return json;
}
function bodyOf(operation, mood, taken) {
  if (!operation.requestBody) return undefined;
  if (mood === 'hostile' && chance(0.7)) return { bytes: pick(hostileBodies) };
  const schema = operation.requestBody.content['application/json'].schema;
  const json = isObject(operation.template) ? objectBody(operation, taken) : valid(schema);
  if (operation.id === 'login') json.name = pick(pool.users);
  if (taken.lever in levers && chance(0.8)) json.value = pick([...levers[taken.lever].words, 'default']);
  const text = JSON.stringify(mood === 'valid' ? json : mutate(json));
  return { bytes: Buffer.from(text), json: JSON.parse(text) };
}

// ---- what must be true of an answer ----
const failures = new Map();
function fail(kind, what) {
  const key = kind.slice(0, 200);
  if (!failures.has(key)) failures.set(key, []);
  failures.get(key).push(what);
}
function parse(text) {
  try { return JSON.parse(text); } catch (error) { return undefined; }
}
function judge(ajv, id, operation, taken, body, answer, what) {
  const good = operation.responses['2XX'].content, check = (schema, json) => ajv.validate({ $ref: `api${schema}` }, json);
  const json = parse(answer.text);
  if (answer.status >= 500 || (answer.status >= 300 && answer.status < 400)) fail(`${id}: status ${answer.status}`, what);
  else if (answer.status >= 400) {
    if (answer.type !== 'application/problem+json' || !check('#/components/schemas/Problem', json)) fail(`${id}: ${answer.status} is no problem document: ${ajv.errorsText()}`, what);
    else if (json.status !== answer.status) fail(`${id}: the problem says ${json.status}, the answer is ${answer.status}`, what);
  } else {
    const schema = good && good['application/json'] && good['application/json'].schema;
    if (schema && answer.status !== 204 && (!answer.type.startsWith('application/json') || !check(schema.$ref, json)))
      fail(`${id}: the answer is not as described: ${ajv.errorsText()}`, what);
    const put = operation.method === 'PUT' && isObject(operation.template); // as its kind describes it
    const asked = operation.requestBody && operation.requestBody.content['application/json'].schema;
    const sent = put && body && body.json ? Object.assign({}, body.json, taken) : body && body.json;
    if (put && sent) for (const common of ['reason', 'overrides', 'dry_run', 'revision', 'at']) delete sent[common];
    if (sent !== undefined && asked && !check(put ? '#/components/schemas/Object' : asked.$ref, sent))
      fail(`${id}: accepted what the description refuses: ${ajv.errorsText()}`, what);
  }
}

async function one(ajv, operation, mood, counts) {
  const { base, bearer, method, template, id, parameters } = operation;
  const taken = {}, path = pathOf(template, mood, taken) + queryOf(parameters, mood), headers = headersOf(method, mood);
  if (template.startsWith('/v1/reminders')) taken.kind = 'reminder';
  const body = bodyOf(operation, mood, taken);
  const what = `${method} ${path.slice(0, 300)} ${JSON.stringify(headers)} ${body ? body.bytes.toString().slice(0, 600) : ''}`;
  try {
    const answer = await ask(base, bearer, method, path, headers, body && body.bytes);
    counts[Math.floor(answer.status / 100)]++;
    judge(ajv, id, operation, taken, body, answer, `${what}\n      -> ${answer.status} ${answer.text.slice(0, 400)}`);
  } catch (error) {
    fail(`${id}: no answer: ${error.code || error.message}`, what);
  }
}

async function main() {
  spec = yaml.load((await ask(operators, undefined, 'GET', '/v1/openapi.yaml', {})).text);
  const ajv = new Ajv({ schemaId: 'auto', unknownFormats: 'ignore' });
  ajv.addSchema(spec, 'api');
  readLevers();
  const site = await look();
  const restore = Buffer.from(JSON.stringify({ objects: site.objects, plans: site.plans, prune: true }));
  const runs = Buffer.from('{"target":"room-a"}'); // nobody proves it: it goes on
  const never = [];
  let total = 0, operations = 0;
  for (const [template, methods] of Object.entries(spec.paths))
    for (const [method, described] of Object.entries(methods)) {
      const counts = [0, 0, 0, 0, 0, 0], onAgents = described['x-role'] === 'agent';
      const operation = Object.assign({ template, method: method.toUpperCase(), id: described.operationId,
        base: onAgents ? agents : operators, bearer: onAgents ? agentToken : token }, described, { parameters: described.parameters || [] });
      for (let n = 0; n < requests; n++) {
        if (n % 25 === 0) {
          if (method !== 'get') await ask(operators, token, 'POST', '/v1/apply', {}, restore);
          if (template.startsWith('/v1/executions')) await ask(operators, token, 'POST', '/v1/plans/failback/run', {}, runs);
          await look();
        }
        await one(ajv, operation, n % 10 < 5 ? 'valid' : n % 10 < 8 ? 'near' : 'hostile', counts);
      }
      if (counts[2] === 0) never.push(operation.id);
      console.log(`${operation.id.padEnd(20)} ${requests} requests: ${counts[2]} done, ${counts[4]} refused`);
      total += requests;
      operations++;
    }
  if (never.length * 10 > operations) fail(`not one of ${requests} requests was carried out: ${never.join(', ')}`, '');
  for (const [kind, cases] of failures) console.log(`FAILED ${kind} (${cases.length} times)\n   ${cases[0]}`);
  console.log(`${operations} operations, ${total} requests, seed ${seedText}: ${failures.size} kinds of failure; never carried out: ${never.join(', ') || 'none'}`);
  process.exit(failures.size > 0 ? 1 : 0);
}
main().catch((error) => { console.log(`schema_requests: ${error.stack}`); process.exit(1); });
