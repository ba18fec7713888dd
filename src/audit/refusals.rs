//! What was refused, in numbers that nobody can flood the log with: the first refusal of its kind from one source is noted
//! at once, those that follow within a minute are counted and noted as one. Many sources at once become a single one.
//!
//! Each node counts for itself, in memory. A node that is killed loses the count of its last minute, never the first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::DbErr;
use serde_json::{Value, json};

use super::origin::{self, Origin, Via};
use super::{NOBODY, NewAuditEvent, append};
use crate::clock::Clock;
use crate::db::Db;

/// How long refusals of one kind are counted before they are noted.
const WINDOW_MS: i64 = 60_000;

/// Sources that are told apart at a time, of strangers and of people who are known: nobody crowds the others out.
const MOST: usize = 100;

/// What was refused.
#[derive(Clone, Debug)]
pub struct Refused<'a> {
    /// The action, for example `request.refused`.
    pub action: &'a str,
    /// What kind of thing it was aimed at.
    pub target_kind: &'a str,
    /// Which one; never what the asker wrote.
    pub target_id: &'a str,
    /// Why, as a word of ours.
    pub code: &'a str,
    /// More to say about the first one.
    pub details: Value,
}

#[derive(Debug)]
struct Counted {
    since: i64,
    more: u64,
    action: String,
    target_kind: String,
    target_id: String,
    code: String,
    actor: String,
    via: Via,
    address: String,
}

/// The refusals of the last minute.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<HashMap<(String, String), Counted>>>);

impl Refusals {
    fn counted(&self) -> MutexGuard<'_, HashMap<(String, String), Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a refusal of the present request, or counts it.
    ///
    /// # Errors
    /// The database; a first one that could not be noted is counted.
    pub async fn note(&self, db: &Db, clock: &Clock, refused: &Refused<'_>) -> Result<(), DbErr> {
        let here = origin::current();
        let actor = origin::actor();
        let address = here.as_deref().map(|o| o.address.clone()).unwrap_or_default();
        let source = if actor.is_empty() {
            network(&address)
        } else {
            actor.clone()
        };
        let kind = format!("{} {}", refused.action, refused.code);
        let key = {
            let mut counted = self.counted();
            let same_sort = |known: &Counted| (known.actor == NOBODY) == actor.is_empty();
            let is_known = counted.contains_key(&(source.clone(), kind.clone()));
            let is_full = !is_known && counted.values().filter(|known| same_sort(known)).count() >= MOST;
            // Whatever they bring along then, it is one line.
            let key = if is_full {
                (String::new(), refused.action.to_owned())
            } else {
                (source, kind)
            };
            if let Some(known) = counted.get_mut(&key) {
                known.more += 1;
                return Ok(());
            }
            counted.insert(
                key.clone(),
                Counted {
                    since: clock.now_ms(),
                    more: 0,
                    action: refused.action.to_owned(),
                    target_kind: refused.target_kind.to_owned(),
                    target_id: refused.target_id.to_owned(),
                    code: refused.code.to_owned(),
                    actor: if actor.is_empty() {
                        NOBODY.to_owned()
                    } else {
                        actor
                    },
                    via: here.as_deref().map_or(Via::System, |o| o.via),
                    address: if is_full { String::new() } else { address },
                },
            );
            key
        };
        let mut summary = refused.details.clone();
        if !summary.is_object() {
            summary = json!({});
        }
        summary["code"] = json!(refused.code);
        let event =
            NewAuditEvent::new(refused.action, refused.target_kind, refused.target_id).saying(summary);
        let actor = if origin::actor().is_empty() { NOBODY } else { "" };
        let noted = append(db.write(), clock, event.by(actor)).await;
        if noted.is_err()
            && let Some(known) = self.counted().get_mut(&key)
        {
            known.more += 1;
        }
        noted.map(drop)
    }

    /// Notes how many followed the first one, for every kind and source whose minute is over; at the end of the process
    /// (`all`) for every one.
    ///
    /// # Errors
    /// The database; what could not be noted is counted on.
    pub async fn close(&self, db: &Db, clock: &Clock, all: bool) -> Result<(), DbErr> {
        let now = clock.now_ms();
        let over: Vec<_> = {
            let mut counted = self.counted();
            let keys: Vec<_> = counted
                .iter()
                .filter(|(_, known)| all || now - known.since >= WINDOW_MS)
                .map(|(key, _)| key.clone())
                .collect();
            keys.into_iter()
                .filter_map(|key| Some((key.clone(), counted.remove(&key)?)))
                .collect()
        };
        let mut failed = Ok(());
        for (key, known) in over {
            if known.more == 0 || failed.is_err() {
                if known.more > 0 {
                    self.counted().insert(key, known);
                }
                continue;
            }
            let event = NewAuditEvent::new(&known.action, &known.target_kind, &known.target_id)
                .by(&known.actor)
                .saying(
                    json!({ "code": known.code, "more": known.more, "seconds": (now - known.since) / 1000 }),
                );
            let origin = Origin::new(known.via, &known.address, "");
            if let Err(error) = origin::within(origin, append(db.write(), clock, event)).await {
                failed = Err(error);
                self.counted().insert(key, known);
            }
        }
        failed
    }
}

/// What one source is: an IPv4 address, or the network of an IPv6 one, of which its owner has as many as they like.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(ip)) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).to_string(),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tests::place;
    use crate::audit::{Filter, act_as, list, within};

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_comes_from_thousands_of_addresses_writes_a_hundred_lines_and_crowds_nobody_out() {
        let place = place().await;
        let (db, clock, refusals) = (&place.ctx.db, &place.ctx.clock, Refusals::default());
        let refuse = async |address: String, who: &str, code: &str| {
            within(Origin::new(Via::Api, &address, "req_1"), async {
                act_as(who);
                let refused = Refused {
                    action: "request.refused",
                    target_kind: "route",
                    target_id: "GET /x",
                    code,
                    details: Value::Null,
                };
                refusals.note(db, clock, &refused).await.unwrap();
            })
            .await;
        };
        for n in 0..3_000 {
            refuse(format!("192.0.{}.{}", n / 250, n % 250), "", &format!("code-{n}")).await;
        }
        refuse("192.0.2.1".to_owned(), "usr_1", "insufficient_role").await;
        let filter = Filter {
            projects: crate::access::Projects::All,
            ..Filter::default()
        };
        let log = async || list(db.read(), &filter, None, 1_000).await.unwrap();
        assert_eq!(
            log().await.len(),
            MOST + 2,
            "the hundred, the others as one, and somebody known"
        );
        assert_eq!(log().await[0].actor, "usr_1");
        refusals.close(db, clock, true).await.unwrap();
        let all = log().await;
        assert_eq!(all.len(), MOST + 3);
        assert_eq!(
            (&all[0].summary["more"], all[0].address.as_str()),
            (&json!(2_899), "")
        );
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_source() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
