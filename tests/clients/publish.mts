// Publishes an event and reads events, with the types that openapi-typescript generates from /openapi.json.
import type { components, operations } from './api.js';

declare const process: { argv: string[] };

type Answer<Operation extends { responses: Record<number, unknown> }, Status extends number> =
  Operation['responses'][Status] extends { content: { 'application/json': infer Body } } ? Body : never;
type Query = NonNullable<operations['listEvents']['parameters']['query']>;

const [address, token] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };

const event: components['schemas']['ReportedEvent'] = {
  event_id: '0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a02',
  type: 'record.read',
  occurred_at: '2026-03-01T08:15:30.120Z',
  source: { service: 'patient-service' },
  actor: { kind: 'user', id: 'a.example', roles: ['physician'] },
  patients: [{ id: '17' }],
  resources: [{ type: 'Observation', id: 'o-1' }],
  outcome: 'success',
};
const sent = await fetch(`${address}/v1/events`, { method: 'POST', headers, body: JSON.stringify(event) });
const published: Answer<operations['publishEvents'], 202> = await sent.json();

const wanted: Query = { patient: ['17'], outcome: ['success'], first: 2 };
const parameters = new URLSearchParams();
for (const [name, values] of Object.entries(wanted)) {
  for (const value of [values].flat()) parameters.append(name, String(value));
}
const found = await fetch(`${address}/v1/events?${parameters}`, { headers });
const list: Answer<operations['listEvents'], 200> = await found.json();
const readers = list.events.map(({ event: { actor } }) => actor.id ?? '');

// Wrong values do not compile.
// @ts-expect-error an event has a time
const untimed: components['schemas']['ReportedEvent'] = { ...event, occurred_at: undefined };
// @ts-expect-error an outcome is one of four
const unknown: Query = { outcome: ['splendid'] };

console.log(JSON.stringify({ statuses: [sent.status, found.status], accepted: published.accepted, readers }));
void [untimed, unknown];
