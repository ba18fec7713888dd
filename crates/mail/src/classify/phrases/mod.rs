//! The words that automatic mail uses in many languages.

mod auto_reply;
mod places;
mod senders;
mod subjects;
mod texts;

pub(super) use auto_reply::{ABSENCE_INSIDE, ABSENCE_STARTS, ABSENCE_TEXTS, SUBJECT_STARTS};
pub(super) use places::{COPY_MARKERS, RECIPIENT_WORDS};
pub(super) use senders::{DAEMON_NAMES, DAEMONS, POSTMASTERS};
pub(super) use subjects::BOUNCE_SUBJECTS;
pub(super) use texts::{BOUNCE_TEXTS, DELAY_TEXTS};
