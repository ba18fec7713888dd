//! Many at once: what several requests want of the database in the same moment is done in one go.
//!
//! Whoever comes while nothing runs begins at once; whoever comes meanwhile waits for the next round, which takes them
//! all. So nobody waits for company, and the more there are the less each costs. A round begins after everybody in it has
//! asked, so that it sees everything that was committed before.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The largest round: as many rows as one statement takes, so that a round is one.
const ROUND: usize = super::rows::MOST;

/// How a round is carried out: as many answers as questions, in their order.
pub type Answers<A> = Pin<Box<dyn Future<Output = Vec<A>> + Send>>;

/// Those who want the same kind of thing. Clones stand in the same queue.
pub struct Together<Q, A>(Arc<Mutex<Queue<Q, A>>>);

struct Queue<Q, A> {
    waiting: Vec<(Q, oneshot::Sender<A>)>,
    is_running: bool,
}

impl<Q, A> Clone for Together<Q, A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q, A> Default for Together<Q, A> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Queue {
            waiting: Vec::new(),
            is_running: false,
        })))
    }
}

impl<Q, A> std::fmt::Debug for Together<Q, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Together")
    }
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// Asks in the next round; `None` if that round came to nothing, and then the one who asked does it alone.
    pub async fn ask(&self, question: Q, work: impl Fn(Vec<Q>) -> Answers<A> + Send + 'static) -> Option<A> {
        let (sender, receiver) = oneshot::channel();
        let begins = {
            let mut queue = self.lock();
            queue.waiting.push((question, sender));
            !std::mem::replace(&mut queue.is_running, true)
        };
        if begins {
            // A task of its own: the one who began may go away, and the others still wait.
            tokio::spawn(self.clone().run(work));
        }
        receiver.await.ok()
    }

    async fn run(self, work: impl Fn(Vec<Q>) -> Answers<A> + Send) {
        let mut running = Running(Some(&self));
        while let Some(round) = self.next_round() {
            let (questions, senders): (Vec<Q>, Vec<oneshot::Sender<A>>) = round.into_iter().unzip();
            for (sender, answer) in senders.into_iter().zip(work(questions).await) {
                // Whoever went away meanwhile needs no answer.
                let _ = sender.send(answer);
            }
        }
        running.0 = None;
    }

    /// The next round; none ends the run, before anybody else can join it.
    fn next_round(&self) -> Option<Vec<(Q, oneshot::Sender<A>)>> {
        let mut queue = self.lock();
        if queue.waiting.is_empty() {
            queue.is_running = false;
            return None;
        }
        let many = queue.waiting.len().min(ROUND);
        Some(queue.waiting.drain(..many).collect())
    }
}

impl<Q, A> Together<Q, A> {
    fn lock(&self) -> MutexGuard<'_, Queue<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets nobody wait for a run that broke off; none once it has come to its end.
struct Running<'a, Q, A>(Option<&'a Together<Q, A>>);

impl<Q, A> Drop for Running<'_, Q, A> {
    fn drop(&mut self) {
        if let Some(together) = self.0 {
            let mut queue = together.lock();
            queue.is_running = false;
            queue.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn doubled(
        rounds: &Arc<AtomicUsize>,
        gate: &Arc<tokio::sync::Semaphore>,
    ) -> impl Fn(Vec<usize>) -> Answers<usize> + use<> {
        let (rounds, gate) = (Arc::clone(rounds), Arc::clone(gate));
        move |questions| {
            let (rounds, gate) = (Arc::clone(&rounds), Arc::clone(&gate));
            Box::pin(async move {
                rounds.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                questions.iter().map(|n| n * 2).collect()
            })
        }
    }

    #[tokio::test]
    async fn who_comes_during_a_round_is_answered_in_the_next_one_with_the_others_each_their_own() {
        let together = Together::default();
        let (rounds, gate) = (Arc::default(), Arc::new(tokio::sync::Semaphore::new(0)));
        let mut asked = Vec::new();
        for n in 0..=ROUND {
            let (together, work) = (together.clone(), doubled(&rounds, &gate));
            asked.push(tokio::spawn(async move { together.ask(n, work).await }));
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        for (n, answer) in asked.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap(), Some(n * 2));
        }
        assert_eq!(
            rounds.load(Ordering::SeqCst),
            2,
            "the first alone, the others together"
        );
    }

    #[tokio::test]
    async fn a_round_that_breaks_off_leaves_nobody_waiting_and_the_next_one_works() {
        let together: Together<usize, usize> = Together::default();
        let broken = |_| -> Answers<usize> { Box::pin(async { panic!("on purpose") }) };
        assert_eq!(together.ask(1, broken).await, None);
        let good = |questions: Vec<usize>| -> Answers<usize> { Box::pin(async move { questions }) };
        assert_eq!(together.ask(2, good).await, Some(2));
    }

    #[tokio::test]
    async fn an_answer_that_is_missing_is_none() {
        let together: Together<usize, usize> = Together::default();
        let nothing = |_| -> Answers<usize> { Box::pin(async { Vec::new() }) };
        assert_eq!(together.ask(1, nothing).await, None);
    }
}
