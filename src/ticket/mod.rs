//! Tickets: what a message becomes. Which ticket a mail joins, and what people see of it.
//!
//! `resolve` decides which ticket a mail joins, and nothing else does. `service` gathers the clues for it and puts the
//! mail where it says; `identity` makes what outgoing mail is recognised by; `merge` and `split` are for people only.

mod change;
mod find;
mod identity;
mod match_store;
mod merge;
mod model;
mod reply;
mod resolve;
mod ruled;
mod same_mail_store;
mod service;
mod split;
mod store;

pub use change::{
    MAX_LABELS, MAX_NOTE, MAX_SUBJECT, NewTicket, Priority, TicketChange, change, change_all, change_in,
    labels_of, normal_label, note, open,
};
pub use find::{Hit, Rebuilt, Search, Sort, TicketFilter, count, labels, list, rebuild, search};
pub use identity::{OutgoingMail, ReplyIdentity, reply_identity};
pub use match_store::{Participant, Related};
pub use merge::merge;
pub use model::{Incoming, Placed, TicketState};
pub use reply::{NewReply, add_reply, hold};
pub use resolve::{CLOSED_FOR_GOOD_DAYS, Candidate, Resolution, Rule};
pub use ruled::{Wishes, dress, fill, named};
pub use service::{
    TicketDetail, TicketError, as_it_is, enter, entries, entry, get, get_by_key, place, present, resolve,
};
pub use split::{MAX_MOVED, Moving, Plan, Split, plan_split, split};
pub use store::{Entry, HourCount, StateCount, Ticket, count_by_state, key_of, per_hour, remember_address};
