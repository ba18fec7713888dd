//! Who is told that somebody signed out.

use super::*;
use crate::oauth2_server::{
    ClientState, collect_ended_sessions, due_logouts, leave_clients, set_state, tell_logout,
};

/// An application that is told in both ways, and that Ada is signed in to.
async fn joined(world: &World) -> Client {
    let client = world
        .client(|fields| {
            fields.protocol.frontchannel_logout_uri = "https://app.example/front".into();
            fields.protocol.backchannel_logout_uri = "https://app.example/back".into();
        })
        .await;
    let code = world.code(&client, "openid").await;
    world.redeem(&client, &code).await.unwrap();
    client
}

#[tokio::test]
async fn an_application_that_is_switched_off_or_waits_hears_of_no_sign_out() {
    for state in ClientState::ALL {
        let is_told = state == ClientState::Approved;
        // Here, by the browser's own sign-out.
        let world = World::new().await;
        let client = joined(&world).await;
        set_state(&world.ctx, "cli", &client.id, None, state)
            .await
            .unwrap();
        let frames = leave_clients(&world.ctx, &world.session).await.unwrap();
        assert_eq!(frames.len() == 1, is_told, "{state:?}: {frames:?}");
        let due = due_logouts(&world.ctx).await.unwrap();
        assert_eq!(due.len() == 1, is_told, "{state:?}");
        // By a session that somebody ended elsewhere.
        let world = World::new().await;
        let client = joined(&world).await;
        set_state(&world.ctx, "cli", &client.id, None, state)
            .await
            .unwrap();
        account::end(&world.ctx.db, &world.session.id).await.unwrap();
        collect_ended_sessions(&world.ctx).await.unwrap();
        let due = due_logouts(&world.ctx).await.unwrap();
        assert_eq!(due.len() == 1, is_told, "{state:?}");
    }
    // Switched off while the news waited: it is dropped, and not tried again later.
    let world = World::new().await;
    let client = joined(&world).await;
    leave_clients(&world.ctx, &world.session).await.unwrap();
    let due = due_logouts(&world.ctx).await.unwrap();
    set_state(&world.ctx, "cli", &client.id, None, ClientState::Disabled)
        .await
        .unwrap();
    tell_logout(&world.ctx, &due[0]).await.unwrap();
    world.later(86_400);
    assert_eq!(due_logouts(&world.ctx).await.unwrap().len(), 0);
}
