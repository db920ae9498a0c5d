// @apollo/client, of the version that the third argument names. Prints one JSON object: what it got.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const [url, token, name, known] = process.argv.slice(2);
const { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } = require(`${name}/core`);
const { GraphQLWsLink } = require(`${name}/link/subscriptions`);
const persisted = require(`${name}/link/persisted-queries`);
const { createClient } = require('graphql-ws');

const headers = { authorization: `Bearer ${token}` };
const bodies = [];
const counting = (input, init) => {
  bodies.push(JSON.parse(init.body));
  return fetch(input, init);
};
const http = () => new HttpLink({ uri: url, headers, fetch: counting });
const client = (link) => new ApolloClient({ link, cache: new InMemoryCache() });
const outcome = (promise) => promise.then(
  (result) => result.data,
  (error) => ({ errors: (error.graphQLErrors ?? error.errors ?? []).map((each) => each.extensions.code) }),
);

const plain = client(http());
const LIST = gql`query ($limit: Int) { patient(id: "17") { id accesses(limit: $limit) { actorId } } }`;
const list = async (limit, fetchPolicy) => {
  const { data } = await plain.query({ query: LIST, variables: { limit }, fetchPolicy });
  return data.patient.accesses.map((each) => each.actorId);
};
const lists = { two: await list(2), five: await list(5), cachedTwo: await list(2, 'cache-only'), cachedFive: await list(5, 'cache-only') };
const listRequests = bodies.length;
const wrong = await outcome(plain.query({ query: gql`{ patient(id: "17") { nothing } }` }));

const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const { createPersistedQueryLink = (options) => new persisted.PersistedQueryLink(options) } = persisted;
const byHash = async (text) => {
  bodies.length = 0;
  const data = await outcome(client(ApolloLink.from([createPersistedQueryLink({ sha256 }), http()])).query({ query: gql(text) }));
  return { data, sent: bodies.map((each) => ('query' in each ? 'text' : 'hash')) };
};

const socket = createClient({ url: url.replace('http', 'ws'), connectionParams: headers });
const follow = gql`subscription { eventRecorded(after: 3) { position } }`;
const followed = await new Promise((resolve) => {
  client(new GraphQLWsLink(socket)).subscribe({ query: follow }).subscribe({
    next: (result) => resolve(result.data),
    error: (error) => resolve(String(error)),
  });
});
console.log(JSON.stringify({
  lists, listRequests, wrong, followed,
  known: await byHash(known),
  unknown: await byHash('{ user(id: "bob") { userId } }'),
}));
process.exit();
