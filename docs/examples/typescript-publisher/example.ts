// Publishes the calls on standard input, one JSON object a line, as events of patient-service:
//   AUDIT_TOKEN=... node example.ts http://127.0.0.1:8000 < calls.ndjson
// With the file of golden vectors it prints the events that it makes of the calls there, one a line:
//   node example.ts ../golden-vectors.json
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { type Call, Publisher, canonical } from './publisher.ts';

type Vector = { call: Call; event_id: string; at: string; sequence?: number };
type Vectors = { source: { service: string; site?: string; instance?: string }; vectors: Vector[] };

async function publish(url: string): Promise<void> {
  const token = process.env.AUDIT_TOKEN ?? '';
  const trail = new Publisher({ url, token, service: 'patient-service' });
  for await (const line of createInterface({ input: process.stdin })) await trail.record(JSON.parse(line) as Call);
  console.log(`published ${await trail.close()} events`);
}

function print(file: string): void {
  const { source, vectors } = JSON.parse(readFileSync(file, 'utf8')) as Vectors;
  for (const { call, event_id, at, sequence } of vectors) {
    console.log(canonical(call, { eventId: event_id, at: new Date(at), source: { ...source, sequence } }));
  }
}

const [target] = process.argv.slice(2);
if (target === undefined) throw new Error('usage: example.ts URL, or example.ts FILE');
try {
  if (target.startsWith('http')) await publish(target);
  else print(target);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
