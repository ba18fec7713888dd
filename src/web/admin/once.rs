//! Forms whose answer shows what is shown once: a secret, a link. Loading that answer again sends the form again, and
//! must not make another one. What is shown is kept nowhere, so it is not shown again either.

use std::future::Future;

use super::desk::{Answer, Desk};
use crate::idempotency::{self, Begun};
use crate::web::extract::FormData;

/// Does what a form asks for, if this very form has not done it already; else leads to `back`.
pub(super) async fn once(
    desk: &Desk,
    form: &FormData,
    back: &str,
    work: impl Future<Output = Answer>,
) -> Answer {
    let key = form.text("form_id");
    if key.is_empty() {
        // Of no page of ours: a script that knows what it does.
        return work.await;
    }
    let owner = &desk.current.session().id;
    let route = format!("page {}", desk.request().path());
    let request_id = desk.request_id();
    let turn = match idempotency::begin(&desk.ctx, owner, &route, key, &[], &request_id).await? {
        Begun::Mine(turn) => Some(turn),
        Begun::Done(_) | Begun::InFlight(_) | Begun::OtherRequest => None,
    };
    let turn = match turn {
        // The process may have ended before what it made was shown.
        Some(turn)
            if idempotency::made_before(&desk.ctx, &turn, &request_id)
                .await?
                .is_none() =>
        {
            turn
        }
        _ => {
            let text =
                "This form was sent already, and nothing was done again. What it showed is shown only once.";
            return desk.failed(text, back).await;
        }
    };
    let answer = work.await;
    match &answer {
        Ok(response) if !response.status().is_client_error() => {
            let kept = idempotency::Answer {
                status: response.status().as_u16(),
                headers: Vec::new(),
                body: String::new(),
            };
            idempotency::finish(&desk.ctx, &turn, &kept).await?;
        }
        _ => idempotency::give_back(&desk.ctx, &turn).await?,
    }
    answer
}
