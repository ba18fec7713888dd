//! The IMAP side of the sandbox: one port under TLS, one in the clear, XOAUTH2 only. Enough of RFC 9051 for a
//! client that reads mail by UID; what a mail *is* lives in `store`, what goes over the wire in `session`.

mod fetch;
mod search;
mod session;
mod store;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::tls::Certificates;
use session::Session;

pub(super) use store::MailStore;

/// A TLS record: fatal alert, handshake_failure (RFC 8446, section 6).
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a port speaks.
#[derive(Clone)]
pub(super) enum Transport {
    /// TLS from the first byte.
    Tls(Arc<Certificates>),
    /// Nothing over TCP.
    Plain,
}

/// Accepts connections until `stop`.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    transport: Transport,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Too many open files, say: trying again at once would only burn time.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                tokio::spawn(connection(shared.clone(), stream, transport.clone(), stop.clone()));
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, transport: Transport, stop: CancellationToken) {
    let mut cuts = shared.faults.cuts();
    // Marks what happened so far as seen: only a cut from now on ends this connection.
    cuts.borrow_and_update();
    if shared.faults.refuses_connections() {
        shared.note("imap", Some("CONNECT"), "refused");
        return;
    }
    tokio::select! {
        () = stop.cancelled() => {}
        _ = cuts.changed() => shared.note("imap", Some("CONNECT"), "cut"),
        () = converse(shared.clone(), stream, transport) => {}
    }
}

async fn converse(shared: Arc<Shared>, mut stream: TcpStream, transport: Transport) {
    // Answers are small; waiting to fill a packet would only slow tests down.
    let _ = stream.set_nodelay(true);
    match transport {
        Transport::Plain => {
            Session::new(shared, stream).run().await;
        }
        Transport::Tls(certificates) => match certificates.config(shared.faults.tls()) {
            None => {
                shared.note("imap", Some("TLS"), "refused");
                let _ = stream.write_all(&HANDSHAKE_FAILURE).await;
                let _ = stream.shutdown().await;
            }
            Some(config) => match TlsAcceptor::from(config).accept(stream).await {
                Ok(stream) => {
                    Session::new(shared, stream).run().await;
                }
                Err(_) => shared.note("imap", Some("TLS"), "failed"),
            },
        },
    }
}
