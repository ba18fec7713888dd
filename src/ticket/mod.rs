//! Tickets: what a message becomes. Which ticket a mail joins, and what people see of it.
//!
//! A mail that answers an earlier one of the same project joins its ticket; any other opens one. Subjects and display
//! names are text, never a reason to join.

mod identity;
mod model;
mod service;
mod store;

pub use identity::{OutgoingMail, ReplyIdentity, reply_identity};
pub use model::{Incoming, Placed, TicketState};
pub use service::{TicketDetail, TicketError, TicketFilter, get, get_by_key, list, place};
pub use store::{Entry, HourCount, StateCount, Ticket, count_by_state, per_hour};
