//! The form of an identity provider: what was typed as values, and values as what is typed.

use super::desk::Desk;
use super::views::Section;
use super::views::identity_providers::{ProviderForm, ProviderValues};
use super::views::parts::{Choice, FormErrors};
use crate::access::Role;
use crate::project::Project;
use crate::sso::{
    self, ClientAuth, Connection, FirstAdmin, GroupRule, IdentityProvider, Policy, Preset, ProviderInput,
};
use crate::web::error::Problem;
use crate::web::extract::FormData;

pub(super) fn input_of(found: &IdentityProvider) -> ProviderInput {
    ProviderInput {
        name: found.name.clone(),
        connection: found.connection.clone(),
        policy: found.policy.clone(),
        client_secret: None,
    }
}

/// Names of fields, from those of the API to those of the form.
pub(super) fn tell(wrong: Vec<crate::trouble::FieldError>, errors: &mut FormErrors) {
    for error in wrong {
        let mut name = String::new();
        for c in error.field.chars() {
            if c.is_uppercase() {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        }
        let name = match name.as_str() {
            "first_admin" => "first_email".to_owned(),
            _ => name,
        };
        errors.add(name, error.message);
    }
}

pub(super) fn read(sent: &FormData, projects: &[Project], errors: &mut FormErrors) -> ProviderInput {
    let text = |name: &str| sent.text(name).to_owned();
    let list = |name: &str| -> Vec<String> {
        sent.text(name)
            .split([' ', ',', '\n', '\r', '\t'])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    ProviderInput {
        name: text("name"),
        connection: Connection {
            preset: Preset::parse(sent.text("preset")).unwrap_or_default(),
            issuer: text("issuer"),
            tenant: text("tenant"),
            discovery: sent.text("discovery") != "off",
            authorization_endpoint: text("authorization_endpoint"),
            token_endpoint: text("token_endpoint"),
            jwks_uri: text("jwks_uri"),
            userinfo_endpoint: text("userinfo_endpoint"),
            end_session_endpoint: text("end_session_endpoint"),
            revocation_endpoint: text("revocation_endpoint"),
            other_hosts: list("other_hosts"),
            client_id: text("client_id"),
            auth_method: ClientAuth::parse(sent.text("auth_method")).unwrap_or_default(),
            scopes: list("scopes"),
        },
        policy: Policy {
            name_claims: list("name_claims"),
            domains: list("domains"),
            create_accounts: sent.is_checked("create_accounts"),
            link_by_email: sent.is_checked("link_by_email"),
            link_claim: text("link_claim"),
            trust_email: sent.is_checked("trust_email"),
            default_role: Role::of_member(sent.text("default_role")).unwrap_or(Role::Viewer),
            default_projects: sent
                .all("default_projects")
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
                .collect(),
            groups_claim: text("groups_claim"),
            group_rules: rules(sent.text("group_rules"), projects, errors),
            local_sign_in: sent.is_checked("local_sign_in"),
            // What is no number is refused beside its field.
            recheck_minutes: sent.text("recheck_minutes").trim().parse().unwrap_or(-1),
            first_admin: FirstAdmin {
                subject: text("first_subject"),
                email: text("first_email"),
            },
        },
        client_secret: Some(sent.secret("client_secret"))
            .filter(|secret| !secrecy::ExposeSecret::expose_secret(secret).is_empty()),
    }
}

/// Lines of `group = role in KEY`.
fn rules(text: &str, projects: &[Project], errors: &mut FormErrors) -> Vec<GroupRule> {
    let mut rules = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match rule(line, projects) {
            Some(rule) => rules.push(rule),
            None => errors.add(
                "group_rules",
                format!(
                    "“{line}” gives nothing. Write for example: helpdesk = agent in HELP. Roles: viewer, agent, \
                     project_admin, each in a project, and site_admin."
                ),
            ),
        }
    }
    rules
}

fn rule(line: &str, projects: &[Project]) -> Option<GroupRule> {
    // The last sign counts: names of groups may hold one.
    let (group, gives) = line.rsplit_once('=')?;
    let group = group.trim().to_owned();
    let mut words = gives.split_whitespace();
    let role = words.next()?;
    if role == "site_admin" {
        return words.next().is_none().then_some(GroupRule {
            group,
            role: Role::SiteAdmin,
            project_id: String::new(),
        });
    }
    let role = Role::of_member(role)?;
    let key = words.next().filter(|word| *word == "in").and(words.next())?;
    let project = projects.iter().find(|project| project.key == key)?;
    words.next().is_none().then(|| GroupRule {
        group,
        role,
        project_id: project.id.clone(),
    })
}

pub(super) fn rule_lines(policy: &Policy, projects: &[Project]) -> String {
    let lines: Vec<String> = policy
        .group_rules
        .iter()
        .map(|rule| match rule.project_id.as_str() {
            "" => format!("{} = {}", rule.group, rule.role.as_str()),
            id => {
                let key = projects
                    .iter()
                    .find(|project| project.id == id)
                    .map_or(id, |project| &project.key);
                format!("{} = {} in {key}", rule.group, rule.role.as_str())
            }
        })
        .collect();
    lines.join("\n")
}

pub(super) fn values(input: &ProviderInput, projects: &[Project], revision: &str) -> ProviderValues {
    let (connection, policy) = (&input.connection, &input.policy);
    ProviderValues {
        revision: revision.to_owned(),
        preset: connection.preset.as_str().to_owned(),
        name: input.name.clone(),
        issuer: connection.issuer.clone(),
        tenant: connection.tenant.clone(),
        authorization_endpoint: connection.authorization_endpoint.clone(),
        token_endpoint: connection.token_endpoint.clone(),
        jwks_uri: connection.jwks_uri.clone(),
        userinfo_endpoint: connection.userinfo_endpoint.clone(),
        end_session_endpoint: connection.end_session_endpoint.clone(),
        revocation_endpoint: connection.revocation_endpoint.clone(),
        other_hosts: connection.other_hosts.join(" "),
        client_id: connection.client_id.clone(),
        scopes: connection.scopes.join(" "),
        name_claims: policy.name_claims.join(" "),
        domains: policy.domains.join(" "),
        create_accounts: policy.create_accounts,
        link_by_email: policy.link_by_email,
        link_claim: policy.link_claim.clone(),
        trust_email: policy.trust_email,
        groups_claim: policy.groups_claim.clone(),
        group_rules: rule_lines(policy, projects),
        local_sign_in: policy.local_sign_in,
        recheck_minutes: policy.recheck_minutes.to_string(),
        first_subject: policy.first_admin.subject.clone(),
        first_email: policy.first_admin.email.clone(),
    }
}

/// What the form holds, as typed.
pub(super) fn typed(sent: &FormData) -> ProviderValues {
    let text = |name: &str| sent.text(name).to_owned();
    ProviderValues {
        revision: text("revision"),
        preset: text("preset"),
        name: text("name"),
        issuer: text("issuer"),
        tenant: text("tenant"),
        authorization_endpoint: text("authorization_endpoint"),
        token_endpoint: text("token_endpoint"),
        jwks_uri: text("jwks_uri"),
        userinfo_endpoint: text("userinfo_endpoint"),
        end_session_endpoint: text("end_session_endpoint"),
        revocation_endpoint: text("revocation_endpoint"),
        other_hosts: text("other_hosts"),
        client_id: text("client_id"),
        scopes: text("scopes"),
        name_claims: text("name_claims"),
        domains: text("domains"),
        create_accounts: sent.is_checked("create_accounts"),
        link_by_email: sent.is_checked("link_by_email"),
        link_claim: text("link_claim"),
        trust_email: sent.is_checked("trust_email"),
        groups_claim: text("groups_claim"),
        group_rules: text("group_rules"),
        local_sign_in: sent.is_checked("local_sign_in"),
        recheck_minutes: text("recheck_minutes"),
        first_subject: text("first_subject"),
        first_email: text("first_email"),
    }
}

pub(super) async fn form(
    desk: &Desk,
    stored: Option<&IdentityProvider>,
    input: &ProviderInput,
    values: ProviderValues,
    projects: &[Project],
    errors: FormErrors,
) -> Result<ProviderForm, Problem> {
    let title = stored.map_or_else(
        || "New identity provider".to_owned(),
        |found| format!("Edit {}", found.name),
    );
    let method = |method: ClientAuth, label| {
        Choice::new(method.as_str(), label, input.connection.auth_method == method)
    };
    Ok(ProviderForm {
        page: desk.page(title, Section::Settings).await?,
        id: stored.map(|found| found.id.clone()),
        action: stored.map_or_else(
            || "/identity-providers".to_owned(),
            |found| format!("/identity-providers/{}", found.id),
        ),
        hint: sso::start(input.connection.preset).hint.to_owned(),
        values,
        auth_methods: vec![
            method(
                ClientAuth::ClientSecretBasic,
                "Client secret in the header (basic)",
            ),
            method(ClientAuth::ClientSecretPost, "Client secret in the body (post)"),
            method(ClientAuth::PrivateKeyJwt, "Signed assertion (private_key_jwt)"),
        ],
        discovery: vec![
            Choice::new(
                "on",
                "From the issuer's discovery document",
                input.connection.discovery,
            ),
            Choice::new("off", "By hand, as entered below", !input.connection.discovery),
        ],
        roles: Role::OF_MEMBERS
            .iter()
            .map(|role| Choice::new(role.as_str(), role.label(), input.policy.default_role == *role))
            .collect(),
        projects: projects
            .iter()
            .map(|project| {
                let chosen = input.policy.default_projects.contains(&project.id);
                Choice::new(project.id.clone(), place(project), chosen)
            })
            .collect(),
        secret_set: stored.is_some_and(|found| found.has_secret),
        errors,
    })
}

pub(super) fn place(project: &Project) -> String {
    format!("{}, {}", project.key, project.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_a_group_gives() {
        let project = Project {
            id: "prj_1".into(),
            key: "HELP".into(),
            name: "Help desk".into(),
            description: String::new(),
            next_number: 1,
            revision: 1,
            created_at: 0,
            updated_at: 0,
        };
        let projects = [project];
        let read =
            |line: &str| rule(line, &projects).map(|rule| (rule.group, rule.role.as_str(), rule.project_id));
        let given = |group: &str, role, id: &str| Some((group.to_owned(), role, id.to_owned()));
        assert_eq!(
            read("helpdesk = agent in HELP"),
            given("helpdesk", "agent", "prj_1")
        );
        assert_eq!(
            read("cn=a,dc=b = site_admin"),
            given("cn=a,dc=b", "site_admin", "")
        );
        for wrong in [
            "helpdesk",
            "a = agent",
            "a = boss in HELP",
            "a = agent in OPS",
            "a = site_admin in HELP",
            "a = agent in HELP x",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let policy = Policy {
            group_rules: vec![rule("a b = viewer in HELP", &projects).unwrap()],
            ..Policy::default()
        };
        assert_eq!(rule_lines(&policy, &projects), "a b = viewer in HELP");
    }
}
