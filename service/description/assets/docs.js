"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  supportedSubmitMethods: ["get", "post", "put", "patch", "delete"],
  tryItOutEnabled: true,
  // Tokens live as long as the page, and no longer.
  persistAuthorization: false,
  // The badge would send the address of this page to a validator elsewhere.
  validatorUrl: null,
});
