//! What counts once, brought by twenty at the same moment.

use sea_orm::ConnectionTrait as _;

use super::*;

on_each_database!(
    of_twenty_who_bring_one_code_one_gets_in,
    of_twenty_who_bring_one_link_one_gets_in,
    of_codes_that_are_renewed_twice_at_once_ten_are_left,
    somebody_who_signs_in_at_several_browsers_at_once_is_in_at_each,
);

const MANY: usize = 20;

/// Visitors who gave the password of somebody and are asked for a code, each with that page.
async fn waiting(place: &Place, email: &str) -> Vec<(Visitor, Seen)> {
    let mut waiting = Vec::new();
    for _ in 0..MANY {
        let visitor = Visitor::new(&place.mailgrant);
        let step = place.sign_in(&visitor, email, PASSWORD).await;
        assert_eq!(step.location, "/sign-in/code", "{}", step.body);
        let page = visitor.get("/sign-in/code").await;
        waiting.push((visitor, page));
    }
    waiting
}

async fn of_twenty_who_bring_one_code_one_gets_in(database: TestDatabase) {
    let place = Place::start(database).await;
    for (email, is_recovery) in [(EMAIL, true), ("grace@example.test", false)] {
        let (_, visitor) = place.person(email, false).await;
        let (secret, recovery) = enrol(&visitor).await;
        let waiting = waiting(&place, email).await;
        // The code that set the app up counted already.
        let code = if is_recovery {
            recovery[0].clone()
        } else {
            code(&secret, 30)
        };
        let fields = [("code", code.as_str())];
        let tries = waiting
            .iter()
            .map(|(visitor, page)| visitor.submit(page, "/sign-in/code", &fields));
        let answers: Vec<u16> = futures_util::future::join_all(tries)
            .await
            .iter()
            .map(|seen| seen.status)
            .collect();
        assert_eq!(
            answers.iter().filter(|status| **status == 303).count(),
            1,
            "{email}: {answers:?}"
        );
        let mut inside = 0;
        for (visitor, _) in &waiting {
            inside += usize::from(is_in(visitor).await);
        }
        assert_eq!(inside, 1, "{email}");
    }
}

async fn of_twenty_who_bring_one_link_one_gets_in(database: TestDatabase) {
    let place = Place::start(database).await;
    let made = place
        .rest
        .post("/users", &json!({ "email": EMAIL, "name": "Ada" }))
        .await;
    let invitation = text(&made, "invitationUrl");
    let recover = || {
        let link = place.mailgrant.run_ok(&["user", "recover", "--email", EMAIL]);
        link.trim().to_owned()
    };
    for make in [&(|| invitation.clone()) as &dyn Fn() -> String, &recover] {
        let path = local(&make());
        let visitors: Vec<Visitor> = (0..MANY).map(|_| Visitor::new(&place.mailgrant)).collect();
        let tries = visitors.iter().enumerate().map(|(n, visitor)| {
            let path = path.clone();
            async move {
                let page = visitor.get(&path).await;
                let password = format!("a quiet sentence, number {n}");
                let fields = [("name", "Ada"), ("password", password.as_str())];
                visitor.submit(&page, &path, &fields).await.status
            }
        });
        let answers = futures_util::future::join_all(tries).await;
        assert_eq!(
            answers.iter().filter(|status| **status == 303).count(),
            1,
            "{path}: {answers:?}"
        );
        let mut inside = 0;
        for visitor in &visitors {
            inside += usize::from(is_in(visitor).await);
        }
        assert_eq!(inside, 1, "{path}");
    }
}

async fn of_codes_that_are_renewed_twice_at_once_ten_are_left(database: TestDatabase) {
    let place = Place::start(database).await;
    let (_, visitor) = place.person(EMAIL, false).await;
    enrol(&visitor).await;
    let page = visitor.get("/profile").await;
    for _ in 0..5 {
        let renew = || visitor.submit(&page, "/profile/second-factor/codes", &[]);
        let shown = futures_util::future::join_all((0..4).map(|_| renew())).await;
        assert!(shown.iter().all(|seen| seen.status == 200), "{shown:?}");
        let db = mailgrant::db::Db::open(&place._database.url).await.unwrap();
        let left = db
            .write()
            .execute_unprepared("UPDATE recovery_codes SET created_at = created_at")
            .await
            .unwrap();
        db.close().await;
        assert_eq!(left.rows_affected(), 10, "those that were shown last");
    }
}

async fn somebody_who_signs_in_at_several_browsers_at_once_is_in_at_each(database: TestDatabase) {
    let place = Place::start(database).await;
    place.person(EMAIL, false).await;
    for _ in 0..5 {
        let visitors: Vec<Visitor> = (0..4).map(|_| Visitor::new(&place.mailgrant)).collect();
        let tries = visitors
            .iter()
            .map(|visitor| place.sign_in(visitor, EMAIL, PASSWORD));
        let seen = futures_util::future::join_all(tries).await;
        assert!(seen.iter().all(|seen| seen.status == 303), "{seen:?}");
    }
}
