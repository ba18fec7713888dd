//! Every outbound socket: resolve, classify, pin, connect. The one place where server-side request forgery is stopped.
//!
//! A [`Dialer`] is made once and cloned cheaply. Whoever needs a mail server, a token endpoint or a discovery document
//! asks it; nobody else opens a socket. It never looks a name up twice for one connection: the address that was
//! classified is the address that is dialled.
//!
//! What does not live here: listening sockets (`web`), and what is said over a connection (`mailbox`, `oauth2_client`).

mod classify;
mod dial;
mod error;
mod http;
mod tls;

#[cfg(test)]
mod tests;

pub use classify::{Class, class, network_of};
pub use dial::{Dialer, Lookup, Resolver};
pub use error::{DialError, EndpointError, HttpError, NetError, TlsFailure};
pub use http::{ClippedResponse, HttpClient, HttpMethod, HttpRequest, HttpResponse};
pub use tls::TlsInfo;

/// Makes aws-lc-rs the process's provider of cryptography for TLS. Call it first thing in `main`; a second call, or a
/// call after somebody else chose a provider, changes nothing.
pub fn install_crypto_provider() {
    // The error only says that a provider is already installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
