// Publishes audit events to `POST /v1/events`. No packages; Node 24 runs it as it is.
import { randomFillSync, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';

export type Json = null | boolean | number | string | Json[] | Fields;
export type Fields = { [name: string]: Json | undefined };

/** What happened, in the fields of an event (docs/reference/audit-event.schema.json). */
export interface Call extends Fields {
  type: string;
  actor: Fields & { kind?: string; id?: string | null; name?: string | null; roles?: string[] };
  patients?: ({ id: string; name?: string } & Fields)[];
  resources?: ({ type: string; id: string } & Fields)[];
  /** The object before and after an update, in place of `changes`. */
  before?: Fields;
  after?: Fields;
}

/** What a publisher adds to a call. */
export interface Stamp {
  eventId: string;
  at: Date;
  source: { service: string; site?: string; instance?: string; sequence?: number };
}

export interface Options {
  url: string;
  /** The bearer token; a function when it changes. */
  token: string | (() => string);
  service: string;
  site?: string;
  /** Who counts the events. A new name at each start, as the counter is in memory. */
  instance?: string;
  /** `record` waits while this many events are unsent. */
  capacity?: number;
  /** Events of one request. */
  batch?: number;
  /** First and longest pause between two attempts, in milliseconds. */
  pauses?: [number, number];
  onRejected?: (rejection: Rejection) => void;
  onWaiting?: (reason: string) => void;
}

/** An event that the trail does not accept. It holds no data of the event. */
export interface Rejection {
  eventId: string;
  type: string;
  reason: string;
  field: string;
  message: string;
}

type Field = { name: string; parts?: Field[]; byDefault?: Json };
type Unsent = { eventId: string; type: string; json: string };
type Item = { index: number; event_id?: string; reason?: string; field?: string; message?: string };

const named = (...names: string[]): Field[] => names.map((name) => ({ name }));
const EVENT: Field[] = [
  ...named('event_id', 'type', 'occurred_at'),
  { name: 'source', parts: named('service', 'site', 'instance', 'sequence') },
  { name: 'actor', parts: [{ name: 'kind', byDefault: 'user' }, ...named('id', 'name', 'roles', 'on_behalf_of')] },
  { name: 'action' },
  { name: 'outcome', byDefault: 'success' },
  ...named('outcome_reason', 'session'),
  { name: 'client', parts: named('address', 'user_agent') },
  { name: 'patients', parts: named('id', 'name') },
  { name: 'device', parts: named('id', 'name', 'software_version', 'configuration_version') },
  { name: 'resources', parts: named('type', 'id', 'version', 'data_category') },
  { name: 'changes', parts: named('path', 'before', 'after') },
  ...named('purpose_of_use', 'reason'),
  { name: 'emergency', byDefault: false },
  { name: 'correlation_id' },
  { name: 'request', parts: named('method', 'path', 'status', 'duration_ms') },
  { name: 'disclosure', parts: named('recipient', 'recipient_address', 'description', 'purpose') },
  { name: 'codes', parts: named('system', 'code', 'display') },
  { name: 'attributes' },
];

/** The event of a call as the one line of JSON that every publisher makes of it. */
export function canonical({ before, after, ...call }: Call, { eventId, at, source }: Stamp): string {
  const changes = before || after ? changesBetween(before ?? {}, after ?? {}) : call.changes;
  const stamped: Fields = { ...call, changes, event_id: eventId, occurred_at: timeOf(at), source };
  return JSON.stringify(inOrder(stamped, EVENT, ''));
}

/** The fields in the order of the schema, without those that say nothing. A name that no event has is an error. */
function inOrder(given: Fields, fields: Field[], path: string): Fields {
  const unknown = Object.keys(given).find((name) => !fields.some((field) => field.name === name));
  if (unknown !== undefined) throw new TypeError(`an event has no field ${path}${unknown}`);
  const found: Fields = {};
  for (const { name, parts, byDefault } of fields) {
    const value = given[name];
    if (value === undefined || value === null || value === byDefault) continue;
    if (Array.isArray(value) ? value.length === 0 : name === 'attributes' && Object.keys(value).length === 0) continue;
    const within = (part: Json): Json => inOrder(part as Fields, parts ?? [], `${path}${name}.`);
    found[name] = !parts ? value : Array.isArray(value) ? value.map(within) : within(value);
  }
  return found;
}

/** The leaves that differ, by path. Lists are compared as a whole. */
export function changesBetween(before: Fields, after: Fields): Json[] {
  const [old, now] = [leaves(before), leaves(after)];
  const differs = (path: string) => JSON.stringify(old.get(path) ?? null) !== JSON.stringify(now.get(path) ?? null);
  const paths = [...new Set([...old.keys(), ...now.keys()])].filter(differs).sort();
  return paths.map((path) => ({ path, before: old.get(path) ?? null, after: now.get(path) ?? null }));
}

function leaves(value: Fields, path = ''): Map<string, Json> {
  const found = new Map<string, Json>();
  for (const [name, inner] of Object.entries(value)) {
    if (inner && typeof inner === 'object' && !Array.isArray(inner)) {
      for (const [below, leaf] of leaves(inner, `${path}${name}.`)) found.set(below, leaf);
    } else found.set(path + name, inner ?? null);
  }
  return found;
}

/** RFC 3339 in UTC, with six decimals or none. */
function timeOf(at: Date): string {
  const text = at.toISOString();
  return text.endsWith('.000Z') ? text.replace('.000Z', 'Z') : text.replace('Z', '000Z');
}

/** A UUID of version 7 (RFC 9562, section 5.7): milliseconds, then random bits. */
export function newEventId(at: Date): string {
  const bytes = randomFillSync(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Math.floor(at.getTime() / 2 ** 32));
  view.setUint32(2, at.getTime() % 2 ** 32);
  view.setUint8(6, 0x70 | (view.getUint8(6) & 0x0f));
  view.setUint8(8, 0x80 | (view.getUint8(8) & 0x3f));
  const hex = Buffer.from(bytes).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Sends events in the order of the calls. Unsent events are in memory: `close` waits until there are none. */
export class Publisher {
  readonly #options: Required<Omit<Options, 'site'>> & { site?: string };
  readonly #unsent: Unsent[] = [];
  readonly #waiting: (() => void)[] = [];
  #sequence = 0;
  #size: number;
  #attempts = 0;
  #rejected = 0;
  #accepted = 0;
  #sending: Promise<void> | undefined;

  constructor(options: Options) {
    this.#options = {
      instance: `${hostname()}/${randomUUID()}`,
      capacity: 10_000,
      batch: 500,
      pauses: [200, 30_000],
      onRejected: ({ eventId, type, reason, field, message }) =>
        console.error(`audit event ${eventId} (${type}) was rejected: ${reason} ${field}: ${message}`),
      onWaiting: (reason) => console.error(`audit events wait: ${reason}`),
      ...options,
    };
    this.#size = this.#options.batch;
  }

  /** Take an event. It has its id, time and number from now on; resolves to the id when there is room for the next. */
  async record(call: Call): Promise<string> {
    const { service, site, instance } = this.#options;
    const at = new Date();
    const stamp = { eventId: newEventId(at), at, source: { service, site, instance, sequence: this.#sequence + 1 } };
    const json = canonical(call, stamp);
    this.#sequence += 1;
    this.#unsent.push({ eventId: stamp.eventId, type: call.type, json });
    this.#sending ??= this.#send();
    if (this.#unsent.length >= this.#options.capacity) await new Promise<void>((go) => this.#waiting.push(go));
    return stamp.eventId;
  }

  /** How many events are not sent yet. */
  get unsent(): number {
    return this.#unsent.length;
  }

  /** Wait until all events are sent. Rejects when that takes too long, or when one was rejected. */
  async close(milliseconds = 60_000): Promise<number> {
    const late = new AbortController();
    await Promise.race([this.#sending, pause(milliseconds, undefined, { signal: late.signal, ref: false })]);
    late.abort();
    if (this.#unsent.length > 0) throw new Error(`${this.#unsent.length} audit events were not sent`);
    if (this.#rejected > 0) throw new Error(`${this.#rejected} of ${this.#rejected + this.#accepted} audit events were rejected`);
    return this.#accepted;
  }

  /** One request at a time, so that events stay in order, until nothing is left. */
  async #send(): Promise<void> {
    while (this.#unsent.length > 0) {
      const batch = this.#unsent.slice(0, this.#size);
      const answer = await this.#post(batch);
      if (answer === 'too large' && batch.length > 1) {
        this.#size = Math.ceil(batch.length / 2);
        continue;
      }
      if (answer === 'later') continue;
      const items = answer === 'too large' ? [{ index: 0, reason: 'oversized', message: 'too large' }] : answer;
      this.#settle(batch, items);
      this.#size = Math.min(this.#size + Math.ceil(this.#size / 10), this.#options.batch);
    }
    this.#sending = undefined;
  }

  #settle(batch: Unsent[], items: Item[]): void {
    this.#unsent.splice(0, batch.length);
    for (const { index, event_id, reason = 'denied', field = '', message = '' } of items) {
      const event = batch[index];
      if (event_id !== undefined || event === undefined) this.#accepted += 1;
      else {
        this.#rejected += 1;
        this.#options.onRejected({ eventId: event.eventId, type: event.type, reason, field, message });
      }
    }
    while (this.#unsent.length < this.#options.capacity && this.#waiting.length > 0) this.#waiting.shift()?.();
  }

  /** What the trail says of each event. All else is tried again: event ids prevent duplicates. */
  async #post(batch: Unsent[]): Promise<Item[] | 'too large' | 'later'> {
    const { url, token } = this.#options;
    const headers = {
      authorization: `Bearer ${typeof token === 'string' ? token : token()}`,
      'content-type': 'application/json',
    };
    const body = `[${batch.map((event) => event.json).join(',')}]`;
    try {
      const signal = AbortSignal.timeout(60_000);
      const answer = await fetch(`${url}/v1/events`, { method: 'POST', headers, body, signal });
      const said = await answer.text();
      if ([202, 413, 422].includes(answer.status)) this.#attempts = 0;
      if (answer.status === 202) return (JSON.parse(said) as { events: Item[] }).events;
      if (answer.status === 422) return (JSON.parse(said) as { errors: Item[] }).errors;
      if (answer.status === 413) return 'too large';
      // 401 and 403 too: a token may be renewed, and nothing is dropped that could still be sent.
      return await this.#later(`the answer is ${answer.status}`, Number(answer.headers.get('retry-after') ?? NaN));
    } catch (error) {
      return await this.#later(error instanceof Error ? `no answer (${error.message})` : 'no answer', NaN);
    }
  }

  async #later(reason: string, seconds: number): Promise<'later'> {
    const [first, longest] = this.#options.pauses;
    const growing = Math.min(longest, first * 2 ** this.#attempts) * (0.5 + Math.random() / 2);
    this.#attempts += 1;
    this.#options.onWaiting(reason);
    await pause(Number.isFinite(seconds) ? seconds * 1000 : growing);
    return 'later';
  }
}
