//! What roles and tokens leave over for one request.

use super::*;

fn members(list: &[(&str, Role)]) -> BTreeMap<String, Role> {
    list.iter().map(|(id, role)| ((*id).to_owned(), *role)).collect()
}

fn only(ids: &[&str]) -> Projects {
    Projects::Only(ids.iter().map(|id| (*id).to_owned()).collect())
}

fn narrowed(ids: &[&str]) -> Option<BTreeSet<String>> {
    Some(ids.iter().map(|id| (*id).to_owned()).collect())
}

#[test]
fn a_role_counts_in_its_own_project_only() {
    let eve = Access::person(
        "usr_e",
        false,
        members(&[("a", Role::Viewer), ("b", Role::ProjectAdmin)]),
    );
    assert_eq!(eve.projects_with(Scope::TicketsRead), only(&["a", "b"]));
    assert_eq!(eve.projects_with(Scope::TicketsWrite), only(&["b"]));
    assert!(eve.may(Scope::MailboxesWrite, "b") && !eve.may(Scope::MailboxesWrite, "a"));
    assert_eq!(eve.projects_with(Scope::IntegrationsWrite), Projects::none());
    let at = eve.at(Need::Scope(Scope::MessagesSend)).unwrap();
    assert_eq!(at.projects(), only(&["b"]));
    assert_eq!(
        eve.at(Need::Site(Scope::ProjectsWrite)).unwrap_err(),
        Refusal::Site
    );
    assert_eq!(eve.at(Need::Role(Role::SiteAdmin)).unwrap_err(), Refusal::Site);
}

#[test]
fn a_token_never_exceeds_what_its_owner_may_do_now() {
    let everything = Scopes::from_iter([Scope::Admin]);
    let viewer = Access::person("usr_v", false, members(&[("a", Role::Viewer)]));
    let token = viewer.by_token("tok_1", everything, None);
    assert_eq!(token.projects_with(Scope::TicketsRead), only(&["a"]));
    assert_eq!(
        token.at(Need::Scope(Scope::TicketsWrite)).unwrap_err(),
        Refusal::Role
    );
    assert!(token.at(Need::Own(Scope::Admin)).is_ok());
    let stranger = Access::person("usr_s", false, BTreeMap::new()).by_token("tok_2", everything, None);
    for scope in Scope::ALL {
        assert_eq!(
            stranger.at(Need::Scope(*scope)).unwrap_err(),
            Refusal::Role,
            "{scope}"
        );
    }
}

#[test]
fn a_narrowed_token_reaches_nothing_else_not_even_the_site() {
    let token = Access::machine().by_token("tok_1", Scopes::ALL, narrowed(&["a"]));
    assert_eq!(token.projects_with(Scope::TicketsRead), only(&["a"]));
    assert!(!token.is_site_admin());
    assert_eq!(token.at(Need::Site(Scope::Admin)).unwrap_err(), Refusal::Site);
    let agent = Access::person("usr_a", false, members(&[("a", Role::Agent), ("b", Role::Agent)]));
    let token = agent.by_token("tok_2", Scopes::ALL, narrowed(&["b", "c"]));
    assert_eq!(token.projects_with(Scope::TicketsWrite), only(&["b"]));
    let elsewhere = Access::person("usr_a", false, members(&[("a", Role::Agent)]));
    let token = elsewhere.by_token("tok_3", Scopes::ALL, narrowed(&["c"]));
    assert_eq!(
        token.at(Need::Scope(Scope::TicketsRead)).unwrap_err(),
        Refusal::Role
    );
}

#[test]
fn the_missing_scope_is_named() {
    let token = Access::machine().by_token("tok_1", Scopes::parse("tickets:read").unwrap(), None);
    assert!(token.at(Need::Scope(Scope::TicketsRead)).is_ok());
    let refused = token.at(Need::Scope(Scope::TicketsWrite)).unwrap_err();
    assert_eq!(refused, Refusal::Scope(Scope::TicketsWrite));
    assert_eq!(token.projects_with(Scope::TicketsWrite), Projects::none());
}

#[test]
fn writing_includes_reading_and_admin_everything() {
    let scopes = Scopes::parse("tickets:write  projects:read").unwrap();
    assert_eq!(scopes.to_string(), "tickets:write projects:read");
    assert!(scopes.allow(Scope::TicketsRead) && !scopes.allow(Scope::ProjectsWrite));
    assert!(!scopes.allow(Scope::MessagesSend) && !scopes.allow(Scope::Admin));
    assert_eq!(
        Scopes::parse("tickets:read ticket:write"),
        Err("ticket:write".to_owned())
    );
    let admin = Scopes::parse("admin").unwrap();
    assert!(Scope::ALL.iter().all(|scope| admin.allow(*scope)));
    assert!(admin.cover(scopes) && !scopes.cover(admin) && scopes.cover(scopes));
    assert!(Scopes::default().is_empty() && !admin.is_empty());
}

#[test]
fn what_belongs_to_no_project_is_seen_by_the_site_only() {
    assert!(Projects::All.contains(""));
    assert!(!only(&["a"]).contains("") && !Projects::default().contains("a"));
    assert_eq!(only(&["a", "b"]).only("b"), only(&["b"]));
    assert_eq!(only(&["a"]).only("b"), Projects::none());
}

#[test]
fn roles_grow_and_are_read_back_by_their_word() {
    for scope in Scope::ALL {
        let mut allowed = false;
        for role in [Role::Viewer, Role::Agent, Role::ProjectAdmin, Role::SiteAdmin] {
            assert!(role.allows(*scope) || !allowed, "{role:?} lost {scope}");
            allowed = role.allows(*scope);
        }
        assert!(allowed, "a site admin may {scope}");
    }
    for role in Role::OF_MEMBERS {
        assert_eq!(Role::of_member(role.as_str()), Some(role));
    }
    assert_eq!(Role::of_member("site_admin"), None);
}
