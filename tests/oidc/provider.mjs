// A certified OpenID provider for tests: anybody may sign in by any name. node provider.mjs PORT REDIRECT_URI
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: 'sluice', client_secret: 'a secret of tests', redirect_uris: [redirectUri] }],
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  // a name is the address; one that begins with "unverified" is not checked by anybody
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: !id.startsWith('unverified') }),
  }),
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ['a key of tests'] },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
