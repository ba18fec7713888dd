//! One conversation with a mail server: sign-in, then one mail after the other, each command bounded in time.
//!
//! Handing a mail over is two calls, so that the caller can note that it begins between them: once the last dot is on
//! its way, only the server knows whether it has the mail.

use std::error::Error as _;
use std::fmt::Display;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::Error as WireError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::compose::Address;
use super::connect::{Endpoint, Patience, TlsMode};
use super::error::{Reply, SmtpError, Stage};
use crate::oauth2_client::printable;

/// How to sign in.
#[derive(Clone, Copy, Debug)]
pub enum SignIn<'a> {
    /// An access token (XOAUTH2).
    Token {
        /// The account.
        user: &'a str,
        /// Its token.
        token: &'a SecretString,
    },
    /// A password (PLAIN), for a mail server of one's own.
    Password {
        /// The account.
        user: &'a str,
        /// Its password.
        password: &'a SecretString,
    },
}

/// A mail server that greeted.
pub struct Session {
    connection: AsyncSmtpConnection,
    host: String,
    tls: TlsMode,
    patience: Patience,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.host)
    }
}

impl Session {
    pub(super) fn new(connection: AsyncSmtpConnection, endpoint: &Endpoint) -> Self {
        Self {
            connection,
            host: endpoint.host.clone(),
            tls: endpoint.tls,
            patience: endpoint.patience,
        }
    }

    /// What the server offers, for people.
    pub fn offers(&self) -> String {
        printable(&self.connection.server_info().to_string())
    }

    /// Signs in. Never without TLS.
    ///
    /// # Errors
    /// [`SmtpError::SignInRefused`] when the account is refused; others when the conversation breaks.
    pub async fn sign_in(&mut self, how: SignIn<'_>) -> Result<(), SmtpError> {
        use lettre::transport::smtp::authentication::Mechanism;
        if self.tls == TlsMode::None {
            return Err(SmtpError::PlainRefused {
                host: self.host.clone(),
            });
        }
        let (mechanism, wanted, first) = match how {
            SignIn::Token { user, token } => (
                Mechanism::Xoauth2,
                "XOAUTH2",
                format!("user={user}\x01auth=Bearer {}\x01\x01", token.expose_secret()),
            ),
            SignIn::Password { user, password } => (
                Mechanism::Plain,
                "PLAIN",
                format!("\0{user}\0{}", password.expose_secret()),
            ),
        };
        if !self.connection.server_info().supports_auth_mechanism(mechanism) {
            return Err(SmtpError::NoMechanism {
                host: self.host.clone(),
                wanted,
            });
        }
        let line = format!("AUTH {wanted} {}\r\n", STANDARD.encode(first));
        let answer = match self.say(Stage::SignIn, line).await {
            Err(SmtpError::Refused { reply, .. }) => {
                return Err(refused_sign_in(reply, None));
            }
            other => other?,
        };
        if !answer.has_code(334) {
            return Ok(());
        }
        // A challenge after the token says in JSON what is wrong with it; the refusal itself follows an empty line.
        let challenge = answer
            .message()
            .next()
            .and_then(|line| STANDARD.decode(line.trim()).ok())
            .map(|json| printable(&String::from_utf8_lossy(&json)));
        match self.say(Stage::SignIn, "\r\n").await {
            Err(SmtpError::Refused { reply, .. }) => Err(refused_sign_in(reply, challenge)),
            Err(error) => Err(error),
            Ok(_) => Err(SmtpError::Protocol {
                host: self.host.clone(),
                what: "it asked for more after the sign-in".into(),
            }),
        }
    }

    /// Names sender and recipients and asks for leave to hand over: everything that can be refused before a byte of
    /// the mail was sent. All recipients must be taken; otherwise none gets the mail.
    ///
    /// # Errors
    /// The refusal, or how the conversation broke. The server has nothing then.
    pub async fn prepare(&mut self, from: &Address, to: &[Address]) -> Result<(), SmtpError> {
        let mut parameters = Vec::new();
        if let Some(address) = to
            .iter()
            .chain([from])
            .find(|address| !address.email().is_ascii())
        {
            let offered = self.connection.server_info();
            if !offered.supports_feature(Extension::SmtpUtfEight)
                || !offered.supports_feature(Extension::EightBitMime)
            {
                return Err(SmtpError::NeedsUtf8 {
                    host: self.host.clone(),
                    address: address.email().to_owned(),
                });
            }
            parameters.push(MailParameter::SmtpUtfEight);
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        self.say(Stage::Sender, Mail::new(Some(from.wire()), parameters))
            .await?;
        for address in to {
            let taken = self
                .say(Stage::Recipient, Rcpt::new(address.wire(), Vec::new()))
                .await;
            taken.map_err(|error| about(error, address.email()))?;
        }
        Ok(())
    }

    /// Hands the mail over; on success the server has taken it and its last words are returned.
    ///
    /// # Errors
    /// [`SmtpError::Unknown`] if the server may have taken it; with every other error it has not.
    pub async fn hand_over(&mut self, mail: &[u8]) -> Result<Reply, SmtpError> {
        self.say(Stage::Data, Data).await?;
        let unknown = |what| SmtpError::Unknown {
            host: self.host.clone(),
            what,
        };
        match timeout(self.patience.with_mail, self.connection.message(mail)).await {
            Ok(Ok(answer)) => Ok(reply_of(&answer)),
            Ok(Err(error)) if error.status().is_some() => Err(understand(&self.host, Stage::Content, &error)),
            // An answer that cannot be read says no more than none.
            Ok(Err(_)) => Err(unknown("hung up")),
            Err(_) => Err(unknown("did not answer in time")),
        }
    }

    /// Makes the session ready for another mail after a refusal.
    ///
    /// # Errors
    /// When the server does not answer to it.
    pub async fn reset(&mut self) -> Result<(), SmtpError> {
        self.say(Stage::Sender, Rset).await.map(drop)
    }

    /// Says goodbye; whether it is heard does not matter.
    pub async fn quit(mut self) {
        let _ = timeout(Duration::from_secs(5), self.connection.command(Quit)).await;
    }

    async fn say(&mut self, stage: Stage, command: impl Display) -> Result<Response, SmtpError> {
        match timeout(self.patience.answer, self.connection.command(command)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(understand(&self.host, stage, &error)),
            Err(_) => Err(SmtpError::Lost {
                host: self.host.clone(),
                stage,
                what: "did not answer in time",
            }),
        }
    }
}

/// Names the recipient that was refused, if the server did not.
fn about(error: SmtpError, address: &str) -> SmtpError {
    match error {
        SmtpError::Refused { stage, mut reply } if !reply.text.contains(address) => {
            reply.text = format!("{address}: {}", reply.text);
            SmtpError::Refused { stage, reply }
        }
        other => other,
    }
}

fn refused_sign_in(reply: Reply, challenge: Option<String>) -> SmtpError {
    SmtpError::SignInRefused { reply, challenge }
}

fn reply_of(answer: &Response) -> Reply {
    let text = answer.message().collect::<Vec<_>>().join(" ");
    Reply::new(answer.code().into(), &text)
}

/// What an error of the library means at this point.
pub(super) fn understand(host: &str, stage: Stage, error: &WireError) -> SmtpError {
    let source = || error.source().map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => SmtpError::Refused {
            stage,
            reply: Reply::new(code.into(), &source()),
        },
        // The library's word for an end in the middle of an answer.
        None if error.is_response() && source() == "incomplete response" => SmtpError::Lost {
            host: host.to_owned(),
            stage,
            what: "hung up",
        },
        None if error.is_response() || error.is_client() => SmtpError::Protocol {
            host: host.to_owned(),
            what: printable(&source()),
        },
        None => SmtpError::Lost {
            host: host.to_owned(),
            stage,
            what: "hung up",
        },
    }
}
