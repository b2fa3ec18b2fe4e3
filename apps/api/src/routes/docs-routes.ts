// The OpenAPI document, the reference page that shows it, and the small start page. All files are ours: nothing is loaded from elsewhere.
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@millrace/shared';
import { z } from 'zod';
import { buildDocument } from '../openapi/build-document.ts';
import { definePublicRoute, type Route } from '../http/route.ts';

const TAG = 'Documentation';
/** Swagger UI sets styles on elements; scripts come from our own files only. */
const DOCS_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML = 'text/html; charset=utf-8';

/** What of swagger-ui-dist is served, by the name it has there. */
const ASSETS: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};
const START_SCRIPT =
  "window.addEventListener('load', () => { window.SwaggerUIBundle({ url: '/openapi.json', dom_id: '#reference', deepLinking: true, validatorUrl: null }); });\n";

/** @param routes all other routes; the document describes them and these */
export function docsRoutes(routes: readonly Route[], version: string): Route[] {
  const own = pageRoutes();
  // Made on first use: most processes are never asked, and the schemas must all be there.
  let text: string | undefined;
  const document = openApiRoute(() => (text ??= JSON.stringify(buildDocument([...routes, ...own, document], version))));
  return [...own, document];
}

function openApiRoute(text: () => string): Route {
  return definePublicRoute({
    method: 'get',
    path: '/openapi.json',
    operationId: 'readOpenApi',
    summary: 'This document',
    tag: TAG,
    responses: {
      200: { description: 'OpenAPI 3.1', schema: z.object({ openapi: z.string() }).meta({ description: 'An OpenAPI document' }) },
    },
    errors: [],
    handler: () => Promise.resolve({ status: 200, body: text(), headers: { 'content-type': 'application/json' } }),
  });
}

function pageRoutes(): Route[] {
  return [
    definePublicRoute({
      method: 'get',
      path: '/docs',
      operationId: 'readDocsPage',
      summary: 'Reference page',
      tag: TAG,
      responses: { 200: { description: 'A page', contentTypes: ['text/html'] } },
      errors: [],
      handler: () => Promise.resolve(htmlReply(docsPage(), DOCS_POLICY)),
    }),
    definePublicRoute({
      method: 'get',
      path: '/docs/{file}',
      operationId: 'readDocsAsset',
      summary: 'Script, style or picture of the reference page',
      tag: TAG,
      nameParams: ['file'],
      responses: { 200: { description: 'The file', contentTypes: ['text/javascript', 'text/css', 'image/png'] } },
      errors: ['not-found'],
      handler: async ({ params }) => assetReply(params['file'] ?? ''),
    }),
    definePublicRoute({
      method: 'get',
      path: '/',
      operationId: 'readHomePage',
      summary: 'Start page',
      tag: TAG,
      responses: { 200: { description: 'A page', contentTypes: ['text/html'] } },
      errors: [],
      handler: () => Promise.resolve(htmlReply(homePage(), PAGE_POLICY)),
    }),
  ];
}

async function assetReply(name: string) {
  if (name === 'start.js') return { status: 200, body: START_SCRIPT, headers: { 'content-type': 'text/javascript; charset=utf-8' } };
  const type = Object.hasOwn(ASSETS, name) ? ASSETS[name] : undefined;
  if (type === undefined) throw new AppError('not-found');
  const folder = path.dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  return {
    status: 200,
    body: await readFile(path.join(folder, name)),
    headers: { 'content-type': type, 'cache-control': 'public, max-age=3600' },
  };
}

function htmlReply(body: string, policy: string) {
  return { status: 200, body, headers: { 'content-type': HTML, 'content-security-policy': policy } };
}

function docsPage(): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Millrace API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png">
<script src="/docs/swagger-ui-bundle.js" defer></script><script src="/docs/start.js" defer></script></head>
<body><main id="reference"><noscript>The document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript></main></body>
</html>
`;
}

function homePage(): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Millrace</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}</style></head>
<body><h1>Millrace</h1><p>Durable flows and large imports.</p>
<ul><li><a href="/docs">API reference</a> (<a href="/openapi.json">OpenAPI</a>)</li><li><a href="/admin/queues">Queues</a> (user name: any, password: an API key)</li>
<li><a href="/health/ready">Health</a></li></ul></body>
</html>
`;
}
