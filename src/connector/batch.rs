//! Writing a batch: sending it again without the records that are gone, or once a lock is free, and telling what
//! is known from what is not. How an API words all that is a [`Wording`].

use std::ops::Range;
use std::time::Duration;

use super::machine::{Job, Machine, Step};
use super::wire::{Effect, Request, Response};
use crate::error::{Error, Kind, Result};
use crate::query::change::{Change, Op, Outcome, Write, Written};

/// How an API words batches of one kind of write.
pub trait Wording: Send {
    /// Adds one change, worded, to `text`. Errors: a value that the API cannot hold.
    fn word(&self, text: &mut String, write: &Write, change: &Change) -> Result<()>;

    /// The request that makes these changes.
    fn request(&self, write: &Write, words: &[&str]) -> Request;

    /// What the answer says of the changes of these records. Errors: an answer that cannot be read.
    fn read(&self, write: &Write, response: &Response, keys: &[&str]) -> Result<Reading>;

    /// The request that tells which of these records are there.
    fn look(&self, write: &Write, keys: &[&str]) -> Request;

    /// What that tells, in order.
    fn seen(&self, response: &Response, keys: &[&str]) -> Result<Vec<bool>>;
}

/// What an API says of a batch.
pub enum Reading {
    /// Of each change, in order.
    Each(Vec<Answer>),
    /// The whole batch is refused; which change it is for, nothing tells.
    Refused(Error),
    /// The same, and one of its records may not be there.
    Missing(Error),
}

/// What an API says of one change.
pub enum Answer {
    Written(Written),
    Gone,
    Refused(Error),
    /// Refused, and either it is gone or something that it refers to is.
    Dangling(Error),
    /// Not done, but it may work later.
    Busy(Error),
    RolledBack,
}

/// A batch grows shorter with each round, so this many are enough; a record that goes while the others are sent is
/// rare.
const MAX_ROUNDS: u32 = 10;
/// How often a batch that may be sent twice is sent again because its answer made no sense.
const MAX_UNREADABLE: u32 = 2;
/// Before the first repetition; doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Writes a batch and yields one [`Outcome`] for each change.
///
/// `max_retries`: how often it is sent again because a record was busy.
pub fn batch(wording: impl Wording + 'static, write: Write, changes: &[Change], max_retries: u32) -> Job<Vec<Outcome>> {
    let keys = changes.iter().map(|change| change.key.clone()).collect();
    // About what names and punctuation take, besides the values.
    let mut text = String::with_capacity(changes.iter().map(|change| 64 + change.weight()).sum());
    let mut word = |change| {
        let start = text.len();
        let worded = wording.word(&mut text, &write, change);
        (start..text.len(), worded.err().map(Outcome::Refused))
    };
    let (words, mut outcomes): (Vec<_>, Vec<_>) = changes.iter().map(&mut word).unzip();
    // A value that cannot be said keeps its whole batch back.
    if outcomes.iter().any(Option::is_some) {
        for outcome in &mut outcomes {
            outcome.get_or_insert(Outcome::RolledBack);
        }
    }
    Box::new(Batch {
        wording,
        write,
        keys,
        text,
        words,
        outcomes,
        looking: Vec::new(),
        missing: false,
        rounds: 0,
        busy: 0,
        unreadable: 0,
        max_retries,
        effect: Effect::Once,
        repeated: false,
        state: State::Ready,
    })
}

struct Batch<W> {
    wording: W,
    write: Write,
    keys: Vec<Box<str>>,
    /// All changes, worded, and where each of them stands.
    text: String,
    words: Vec<Range<usize>>,
    /// What is settled.
    outcomes: Vec<Option<Outcome>>,
    /// Which records are being looked for, and what they were refused for.
    looking: Vec<(usize, Error)>,
    /// Whether what was refused is the whole batch: if one of its records is gone, the others are sent again.
    missing: bool,
    rounds: u32,
    busy: u32,
    unreadable: u32,
    max_retries: u32,
    effect: Effect,
    /// Whether the same batch was sent before and perhaps done. Once so, no later answer but success ends the doubt.
    repeated: bool,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// To be sent, as far as it is not settled.
    Ready,
    Sent,
    Looking,
    Over,
}

impl<W: Wording> Machine for Batch<W> {
    type Out = Vec<Outcome>;

    fn next(&mut self, last: Option<Response>) -> Result<Step<Self::Out>> {
        match (self.state, last) {
            (State::Sent, Some(response)) => {
                match self.wording.read(&self.write, &response, &self.keys_of(self.pending())) {
                    Ok(Reading::Each(answers)) => match self.settle(answers, &response) {
                        Ok(Some(wait)) => return Ok(Step::Sleep(wait)),
                        Ok(None) => {}
                        Err(error) if error.kind() == Kind::OutcomeUnknown => return Err(error),
                        Err(error) => self.doubt(error)?,
                    },
                    Ok(Reading::Refused(error)) => {
                        self.repeated |= response.repeated;
                        return Err(self.unless_doubted(error));
                    }
                    Ok(Reading::Missing(error)) => {
                        self.repeated |= response.repeated;
                        self.missing = true;
                        self.looking = self.pending().into_iter().map(|at| (at, error.clone())).collect();
                    }
                    Err(error) => self.doubt(error)?,
                }
            }
            (State::Looking, Some(response)) => self.seen(&response)?,
            (State::Over, _) => return Ok(Step::Done),
            _ => {}
        }
        if !self.looking.is_empty() {
            self.state = State::Looking;
            let keys = self.keys_of(self.looked_for());
            let look = self.wording.look(&self.write, &keys);
            return Ok(Step::Send(Request { in_doubt: self.repeated, ..look }));
        }
        let pending = self.pending();
        if pending.is_empty() {
            self.state = State::Over;
            return Ok(Step::Yield(self.outcomes.drain(..).flatten().collect()));
        }
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS + self.max_retries {
            let error = Error::new(Kind::Conflict, "records of the batch keep being deleted while it is sent")
                .hint("Run the statement again.");
            return Err(self.unless_doubted(error));
        }
        self.state = State::Sent;
        let words: Vec<_> = pending.iter().map(|at| &self.text[self.words[*at].clone()]).collect();
        let mut request = self.wording.request(&self.write, &words);
        request.in_doubt = self.repeated;
        self.effect = request.effect;
        Ok(Step::Send(request))
    }
}

impl<W: Wording> Batch<W> {
    fn pending(&self) -> Vec<usize> {
        (0..self.outcomes.len()).filter(|at| self.outcomes[*at].is_none()).collect()
    }

    fn looked_for(&self) -> Vec<usize> {
        self.looking.iter().map(|(at, _)| *at).collect()
    }

    fn keys_of(&self, places: Vec<usize>) -> Vec<&str> {
        places.into_iter().map(|at| &*self.keys[at]).collect()
    }

    /// Takes in what an answer says; how long to wait if the rest is to be sent again later.
    fn settle(&mut self, mut answers: Vec<Answer>, response: &Response) -> Result<Option<Duration>> {
        let pending = self.pending();
        if answers.len() != pending.len() {
            let message = format!("the API answered for {} records where {} were sent", answers.len(), pending.len());
            return Err(Error::new(Kind::Unreadable, message));
        }
        for answer in &mut answers {
            if matches!(answer, Answer::Refused(error) if self.write.skip_duplicates && error.kind() == Kind::Duplicate)
            {
                *answer = Answer::Gone;
            }
        }
        self.repeated |= response.repeated;
        let repeated = self.repeated;
        // What was done without an answer finds nothing when it is done again.
        let deleted = repeated && self.write.op == Op::Delete && answers.iter().all(|it| matches!(it, Answer::Gone));
        let refused = answers.iter().any(|it| matches!(it, Answer::Refused(_)));
        let explained = answers.iter().any(|it| !matches!(it, Answer::RolledBack | Answer::Written(_)));
        if !explained && answers.iter().any(|it| matches!(it, Answer::RolledBack)) {
            return Err(Error::new(Kind::Unreadable, "the API rolled the batch back and does not say why"));
        }
        let mut wait = None;
        for (at, answer) in pending.into_iter().zip(answers) {
            self.outcomes[at] = match answer {
                Answer::Written(written) => Some(Outcome::Written(Written {
                    created: written.created.filter(|created| *created || !repeated),
                    ..written
                })),
                Answer::Gone if deleted => Some(Outcome::Written(Written::new(self.keys[at].clone(), None))),
                Answer::Gone => Some(Outcome::Gone),
                Answer::Refused(error) => Some(Outcome::Refused(error)),
                Answer::Dangling(error) if refused => Some(Outcome::Refused(error)),
                Answer::Dangling(error) => {
                    self.looking.push((at, error));
                    None
                }
                Answer::Busy(error) if refused || self.busy >= self.max_retries => Some(Outcome::Refused(error)),
                Answer::Busy(_) => {
                    wait = Some((FIRST_WAIT * 2u32.saturating_pow(self.busy)).min(LONGEST_WAIT));
                    None
                }
                Answer::RolledBack => None,
            };
        }
        self.busy += u32::from(wait.is_some());
        self.give_up_if_refused();
        self.refusal_in_doubt().map_or(Ok(wait), Err)
    }

    /// An error as it is, unless the batch was perhaps done before.
    fn unless_doubted(&self, error: Error) -> Error {
        if self.repeated { Error::outcome_unknown(&error) } else { error }
    }

    /// A refusal now does not tell what became of the batch when it was sent before.
    fn refusal_in_doubt(&self) -> Option<Error> {
        let refused = self.outcomes.iter().flatten().find_map(|outcome| match outcome {
            Outcome::Refused(error) => Some(error),
            _ => None,
        });
        refused.filter(|_| self.repeated).map(Error::outcome_unknown)
    }

    /// A record that is refused for good keeps back those that were rolled back with it.
    fn give_up_if_refused(&mut self) {
        if self.outcomes.iter().any(|outcome| matches!(outcome, Some(Outcome::Refused(_)))) {
            self.looking.clear();
            for outcome in &mut self.outcomes {
                outcome.get_or_insert(Outcome::RolledBack);
            }
        }
    }

    fn seen(&mut self, response: &Response) -> Result<()> {
        let found = self.wording.seen(response, &self.keys_of(self.looked_for()));
        let found = found.map_err(|error| self.unless_doubted(error))?;
        let missing = std::mem::take(&mut self.missing);
        let looking = std::mem::take(&mut self.looking);
        if found.len() != looking.len() {
            let message = format!("the API answered for {} records where {} were asked", found.len(), looking.len());
            return Err(self.unless_doubted(Error::new(Kind::Unreadable, message)));
        }
        let all_gone = !found.contains(&true);
        let some_gone = found.contains(&false);
        for ((at, error), found) in looking.into_iter().zip(found) {
            self.outcomes[at] = match found {
                // What was done without an answer finds nothing when it is done again.
                false if missing && all_gone && self.repeated && self.write.op == Op::Delete => {
                    Some(Outcome::Written(Written::new(self.keys[at].clone(), None)))
                }
                false => Some(Outcome::Gone),
                true if missing && some_gone => None,
                // All are there: nothing tells for which of them it is.
                true if missing => return Err(self.unless_doubted(error)),
                true => Some(Outcome::Refused(error)),
            };
        }
        self.give_up_if_refused();
        self.refusal_in_doubt().map_or(Ok(()), Err)
    }

    /// An answer without sense: the batch may be done or not.
    fn doubt(&mut self, error: Error) -> Result<()> {
        if self.effect != Effect::Repeatable || self.unreadable >= MAX_UNREADABLE.min(self.max_retries) {
            return Err(Error::outcome_unknown(&error));
        }
        self.unreadable += 1;
        self.repeated = true;
        Ok(())
    }
}
