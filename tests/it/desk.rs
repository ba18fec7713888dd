//! What agents and apps do with tickets: changes, notes, tickets by hand, and the search over everything.

mod changes;
mod search;
