// relay-runtime with the connections of its store. Prints one JSON object: what the store has after each page.
import relay from 'relay-runtime';
import request from './relay_pages.generated.mjs';

const [url, token] = process.argv.slice(2);
const { ConnectionHandler, Environment, Network, RecordSource, ROOT_ID, Store, createOperationDescriptor, fetchQuery } = relay;
const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/graphql-response+json' };

async function send({ text }, variables) {
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query: text, variables }) });
  return answer.json();
}

// A store of its own; the fields lead to the connection.
function connectionOf(isRows, path, key, filters) {
  const environment = new Environment({ network: Network.create(send), store: new Store(new RecordSource()) });
  const read = () => {
    let found;
    environment.commitUpdate((store) => {
      const parent = store.get(ROOT_ID).getLinkedRecord(...path);
      const connection = ConnectionHandler.getConnection(parent, key, filters);
      const info = connection.getLinkedRecord('pageInfo');
      found = {
        nodes: connection.getLinkedRecords('edges').map((edge) => {
          const node = edge.getLinkedRecord('node');
          return isRows ? node.getValue('values').position : node.getValue('after');
        }),
        info: Object.fromEntries(['hasNextPage', 'hasPreviousPage', 'startCursor', 'endCursor'].map((name) => [name, info.getValue(name)])),
      };
    });
    return found;
  };
  return async (variables) => {
    const all = { isRows, ...variables };
    environment.retain(createOperationDescriptor(request, all));
    await fetchQuery(environment, request, all).toPromise();
    return read();
  };
}

async function walk(page, size, cursor) {
  const pages = [await page(size)];
  while (pages.length < 10 && pages.at(-1).info[cursor.more]) {
    pages.push(await page({ ...size, [cursor.argument]: pages.at(-1).info[cursor.name] }));
  }
  return pages.map((each) => each.nodes);
}

const rows = () => connectionOf(true, ['projection', { name: 'activity' }], 'pages_rows', { table: 'activity' });
const history = connectionOf(false, ['resource', { type: 'Patient', id: '17' }], 'pages_history');
const forward = { more: 'hasNextPage', argument: 'after', name: 'endCursor' };
const backward = { more: 'hasPreviousPage', argument: 'before', name: 'startCursor' };
console.log(JSON.stringify({
  rowsForward: await walk(rows(), { first: 6 }, forward),
  rowsBackward: await walk(rows(), { last: 6 }, backward),
  history: await walk(history, { first: 2 }, forward),
}));
