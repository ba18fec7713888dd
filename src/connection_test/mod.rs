//! Connection tests: their steps as they happen, kept for later. What is tested is the business of those who test.

mod store;

pub use store::{Run, Step, StepState, TestState, get, latest_of, list, of_subject, steps_of};

use std::time::Instant;

use crate::ctx::Ctx;
use crate::id;
use crate::trouble::Trouble;

/// What a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mailbox.
    Mailbox,
    /// An integration.
    Integration,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Integration => "integration",
        }
    }
}

/// Records one running test: each finished step is stored at once, so that pages can follow it.
#[derive(Debug)]
pub struct Recorder {
    ctx: Ctx,
    id: String,
    position: i64,
    worst: StepState,
    step_began: Instant,
}

impl Recorder {
    /// Stores a new running test.
    pub async fn start(ctx: &Ctx, kind: Kind, subject_id: &str, actor: &str) -> Result<Self, sea_orm::DbErr> {
        let id = id::new("tst", &ctx.clock);
        store::insert(
            ctx.db.write(),
            &id,
            kind.as_str(),
            subject_id,
            actor,
            ctx.clock.now_ms(),
        )
        .await?;
        Ok(Self {
            ctx: ctx.clone(),
            id,
            position: 0,
            worst: StepState::Ok,
            step_began: Instant::now(),
        })
    }

    /// The test's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A step that went well; its time is what passed since the step before.
    pub async fn ok(&mut self, name: &str, detail: impl Into<String>) {
        self.record(name, StepState::Ok, detail.into(), None).await;
    }

    /// A step that went well enough, but somebody should know.
    pub async fn warn(&mut self, name: &str, detail: impl Into<String>, trouble: Trouble) {
        self.record(name, StepState::Warn, detail.into(), Some(trouble))
            .await;
    }

    /// A step that failed.
    pub async fn failed(&mut self, name: &str, trouble: Trouble) {
        self.record(name, StepState::Failed, String::new(), Some(trouble))
            .await;
    }

    async fn record(&mut self, name: &str, state: StepState, detail: String, trouble: Option<Trouble>) {
        let ms = i64::try_from(self.step_began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let trouble = trouble.unwrap_or_default();
        self.step(Step {
            name: name.to_owned(),
            state,
            ms,
            detail,
            cause: match (trouble.code.is_empty(), trouble.cause) {
                (false, cause) if !cause.contains(&trouble.code) => format!("{} ({})", cause, trouble.code),
                (_, cause) => cause,
            },
            remedy: trouble.remedy,
        })
        .await;
    }

    /// A step measured by somebody else.
    pub async fn step(&mut self, step: Step) {
        self.worst = self.worst.max(step.state);
        if let Err(error) = store::insert_step(self.ctx.db.write(), &self.id, self.position, &step).await {
            tracing::warn!(test = self.id, "a test step was not stored: {error}");
        }
        self.position += 1;
        self.step_began = Instant::now();
    }

    /// Ends the test with the worst state of its steps.
    pub async fn finish(self) -> TestState {
        let state = match self.worst {
            StepState::Ok => TestState::Ok,
            StepState::Warn => TestState::Warn,
            StepState::Failed => TestState::Failed,
        };
        if let Err(error) = store::finish(self.ctx.db.write(), &self.id, state, self.ctx.clock.now_ms()).await
        {
            tracing::warn!(test = self.id, "the end of a test was not stored: {error}");
        }
        state
    }
}
