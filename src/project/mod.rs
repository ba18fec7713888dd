//! Projects: a home for tickets with a key, and who its members are.
//!
//! A member is named by the id of a person; who that is, `account` knows.

mod member;
mod service;
mod store;

pub use member::{
    MemberError, Membership, Provided, change_member, leave_all_in, members_of, memberships, remove_member,
    remove_member_in, roles_in, roles_of, set_member, set_member_in,
};
pub use service::{NewProject, ProjectChange, ProjectError, create, get, get_by_key, list, update};
pub use store::Project;

pub(crate) use service::get_in;
pub(crate) use store::{lock, next_number};
