//! A reverse proxy with TLS that serves Mailgrant below a path, as an operator would put one before it.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::certs::{LeafOptions, TestCa};
use super::guard::short_dir;

/// A running proxy; dropping it ends it.
pub struct TlsProxy {
    /// `https://localhost:PORT` and the path.
    pub url: String,
    ca_file: PathBuf,
    serving: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl TlsProxy {
    /// Takes a port for a proxy that leads to another port once it is told.
    pub async fn start(path: &'static str, upstream: u16) -> Self {
        let ca = TestCa::new();
        let dir = short_dir();
        let ca_file = ca.write(dir.path());
        let leaf = ca.issue(&LeafOptions::default());
        let acceptor = TlsAcceptor::from(leaf.server_config());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let _ = serve(acceptor, stream, path, upstream).await;
                });
            }
        });
        Self {
            url: format!("https://localhost:{port}{path}"),
            ca_file,
            serving,
            _dir: dir,
        }
    }

    /// The authority of its certificate.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}

/// One request: the path is taken off, everything else goes through; then the connection closes.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream, path: &str, upstream: u16) -> std::io::Result<()> {
    let mut client = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    let end = loop {
        let mut part = [0_u8; 4096];
        let n = client.read(&mut part).await?;
        if n == 0 {
            return Ok(());
        }
        head.extend_from_slice(&part[..n]);
        if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8_lossy(&head[..end]).into_owned();
    let mut lines = text.split("\r\n");
    let first = lines
        .next()
        .unwrap_or_default()
        .replacen(&format!(" {path}/"), " /", 1);
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut sent = first;
    for line in kept {
        sent.push_str("\r\n");
        sent.push_str(line);
    }
    sent.push_str("\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n\r\n");
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    server.write_all(sent.as_bytes()).await?;
    server.write_all(&head[end + 4..]).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    client.shutdown().await
}
