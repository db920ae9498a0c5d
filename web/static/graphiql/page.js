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

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: "/graphql" }),
    defaultQuery: example,
    defaultEditorToolsVisibility: "variables",
  }),
);
