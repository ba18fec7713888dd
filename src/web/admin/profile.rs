//! My profile: name, look, password, second factor, sessions.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::once::once;
use super::views::account::{EnrolStep, RecoveryCodes};
use super::views::parts::{Badge, Confirm, FormErrors, Tone};
use super::views::profile::{FactorFacts, Profile, SessionRow};
use super::views::settings::Settings;
use super::views::{Section, Theme};
use super::{qr, second_step, token_list, words};
use secrecy::{ExposeSecret, SecretString};

use crate::account::{
    self, AccountError, FlashKind, NewSession, Offer, PersonChange, Proof, SessionInfo, Tokens,
};
use crate::alert;
use crate::crypto::MIN_PASSWORD_CHARS;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};
use crate::web::{people, respond};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/profile", Guard::Person, || web::to(page)),
    Route::post("/profile", Guard::Person, || web::to(rename)),
    Route::post("/profile/email", Guard::Person, || web::to(ask_for_email)),
    Route::post("/profile/mail", Guard::Person, || web::to(choose_mail)),
    Route::post("/profile/password", Guard::Person, || web::to(change_password)),
    Route::get("/profile/second-factor", Guard::Person, || web::to(enrol_page)),
    Route::post("/profile/second-factor", Guard::Person, || web::to(enrol)),
    Route::post("/profile/second-factor/codes", Guard::Person, || {
        web::to(new_codes)
    }),
    Route::get("/profile/second-factor/remove", Guard::Person, || {
        web::to(ask_second_factor_off)
    }),
    Route::post("/profile/second-factor/remove", Guard::Person, || {
        web::to(second_factor_off)
    }),
    Route::post("/profile/sessions/end-others", Guard::Person, || {
        web::to(end_other_sessions)
    }),
    Route::post("/profile/sessions/{id}/end", Guard::Person, || {
        web::to(end_session)
    }),
];

async fn page(desk: Desk) -> Answer {
    let typed = PersonChange::default();
    desk.show(&view(&desk, typed, FormErrors::default()).await?)
}

/// The page with what was typed; where nothing was, with what is.
async fn view(desk: &Desk, typed: PersonChange, errors: FormErrors) -> Result<Profile, Problem> {
    let user = desk.current.user();
    let sessions = account::sessions_of(&desk.ctx.db, &desk.ctx.clock, Some(&user.id)).await?;
    let own = &desk.current.session().id;
    let factor = account::second_factor(&desk.ctx, &user.id).await?;
    Ok(Profile {
        page: desk.page("My profile", Section::Profile).await?,
        name: typed.name.unwrap_or_else(|| user.name.clone()),
        email: user.email.clone(),
        phone: typed.phone.unwrap_or_else(|| user.phone.clone()),
        address: typed.address.unwrap_or_else(|| user.address.clone()),
        can_change_email: user.password_set_at.is_some() && people::can_mail(&desk.ctx).await?,
        themes: Settings::themes(Theme::from_value(&user.theme)),
        wants_mail: !alert::is_opted_out(desk.ctx.db.read(), &user.id).await?,
        is_site_admin: user.is_site_admin,
        password_set: user.password_set_at.map(|at| words::when(desk.now(), at)),
        password_min: u32::try_from(MIN_PASSWORD_CHARS).unwrap_or(u32::MAX),
        second_factor: factor.map(|factor| FactorFacts {
            since: words::when(desk.now(), factor.since),
            codes_left: u64::try_from(factor.codes_left).unwrap_or(0),
        }),
        factor_badge: if factor.is_some() {
            Badge::new(Tone::Ok, "On")
        } else {
            Badge::new(Tone::Muted, "Off")
        },
        is_factor_required: account::wants_second_factor(&desk.ctx.config, user),
        tokens: token_list::rows(desk, Some(&user.id))
            .await?
            .into_iter()
            .filter(|token| token.is_live)
            .collect(),
        sessions: sessions
            .iter()
            .map(|session| session_row(desk.now(), session, own))
            .collect(),
        errors,
    })
}

/// A session as its person and a site admin see it.
pub(super) fn session_row(now: i64, session: &SessionInfo, own: &str) -> SessionRow {
    SessionRow {
        id: session.id.clone(),
        is_this: session.id == own,
        browser: words::browser(&session.browser),
        browser_says: session.browser.clone(),
        address: session.address.clone(),
        how: how(&session.proof).to_owned(),
        since: words::when(now, session.created_at),
        used: words::when(now, session.last_seen_at),
    }
}

fn how(proof: &Proof) -> &'static str {
    if !proof.identity_provider_id.is_empty() {
        "Identity provider"
    } else if proof.has("mfa") {
        "Password and code"
    } else if proof.has("link") {
        "One-time link"
    } else {
        "Password"
    }
}

async fn rename(desk: Desk, form: FormData) -> Answer {
    let change = PersonChange {
        name: Some(form.text("name").to_owned()),
        phone: Some(form.text("phone").to_owned()),
        address: Some(form.text("address").to_owned()),
        ..PersonChange::default()
    };
    match people::change(&desk.ctx, desk.actor(), None, &change, desk.actor()).await {
        Ok(()) => desk.done("Your profile is saved.", "/profile").await,
        Err(error) => refused(&desk, change, "name", error).await,
    }
}

/// The page again with what is wrong; what belongs to no field is another matter.
async fn refused(desk: &Desk, typed: PersonChange, field: &str, error: AccountError) -> Answer {
    match error {
        error @ AccountError::TooManyAttempts { .. } => Err(error.into()),
        error if error.field().is_some() => {
            let errors = FormErrors::default().with(
                error.field().unwrap_or(field),
                &words::sentence(&error.to_string()),
            );
            desk.show_again(&view(desk, typed, errors).await?)
        }
        error => Err(error.into()),
    }
}

async fn ask_for_email(desk: Desk, form: FormData) -> Answer {
    match try_email(&desk, &form).await {
        Ok(()) => {
            let text = "If nobody else has that address, a mail with a link is on its way there; it counts once you opened \
                        it. Your present address is told.";
            desk.done(text, "/profile").await
        }
        Err(error @ AccountError::WrongPassword) => {
            let errors = FormErrors::default().with("email_password", &words::sentence(&error.to_string()));
            desk.show_again(&view(&desk, PersonChange::default(), errors).await?)
        }
        Err(error) => refused(&desk, PersonChange::default(), "email", error).await,
    }
}

async fn try_email(desk: &Desk, form: &FormData) -> Result<(), AccountError> {
    let (ctx, user) = (&desk.ctx, desk.current.user());
    let address = respond::client_address(desk.request());
    account::confirm_password(ctx, user, &form.secret("email_password"), &address).await?;
    let email = account::normal_email(form.text("email"));
    if !account::is_email(&email) || email == user.email {
        return Err(AccountError::BadEmail);
    }
    if !people::can_mail(ctx).await? || !account::may_be_mailed(ctx, user).await? {
        return Err(AccountError::TooManyAttempts { retry_after: 3_600 });
    }
    people::ask_for_email(ctx, user, &email).await
}

async fn choose_mail(desk: Desk, form: FormData) -> Answer {
    let wants = form.is_checked("alerts");
    alert::opt(desk.ctx.db.write(), desk.actor(), wants).await?;
    let text = if wants {
        "You get notifications by mail again."
    } else {
        "You get no notifications by mail any more."
    };
    desk.done(text, "/profile").await
}

async fn change_password(desk: Desk, form: FormData) -> Answer {
    // A first password is a way in that outlives the one it is made with, and there is no old one to ask for.
    if desk.current.user().password_set_at.is_none()
        && let Some(away) = desk.sign_in_again("/profile")
    {
        return away;
    }
    match try_password(&desk, &form).await {
        Ok(started) => {
            let text = "Your password is changed. Every other session has ended, and connected apps have lost their \
                        access until you allow it again.";
            let done =
                respond::see_other_with(&desk.ctx, &started.session, FlashKind::Success, text, "/profile");
            let mut response = done.await?;
            respond::keep_session(&desk.ctx, &mut response, &started)?;
            Ok(response)
        }
        Err(error) => refused(&desk, PersonChange::default(), "", error).await,
    }
}

async fn try_password(desk: &Desk, form: &FormData) -> Result<account::Started, AccountError> {
    let ctx = &desk.ctx;
    let user = desk.current.user();
    let address = respond::client_address(desk.request());
    let mut proof = desk.current.session().proof.clone();
    if user.password_set_at.is_some() {
        account::confirm_password(ctx, user, &form.secret("old_password"), &address).await?;
        proof.auth_time = Some(ctx.clock.now_ms());
    }
    let host = ctx.config.base_url.host_str().unwrap_or_default();
    let new = account::new_password(user, host, &form.secret("password")).await?;
    let tokens = if form.is_checked("revoke_tokens") {
        Tokens::Revoke
    } else {
        Tokens::Keep
    };
    let session = NewSession {
        user_id: &user.id,
        replaces: None,
        proof,
        browser: respond::browser(desk.request()),
        address: &address,
    };
    people::change_password(ctx, &new, tokens, &session, desk.current.session()).await
}

async fn end_session(desk: Desk, id: web::Path<String>) -> Answer {
    if *id == desk.current.session().id {
        return desk.sign_out().await;
    }
    account::end_one(desk.ctx.db.write(), Some(desk.actor()), &id, None).await?;
    desk.done("The session has ended.", "/profile").await
}

async fn end_other_sessions(desk: Desk) -> Answer {
    let own = &desk.current.session().id;
    let ended = account::end_others(desk.ctx.db.write(), desk.actor(), own).await?;
    let text = match ended {
        0 => "There was no other session.".to_owned(),
        1 => "One other session has ended.".to_owned(),
        n => format!("{n} other sessions have ended."),
    };
    desk.done(text, "/profile").await
}

async fn enrol_page(desk: Desk) -> Answer {
    if let Some(away) = desk.sign_in_again("/profile/second-factor") {
        return away;
    }
    let offer = account::offer(&desk.ctx, desk.current.user(), None)?;
    desk.show(&enrol_view(&desk, &offer, FormErrors::default()).await?)
}

async fn enrol_view(desk: &Desk, offer: &Offer, errors: FormErrors) -> Result<EnrolStep, Problem> {
    Ok(EnrolStep {
        page: desk.page("Set up a second factor", Section::Profile).await?,
        qr: qr::of(&offer.uri)?,
        secret: second_step::spaced(offer),
        offer: offer.sealed.clone(),
        action: "/profile/second-factor".to_owned(),
        cancel: "/profile".to_owned(),
        is_required: false,
        errors,
    })
}

async fn enrol(desk: Desk, form: FormData) -> Answer {
    if let Some(away) = desk.sign_in_again("/profile/second-factor") {
        return away;
    }
    let user = desk.current.user();
    let (sealed, code) = (form.text("offer"), form.text("code"));
    let address = respond::client_address(desk.request());
    match account::enrol(&desk.ctx, user, sealed, code, &address).await {
        Ok(codes) => {
            // Whoever got in without the second factor is out.
            account::end_others(desk.ctx.db.write(), &user.id, &desk.current.session().id).await?;
            account::strengthen(desk.ctx.db.write(), desk.current.session()).await?;
            show_codes(&desk, &codes).await
        }
        Err(error @ (AccountError::WrongCode | AccountError::TooManyAttempts { .. })) => {
            let offer = account::offer(&desk.ctx, user, Some(sealed))?;
            let errors = FormErrors::default().with("code", &words::sentence(&error.to_string()));
            desk.show_again(&enrol_view(&desk, &offer, errors).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn show_codes(desk: &Desk, codes: &[SecretString]) -> Answer {
    desk.show(&RecoveryCodes {
        page: desk.page("Your recovery codes", Section::Profile).await?,
        codes: codes.iter().map(|code| code.expose_secret().to_owned()).collect(),
        next: "/profile".to_owned(),
    })
}

async fn new_codes(desk: Desk, form: FormData) -> Answer {
    if let Some(away) = desk.sign_in_again("/profile") {
        return away;
    }
    once(&desk, &form, "/profile", draw_codes(&desk)).await
}

async fn draw_codes(desk: &Desk) -> Answer {
    match account::renew_codes(&desk.ctx, desk.actor()).await {
        Ok(codes) => show_codes(desk, &codes).await,
        Err(AccountError::NotFound(_)) => desk.failed("Turn the second factor on first.", "/profile").await,
        Err(error) => Err(error.into()),
    }
}

async fn ask_second_factor_off(desk: Desk) -> Answer {
    if let Some(away) = desk.sign_in_again("/profile/second-factor/remove") {
        return away;
    }
    let is_wanted = account::wants_second_factor(&desk.ctx.config, desk.current.user());
    desk.show(&Confirm {
        page: desk
            .page("Turn the second factor off?", Section::Profile)
            .await?,
        consequences: vec!["Your authenticator app and your recovery codes do not work here any more.".to_owned()],
        kept: vec!["Your password stays, and signs you in alone.".to_owned()],
        blocked: is_wanted.then(|| {
            "This installation wants a second factor of you. To change the app, turn it on again with the new one.".to_owned()
        }),
        action: "/profile/second-factor/remove".to_owned(),
        fields: vec![],
        button: "Turn it off".to_owned(),
        cancel: "/profile".to_owned(),
    })
}

async fn second_factor_off(desk: Desk) -> Answer {
    if let Some(away) = desk.sign_in_again("/profile/second-factor/remove") {
        return away;
    }
    if account::wants_second_factor(&desk.ctx.config, desk.current.user()) {
        return desk
            .failed("This installation wants a second factor of you.", "/profile")
            .await;
    }
    let tx = desk.ctx.db.begin().await?;
    account::remove_second_factor(&tx, &desk.ctx, desk.actor(), desk.actor()).await?;
    tx.commit().await?;
    desk.done("The second factor is off.", "/profile").await
}
