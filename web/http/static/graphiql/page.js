"use strict";

const example = `# Who accessed one patient's data, and the newest events about it.
query Patient($id: ID!) {
  patient(id: $id) {
    events
    accesses { actorId actorName accesses lastAt purposes }
    timeline(first: 10) {
      asOfPosition
      nodes { occurredAt type outcome actor { id name } purposeOfUse }
    }
  }
}
`;

// A token that the address hands over, as /graphql#token=..., stays in this page's memory: it is in no history,
// no storage and no request line.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) history.replaceState(null, "", location.pathname + location.search);
const headers = token ? { Authorization: `Bearer ${token}` } : {};

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: location.pathname, headers }),
    shouldPersistHeaders: false,
    defaultQuery: example,
    defaultEditorToolsVisibility: "variables",
  }),
);
