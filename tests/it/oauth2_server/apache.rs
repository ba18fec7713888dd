//! Debian's `libapache2-mod-auth-openidc` as a relying party and as a resource server: a client in C, by other people.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::Server;
use crate::support::guard::{Guarded, User, free_port, program, short_dir};
use crate::support::process::http;
use crate::support::tls_proxy::TlsProxy;
use crate::support::visitor::Visitor;
use crate::support::wait::eventually;
use crate::world::text;

const MODULES: &str = "/usr/lib/apache2/modules";

/// An Apache that protects `/private` for people and `/api` for tokens.
struct Apache {
    url: String,
    _server: Guarded,
    _dir: tempfile::TempDir,
}

struct Setting<'a> {
    port: u16,
    issuer: &'a str,
    introspection: String,
    ca_file: &'a Path,
    id: String,
    secret: String,
}

impl Apache {
    async fn start(setting: &Setting<'_>) -> Self {
        assert!(
            Path::new(MODULES).join("mod_auth_openidc.so").exists(),
            "libapache2-mod-auth-openidc is missing: run `tests/run services`"
        );
        let dir = short_dir();
        for (path, content) in [("private", "for people"), ("api", "for tokens")] {
            let folder = dir.path().join("www").join(path);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("index.html"), content).unwrap();
        }
        let ca = dir.path().join("trusted.pem");
        std::fs::copy(setting.ca_file, &ca).unwrap();
        let config = dir.path().join("apache.conf");
        std::fs::write(&config, configuration(dir.path(), setting)).unwrap();
        if User::am_root() {
            // Its workers are another user.
            use std::os::unix::fs::PermissionsExt as _;
            let open = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(dir.path(), open).unwrap();
        }
        let mut command = Command::new(program("Apache", &["/usr/sbin/apache2", "apache2"]));
        command.arg("-f").arg(&config).arg("-DFOREGROUND");
        let log = dir.path().join("apache.log");
        let mut server = Guarded::start("apache2", &mut command, &log, "TERM", Some(dir.path()));
        let url = format!("http://127.0.0.1:{}", setting.port);
        let (client, asked) = (http(), format!("{url}/private/index.html"));
        server
            .wait_until("Apache answers", Duration::from_secs(30), || {
                let asked = client.get(&asked).send();
                async move { asked.await.is_ok() }
            })
            .await;
        Self {
            url,
            _server: server,
            _dir: dir,
        }
    }
}

fn configuration(dir: &Path, setting: &Setting<'_>) -> String {
    let place = dir.display();
    let user = match User::am_root() {
        true => "User www-data\nGroup www-data\n",
        false => "",
    };
    let modules: String = [
        "mpm_event",
        "authn_core",
        "authz_core",
        "authz_user",
        "dir",
        "auth_openidc",
    ]
    .iter()
    .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
    .collect();
    let Setting {
        port,
        issuer,
        introspection,
        id,
        secret,
        ..
    } = setting;
    format!(
        "ServerRoot {place}\nServerName 127.0.0.1\nDefaultRuntimeDir {place}\nPidFile {place}/apache.pid\n\
         Listen 127.0.0.1:{port}\n{user}{modules}ErrorLog {place}/error.log\nDocumentRoot {place}/www\n\
         DirectoryIndex index.html\n\
         OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\n\
         OIDCClientID {id}\nOIDCClientSecret {secret}\nOIDCRedirectURI http://127.0.0.1:{port}/private/cb\n\
         OIDCCryptoPassphrase a-passphrase-of-the-test\nOIDCPKCEMethod S256\nOIDCScope \"openid profile\"\n\
         OIDCRemoteUserClaim sub\nOIDCCABundlePath {place}/trusted.pem\n\
         OIDCOAuthIntrospectionEndpoint {introspection}\nOIDCOAuthClientID {id}\nOIDCOAuthClientSecret {secret}\n\
         OIDCOAuthRemoteUserClaim sub\n\
         <Location /private>\nAuthType openid-connect\nRequire valid-user\n</Location>\n\
         <Location /api>\nAuthType oauth20\nRequire valid-user\n</Location>\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_signs_people_in_and_out_and_checks_tokens() {
    let server = Server::start().await;
    let proxy = TlsProxy::start("", server.mailgrant.port).await;
    let port = free_port();
    let site = format!("http://127.0.0.1:{port}");
    let callback = format!("{site}/private/cb");
    let client = server
        .add_client(&json!({
            "redirectUris": [callback],
            "postLogoutRedirectUris": [format!("{site}/bye")],
            "backchannelLogoutUri": format!("{callback}?logout=backchannel"),
            "backchannelLogoutSessionRequired": true,
        }))
        .await;
    let apache = Apache::start(&Setting {
        port,
        issuer: &server.mailgrant.base_url,
        introspection: format!("{}/oauth2/introspect", proxy.url),
        ca_file: proxy.ca_file(),
        id: text(&client, "clientId"),
        secret: text(&client, "clientSecret"),
    })
    .await;
    let page = format!("{}/private/index.html", apache.url);
    // One browser at Mailgrant, one jar for each site, as cookies of two ports on one host would mix.
    let at_apache = Visitor::new(&server.mailgrant);
    let at_mailgrant = Visitor::new(&server.mailgrant);
    let sent = at_apache.get(&page).await;
    assert_eq!(sent.status, 302, "{}", sent.body);
    let request = sent.location.replace(&server.mailgrant.base_url, "");
    let back = server.consent(&at_mailgrant, &request).await;
    assert!(
        back.location.starts_with(&callback),
        "{} {}",
        back.location,
        back.body
    );
    let signed_in = at_apache.get(&back.location).await;
    assert_eq!(signed_in.location, page, "{}", signed_in.body);
    assert_eq!(at_apache.get(&page).await.body, "for people");
    // The session ends at Mailgrant: Apache is told behind the browser.
    let profile = at_mailgrant.get("/profile").await;
    assert_eq!(at_mailgrant.submit(&profile, "/sign-out", &[]).await.status, 303);
    eventually("Apache was told", Duration::from_secs(30), async || {
        (at_apache.get(&page).await.status == 302).then_some(())
    })
    .await;
    // And the other way round: sign-out at Apache leads to Mailgrant's, and on.
    let sent = at_apache.get(&page).await;
    let back = server
        .consent(
            &at_mailgrant,
            &sent.location.replace(&server.mailgrant.base_url, ""),
        )
        .await;
    at_apache.get(&back.location).await;
    assert_eq!(at_apache.get(&page).await.status, 200);
    let goodbye: String = url::form_urlencoded::byte_serialize(format!("{site}/bye").as_bytes()).collect();
    let out = at_apache.get(&format!("{callback}?logout={goodbye}")).await;
    assert!(
        out.location.contains("/oauth2/logout?"),
        "{} {}",
        out.location,
        out.body
    );
    let done = at_mailgrant.get(&out.location).await;
    assert_eq!(done.location, format!("{site}/bye"), "{}", done.body);
    assert_ne!(at_mailgrant.get("/profile").await.status, 200);

    // As a resource server.
    let token = server
        .ask(
            &client,
            "/oauth2/token",
            &[("grant_type", "client_credentials"), ("scope", "tickets:read")],
        )
        .await
        .text("access_token");
    let api = format!("{}/api/index.html", apache.url);
    let asked = async |token: &str| {
        http()
            .get(&api)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(asked(&token).await, 200);
    assert_eq!(asked("mg_at_nonsense").await, 401);
}
