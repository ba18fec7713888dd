//! What finding a mail's ticket must know of us: our own addresses and our agents', read before the transaction.

use std::collections::{HashMap, HashSet};

use mailgrant_mail::thread_token::normalise_address;
use sea_orm::DbErr;

use crate::access::{Projects, Scope};
use crate::ctx::Ctx;
use crate::message::Understood;
use crate::ticket::Incoming;
use crate::{account, mailbox, project};

/// Addresses, normalised.
#[derive(Debug, Default)]
pub(super) struct Known {
    own_addresses: Vec<String>,
    agents: Agents,
}

/// Whose mail is an agent's: people who may work on the tickets of a project.
#[derive(Debug, Default)]
struct Agents {
    of_site: HashSet<String>,
    of_project: HashMap<String, HashSet<String>>,
}

impl Agents {
    fn contain(&self, project_id: &str, address: &str) -> bool {
        let of_project = self.of_project.get(project_id);
        self.of_site.contains(address) || of_project.is_some_and(|agents| agents.contains(address))
    }

    async fn read(ctx: &Ctx) -> Result<Self, DbErr> {
        let mut agents = Self::default();
        let mut addresses = HashMap::new();
        for user in account::list(&ctx.db, &Projects::All).await? {
            if user.disabled_at.is_some() {
                continue;
            }
            let address = normalise_address(&user.email);
            if user.is_site_admin {
                agents.of_site.insert(address.clone());
            }
            addresses.insert(user.id, address);
        }
        for member in project::memberships(&ctx.db, &Projects::All).await? {
            if member.role.allows(Scope::TicketsWrite)
                && let Some(address) = addresses.get(&member.user_id)
            {
                let of_project = agents.of_project.entry(member.project_id).or_default();
                of_project.insert(address.clone());
            }
        }
        Ok(agents)
    }
}

impl Known {
    pub(super) async fn read(ctx: &Ctx) -> Result<Self, DbErr> {
        let own = mailbox::addresses(ctx.db.read()).await?;
        Ok(Self {
            own_addresses: own.iter().map(|one| normalise_address(one)).collect(),
            agents: Agents::read(ctx).await?,
        })
    }

    /// A message as the ticket stage wants to know it.
    pub(super) fn incoming<'a>(
        &'a self,
        message_id: &'a str,
        project_id: &'a str,
        project_key: &'a str,
        mail: &'a Understood,
    ) -> Incoming<'a> {
        let from = mail.people.from.first();
        Incoming {
            message_id,
            project_id,
            project_key,
            mail,
            own_addresses: &self.own_addresses,
            sender_is_agent: from.is_some_and(|from| self.agents.contain(project_id, from)),
        }
    }
}
