//! IMAP: our own thin layer over the bytes and the parser of async-imap.
//!
//! Reading order: [`connect()`] dials and reports its steps; [`Connection`] is a server that has greeted us, [`Session`]
//! one that has let us in; `guard` stands between the wire and the parser and bounds what a server can make us do.
//!
//! async-imap parses; what an answer *means* (NO, BAD, BYE, end of stream, silence) is decided here, because its own
//! helpers turn a refused or cut-off answer into an empty success. Commands are written to the stream directly, so no
//! token ever passes through that crate's log lines, and no mail does either: the guard hands literals past it.
//!
//! What does not live here: where tokens come from, which folder is read, where the cursor stands.

mod connect;
mod error;
mod guard;
mod session;
mod types;
mod utf7;
mod wire;

#[cfg(test)]
mod tests;

pub use connect::{BoxedStream, Endpoint, Step, StepDetail, StepReport, TlsMode, Transport, connect, open};
pub use error::ImapError;
pub use guard::{ByteBudget, Limits};
pub use session::{Connection, Session};
pub use types::{
    Capabilities, FetchReport, Fetched, Folder, IdleOutcome, Meta, SearchFilter, Selected, SpecialUse,
    batches,
};
