// A real OAuth 2.0 server (oidc-provider), and an origin that asks it about each token that it gets (RFC 7662).
//
//   node server.mjs FOLDER    FOLDER has ca.pem, server.pem and server.key; the keys of the client `jwt` are made there:
//                             rsa.pem, ec.pem, ed25519.pem
//
// It says where it listens in one line of JSON. At the origin, `POST /revoke` revokes all tokens; `POST /secret` sets the
// body as the secret of the clients that have one; `GET /seen` tells which tokens came.
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const folder = process.argv[2];
const read = (name) => readFileSync(`${folder}/${name}`);
const listening = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));

const keys = [['rsa', { modulusLength: 2048 }], ['ec', { namedCurve: 'P-256' }], ['ed25519', {}]].map(([kind, options]) => {
  const pair = generateKeyPairSync(kind, options);
  writeFileSync(`${folder}/${kind}.pem`, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return { ...pair.publicKey.export({ format: 'jwk' }), kid: kind, use: 'sig' };
});
const client = (id, more) => [id, {
  client_id: id, grant_types: ['client_credentials'], response_types: [], redirect_uris: [], ...more,
}];
const clients = new Map([
  client('basic', { token_endpoint_auth_method: 'client_secret_basic', client_secret: 'first secret: &=%+' }),
  client('post', { token_endpoint_auth_method: 'client_secret_post', client_secret: 'first secret: &=%+' }),
  client('jwt', { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys } }),
  client('tls', { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_san_dns: 'cache.test' }),
  client('origin', { token_endpoint_auth_method: 'client_secret_basic', client_secret: 'of-the-origin' }),
]);

// What is stored, by kind and id.
const stored = new Map();
class Adapter {
  constructor(kind) { this.kind = kind; }
  key(id) { return `${this.kind} ${id}`; }
  async upsert(id, payload) { stored.set(this.key(id), payload); }
  async find(id) { return this.kind === 'Client' ? clients.get(id) : stored.get(this.key(id)); }
  async destroy(id) { stored.delete(this.key(id)); }
  async consume(id) { stored.get(this.key(id)).consumed = true; }
}

let provider;
const tls = { key: read('server.key'), cert: read('server.pem'), ca: read('ca.pem'), requestCert: true, rejectUnauthorized: false };
const server = https.createServer(tls, (request, response) => provider.callback()(request, response));
const issuer = `https://localhost:${await listening(server)}`;
provider = new Provider(issuer, {
  adapter: Adapter,
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth'],
  scopes: ['read', 'write'],
  ttl: { ClientCredentials: 3600 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_, client) => client.clientId === 'origin' },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: () => ({ scope: 'read write', audience: 'the-api', accessTokenFormat: 'opaque' }),
    },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.()?.toString(),
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, _, expected) => ctx.socket.getPeerX509Certificate().checkHost(expected) !== undefined,
    },
  },
});

const introspect = (token) => new Promise((resolve, reject) => {
  const authorization = `Basic ${Buffer.from('origin:of-the-origin').toString('base64')}`;
  const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' };
  const asked = https.request(`${issuer}/token/introspection`, { method: 'POST', ca: read('ca.pem'), headers }, async (response) => {
    let text = '';
    for await (const piece of response) text += piece;
    resolve(JSON.parse(text));
  });
  asked.on('error', reject);
  asked.end(new URLSearchParams({ token }).toString());
});

const seen = new Set();
const origin = http.createServer(async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  if (request.url === '/revoke') {
    stored.clear();
    return response.end();
  }
  if (request.url === '/secret') {
    for (const id of ['basic', 'post']) clients.set(id, { ...clients.get(id), client_secret: body });
    return response.end();
  }
  if (request.url === '/seen') return response.end(JSON.stringify([...seen]));
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (token) seen.add(token);
  const known = token ? await introspect(token) : { active: false };
  if (!known.active) return response.writeHead(401, { 'www-authenticate': 'Bearer' }).end('no token, or not a good one');
  response.writeHead(200, { 'cache-control': 'max-age=60' });
  response.end(JSON.stringify({ client: known.client_id, scope: known.scope, audience: known.aud }));
});
console.log(JSON.stringify({ token: `${issuer}/token`, issuer, origin: `http://127.0.0.1:${await listening(origin)}` }));
