"use strict";

// As in GraphiQL's page: /docs#token=...
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) history.replaceState(null, "", location.pathname + location.search);

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  requestInterceptor: (request) => {
    if (token) request.headers.Authorization ??= `Bearer ${token}`;
    return request;
  },
  presets: [SwaggerUIBundle.presets.apis],
});
