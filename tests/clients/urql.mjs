// @urql/core with its defaults. Prints one JSON object: what it got.
import { Client, cacheExchange, fetchExchange, gql, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';

const [url, token] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const seen = [];
const options = {
  url,
  preferGetMethod: false,
  fetchOptions: { headers: { authorization } },
  fetch: async (input, init) => {
    const answer = await fetch(input, init);
    seen.push({ accept: init.headers.accept, type: answer.headers.get('content-type'), status: answer.status });
    return answer;
  },
};
const socket = createClient({ url: url.replace('http', 'ws'), connectionParams: { authorization } });
const forwardSubscription = (request) => ({
  subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? '' }, sink) }),
});
const overHttp = new Client({ ...options, exchanges: [cacheExchange, fetchExchange], fetchSubscriptions: true });
const overSocket = new Client({ ...options, exchanges: [subscriptionExchange({ forwardSubscription })] });

const ACCESSES = gql`query ($limit: Int) { patient(id: "17") { id accesses(limit: $limit) { actorId } } }`;
const FOLLOW = gql`subscription ($after: Long) { eventRecorded(after: $after) { position } }`;

const first = (client) =>
  new Promise((resolve) => {
    client.subscription(FOLLOW, { after: 3 }).subscribe((result) => resolve(result.data ?? String(result.error)));
  });

const query = await overHttp.query(ACCESSES, { limit: 2 });
const wrong = await overHttp.query(gql`{ patient(id: "17") { nothing } }`, {});
const refused = await overHttp.query(gql`{ events(first: 100000) { nodes { position } } }`, {});
console.log(
  JSON.stringify({
    query: query.data ?? String(query.error),
    errors: [wrong, refused].map((each) => each.error?.graphQLErrors.map((error) => error.extensions.code)),
    requests: seen.slice(),
    sse: await first(overHttp),
    ws: await first(overSocket),
  }),
);
// The subscriptions go on: a stream that urql ends itself may raise an AbortError that nobody catches.
process.exit();
