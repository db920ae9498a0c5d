/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** FHIR AuditEvent.outcome. */
export type Outcome =
  | 'MAJOR_FAILURE'
  | 'MINOR_FAILURE'
  | 'SERIOUS_FAILURE'
  | 'SUCCESS';

export type PatientAccessesQueryVariables = Exact<{
  id: string | number;
  first: number;
  after?: string | null | undefined;
}>;


export type PatientAccessesQuery = { patient: { accesses: Array<{ actorId: string | null, actorName: string | null, accesses: number, lastAt: string }>, timeline: { nodes: Array<{ position: number, occurredAt: string, type: string, outcome: Outcome, actor: { id: string | null, name: string | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } } | null };

export type EventsOfPatientSubscriptionVariables = Exact<{
  patient: string;
  after?: number | null | undefined;
}>;


export type EventsOfPatientSubscription = { eventRecorded: { position: number, occurredAt: string, type: string, actor: { id: string | null } } };
