//! Projects: a home for tickets with a key. Members and roles are not here yet: every user is a site admin.

mod service;
mod store;

pub use service::{NewProject, ProjectChange, ProjectError, create, get, get_by_key, list, update};
pub use store::Project;

pub(crate) use store::{lock, next_number};
