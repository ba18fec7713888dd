//! Whatever is asked in whatever order, by a browser, a device, a pushed request, a refresh token or an assertion: no token
//! has a scope, a project, an audience or a client that the person, or who trusts the issuer, did not decide for.
//!
//! What a person decided is kept here by a rule of its own, simpler than the server's: the last word on each scope and until
//! when it holds, and the last word on the projects. A live token must be within all of it, and within what its client may
//! have at the moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::crypto::{SigningAlg, new_signing_key, public_jwk, random_token, sign_jwt};
use crate::oauth2_server::{DeviceFrom, Legacy, ReturnTo, metadata, push, update};
use crate::project::{self, NewProject};
use crate::trusted_issuer;

const SCOPES: [&str; 7] = [
    "openid",
    "profile",
    "offline_access",
    "tickets:read",
    "tickets:write",
    "projects:read",
    "groups",
];
/// Those that say nothing of projects.
const OF_THE_PERSON: [&str; 3] = ["openid", "profile", "offline_access"];
const PROJECTS: [&str; 3] = ["prj_1", "prj_2", "prj_3"];
/// What the issuer may give at most.
const AGREED: &str = "openid tickets:read projects:read";
const ISSUER: &str = "https://company.example";

/// One thing that somebody does. The numbers choose among what there is.
#[derive(Clone, Debug)]
struct Deed {
    kind: u8,
    client: u8,
    other: u8,
    which: usize,
    asked: u8,
    ticked: u8,
    projects: u8,
}

fn deed() -> impl Strategy<Value = Deed> {
    (
        0_u8..15,
        0_u8..3,
        0_u8..3,
        0_usize..64,
        any::<u8>(),
        any::<u8>(),
        0_u8..8,
    )
        .prop_map(|(kind, client, other, which, asked, ticked, projects)| Deed {
            kind,
            client,
            other,
            which,
            asked,
            ticked,
            projects,
        })
}

fn scopes(bits: u8) -> Vec<&'static str> {
    SCOPES
        .iter()
        .enumerate()
        .filter(|(at, _)| bits & (1 << at) != 0)
        .map(|(_, scope)| *scope)
        .collect()
}

fn projects(bits: u8) -> Vec<String> {
    PROJECTS
        .iter()
        .enumerate()
        .filter(|(at, _)| bits & (1 << at) != 0)
        .map(|(_, id)| (*id).to_owned())
        .collect()
}

/// One of the last ones, now and then any.
fn recent(which: usize, len: usize) -> usize {
    match which % 4 {
        0 => which % len,
        near => len - 1 - (near - 1).min(len - 1),
    }
}

/// The last word of the person about one client.
#[derive(Default)]
struct Word {
    /// Each with its end, milliseconds since 1970.
    allowed: BTreeMap<String, i64>,
    /// Empty for all.
    projects: Vec<String>,
}

struct Play {
    world: World,
    clients: Vec<Client>,
    word: BTreeMap<String, Word>,
    codes: Vec<(usize, SecretString)>,
    devices: Vec<(usize, SecretString, String)>,
    refresh: Vec<(usize, SecretString)>,
    /// Every access token and ID token there ever was, with the client it was given to.
    access: Vec<(usize, SecretString)>,
    /// The same of those that an issuer vouched for.
    asserted: Vec<(usize, SecretString)>,
    /// The issuer's key, and assertions of it that came before.
    key: SecretString,
    assertions: Vec<String>,
    /// The project it is trusted for.
    agreed: String,
}

impl Play {
    async fn new() -> Self {
        let world = World::new().await;
        let mut clients = Vec::new();
        for at in 0..3_u8 {
            clients.push(
                world
                    .client(|fields| {
                        fields.scopes.push("groups".into());
                        if at != 1 {
                            fields.grant_types.push(GrantType::JwtBearer);
                        }
                        if at == 1 {
                            fields.legacy = vec![Legacy::IdTokenAtApi];
                        }
                        if at == 2 {
                            fields.scopes = words("openid offline_access tickets:read");
                        }
                    })
                    .await,
            );
        }
        let key = new_signing_key(SigningAlg::EdDsa).unwrap();
        let new = NewProject {
            key: "HELP".into(),
            name: "Help".into(),
            description: String::new(),
        };
        let agreed = project::create(&world.ctx, new).await.unwrap().id;
        let play = Self {
            world,
            clients,
            word: BTreeMap::new(),
            codes: Vec::new(),
            devices: Vec::new(),
            refresh: Vec::new(),
            access: Vec::new(),
            asserted: Vec::new(),
            key,
            assertions: Vec::new(),
            agreed,
        };
        play.trust().await;
        play
    }

    /// Trusts an issuer about the person, for the first two clients and one project.
    async fn trust(&self) {
        let jwk = public_jwk(SigningAlg::EdDsa, "k", &self.key).unwrap();
        let fields = trusted_issuer::Fields {
            name: Some("Company".into()),
            issuer: Some(ISSUER.into()),
            uses: Some(vec![trusted_issuer::Use::JwtBearer]),
            enabled: Some(true),
            jwks: Some(serde_json::json!({ "keys": [jwk] }).to_string()),
            subject_table: Some([("ada".to_owned(), self.world.user.id.clone())].into()),
            scopes: Some(words(AGREED)),
            projects: Some(vec![self.agreed.clone()]),
            clients: Some(self.clients[..2].iter().map(|client| client.id.clone()).collect()),
            ..trusted_issuer::Fields::default()
        };
        trusted_issuer::create(&self.world.ctx, "cli", fields)
            .await
            .unwrap();
    }

    /// An assertion: mostly a good one, now and then one that was used, or about somebody else, or for elsewhere.
    fn assertion(&mut self, deed: &Deed) -> String {
        if deed.which.is_multiple_of(5) && !self.assertions.is_empty() {
            return self.assertions[recent(deed.which, self.assertions.len())].clone();
        }
        let now = self.world.ctx.clock.now_ms() / 1000;
        let subject = if deed.ticked.is_multiple_of(7) {
            "bob"
        } else {
            "ada"
        };
        let audience = match deed.ticked % 6 {
            0 => "https://other.example".to_owned(),
            _ => metadata::issuer(&self.world.ctx.config),
        };
        let claims = serde_json::json!({
            "iss": ISSUER, "sub": subject, "aud": audience, "iat": now, "exp": now + 60, "jti": random_token(9),
            "scope": SCOPES.join(" "),
        });
        let made = sign_jwt(SigningAlg::EdDsa, "k", "JWT", &self.key, &claims).unwrap();
        self.assertions.push(made.clone());
        made
    }

    fn decided(
        &mut self,
        client: &Client,
        pending: &Pending,
        ticked: &str,
        projects: &[String],
        seconds: Option<i64>,
    ) {
        let now = self.world.ctx.clock.now_ms();
        let word = self.word.entry(client.id.clone()).or_default();
        // What is over leaves nothing behind, the choice of projects neither.
        word.allowed.retain(|_, end| *end > now);
        if word.allowed.is_empty() {
            word.projects.clear();
        }
        let ticked = words(ticked);
        let asked = pending.request.asked_scopes();
        let reach = |scope: &String| !OF_THE_PERSON.contains(&scope.as_str());
        if asked.iter().any(reach) {
            if word.projects != projects && word.allowed.keys().any(reach) {
                word.allowed.clear();
            }
            word.projects = projects.to_vec();
        }
        let end = seconds.map_or(i64::MAX, |seconds| now + seconds * 1000);
        for scope in asked {
            match ticked.contains(&scope) {
                true => drop(word.allowed.insert(scope, end)),
                false => drop(word.allowed.remove(&scope)),
            }
        }
    }

    fn got(&mut self, client: usize, result: Result<Issued, OAuthError>) {
        if let Ok(issued) = result {
            self.access.push((client, issued.access_token));
            self.access
                .extend(issued.id_token.map(|token| (client, SecretString::from(token))));
            self.refresh
                .extend(issued.refresh_token.map(|token| (client, token)));
        }
    }

    async fn decide(&mut self, at: usize, deed: &Deed, pending: Pending) {
        let client = self.clients[at].clone();
        let step = crate::oauth2_server::next_step(
            &self.world.ctx,
            &client,
            &pending.request,
            Some((&self.world.session, &self.world.user)),
            None,
        )
        .await;
        match step {
            Ok(Step::Ready { scopes, projects }) => {
                assert!(pending.request.device.is_none(), "a device passes nobody by");
                let (session, user) = (&self.world.session, &self.world.user);
                let code = crate::oauth2_server::give_code(
                    &self.world.ctx,
                    &client,
                    &pending.request,
                    session,
                    user,
                    scopes,
                    projects,
                );
                self.codes.push((at, code.await.unwrap().code));
            }
            Ok(Step::Consent) => {
                // The form may send more than the page offered.
                let ticked = scopes(deed.ticked).join(" ");
                let chosen = projects(deed.projects);
                let seconds = (deed.which / 5)
                    .is_multiple_of(4)
                    .then_some(5 + i64::from(deed.other) * 20);
                match self.world.allow_for(&pending, &ticked, &chosen, seconds).await {
                    Ok(given) => {
                        self.decided(&client, &pending, &ticked, &chosen, seconds);
                        if let Given::Reply(reply) = given {
                            self.codes.push((at, reply.code));
                        }
                    }
                    Err(error) => assert!(
                        ["access_denied", "expired_token"].contains(&error.code),
                        "{error} for {ReturnTo:?}",
                        ReturnTo = ReturnTo::of(&pending.request)
                    ),
                }
            }
            _ => {}
        }
    }

    async fn act(&mut self, deed: &Deed) {
        let (at, other) = (usize::from(deed.client), usize::from(deed.other));
        let asked = scopes(deed.asked).join(" ");
        let resource = match deed.which % 5 {
            0 => "https://other.example".to_owned(),
            1 => metadata::api(&self.world.ctx.config),
            2 => format!("{}/", metadata::api(&self.world.ctx.config)),
            _ => String::new(),
        };
        let ctx = self.world.ctx.clone();
        match deed.kind {
            0..=2 => {
                let claims = match deed.which % 3 {
                    0 => r#"{"userinfo":{"name":null},"id_token":{"email":{"essential":true}}}"#,
                    _ => "",
                };
                let fields = [
                    ("scope", asked.as_str()),
                    ("resource", resource.as_str()),
                    ("claims", claims),
                ];
                if let Ok(pending) = self.world.ask(&self.clients[at], &fields).await {
                    self.decide(at, deed, pending).await;
                }
            }
            3 => {
                let client = self.clients[at].clone();
                let from = DeviceFrom {
                    address: "",
                    agent: "",
                };
                let fields = form(&[("scope", asked.as_str()), ("resource", resource.as_str())]);
                if let Ok(begun) = crate::oauth2_server::begin_device(&ctx, &client, &fields, from).await {
                    self.devices.push((at, begun.device_code, begun.user_code));
                }
            }
            4 if !self.devices.is_empty() => {
                let (owner, _, shown) = &self.devices[recent(deed.which, self.devices.len())];
                let owner = *owner;
                if let Ok(Some(id)) = crate::oauth2_server::open_device(&ctx, shown, BROWSER).await {
                    // Refused where the client lost what its device asked for.
                    if let Ok(pending) = crate::oauth2_server::take(&ctx, &id, BROWSER).await {
                        self.decide(owner, deed, pending).await;
                    }
                }
            }
            5 if !self.devices.is_empty() => {
                let (_, code, _) = &self.devices[recent(deed.which, self.devices.len())];
                let fields = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                    ("device_code", code.expose_secret()),
                    ("scope", asked.as_str()),
                    ("resource", resource.as_str()),
                ];
                let result = self.world.token(&self.clients[other], &fields).await;
                self.got(other, result);
            }
            6 | 7 if !self.codes.is_empty() => {
                let (owner, code) = &self.codes[recent(deed.which, self.codes.len())];
                // Mostly its own client, now and then another.
                let by = if deed.asked.is_multiple_of(4) {
                    other
                } else {
                    *owner
                };
                let fields = [
                    ("grant_type", "authorization_code"),
                    ("code", code.expose_secret()),
                    ("redirect_uri", CALLBACK),
                    ("code_verifier", VERIFIER),
                    ("scope", asked.as_str()),
                    ("resource", resource.as_str()),
                ];
                let result = self.world.token(&self.clients[by], &fields).await;
                assert!(result.is_err() || by == *owner, "another client's code");
                self.got(by, result);
            }
            8 | 9 if !self.refresh.is_empty() => {
                let (owner, token) = &self.refresh[recent(deed.which, self.refresh.len())];
                let by = if deed.ticked.is_multiple_of(4) {
                    other
                } else {
                    *owner
                };
                let wanted = if deed.ticked.is_multiple_of(3) {
                    ""
                } else {
                    asked.as_str()
                };
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token.expose_secret()),
                    ("scope", wanted),
                    ("resource", resource.as_str()),
                ];
                let result = self.world.token(&self.clients[by], &fields).await;
                assert!(result.is_err() || by == *owner, "another client's refresh token");
                self.got(by, result);
            }
            10 => {
                // Now and then what speaks of a person.
                let wanted = if deed.which.is_multiple_of(4) {
                    deed.asked
                } else {
                    deed.asked & 0b11_1000
                };
                let wanted = scopes(wanted).join(" ");
                let fields = [("grant_type", "client_credentials"), ("scope", wanted.as_str())];
                let result = self.world.token(&self.clients[at], &fields).await;
                self.got(at, result);
            }
            11 if deed.which.is_multiple_of(3) => {
                let client = self.clients[at].id.clone();
                crate::oauth2_server::disconnect(&ctx, &self.world.user.id, &client)
                    .await
                    .unwrap();
                self.word.remove(&client);
                for (of, token) in self.access.iter().chain(&self.asserted) {
                    let found = crate::oauth2_server::authenticate(&ctx, token).await.unwrap();
                    let is_of_person = found.is_some_and(|found| !found.family.user_id.is_empty());
                    assert!(*of != at || !is_of_person, "it was disconnected");
                }
            }
            // The same request, pushed first.
            12 => {
                let client = self.clients[at].clone();
                let fields = form(&[
                    ("response_type", "code"),
                    ("redirect_uri", CALLBACK),
                    ("code_challenge", CHALLENGE),
                    ("code_challenge_method", "S256"),
                    ("scope", asked.as_str()),
                    ("resource", resource.as_str()),
                ]);
                if let Ok(pushed) = push(&ctx, &client, &fields, None).await {
                    // Whoever brings it, and whatever they say beside it.
                    let beside = SCOPES.join(" ");
                    let fields = [
                        ("request_uri", pushed.request_uri.as_str()),
                        ("scope", beside.as_str()),
                    ];
                    let by = self.clients[other].clone();
                    let asked = self.world.ask(&by, &fields).await;
                    assert!(asked.is_err() || at == other, "another client's request");
                    if let Ok(pending) = asked {
                        self.decide(at, deed, pending).await;
                    }
                }
            }
            13 => {
                let assertion = self.assertion(deed);
                // Mostly the client that it is for, and what may be asked for; now and then anything.
                let at = if deed.ticked.is_multiple_of(4) { at } else { 0 };
                let wanted = match deed.which % 3 {
                    0 => asked.as_str(),
                    1 => "tickets:read",
                    _ => "",
                };
                let fields = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion.as_str()),
                    ("scope", wanted),
                    ("resource", resource.as_str()),
                ];
                if let Ok(issued) = self.world.token(&self.clients[at], &fields).await {
                    assert!(issued.id_token.is_none() && issued.refresh_token.is_none());
                    self.asserted.push((at, issued.access_token));
                }
            }
            // Somebody who manages a client takes scopes from it, or gives them back.
            14 if deed.which.is_multiple_of(4) => {
                let mut fields = self.clients[at].fields.clone();
                fields.scopes = words(&scopes(deed.asked | 1).join(" "));
                let revision = self.clients[at].revision;
                let changed = update(&ctx, "cli", &self.clients[at].id, revision, fields).await;
                self.clients[at] = changed.unwrap();
            }
            _ => self.world.later(i64::from(deed.ticked % 20)),
        }
    }

    /// Every token that an issuer vouched for is within what was agreed on with it.
    async fn check_asserted(&self) {
        let agreed = words(AGREED);
        for (at, token) in &self.asserted {
            let ctx = &self.world.ctx;
            let client = &self.clients[*at];
            let Some(found) = crate::oauth2_server::authenticate(ctx, token).await.unwrap() else {
                continue;
            };
            assert!(*at < 2, "the issuer is not trusted for this client");
            assert_eq!(found.family.client, client.id, "a token changed its client");
            assert_eq!(found.family.user_id, self.world.user.id);
            assert_eq!(found.family.audience, metadata::api(&ctx.config));
            assert_eq!(found.family.projects, [self.agreed.as_str()]);
            let is_within =
                |scope: &String| scope != "openid" && agreed.contains(scope) && client.scopes.contains(scope);
            assert!(found.scopes.iter().all(is_within), "{found:?}");
        }
    }

    /// Every token that opens anything is within what was decided.
    async fn check(&self) {
        self.check_asserted().await;
        for (at, token) in &self.access {
            let ctx = &self.world.ctx;
            let client = &self.clients[*at];
            let as_access = crate::oauth2_server::authenticate(ctx, token).await.unwrap();
            let as_id = crate::oauth2_server::authenticate_id_token(ctx, token)
                .await
                .unwrap();
            assert!(as_access.is_none() || as_id.is_none(), "a token is of one kind");
            assert!(as_id.is_none() || client.may(Legacy::IdTokenAtApi), "{as_id:?}");
            let Some(found) = as_access.or(as_id.map(Arc::new)) else {
                continue;
            };
            assert_eq!(found.family.client, client.id, "a token changed its client");
            assert_eq!(found.family.audience, metadata::api(&self.world.ctx.config));
            assert!(
                found.scopes.iter().all(|scope| client.scopes.contains(scope)),
                "{found:?}"
            );
            if found.family.user_id.is_empty() {
                let is_personal =
                    |scope: &String| scope == "groups" || OF_THE_PERSON.contains(&scope.as_str());
                assert!(!found.scopes.iter().any(is_personal), "{found:?}");
                continue;
            }
            let word = self.word.get(&client.id).expect("a token without a decision");
            let now = ctx.clock.now_ms();
            let is_allowed = |scope: &String| word.allowed.get(scope).is_some_and(|end| *end > now);
            assert!(
                found.scopes.iter().all(is_allowed),
                "{:?} beyond {:?} at {now}",
                found.scopes,
                word.allowed
            );
            // Which projects was not asked for a token that reaches into none; it is none the wider for what came later.
            let reaches = |scope: &String| !OF_THE_PERSON.contains(&scope.as_str());
            let within = word.projects.is_empty()
                || !found.scopes.iter().any(reaches)
                || (!found.family.projects.is_empty()
                    && found.family.projects.iter().all(|id| word.projects.contains(id)));
            assert!(
                within,
                "{:?} in {:?} beyond {:?}",
                found.scopes, found.family.projects, word.projects
            );
        }
    }
}

#[test]
fn no_sequence_of_requests_yields_a_token_that_nobody_consented_to() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: 24,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let (given, vouched) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    TestRunner::new(config)
        .run(&prop::collection::vec(deed(), 40..80), |deeds| {
            runtime.block_on(async {
                let mut play = Play::new().await;
                for deed in &deeds {
                    play.act(deed).await;
                    play.check().await;
                }
                given.set(given.get() + play.access.len());
                vouched.set(vouched.get() + play.asserted.len());
            });
            Ok(())
        })
        .unwrap();
    assert!(
        given.get() > 50,
        "the play was about something: {} tokens",
        given.get()
    );
    assert!(vouched.get() > 3, "and about assertions: {}", vouched.get());
}
