//! What a mail is: bounce, automatic answer, report, bulk, or written by a person.
