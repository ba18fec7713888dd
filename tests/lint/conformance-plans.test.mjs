// The plans of the OpenID Foundation that the authorization server is written after: each of their modules is a test of that
// name, in the file of its plan, or beside the server where it needs a clock.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const folder = 'tests/it/oauth2_server/conformance';

const basic = `
  server response-type-missing idtoken-signature idtoken-unsigned userinfo-get userinfo-post-header userinfo-post-body
  ensure-request-without-nonce-succeeds-for-code-flow scope-profile scope-email scope-address scope-phone scope-all
  ensure-other-scope-order-succeeds display-page display-popup prompt-login prompt-none-not-logged-in prompt-none-logged-in
  max-age-1 max-age-10000 ensure-request-with-unknown-parameter-succeeds id-token-hint login-hint ui-locales claims-locales
  ensure-request-with-acr-values-succeeds codereuse codereuse-30seconds ensure-registered-redirect-uri
  ensure-post-request-succeeds server-client-secret-post
  request-uri-unsigned-supported-correctly-or-rejected-as-unsupported
  unsigned-request-object-supported-correctly-or-rejected-as-unsupported claims-essential
  ensure-request-object-with-redirect-uri refresh-token ensure-request-with-valid-pkce-succeeds`;

const plans = {
  basic,
  form_post: basic,
  config: 'discovery-endpoint-verification',
  dynamic: `
    idtoken-rs256 idtoken-unsigned userinfo-rs256 ensure-redirect-uri-in-authorization-request redirect-uri-query-OK
    redirect-uri-query-mismatch redirect-uri-query-added redirect-uri-regfrag discovery-endpoint-verification server
    registration-logo-uri registration-policy-uri registration-tos-uri registration-jwks-uri registration-sector-uri
    registration-sector-bad server-rotate-keys refresh-token-rp-key-rotation request-uri-unsigned request-uri-signed-rs256
    ensure-request-object-with-redirect-uri refresh-token ensure-client-assertion-with-iss-aud-succeeds`,
  rp_logout: `
    rp-initiated-logout-discovery-endpoint-verification rp-initiated-logout
    rp-initiated-logout-bad-post-logout-redirect-uri rp-initiated-logout-modified-id-token-hint
    rp-initiated-logout-no-id-token-hint rp-initiated-logout-no-params rp-initiated-logout-no-post-logout-redirect-uri
    rp-initiated-logout-no-state rp-initiated-logout-only-state
    rp-initiated-logout-query-added-to-post-logout-redirect-uri rp-initiated-logout-bad-id-token-hint`,
  front_channel: 'frontchannel-logout-discovery-endpoint-verification frontchannel-rp-initiated-logout',
  back_channel: 'backchannel-logout-discovery-endpoint-verification backchannel-rp-initiated-logout',
};

/** The tests of a file: by their attribute, or made of a list. */
function tests(path) {
  const text = read(path);
  const names = [...text.matchAll(/#\[tokio::test[^\]]*\]\s*async fn (\w+)/g)].map(([, name]) => name);
  for (const [, list] of text.matchAll(/plan_tests!\(\s*\w+:([^)]*)\)/g)) names.push(...list.split(',').map((name) => name.trim()));
  return new Set(names);
}

test('every module of the plans is a test of its name', () => {
  const beside = tests('src/oauth2_server/tests/conformance.rs');
  for (const [plan, modules] of Object.entries(plans)) {
    const own = tests(`${folder}/${plan}.rs`);
    const names = modules.trim().split(/\s+/).map((name) => `oidcc_${name.toLowerCase().replaceAll('-', '_')}`);
    const missing = names.filter((name) => !own.has(name) && !beside.has(name));
    assert.deepEqual(missing, [], `modules of ${plan} without a test`);
  }
});
