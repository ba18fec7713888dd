//! Tells of grants that end and of mailboxes that fall silent: each once, and again when it happens again.
//!
//! **A grant ends** when its refresh token has an end that refreshing does not move. Some providers begin the token's
//! life anew at each refresh; so the end is noted when it comes near, and told once a refresh has left it where it was,
//! or on the last day. It is told 7, 3 and 1 days before.
//!
//! **A mailbox is silent** when it is read without trouble and no mail came for much longer than is usual for it: four
//! times the longest pause of the four weeks before its last mail, at least a day and at most a week. With less than
//! ten mails in those weeks nothing is usual, and it is a week. A pause by hand and changes of the settings begin the
//! wait anew. The first mail after that is its recovery. What cannot be read is told as `mailbox.failing` instead.

use sea_orm::DbErr;
use serde_json::json;

use super::store::{self, EndingGrant, QuietMailbox};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, SYSTEM};

const DAY_MS: i64 = 86_400_000;
/// From when on the end of a grant is watched, and the steps at which it is told.
const STEPS: [i64; 3] = [7, 3, 1];
/// What an end may move by without being another one: providers tell seconds that are left.
const SAME_END_MS: i64 = 60_000;
/// The weeks that say what is usual for a mailbox.
const USUAL_MS: i64 = 28 * DAY_MS;
/// So many mails say what is usual.
const ENOUGH_MAILS: i64 = 10;

/// Tells of grants that end soon.
pub(super) async fn watch_grants(ctx: &Ctx) -> Result<(), DbErr> {
    let now = ctx.clock.now_ms();
    for grant in store::grants_ending(ctx.db.read(), now, now + STEPS[0] * DAY_MS).await? {
        let txn = ctx.db.begin().await?;
        let Some(step) = due_step(&grant, now) else {
            if !grant.is_seen_at(grant.end) {
                store::note_end(&txn, &grant, now, None).await?;
                txn.commit().await?;
            }
            continue;
        };
        if !store::note_end(&txn, &grant, grant.seen_at.unwrap_or(now), Some(step)).await? {
            continue;
        }
        let event = NewEvent {
            kind: "grant.expiring",
            project_id: "",
            subject_id: &grant.id,
            actor: SYSTEM,
            data: json!({ "identity": grant.identity, "expiresAt": rfc3339(grant.end), "stage": step }),
        };
        event::append(&txn, &ctx.clock, event).await?;
        txn.commit().await?;
        tracing::warn!(grant = grant.id, days = step, "a grant ends soon");
    }
    Ok(())
}

impl EndingGrant {
    fn is_seen_at(&self, end: i64) -> bool {
        self.seen.is_some_and(|seen| (seen - end).abs() < SAME_END_MS)
    }
}

/// The step that is to be told now, if one is.
fn due_step(grant: &EndingGrant, now: i64) -> Option<i64> {
    let left = grant.end - now;
    let step = STEPS.into_iter().rev().find(|days| left <= days * DAY_MS)?;
    let is_last_day = step == 1;
    let stays = grant.is_seen_at(grant.end) && grant.seen_at.is_some_and(|seen| grant.refreshed_at > seen);
    if !is_last_day && !stays {
        return None;
    }
    let told = grant.told.filter(|_| grant.is_seen_at(grant.end));
    told.is_none_or(|told| step < told).then_some(step)
}

/// Tells of mailboxes that are silent, and of those that are not any more.
pub(super) async fn watch_silence(ctx: &Ctx) -> Result<(), DbErr> {
    for mailbox in store::mailboxes_heard(ctx.db.read()).await? {
        let txn = ctx.db.begin().await?;
        if !store::note_sound(&txn, &mailbox).await? {
            continue;
        }
        let data = json!({ "name": mailbox.name, "silentSince": rfc3339(mailbox.since) });
        tell(ctx, &txn, "mailbox.recovered", &mailbox, data).await?;
        txn.commit().await?;
    }
    let now = ctx.clock.now_ms();
    for mailbox in store::mailboxes_quiet(ctx.db.read(), now - DAY_MS).await? {
        let from = mailbox.since - USUAL_MS;
        let (mails, longest) = store::usual_pause(ctx.db.read(), &mailbox.id, from, mailbox.since).await?;
        if now - mailbox.quiet_since < patience(mails, longest) {
            continue;
        }
        let txn = ctx.db.begin().await?;
        if !store::note_silence(&txn, &mailbox).await? {
            continue;
        }
        let data = json!({ "name": mailbox.name, "lastMailAt": rfc3339(mailbox.since) });
        tell(ctx, &txn, "mailbox.silent", &mailbox, data).await?;
        txn.commit().await?;
        tracing::warn!(mailbox = mailbox.id, "no mail came for much longer than usual");
    }
    Ok(())
}

/// How long silence is nothing to speak of.
fn patience(mails: i64, longest_pause: i64) -> i64 {
    if mails < ENOUGH_MAILS {
        return 7 * DAY_MS;
    }
    longest_pause.saturating_mul(4).clamp(DAY_MS, 7 * DAY_MS)
}

async fn tell(
    ctx: &Ctx,
    txn: &sea_orm::DatabaseTransaction,
    kind: &str,
    mailbox: &QuietMailbox,
    data: serde_json::Value,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: &mailbox.project_id,
        subject_id: &mailbox.id,
        actor: SYSTEM,
        data,
    };
    event::append(txn, &ctx.clock, event).await.map(drop)
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::db::sql;
    use crate::grant::testkit::{Place, START_MS, place};

    async fn run(place: &Place, text: &str, values: &[i64]) {
        let db = place.ctx.db.write();
        db.execute_unprepared("PRAGMA foreign_keys = OFF").await.unwrap();
        let values = values.iter().map(|value| (*value).into());
        db.execute_raw(sql(db, text, values)).await.unwrap();
    }

    async fn told(place: &Place, subject: &str) -> Vec<event::Event> {
        let mut events = event::of_subject(place.ctx.db.read(), subject, 100)
            .await
            .unwrap();
        events.reverse();
        events
    }

    fn hours(place: &Place, n: i64) {
        place.ctx.clock.advance(chrono::Duration::hours(n));
    }

    #[tokio::test]
    async fn a_grant_that_ends_is_told_at_each_step_once_and_one_that_is_renewed_never() {
        let place = place().await;
        for id in ["ends", "slides"] {
            let text = format!(
                "INSERT INTO grants (id, integration_id, flow, identity, subject, started_by, access_token_sealed, \
                 refresh_token_sealed, scopes, state, issued_at, refreshed_at, refresh_token_at, refresh_expires_at, \
                 revision, created_at, updated_at) VALUES ('{id}', 'int', '', 'ada@example.org', '', '', '', '', '', \
                 'active', $1, $1, $1, $2, 1, $1, $1)"
            );
            run(&place, &text, &[START_MS, START_MS + 9 * DAY_MS]).await;
        }
        for hour in 0..9 * 24 {
            // A refresh every hour: one provider begins the life of the token anew, the other says what is left.
            let now = place.ctx.clock.now_ms();
            run(
                &place,
                "UPDATE grants SET refreshed_at = $1, refresh_expires_at = CASE WHEN id = 'slides' \
                 THEN $1 + 5 * 86400000 ELSE refresh_expires_at + $2 END",
                &[now, (hour % 3 - 1) * 1_000],
            )
            .await;
            watch_grants(&place.ctx).await.unwrap();
            watch_grants(&place.ctx).await.unwrap();
            hours(&place, 1);
        }
        let events = told(&place, "ends").await;
        let stages: Vec<i64> = events
            .iter()
            .filter_map(|event| event.data["stage"].as_i64())
            .collect();
        assert_eq!(stages, [7, 3, 1]);
        assert!(events.iter().all(|event| event.kind == "grant.expiring"));
        assert!(told(&place, "slides").await.is_empty());
        // Connected again, it ends later, and that is told anew.
        let now = place.ctx.clock.now_ms();
        run(
            &place,
            "UPDATE grants SET refreshed_at = $1, refresh_expires_at = $1 + 86400000 WHERE id = 'ends'",
            &[now],
        )
        .await;
        watch_grants(&place.ctx).await.unwrap();
        assert_eq!(told(&place, "ends").await.len(), 4);
    }

    async fn silence(place: &Place) -> Vec<String> {
        watch_silence(&place.ctx).await.unwrap();
        watch_silence(&place.ctx).await.unwrap();
        told(place, "mbx_1")
            .await
            .into_iter()
            .map(|event| event.kind)
            .collect()
    }

    async fn mail(place: &Place, uid: i64) {
        let now = place.ctx.clock.now_ms();
        let text = "INSERT INTO messages (id, mailbox_id, project_id, content_hash, size, folder, uid_validity, uid, \
                    received_at, state, attempts, is_partial, parsed, subject, from_name, from_email, preview, sent_at, \
                    has_attachment, problem, ticket_id, entry_id) VALUES ('msg_' || $1, 'mbx_1', 'prj_1', 'h' || $1, 1, \
                    'INBOX', 1, $1, $2, 'ticketed', 0, FALSE, '', '', '', '', '', '', FALSE, '', '', '')";
        run(place, text, &[uid, now]).await;
        run(
            place,
            "UPDATE mailboxes SET last_mail_at = $1, last_success_at = $1 WHERE id = 'mbx_1'",
            &[now],
        )
        .await;
    }

    #[tokio::test]
    async fn a_mailbox_is_silent_once_for_each_silence_and_recovers_with_the_first_mail() {
        let place = place().await;
        let text = "INSERT INTO mailboxes (id, name, project_id, grant_id, protocol, host, port, tls, login_name, folder, \
                    start_from, after_ingest, move_to, schedule, idle, max_message_bytes, paused, state, next_poll_at, \
                    revision, created_at, updated_at) VALUES ('mbx_1', 'Support', 'prj_1', 'grt', 'imap', '', 0, '', '', \
                    '', '', '', '', '', FALSE, 0, FALSE, 'ok', 0, 1, $1, $1)";
        run(&place, text, &[START_MS]).await;
        assert!(
            silence(&place).await.is_empty(),
            "nothing ever came, nothing is missed"
        );
        // Two weeks with a mail every eight hours: the longest pause is eight hours, its fourfold more than a day.
        for uid in 0..42 {
            mail(&place, uid).await;
            assert!(silence(&place).await.is_empty());
            hours(&place, 8);
        }
        hours(&place, 22);
        assert!(silence(&place).await.is_empty(), "30 hours");
        hours(&place, 4);
        assert_eq!(silence(&place).await, ["mailbox.silent"]);
        hours(&place, 24 * 5);
        assert_eq!(silence(&place).await, ["mailbox.silent"], "once");
        mail(&place, 42).await;
        assert_eq!(silence(&place).await, ["mailbox.silent", "mailbox.recovered"]);
        run(&place, "UPDATE mailboxes SET paused = TRUE", &[]).await;
        hours(&place, 24 * 8);
        assert_eq!(silence(&place).await.len(), 2, "a paused one is not silent");
        let now = place.ctx.clock.now_ms();
        run(
            &place,
            "UPDATE mailboxes SET paused = FALSE, updated_at = $1",
            &[now],
        )
        .await;
        hours(&place, 23);
        assert_eq!(
            silence(&place).await.len(),
            2,
            "the wait begins when it is read again"
        );
        hours(&place, 24 * 7);
        assert_eq!(silence(&place).await.len(), 3);
    }

    #[test]
    fn an_end_is_told_in_steps_and_only_when_refreshing_does_not_move_it() {
        let grant = |left: i64| EndingGrant {
            id: "grt_1".into(),
            identity: String::new(),
            end: left,
            refreshed_at: 100,
            seen: Some(left),
            seen_at: Some(50),
            told: None,
        };
        let after = |days: i64| days * DAY_MS - 1_000;
        assert_eq!(due_step(&grant(after(8)), 0), None, "too early");
        assert_eq!(due_step(&grant(after(7)), 0), Some(7));
        assert_eq!(due_step(&grant(after(3)), 0), Some(3));
        assert_eq!(due_step(&grant(after(1)), 0), Some(1));
        let told = |left, told| EndingGrant {
            told: Some(told),
            ..grant(left)
        };
        assert_eq!(due_step(&told(after(6), 7), 0), None, "once");
        assert_eq!(due_step(&told(after(2), 7), 0), Some(3));
        assert_eq!(due_step(&told(after(1), 1), 0), None);
        let new_end = EndingGrant {
            seen: Some(1),
            ..told(after(1), 1)
        };
        assert_eq!(due_step(&new_end, 0), Some(1), "another end is another story");
        let unproven = EndingGrant {
            refreshed_at: 40,
            ..grant(after(5))
        };
        assert_eq!(due_step(&unproven, 0), None, "the next refresh may move it");
        let last_day = EndingGrant {
            refreshed_at: 40,
            ..grant(after(1))
        };
        assert_eq!(due_step(&last_day, 0), Some(1));
    }

    #[test]
    fn patience_follows_what_is_usual_between_a_day_and_a_week() {
        assert_eq!(patience(0, 0), 7 * DAY_MS);
        assert_eq!(patience(9, 1), 7 * DAY_MS);
        assert_eq!(patience(500, 60_000), DAY_MS);
        assert_eq!(patience(500, DAY_MS / 2), 2 * DAY_MS);
        assert_eq!(patience(500, 3 * DAY_MS), 7 * DAY_MS);
    }
}
