//! Whatever is asked in whatever order: no token has a scope, a project, an audience or a client that the person did not
//! decide for.
//!
//! What a person decided is kept here by a rule of its own, simpler than the server's: the last word on each scope, and the
//! last word on the projects. A live token must be within both.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::oauth2_server::{DeviceFrom, Legacy, ReturnTo, metadata};

const SCOPES: [&str; 6] = [
    "openid",
    "profile",
    "offline_access",
    "tickets:read",
    "tickets:write",
    "projects:read",
];
const PROJECTS: [&str; 3] = ["prj_1", "prj_2", "prj_3"];

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
        0_u8..12,
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
    allowed: BTreeSet<String>,
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
}

impl Play {
    async fn new() -> Self {
        let world = World::new().await;
        let mut clients = Vec::new();
        for at in 0..3_u8 {
            clients.push(
                world
                    .client(|fields| {
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
        Self {
            world,
            clients,
            word: BTreeMap::new(),
            codes: Vec::new(),
            devices: Vec::new(),
            refresh: Vec::new(),
            access: Vec::new(),
        }
    }

    fn decided(&mut self, client: &Client, pending: &Pending, ticked: &str, projects: &[String]) {
        let word = self.word.entry(client.id.clone()).or_default();
        let ticked = words(ticked);
        if word.projects != projects {
            word.allowed.clear();
        }
        for scope in pending.request.asked_scopes() {
            match ticked.contains(&scope) {
                true => drop(word.allowed.insert(scope)),
                false => drop(word.allowed.remove(&scope)),
            }
        }
        word.projects = projects.to_vec();
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
                match self.world.allow(&pending, &ticked, &chosen).await {
                    Ok(given) => {
                        self.decided(&client, &pending, &ticked, &chosen);
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
                    let pending = crate::oauth2_server::take(&ctx, &id, BROWSER).await.unwrap();
                    self.decide(owner, deed, pending).await;
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
            }
            _ => self.world.later(i64::from(deed.ticked % 20)),
        }
    }

    /// Every token that opens anything is within what was decided.
    async fn check(&self) {
        for (at, token) in &self.access {
            let ctx = &self.world.ctx;
            let client = &self.clients[*at];
            let as_access = crate::oauth2_server::authenticate(ctx, token).await.unwrap();
            let as_id = crate::oauth2_server::authenticate_id_token(ctx, token)
                .await
                .unwrap();
            assert!(as_access.is_none() || as_id.is_none(), "a token is of one kind");
            assert!(as_id.is_none() || client.may(Legacy::IdTokenAtApi), "{as_id:?}");
            let Some(found) = as_access.or(as_id) else {
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
                    |scope: &String| ["openid", "profile", "offline_access"].contains(&scope.as_str());
                assert!(!found.scopes.iter().any(is_personal), "{found:?}");
                continue;
            }
            let word = self.word.get(&client.id).expect("a token without a decision");
            assert!(
                found.scopes.iter().all(|scope| word.allowed.contains(scope)),
                "{:?} beyond {:?}",
                found.scopes,
                word.allowed
            );
            let within = word.projects.is_empty()
                || (!found.family.projects.is_empty()
                    && found.family.projects.iter().all(|id| word.projects.contains(id)));
            assert!(within, "{:?} beyond {:?}", found.family.projects, word.projects);
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
    let given = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&prop::collection::vec(deed(), 40..80), |deeds| {
            runtime.block_on(async {
                let mut play = Play::new().await;
                for deed in &deeds {
                    play.act(deed).await;
                    play.check().await;
                }
                given.set(given.get() + play.access.len());
            });
            Ok(())
        })
        .unwrap();
    assert!(
        given.get() > 50,
        "the play was about something: {} tokens",
        given.get()
    );
}
