//! What can go wrong with accounts, in words for the person in front of the form.

use sea_orm::DbErr;

use crate::crypto::MIN_PASSWORD_CHARS;

/// Why an account operation was refused. The texts may be shown; they hold nothing that was typed but the address.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not an address.
    #[error("write the whole e-mail address, for example ada@example.org")]
    BadEmail,
    /// The address has an account.
    #[error("{0} has an account already")]
    DuplicateEmail(String),
    /// Too few characters.
    #[error("the password is too short: use at least {MIN_PASSWORD_CHARS} characters, a sentence does well")]
    ShortPassword,
    /// So many characters that hashing it would be an attack.
    #[error("the password is too long: use at most {MAX_PASSWORD_CHARS} characters")]
    LongPassword,
    /// The password is the address or the name.
    #[error("the password must not be the e-mail address or the name")]
    GuessablePassword,
    /// One of the first that attackers try.
    #[error(
        "this password is among the first that attackers try: it is made of common words, of names around this account, or of neighbouring keys; a sentence does well"
    )]
    CommonPassword,
    /// The old password was not right.
    #[error("the present password is wrong")]
    WrongPassword,
    /// Empty or too long.
    #[error("the name must have 1 to {MAX_NAME_CHARS} characters")]
    BadName,
    /// No telephone number.
    #[error(
        "a phone number has 3 to 40 digits, spaces and + - ( ) . /, best with + and the country's number in front"
    )]
    BadPhone,
    /// Too long, or with characters no address has.
    #[error("an address has at most 500 characters")]
    BadAddress,
    /// Address and password do not belong together. Said of unknown and disabled accounts too.
    #[error("address or password is wrong")]
    WrongCredentials,
    /// Too many wrong passwords.
    #[error("too many attempts; try again in {retry_after} s")]
    TooManyAttempts {
        /// Seconds to wait.
        retry_after: i64,
    },
    /// A link that was used, replaced or is too old.
    #[error("this link was used already, was replaced by a newer one, or is too old")]
    DeadLink,
    /// The set-up was done.
    #[error("Mailgrant is set up already; sign in instead")]
    AlreadySetUp,
    /// A code that fits not, or not any more.
    #[error("the code is wrong, or was used already")]
    WrongCode,
    /// A secret that was not offered to this person.
    #[error("this page is too old; load it again")]
    DeadOffer,
    /// A sealed secret does not open.
    #[error("a stored secret does not open: {0}")]
    Sealed(String),
    /// Nobody does this to themselves.
    #[error("this is your own account; another site admin has to do that")]
    OwnAccount,
    /// Somebody else changed it.
    #[error("somebody else changed this person meanwhile; load it again")]
    Conflict,
    /// The person was removed for good.
    #[error("this person was removed; make a new account instead")]
    Removed,
    /// The last one who could let the others in.
    #[error("this is the only site admin who can sign in; make another one first")]
    LastAdmin,
    /// A token that could do nothing.
    #[error("choose at least one scope")]
    NoScope,
    /// A token narrowed to no project at all.
    #[error("name at least one project, or narrow the token to none")]
    NoProject,
    /// A token that ended before it began.
    #[error("the end must be in the future")]
    PastEnd,
    /// Nothing with this id.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The hashing thread failed.
    #[error("the password could not be hashed; try again")]
    Hashing,
    /// The database failed.
    #[error("database: {0}")]
    Db(#[from] DbErr),
}

/// Longest password accepted, in characters.
pub(super) const MAX_PASSWORD_CHARS: usize = 512;
/// Longest name of a person or token, in characters.
pub(super) const MAX_NAME_CHARS: usize = 100;

impl AccountError {
    /// Machine code, snake_case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadEmail => "bad_email",
            Self::DuplicateEmail(_) => "duplicate_email",
            Self::ShortPassword => "password_too_short",
            Self::LongPassword => "password_too_long",
            Self::GuessablePassword => "password_guessable",
            Self::CommonPassword => "password_common",
            Self::WrongPassword => "wrong_password",
            Self::BadName => "bad_name",
            Self::BadPhone => "bad_phone",
            Self::BadAddress => "bad_address",
            Self::WrongCredentials => "wrong_credentials",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::DeadLink => "dead_link",
            Self::AlreadySetUp => "already_set_up",
            Self::WrongCode => "wrong_code",
            Self::DeadOffer => "dead_offer",
            Self::Sealed(_) => "sealed",
            Self::OwnAccount => "own_account",
            Self::Conflict => "revision_conflict",
            Self::Removed => "person_removed",
            Self::LastAdmin => "last_admin",
            Self::NoScope => "no_scope",
            Self::NoProject => "no_project",
            Self::PastEnd => "past_end",
            Self::NotFound(_) => "not_found",
            Self::Hashing => "hashing_failed",
            Self::Db(_) => "database_error",
        }
    }

    /// The form field it belongs beside, if any: `email`, `name` or `password`.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::BadEmail | Self::DuplicateEmail(_) => Some("email"),
            Self::ShortPassword | Self::LongPassword | Self::GuessablePassword | Self::CommonPassword => {
                Some("password")
            }
            Self::WrongPassword => Some("old_password"),
            Self::BadName => Some("name"),
            Self::BadPhone => Some("phone"),
            Self::BadAddress => Some("address"),
            Self::WrongCode => Some("code"),
            Self::NoScope => Some("scopes"),
            Self::NoProject => Some("projects"),
            Self::PastEnd => Some("expiresAt"),
            _ => None,
        }
    }
}
