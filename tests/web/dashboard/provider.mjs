// An OpenID provider: npm's oidc-provider on loopback http. It prints its address; the first line of its input is the
// address of the dashboard, and it ends with its input.
//
// Two clients. The roles of `with-jwt` are in an access token for the API, those of `with-id-token` in the ID token.
// A page asks who signs in: `?as=NAME` signs in, without it the sign-in is denied.
import { once } from 'node:events';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const RESOURCE = 'urn:audit-trail';
const ROLES = { ada: ['auditor'], dan: ['device_manager'], nobody: [] };
const server = createServer();
await once(server.listen(0, '127.0.0.1'), 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(issuer);
const lines = createInterface({ input: process.stdin });
const [dashboard] = await once(lines, 'line');
lines.once('close', () => process.exit());

const redirects = { redirect_uris: [`${dashboard}/sign-in/callback`], post_logout_redirect_uris: [`${dashboard}/signed-out`] };
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  clients: [
    { client_id: 'with-jwt', client_secret: 'a secret + more: 100%', ...redirects },
    { client_id: 'with-id-token', token_endpoint_auth_method: 'none', ...redirects },
  ],
  jwks: { keys: [privateKey.export({ format: 'jwk' })] },
  cookies: { keys: ['of this test'] },
  pkce: { required: () => true },
  scopes: ['openid', 'profile'],
  claims: { openid: ['sub', 'roles'], profile: ['name'] },
  conformIdTokenClaims: false,
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, accountId) => ({
    accountId,
    claims: () => ({
      sub: accountId,
      name: `${accountId} of elsewhere`,
      roles: ctx.oidc.client?.clientId === 'with-id-token' ? ROLES[accountId] : undefined,
    }),
  }),
  extraTokenClaims: (ctx, token) => ({ name: `${token.accountId} of elsewhere`, roles: ROLES[token.accountId] }),
  loadExistingGrant: async (ctx) => {
    const { client, session } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid profile');
    grant.addResourceScope(RESOURCE, 'openid profile');
    await grant.save();
    return grant;
  },
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client) => (client.clientId === 'with-jwt' ? RESOURCE : undefined),
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: 'openid profile', audience: 'audit-trail', accessTokenFormat: 'jwt' }),
    },
  },
});

const handle = provider.callback();
server.on('request', async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, issuer);
  if (!pathname.startsWith('/interaction/')) {
    handle(request, response);
  } else if (searchParams.size) {
    const accountId = searchParams.get('as');
    const result = accountId ? { login: { accountId } } : { error: 'access_denied', error_description: 'not this time' };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  } else {
    response.end('Who are you?');
  }
});
console.log('ready');
