//! Tickets: what a message becomes. Which ticket a mail joins, and what people see of it.
//!
//! A mail that answers an earlier one of the same project joins its ticket; any other opens one. Subjects and display
//! names are text, never a reason to join.

mod change;
mod find;
mod identity;
mod model;
mod service;
mod store;

pub use change::{
    MAX_LABELS, MAX_NOTE, MAX_SUBJECT, NewTicket, Priority, TicketChange, change, change_all, labels_of,
    normal_label, note, open,
};
pub use find::{Hit, Rebuilt, Search, Sort, TicketFilter, count, labels, list, rebuild, search};
pub use identity::{OutgoingMail, ReplyIdentity, reply_identity};
pub use model::{Incoming, Placed, TicketState};
pub use service::{TicketDetail, TicketError, get, get_by_key, place};
pub use store::{Entry, HourCount, StateCount, Ticket, count_by_state, per_hour};
