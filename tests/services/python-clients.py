"""Clients that are not ours: PyPI's Authlib, requests-oauthlib, google-auth and msal against a running Mailgrant.

Standard input: {issuer, apiUrl, ca, clientId, clientSecret, publicId, redirectUri, email, password}; the issuer has a
path and is reached by https. Standard output: what they saw, as JSON.
"""
import html
import json
import os
import re
import sys
import time
from urllib.parse import parse_qs, urljoin, urlsplit

given = json.load(sys.stdin)
os.environ['REQUESTS_CA_BUNDLE'] = os.environ['SSL_CERT_FILE'] = given['ca']

import google.auth.transport.requests  # noqa: E402
import google.oauth2.credentials  # noqa: E402
import msal  # noqa: E402
import requests  # noqa: E402
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession  # noqa: E402
from authlib.jose import JsonWebKey, jwt  # noqa: E402
from google.auth.exceptions import RefreshError  # noqa: E402
from requests_oauthlib import OAuth2Session  # noqa: E402

ISSUER = given['issuer']
SECRET = (given['clientId'], given['clientSecret'])
SCOPE = 'openid profile email offline_access tickets:read'
metadata = requests.get(f'{ISSUER}/.well-known/openid-configuration', timeout=30).json()
seen = {'issuer': metadata['issuer']}


def fields(page, **more):
    csrf = re.search(r'name="csrf" value="([^"]*)"', page)
    scopes = [('scope', html.unescape(value)) for value in re.findall(r'name="scope" value="([^"]*)"', page)]
    return [('csrf', html.unescape(csrf[1])), *scopes, *more.items()]


def walk(start, then=given['redirectUri']):
    """A browser's part: cookies, sign-in, consent, and on to the redirect URI."""
    browser, url = requests.Session(), start
    for _ in range(12):
        answer = browser.get(url, allow_redirects=False, timeout=30)
        onward = answer.headers.get('location')
        if not onward:
            page = answer.text
            refresh = re.search(r'content="0;url=([^"]*)"', page)
            if refresh:
                onward = html.unescape(refresh[1])
            elif 'name="password"' in page:
                beyond = re.search(r'name="next" value="([^"]*)"', page)
                form = fields(page, email=given['email'], password=given['password'], next=html.unescape(beyond[1]))
                answer = browser.post(f'{ISSUER}/sign-in', data=form, allow_redirects=False, timeout=30)
                onward = answer.headers['location']
            elif 'name="decision"' in page:
                form = fields(page, decision='allow', reach='all', lasts='')
                answer = browser.post(url, data=form, allow_redirects=False, timeout=30)
                onward = answer.headers.get('location') or re.search(r'content="0;url=([^"]*)"', answer.text)[1]
            elif then is None:
                return page
            else:
                raise RuntimeError(f'{url}: {answer.status_code} {page[:2000]}')
        onward = urljoin(url, html.unescape(onward))
        if then and onward.startswith(then):
            return onward
        url = onward
    raise RuntimeError('the walk did not end')


def authlib():
    session = AuthlibSession(
        *SECRET, scope=SCOPE, redirect_uri=given['redirectUri'], code_challenge_method='S256',
        token_endpoint=metadata['token_endpoint'], revocation_endpoint=metadata['revocation_endpoint'],
    )
    verifier = 'v' * 50
    url, state = session.create_authorization_url(metadata['authorization_endpoint'], code_verifier=verifier, nonce='n0nce')
    token = session.fetch_token(authorization_response=walk(url), state=state, code_verifier=verifier)
    keys = JsonWebKey.import_key_set(requests.get(metadata['jwks_uri'], timeout=30).json())
    claims = jwt.decode(token['id_token'], keys, claims_options={
        'iss': {'essential': True, 'value': ISSUER}, 'aud': {'essential': True, 'value': given['clientId']},
        'nonce': {'essential': True, 'value': 'n0nce'},
    })
    claims.validate()
    userinfo = session.get(metadata['userinfo_endpoint']).json()
    api = session.get(given['apiUrl']).status_code
    fresh = session.refresh_token(metadata['token_endpoint'], refresh_token=token['refresh_token'])
    active = session.introspect_token(metadata['introspection_endpoint'], token=fresh['access_token']).json()['active']
    session.revoke_token(metadata['revocation_endpoint'], token=fresh['refresh_token'], token_type_hint='refresh_token')
    dead = session.introspect_token(metadata['introspection_endpoint'], token=fresh['access_token']).json()
    return {
        'sub': claims['sub'] == userinfo['sub'], 'email': userinfo['email'], 'api': api, 'sid': 'sid' in claims,
        'rotated': fresh['refresh_token'] != token['refresh_token'], 'active': active, 'revoked': dead,
    }


def requests_oauthlib():
    session = OAuth2Session(given['clientId'], scope=SCOPE.split(), redirect_uri=given['redirectUri'], pkce='S256')
    url, _ = session.authorization_url(metadata['authorization_endpoint'])
    token = session.fetch_token(
        metadata['token_endpoint'], authorization_response=walk(url), client_secret=given['clientSecret'],
    )
    api = session.get(given['apiUrl']).status_code
    fresh = session.refresh_token(metadata['token_endpoint'], refresh_token=token['refresh_token'], auth=SECRET)
    return {'api': api, 'refresh': fresh['refresh_token']}


def google_auth(refresh_token):
    credentials = google.oauth2.credentials.Credentials(
        None, refresh_token=refresh_token, token_uri=metadata['token_endpoint'], client_id=given['postId'],
        client_secret=given['postSecret'],
    )
    credentials.refresh(google.auth.transport.requests.Request())
    kept = credentials.refresh_token != refresh_token
    api = google.auth.transport.requests.AuthorizedSession(credentials).get(given['apiUrl']).status_code
    requests.post(
        metadata['revocation_endpoint'], timeout=30,
        data={'token': credentials.refresh_token, 'client_id': given['postId'], 'client_secret': given['postSecret']},
    )
    try:
        credentials.refresh(google.auth.transport.requests.Request())
        refused = 'accepted'
    except RefreshError as error:
        refused = error.args[1]['error']
    return {'kept': kept, 'api': api, 'refused': refused}


def post_client_token():
    """A refresh token for a client that sends its secret in the body, as google-auth does."""
    session = AuthlibSession(
        given['postId'], given['postSecret'], scope=SCOPE, redirect_uri=given['redirectUri'],
        code_challenge_method='S256', token_endpoint_auth_method='client_secret_post',
    )
    verifier = 'w' * 50
    url, state = session.create_authorization_url(metadata['authorization_endpoint'], code_verifier=verifier)
    token = session.fetch_token(
        metadata['token_endpoint'], authorization_response=walk(url), state=state, code_verifier=verifier,
    )
    return token['refresh_token']


def msal_clients():
    machine = msal.ConfidentialClientApplication(given['postId'], client_credential=given['postSecret'], oidc_authority=ISSUER)
    token = machine.acquire_token_for_client(['tickets:read'])
    api = requests.get(given['apiUrl'], headers={'authorization': f'Bearer {token["access_token"]}'}, timeout=30).status_code
    flow = machine.initiate_auth_code_flow(['tickets:read'], redirect_uri=given['redirectUri'])
    answer = {name: values[0] for name, values in parse_qs(urlsplit(walk(flow['auth_uri'])).query).items()}
    person = machine.acquire_token_by_auth_code_flow(flow, answer)
    return {'api': api, 'person': person.get('id_token_claims', person).get('sub', person), 'error': token.get('error')}


seen['authlib'] = authlib()
seen['requestsOauthlib'] = requests_oauthlib()
seen['requestsOauthlib'].pop('refresh')
seen['googleAuth'] = google_auth(post_client_token())
seen['msal'] = msal_clients()
json.dump(seen, sys.stdout)
