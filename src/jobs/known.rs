//! What finding a mail's ticket must know of us: our own addresses and our agents', read before the transaction.

use mailgrant_mail::thread_token::normalise_address;
use sea_orm::DbErr;

use crate::access::Projects;
use crate::ctx::Ctx;
use crate::message::Understood;
use crate::ticket::Incoming;
use crate::{account, mailbox};

/// Addresses, normalised.
pub(super) struct Known {
    own_addresses: Vec<String>,
    agents: Vec<String>,
}

impl Known {
    pub(super) async fn read(ctx: &Ctx) -> Result<Self, DbErr> {
        let addresses = |list: Vec<String>| list.iter().map(|one| normalise_address(one)).collect();
        let agents = account::list(&ctx.db, &Projects::All).await?;
        let agents = agents.into_iter().filter(|user| user.disabled_at.is_none());
        Ok(Self {
            own_addresses: addresses(mailbox::addresses(ctx.db.read()).await?),
            agents: addresses(agents.map(|user| user.email).collect()),
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
            sender_is_agent: from.is_some_and(|from| self.agents.contains(from)),
        }
    }
}
