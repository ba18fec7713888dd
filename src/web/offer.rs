//! What pages offer: a link or a button is drawn only for people whom its route lets through. The templates ask here, so
//! that the route table alone says who may do what.

use actix_web::http::Method;

use super::route::Route;
use crate::access::{Need, Role};

/// The pages' routes, those with fewer parameters first.
pub(super) struct Offers {
    routes: Vec<(Method, Vec<&'static str>, Option<Need>)>,
}

impl Offers {
    pub(super) fn of(table: &[Route]) -> Self {
        let mut routes: Vec<_> = table
            .iter()
            .filter(|route| !route.guard.is_rest())
            .map(|route| {
                let parts: Vec<&'static str> = route.path.split('/').collect();
                (route.method.clone(), parts, route.guard.need())
            })
            .collect();
        routes
            .sort_by_key(|(_, parts, _)| parts.iter().map(|part| part.starts_with('{')).collect::<Vec<_>>());
        Self { routes }
    }

    /// Whether somebody with this role is let through at an address. What is no page of ours is offered to all.
    pub(super) fn is_offered(&self, method: &str, address: &str, role: &str) -> bool {
        let path = address.split(['?', '#']).next().unwrap_or_default();
        let asked: Vec<&str> = path.split('/').collect();
        let found = self.routes.iter().find(|(known, parts, _)| {
            known.as_str() == method
                && parts.len() == asked.len()
                && parts
                    .iter()
                    .zip(&asked)
                    .all(|(part, asked)| part.starts_with('{') || part == asked)
        });
        match found {
            Some((_, _, Some(Need::Role(least)))) => rank(role) > *least as usize,
            _ => true,
        }
    }
}

/// The place of a role by its word; 0 for none.
fn rank(role: &str) -> usize {
    [Role::Viewer, Role::Agent, Role::ProjectAdmin, Role::SiteAdmin]
        .into_iter()
        .find(|known| known.as_str() == role)
        .map_or(0, |role| role as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_offered_to_those_whom_its_route_lets_through() {
        let offers = Offers::of(&crate::web::routes());
        let is_offered = |method, path, role| offers.is_offered(method, path, role);
        assert!(is_offered("GET", "/tickets?state=open", "viewer"));
        assert!(!is_offered("GET", "/tickets", ""), "no role anywhere");
        assert!(!is_offered("POST", "/tickets/HELP-1/notes", "viewer"));
        assert!(is_offered("POST", "/tickets/HELP-1/notes", "agent"));
        assert!(!is_offered("GET", "/mailboxes/new?project=prj_1", "agent"));
        assert!(is_offered("GET", "/mailboxes/new?project=prj_1", "project_admin"));
        assert!(!is_offered("GET", "/users/invite", "project_admin"));
        assert!(is_offered("GET", "/users/invite", "site_admin"));
        assert!(is_offered("GET", "/profile", ""), "everybody has one");
        assert!(is_offered("GET", "https://elsewhere.example/", ""));
    }
}
