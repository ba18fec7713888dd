//! Who is told of events, and how: webhooks that are called, and queues that are asked.
//!
//! * `model`: the words; `sign`: signatures of Standard Webhooks; `headers`: what may be added to a request;
//! * `payload`: an event as the body of a request; `foreign`: as other services' receivers take it, `files` with it;
//! * `retry`: when it is tried again, and when an endpoint is given up;
//! * `service`: what can be done with webhooks; `attempt`: one request; `store`: all queries on them;
//! * [`queue`]: named consumers behind a firewall that fetch their events.
//!
//! This room only reads the log. The job that carries events to webhooks is `jobs/deliver.rs`.

pub mod attempt;
mod error;
mod files;
mod foreign;
mod headers;
mod model;
mod payload;
pub mod queue;
pub mod retry;
mod service;
mod sign;
pub mod store;

pub use error::DeliveryError;
pub use files::{Files, files_of};
pub use model::{
    DeliveryFilter, DeliveryState, Format, Payload, SendAgain, Shown, WebhookInput, WebhookState, projects_of,
};
pub use payload::{Body, MAX_BODY_BYTES, Source, body_of, jmap_body, message_id};
pub use service::{
    Counts, Made, address_problem, attempts, counts, create, delete, deliveries, delivery, enable, get, list,
    ping, rotate, send_again, send_failed_again, trigger, update,
};
pub(crate) use service::{added_headers as headers_of, secrets as secrets_of};
pub use sign::{Secrets, Stamp, secrets_for, sign, stamp};
pub use store::{Attempt, Delivery, Webhook};
