//! `client`: applications at our authorization server, beside a running service.

use std::process::ExitCode;

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{complain, print};
use crate::access::Projects;
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::oauth2_server::{
    self, ApplicationType, ClientAuth, ClientFields, GrantType, Legacy, NewClient, NewInitialToken,
};
use crate::project;

#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Register an application; its secret is shown once.
    #[command(
        after_help = "Examples:\n  mailgrant client create --name Helpdesk --redirect-uri https://desk.example/callback \
        --scope openid --scope tickets:read\n  mailgrant client create --name Importer --grant client_credentials \
        --scope tickets:write --json"
    )]
    Create {
        /// Name shown to people when they are asked.
        #[arg(long)]
        name: String,
        /// Where codes may be sent; several times for several.
        #[arg(long = "redirect-uri", value_name = "URI")]
        redirect_uris: Vec<String>,
        /// Way to a token: authorization_code, refresh_token, client_credentials, device_code, jwt_bearer (or their full
        /// names, urn:ietf:params:oauth:grant-type:…); several times for several. Default: the first two.
        #[arg(long = "grant", value_name = "GRANT", value_parser = grant)]
        grants: Vec<GrantType>,
        /// What it may ask for; several times for several.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// An application on a device, which keeps no secret.
        #[arg(long)]
        native: bool,
        /// What older protocols did, less safe, and is off otherwise: pkce_plain, token_in_query, code_id_token,
        /// id_token_at_api; several times for several. The audit log keeps who asked for it.
        #[arg(long = "legacy", value_name = "SWITCH", value_parser = legacy)]
        legacy: Vec<Legacy>,
        /// Print JSON: client_id, client_secret.
        #[arg(long)]
        json: bool,
    },
    /// Make a token with which applications register themselves; it is shown once.
    #[command(
        after_help = "Examples:\n  mailgrant client initial-token --name Partners --scope openid --scope tickets:read\n  \
        mailgrant client initial-token --name Bench --scope openid --uses 10 --days 1 --approve --json"
    )]
    InitialToken {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What its clients may ask for at most; several times for several.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<String>,
        /// Key of the project its clients belong to; the site if left out.
        #[arg(long, value_name = "KEY")]
        project: Option<String>,
        /// How often it can be used; 0 is without a limit.
        #[arg(long, default_value_t = 1)]
        uses: i64,
        /// For how many days; 0 is without an end.
        #[arg(long, default_value_t = 7)]
        days: i64,
        /// Its clients need no approval.
        #[arg(long)]
        approve: bool,
        /// Print JSON: id, token.
        #[arg(long)]
        json: bool,
    },
    /// List applications.
    #[command(after_help = "Example:\n  mailgrant client list --json")]
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn grant(text: &str) -> Result<GrantType, String> {
    let full = match text {
        "device_code" => GrantType::DeviceCode.as_str(),
        "jwt_bearer" => GrantType::JwtBearer.as_str(),
        other => other,
    };
    GrantType::parse(full).ok_or_else(|| {
        "use authorization_code, refresh_token, client_credentials, device_code or jwt_bearer".to_owned()
    })
}

fn legacy(text: &str) -> Result<Legacy, String> {
    Legacy::parse(text).ok_or_else(|| format!("use {}", Legacy::ALL.map(Legacy::as_str).join(", ")))
}

pub(super) async fn run(config: Config, command: ClientCommand) -> anyhow::Result<ExitCode> {
    let ctx = app::open(config, Clock::system()).await?;
    match command {
        ClientCommand::Create {
            name,
            redirect_uris,
            grants,
            scopes,
            native,
            legacy,
            json,
        } => {
            let mut fields = ClientFields {
                legacy,
                name,
                redirect_uris,
                scopes,
                ..ClientFields::default()
            };
            if !grants.is_empty() {
                fields.grant_types = grants;
            }
            if native {
                fields.application_type = ApplicationType::Native;
                fields.auth_method = ClientAuth::None;
            }
            let new = NewClient {
                fields,
                ..NewClient::default()
            };
            let made = oauth2_server::create(&ctx, "cli", new).await?;
            let secret = made.secret.as_ref().map(SecretString::expose_secret);
            if json {
                let body = json!({
                    "id": made.client.id, "client_id": made.client.client_id, "client_secret": secret,
                });
                print(&format!("{body}\n"));
            } else {
                complain("The secret is shown only now:");
                print(&format!("client_id      {}\n", made.client.client_id));
                if let Some(secret) = secret {
                    print(&format!("client_secret  {secret}\n"));
                }
            }
        }
        ClientCommand::InitialToken {
            name,
            scopes,
            project,
            uses,
            days,
            approve,
            json,
        } => {
            let project_id = match project {
                Some(key) => match project::get_by_key(&ctx, &Projects::All, &key).await? {
                    Some(project) => project.id,
                    None => anyhow::bail!("there is no project {key}"),
                },
                None => String::new(),
            };
            let new = NewInitialToken {
                name,
                project_id,
                scopes,
                approves: approve,
                uses: Some(uses).filter(|uses| *uses != 0),
                seconds: Some(days.saturating_mul(86_400)).filter(|seconds| *seconds != 0),
            };
            let (made, secret) = oauth2_server::create_initial_token(&ctx, "cli", new).await?;
            let secret = secret.expose_secret();
            if json {
                print(&format!("{}\n", json!({ "id": made.id, "token": secret })));
            } else {
                complain("The token is shown only now:");
                print(&format!("{secret}\n"));
            }
        }
        ClientCommand::List { json } => {
            let all = oauth2_server::list(&ctx, None).await?;
            if json {
                let items: Vec<_> = all
                    .iter()
                    .map(|client| {
                        json!({
                            "id": client.id, "client_id": client.client_id, "name": client.name,
                            "state": client.state.as_str(),
                        })
                    })
                    .collect();
                print(&format!("{}\n", serde_json::Value::Array(items)));
            } else {
                for client in all {
                    print(&format!(
                        "{}  {:<9} {}\n",
                        client.client_id,
                        client.state.as_str(),
                        client.name
                    ));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
