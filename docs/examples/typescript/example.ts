// Pages through a patient's accesses, follows what comes, and says what went wrong. Node 24 runs it as it is:
//   AUDIT_TOKEN=... node example.ts http://127.0.0.1:8000/graphql PATIENT [HOW_MANY_TO_FOLLOW]
// types.ts is generated: npx graphql-codegen --config codegen.json
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import type {
  EventsOfPatientSubscription,
  EventsOfPatientSubscriptionVariables,
  PatientAccessesQuery,
  PatientAccessesQueryVariables,
} from './types.ts';

type GraphQLProblem = { message: string; extensions?: { code?: string } };
type Answer<Data> = { data?: Data | null; errors?: GraphQLProblem[] };

/** What the API refused; `code` is `extensions.code` of its first error, or the HTTP status. */
class RefusedError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const documents = readFileSync(new URL('../operations.graphql', import.meta.url), 'utf8');

class AuditTrail {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  async query<Data, Variables>(operationName: string, variables: Variables): Promise<Data> {
    const response = await this.#send(operationName, variables, 'application/graphql-response+json');
    return unpacked<Data>((await response.json()) as Answer<Data>);
  }

  /** The results of a subscription, by server-sent events. Go on after the last position when it breaks off. */
  async *follow<Data, Variables>(operationName: string, variables: Variables): AsyncGenerator<Data> {
    const response = await this.#send(operationName, variables, 'text/event-stream');
    if (!response.body) throw new RefusedError('NO_STREAM', 'the answer has no body');
    let rest = '';
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      rest += piece;
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const lines = block.split(/\r?\n/);
        const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim());
        if (lines.includes('event: next')) yield unpacked<Data>(JSON.parse(data.join('\n')) as Answer<Data>);
      }
    }
  }

  async #send(operationName: string, variables: unknown, accept: string): Promise<Response> {
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: accept, Authorization: `Bearer ${this.#token}` },
      body: JSON.stringify({ query: documents, operationName, variables }),
    });
    if (response.status === 401) throw new RefusedError('401', 'the token is missing, wrong or too old');
    if (response.status === 403) throw new RefusedError('403', 'the token does not allow this');
    if (response.status === 429 || response.status === 503)
      throw new RefusedError(String(response.status), `try again in ${response.headers.get('Retry-After')} s`);
    return response;
  }
}

/** The data of an answer. An answer with errors is one without, as half an account of accesses misleads. */
function unpacked<Data>(answer: Answer<Data>): Data {
  const [first] = answer.errors ?? [];
  if (first) throw new RefusedError(first.extensions?.code ?? 'UNKNOWN', first.message);
  if (!answer.data) throw new RefusedError('UNKNOWN', 'the answer has no data');
  return answer.data;
}

async function main(): Promise<void> {
  const { positionals } = parseArgs({ allowPositionals: true });
  const [url, patient, count = '0'] = positionals;
  if (!url || !patient) throw new Error('give the URL of /graphql and the id of a patient');
  const trail = new AuditTrail(url, process.env.AUDIT_TOKEN ?? '');

  let newest = -1;
  let after: string | null = null;
  do {
    const found: PatientAccessesQuery = await trail.query<PatientAccessesQuery, PatientAccessesQueryVariables>(
      'PatientAccesses',
      { id: patient, first: 2, after },
    );
    if (!found.patient) {
      console.log(`no event names patient ${patient}`);
      return;
    }
    const { nodes, pageInfo } = found.patient.timeline;
    for (const event of nodes) {
      newest = Math.max(newest, event.position);
      console.log(`${event.position} ${event.type} by ${event.actor.name ?? event.actor.id ?? 'nobody known'}`);
    }
    after = pageInfo.hasNextPage ? (pageInfo.endCursor ?? null) : null;
  } while (after);

  let left = Number(count);
  if (left === 0) return;
  const followed = trail.follow<EventsOfPatientSubscription, EventsOfPatientSubscriptionVariables>(
    'EventsOfPatient',
    { patient, after: newest },
  );
  for await (const { eventRecorded: event } of followed) {
    console.log(`new: ${event.position} ${event.type} by ${event.actor.id ?? 'nobody known'}`);
    left -= 1;
    if (left === 0) break;
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof RefusedError ? `refused (${error.code}): ${error.message}` : error);
  process.exitCode = 1;
});
