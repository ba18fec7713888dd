//! Modules of the OpenID Foundation's plans (see `tests/it/oauth2_server/conformance`) that need a clock which can be set, or
//! a public host of the application.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls;

use super::*;
use crate::crypto::{SigningAlg, new_signing_key, public_jwk, random_token, sign_jwt};
use crate::net::{Dialer, Lookup, Resolver};
use crate::oauth2_server::{
    Credentials, NewInitialToken, authenticate_client, create_initial_token, list, metadata, register,
};

/// A host of an application, by https, and what it answers to everybody at the moment.
struct Host {
    port: u16,
    says: Arc<Mutex<(u16, String)>>,
}

/// Every name is this machine.
struct Here;

impl Resolver for Here {
    fn lookup<'a>(&'a self, _: &'a str, port: u16) -> Lookup<'a> {
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
    }
}

impl Host {
    /// Puts it up where a server reaches it as one reaches a public host.
    async fn reached_by(world: &mut World) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["app.example".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let allowed = vec!["127.0.0.0/8".parse().unwrap()];
        let trusted = authority.pem();
        world.ctx.public_dialer =
            Dialer::with_resolver(allowed, Some(trusted.as_bytes()), Arc::new(Here)).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Self {
            port: listener.local_addr().unwrap().port(),
            says: Arc::default(),
        };
        let says = Arc::clone(&host.says);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let (status, body) = says.lock().unwrap().clone();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        host
    }

    fn address(&self) -> String {
        format!("https://app.example:{}/document.json", self.port)
    }

    fn says(&self, status: u16, body: &Value) {
        *self.says.lock().unwrap() = (status, body.to_string());
    }
}

/// Registers a client by what it says of itself.
async fn registered(world: &World, changes: &Value) -> Result<Client, OAuthError> {
    let new = NewInitialToken {
        name: "Plan".into(),
        scopes: words("openid offline_access"),
        approves: true,
        ..NewInitialToken::default()
    };
    let (_, token) = create_initial_token(&world.ctx, "cli", new).await.unwrap();
    let mut asked = json!({
        "client_name": "App", "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        asked[name] = value.clone();
    }
    let told = register(&world.ctx, Some(&token), &asked).await?;
    let all = list(&world.ctx, None).await.unwrap();
    let is_it = |client: &Client| client.client_id == told["client_id"];
    Ok(all.into_iter().find(is_it).unwrap())
}

/// A key of a client, under this id.
struct Key(&'static str, SecretString);

impl Key {
    fn new(kid: &'static str) -> Self {
        Self(kid, new_signing_key(SigningAlg::Es256).unwrap())
    }

    fn set(&self) -> Value {
        json!({ "keys": [public_jwk(SigningAlg::Es256, self.0, &self.1).unwrap()] })
    }

    /// Whether a client proves itself with it.
    async fn opens(&self, world: &World, client: &Client) -> bool {
        let now = world.ctx.clock.now_ms() / 1000;
        let claims = json!({
            "iss": client.client_id, "sub": client.client_id, "aud": metadata::issuer(&world.ctx.config),
            "exp": now + 60, "jti": random_token(9),
        });
        let assertion = sign_jwt(SigningAlg::Es256, self.0, "JWT", &self.1, &claims).unwrap();
        let credentials = Credentials {
            assertion_type: Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer".into()),
            assertion: Some(SecretString::from(assertion)),
            ..Credentials::default()
        };
        authenticate_client(&world.ctx, &credentials, None).await.is_ok()
    }
}

#[tokio::test]
async fn oidcc_codereuse_30seconds() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let code = world.code(&client, "openid offline_access").await;
    let issued = world.redeem(&client, &code).await.unwrap();
    let refresh = issued.refresh_token.unwrap();
    world.later(30);
    assert!(world.is_live(&issued.access_token).await);
    assert_eq!(code_of(world.redeem(&client, &code).await), "invalid_grant");
    assert!(!world.is_live(&issued.access_token).await, "what it gave ends");
    assert_eq!(code_of(world.refresh(&client, &refresh).await), "invalid_grant");
}

#[tokio::test]
async fn oidcc_registration_sector_uri() {
    let mut world = World::new().await;
    let host = Host::reached_by(&mut world).await;
    let wish = json!({ "sector_identifier_uri": host.address() });
    host.says(200, &json!([CALLBACK, "https://app.example/other"]));
    registered(&world, &wish).await.unwrap();
    // And only where the list holds every redirect URI.
    for (status, body) in [
        (200, json!(["https://app.example/other"])),
        (200, json!({ "0": CALLBACK })),
        (404, json!([CALLBACK])),
    ] {
        host.says(status, &body);
        let refused = registered(&world, &wish).await.unwrap_err();
        assert_eq!(refused.code, "invalid_client_metadata", "{status} {body}");
    }
}

#[tokio::test]
async fn oidcc_registration_jwks_uri() {
    let mut world = World::new().await;
    let host = Host::reached_by(&mut world).await;
    let wish = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": host.address() });
    let client = registered(&world, &wish).await.unwrap();
    let key = Key::new("one");
    host.says(200, &key.set());
    assert!(key.opens(&world, &client).await);
    assert!(!Key::new("one").opens(&world, &client).await, "another key");
}

#[tokio::test]
async fn oidcc_refresh_token_rp_key_rotation() {
    let mut world = World::new().await;
    let host = Host::reached_by(&mut world).await;
    let wish = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": host.address() });
    let client = registered(&world, &wish).await.unwrap();
    let (old, new) = (Key::new("old"), Key::new("new"));
    host.says(200, &old.set());
    assert!(old.opens(&world, &client).await);
    let code = world.code(&client, "openid offline_access").await;
    let refresh = world.redeem(&client, &code).await.unwrap().refresh_token.unwrap();
    host.says(200, &new.set());
    world.later(61);
    assert!(new.opens(&world, &client).await, "its new key is looked for");
    let again = world.refresh(&client, &refresh).await.unwrap();
    assert!(again.id_token.is_some() && again.refresh_token.is_some());
    assert!(!old.opens(&world, &client).await, "the old one was taken away");
}
