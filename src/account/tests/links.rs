//! When links end.

use super::*;

#[tokio::test]
async fn a_password_link_ends_with_its_time_whatever_it_is_for() {
    for kind in [LinkKind::Invitation, LinkKind::Reset, LinkKind::Recovery] {
        let TestPlace { ctx, _dir } = place().await;
        let user = create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
        let new = async || {
            let tx = ctx.db.begin().await.unwrap();
            let url = password_link(&tx, &ctx, &user.id, kind, "cli").await.unwrap();
            tx.commit().await.unwrap();
            token_of(url.expose_secret())
        };
        let take = async |token: &SecretString| {
            let tx = ctx.db.begin().await.unwrap();
            let taken = take_link(&tx, &ctx, token, kind).await;
            tx.commit().await.unwrap();
            taken.map(|user| user.id)
        };
        let good = new().await;
        ctx.clock
            .advance(Duration::minutes(kind.minutes()) - Duration::seconds(1));
        assert_eq!(look_at_link(&ctx, &good).await.unwrap().kind, kind);
        assert_eq!(take(&good).await.unwrap(), user.id);

        let late = new().await;
        ctx.clock.advance(Duration::minutes(kind.minutes()));
        let seen = look_at_link(&ctx, &late).await;
        assert!(matches!(seen, Err(AccountError::DeadLink)), "{kind:?}: {seen:?}");
        let taken = take(&late).await;
        assert!(
            matches!(taken, Err(AccountError::DeadLink)),
            "{kind:?}: {taken:?}"
        );
        assert!(open_invitations(&ctx).await.unwrap().is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_sign_in_link_ends_after_half_an_hour() {
    let TestPlace { ctx, _dir } = place().await;
    let user = create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
    let signs_in = async |after: Duration| {
        let token = token_of(&sign_in_link(&ctx, &user.id).await.unwrap());
        ctx.clock.advance(after);
        use_sign_in_link(&ctx.db, &ctx.clock, &token)
            .await
            .map(|user| user.id)
    };
    let over = Duration::minutes(LINK_MINUTES);
    assert_eq!(signs_in(over - Duration::seconds(1)).await.unwrap(), user.id);
    assert!(matches!(signs_in(over).await, Err(AccountError::DeadLink)));
}
