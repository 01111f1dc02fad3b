//! The memory in which all processes keep together what they know of rates.
//!
//! It is a table of buckets, one for each key: what is counted, where, and, if need be, for which credentials. A bucket
//! has a word for each request that a window allows, and some for what else is known. Words are read and written without a
//! lock, by processes that may stop or die at any point.
//!
//! **A bucket at rest is given back.** When nothing in it is in force any more, another key may take its place. Each word
//! carries a tag that changes with the key. A process that still works with the earlier key's bucket finds another tag, in
//! the same atomic step that would have written, and looks for its bucket again. So a word never belongs to two keys.
//! Places change hands under a lock on the file, which the kernel releases when a process dies, so no key has two places.
//!
//! **A full table does not disturb the keys in it.** Each key has [`PROBES`] possible places. While all of them are in use, it
//! has a bucket that only its own process sees, with the same rules. So a role that fills the table with its keys takes from
//! later keys the knowledge of other processes, and nothing else from anybody.
//!
//! Limits: 4,096 buckets in 2 MB; a bucket is at rest 60 s after it was taken and after its last request ended, if it is
//! neither closed (an hour at most) nor waited for.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Microseconds since 1970: a time that all processes share.
pub type Micros = u64;

/// Words of a bucket, and of the head before the first.
const BUCKET: usize = 64;
const BUCKETS: usize = 4096;

/// Words of the head: when the server was started, and what makes keys hard to guess.
const STARTED: usize = 0;
const SECRET: usize = 1;

/// Words of a bucket: how often it has changed hands, doubled, and one more while it does; and whose it is.
const STATE: usize = 0;
const KEY: usize = 1;
/// Until when it is closed.
pub const CLOSED: usize = 3;
/// Until when polls stand back.
pub const POLLS: usize = 4;
/// What is known of its credentials: since when, doubled, and one more if they are good.
pub const STANDING: usize = 5;
/// Since when it is its key's, doubled: it stays so for a while, or two keys could chase each other from one place.
const CLAIMED: usize = 6;
/// The first of the slots.
pub const SLOT: usize = 7;
pub const SLOTS: usize = BUCKET - SLOT;

/// How many places a key may be at.
const PROBES: usize = 32;

/// The upper bits of a word tell how often the bucket has changed hands: the same again after 1,024 times, each a minute at
/// least after the other.
const TAG_BITS: u32 = 10;
const VALUE_BITS: u32 = u64::BITS - TAG_BITS;
const VALUE: u64 = u64::MAX >> TAG_BITS;

/// A request that was sent so long ago has arrived, or never will. So what a killed process held comes free.
pub const LEASE: Micros = 10_000_000;
/// No rate is closed longer: then the API is asked again, whatever it said, and however the clock was set meanwhile.
pub const FARTHEST: Micros = 3_600_000_000;
/// What is known of a bucket counts for so long after its last use. No window is longer.
pub const REST: Micros = 60_000_000;
/// Times further ahead are of a clock that was set back.
pub const AHEAD: Micros = 1_000_000;

/// What a bucket is of. Its parts are known by a hash of 128 bits that depends on a secret of the cluster, so that no two
/// keys can be made to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u64; 2]);

/// The memory of all rates.
#[derive(Clone, Copy)]
pub struct Buckets(&'static Table);

struct Table {
    words: &'static [AtomicU64],
    /// Locked while a place changes hands; `None` if no other process sees the words.
    file: Option<File>,
    /// Buckets of this process alone.
    private: Mutex<HashMap<Key, Arc<[AtomicU64]>>>,
    rest: Micros,
}

impl Buckets {
    pub const WORDS: usize = BUCKET * (BUCKETS + 1);

    /// `words`: [`Buckets::WORDS`] of them, of a file that all processes have mapped. What they hold from before the
    /// server was started is forgotten.
    pub fn open(words: &'static [AtomicU64], file: File, started: u64) -> io::Result<Buckets> {
        let table = Table { words, file: Some(file), private: Mutex::default(), rest: REST };
        {
            const TRIES: u32 = 25_000;
            let _locked = table.lock(TRIES).ok_or_else(|| io::Error::from(io::ErrorKind::ResourceBusy))?;
            // Nobody uses them before having come by here.
            if words[STARTED].load(Ordering::Acquire) != started {
                words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
                let random = RandomState::new();
                words[SECRET].store(random.hash_one(1), Ordering::Relaxed);
                words[SECRET + 1].store(random.hash_one(2), Ordering::Relaxed);
                words[STARTED].store(started, Ordering::Release);
            }
        }
        Ok(Buckets(Box::leak(Box::new(table))))
    }

    /// Of one process alone.
    #[cfg(test)]
    pub fn private() -> Buckets {
        Buckets::small(BUCKETS, REST, None)
    }

    #[cfg(test)]
    fn small(buckets: usize, rest: Micros, file: Option<File>) -> Buckets {
        let words = words(BUCKET * (buckets + 1)).into_vec().leak();
        Buckets(Box::leak(Box::new(Table { words, file, private: Mutex::default(), rest })))
    }

    /// The key of something. Equal parts have equal keys, in all processes.
    pub fn key(self, parts: impl Hash) -> Key {
        let half = |at: usize| {
            let mut hasher = DefaultHasher::new();
            (self.0.words[SECRET + at].load(Ordering::Relaxed), at).hash(&mut hasher);
            parts.hash(&mut hasher);
            hasher.finish()
        };
        Key([half(0).max(1), half(1)])
    }

    /// The bucket of a key. It may be given to another as soon as it is at rest.
    pub fn find(self, key: Key, now: Micros) -> Bucket {
        let table = self.0;
        let mut private = table.private.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = table.scan(key).or_else(|| table.claim(key, now)) {
            if let Some(words) = private.remove(&key) {
                bucket.learn(&words, now, table.rest);
            }
            return bucket;
        }
        private.retain(|of, words| *of == key || table.in_force(words, now));
        let words = private.entry(key).or_insert_with(|| words(BUCKET).into());
        Bucket { words: Words::Private(Arc::clone(words)), tag: 0 }
    }
}

fn words(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

impl Table {
    fn places(&self, key: Key) -> impl Iterator<Item = &'static [AtomicU64]> + use<> {
        let words = self.words;
        let count = words.len() / BUCKET - 1;
        let home = (key.0[0] % count as u64) as usize;
        (0..PROBES.min(count)).map(move |step| &words[BUCKET * (1 + (home + step) % count)..][..BUCKET])
    }

    /// Where a key is.
    fn scan(&self, key: Key) -> Option<Bucket> {
        for words in self.places(key) {
            let state = words[STATE].load(Ordering::Acquire);
            let of = [KEY, KEY + 1].map(|at| words[at].load(Ordering::Acquire));
            if of == key.0 && state & 1 == 0 && words[STATE].load(Ordering::Acquire) == state {
                return Some(Bucket { words: Words::Shared(words), tag: tag(state) });
            }
            // Keys take the first place that they can have, and no place is empty again.
            if state == 0 {
                break;
            }
        }
        None
    }

    /// A place for a key that has none; `None` if they are all in use, or nobody may take one now.
    fn claim(&self, key: Key, now: Micros) -> Option<Bucket> {
        const TRIES: u32 = 2_000;
        let _locked = self.lock(TRIES)?;
        self.scan(key).or_else(|| self.places(key).find_map(|words| self.take_over(words, key, now)))
    }

    /// Gives a bucket that is at rest to a key. The caller holds the lock.
    fn take_over(&self, words: &'static [AtomicU64], key: Key, now: Micros) -> Option<Bucket> {
        let mut state = words[STATE].load(Ordering::Acquire);
        let give_back = |state: u64| {
            // Only here have words another tag than the bucket, and they were at rest.
            let changed = |word: &&AtomicU64| word.load(Ordering::Acquire) >> VALUE_BITS != tag(state);
            let reset = |word: &AtomicU64| word.store(tag(state) << VALUE_BITS, Ordering::Release);
            words[CLOSED..].iter().filter(changed).for_each(reset);
            words[STATE].store(state, Ordering::Release);
        };
        if state & 1 == 1 {
            // A process died here.
            state &= !1;
            give_back(state);
        }
        if self.in_force(words, now) {
            return None;
        }
        words[STATE].store(state | 1, Ordering::Release);
        let next = state + 2;
        for (at, word) in words.iter().enumerate().skip(CLOSED) {
            let rests = |word: u64| {
                let rests = !in_force(at, word & VALUE, now, self.rest);
                rests.then_some(tag(next) << VALUE_BITS)
            };
            if word.fetch_update(Ordering::AcqRel, Ordering::Acquire, rests).is_err() {
                give_back(state);
                return None;
            }
        }
        for (at, part) in key.0.into_iter().enumerate() {
            words[KEY + at].store(part, Ordering::Release);
        }
        words[CLAIMED].store(tag(next) << VALUE_BITS | now << 1, Ordering::Release);
        words[STATE].store(next, Ordering::Release);
        Some(Bucket { words: Words::Shared(words), tag: tag(next) })
    }

    fn in_force(&self, words: &[AtomicU64], now: Micros) -> bool {
        let mut later = words.iter().enumerate().skip(CLOSED);
        later.any(|(at, word)| in_force(at, word.load(Ordering::Acquire) & VALUE, now, self.rest))
    }

    /// A process holds the lock for microseconds. We do not wait for one that is stuck with it.
    fn lock(&self, tries: u32) -> Option<Locked<'_>> {
        const PAUSE: Duration = Duration::from_micros(200);
        let Some(file) = &self.file else { return Some(Locked(None)) };
        for _ in 0..tries {
            match file.try_lock() {
                Ok(()) => return Some(Locked(Some(file))),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }
}

struct Locked<'t>(Option<&'t File>);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = file.unlock();
        }
    }
}

/// The tag of a bucket in this state.
fn tag(state: u64) -> u64 {
    state >> 1 & ((1 << TAG_BITS) - 1)
}

/// Whether a word still says something.
fn in_force(at: usize, value: u64, now: Micros, rest: Micros) -> bool {
    let for_time = |since: Micros, time: Micros| value != 0 && since + time > now && since <= now + AHEAD;
    match at {
        CLOSED | POLLS => value > now && value <= now + FARTHEST,
        STANDING | CLAIMED => for_time(value >> 1, rest),
        _ if value & 1 == 1 => for_time(value >> 1, LEASE),
        _ => for_time(value >> 1, rest),
    }
}

/// A bucket, for as long as it is this key's.
#[derive(Clone)]
pub struct Bucket {
    words: Words,
    tag: u64,
}

#[derive(Clone)]
enum Words {
    Shared(&'static [AtomicU64]),
    Private(Arc<[AtomicU64]>),
}

impl Bucket {
    /// Takes over what is in force in a bucket that this process had for itself.
    fn learn(&self, private: &[AtomicU64], now: Micros, rest: Micros) {
        let value = |at: usize| Some(private[at].load(Ordering::Acquire)).filter(|it| in_force(at, *it, now, rest));
        for at in [CLOSED, POLLS] {
            value(at).map(|until| self.raise(at, until));
        }
        value(STANDING).map(|standing| self.swap(STANDING, 0, standing));
        let mut free = (SLOT..BUCKET).filter(|at| self.load(*at).is_some_and(|it| !in_force(*at, it, now, rest)));
        for slot in (SLOT..BUCKET).filter_map(value) {
            // Its request leaves the private slot, so here it is taken for answered now.
            let used = if slot & 1 == 1 { now << 1 } else { slot };
            free.next().and_then(|at| Some(self.swap(at, self.load(at)?, used)));
        }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        match &self.words {
            Words::Shared(words) => &words[at],
            Words::Private(words) => &words[at],
        }
    }

    /// The value of a word; `None` if the bucket is another's now.
    pub fn load(&self, at: usize) -> Option<u64> {
        let word = self.word(at).load(Ordering::Acquire);
        (word >> VALUE_BITS == self.tag).then_some(word & VALUE)
    }

    /// Replaces one value by another. False if it is not there, or the bucket is another's now.
    pub fn swap(&self, at: usize, before: u64, now: u64) -> bool {
        let tagged = |value: u64| self.tag << VALUE_BITS | value & VALUE;
        self.word(at).compare_exchange(tagged(before), tagged(now), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Replaces a value by a higher one; `None` if the bucket is another's now.
    pub fn raise(&self, at: usize, to: u64) -> Option<()> {
        loop {
            let before = self.load(at)?;
            if before >= to || self.swap(at, before, to) {
                return Some(());
            }
        }
    }
}

pub fn now() -> Micros {
    micros(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// No more than a word can hold, doubled and with another added.
pub fn micros(time: Duration) -> Micros {
    const MOST: u64 = VALUE >> 2;
    u64::try_from(time.as_micros()).unwrap_or(MOST).min(MOST)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const NOW: Micros = 1_700_000_000_000_000;

    fn at(bucket: &Bucket) -> usize {
        bucket.word(0) as *const AtomicU64 as usize
    }

    fn is_private(bucket: &Bucket) -> bool {
        matches!(bucket.words, Words::Private(_))
    }

    /// A value of a word that says something for so long.
    fn used(at: usize) -> u64 {
        if at == CLOSED || at == POLLS { NOW + 5_000_000 } else { NOW << 1 }
    }

    #[test]
    fn a_bucket_at_rest_is_given_back_and_one_in_which_anything_is_in_force_is_not() {
        for word in [CLOSED, POLLS, STANDING, SLOT, BUCKET - 1] {
            let buckets = Buckets::small(1, REST, None);
            let [one, two] = ["one", "two"].map(|name| buckets.key(name));
            let first = buckets.find(one, NOW);
            assert!(first.swap(word, 0, used(word)));
            let other = buckets.find(two, NOW + 1);
            assert!(is_private(&other) && !is_private(&first), "{word}");
            assert_eq!(at(&buckets.find(one, NOW + 1)), at(&first), "found again");
            assert_eq!(first.load(word), Some(used(word)), "as it was");
            let later = NOW + REST;
            let second = buckets.find(two, later);
            assert_eq!(at(&second), at(&first));
            // The first has no part in it any more.
            assert_eq!(first.load(word), None);
            assert!(!first.swap(word, 0, 2) && first.raise(word, 1 << 40).is_none());
            assert!((CLOSED..BUCKET).all(|word| second.load(word) == Some(0) || word == CLAIMED));
            assert!(is_private(&buckets.find(one, later)) || at(&buckets.find(one, later)) == at(&first));
        }
    }

    #[test]
    fn what_a_process_knew_for_itself_goes_along_when_there_is_a_place_for_it() {
        let buckets = Buckets::small(1, REST, None);
        let [one, two] = ["one", "two"].map(|name| buckets.key(name));
        assert!(buckets.find(one, NOW).swap(SLOT, 0, NOW << 1));
        let private = buckets.find(two, NOW);
        let late = NOW + REST - 5;
        for (at, value) in [
            (CLOSED, NOW + 2 * REST),
            (POLLS, NOW + 1),
            (STANDING, late << 1 | 1),
            (SLOT, late << 1 | 1),
            (SLOT + 2, late << 1),
            (SLOT + 3, NOW << 1),
        ] {
            assert!(private.swap(at, 0, value));
        }
        assert_eq!(at(&buckets.find(two, NOW + 1)), at(&private), "the same as before");
        let now = NOW + REST;
        let shared = buckets.find(two, now);
        assert!(!is_private(&shared) && buckets.0.private.lock().unwrap().is_empty());
        let known = [CLOSED, POLLS, STANDING, SLOT, SLOT + 1, SLOT + 2].map(|at| shared.load(at).unwrap());
        assert_eq!(known, [NOW + 2 * REST, 0, late << 1 | 1, now << 1, late << 1, 0]);
    }

    #[test]
    fn a_key_that_has_found_its_place_keeps_it_for_a_while_even_if_it_says_nothing() {
        let buckets = Buckets::small(1, REST, None);
        let [one, two] = ["one", "two"].map(|name| buckets.key(name));
        let first = buckets.find(one, NOW);
        assert!(is_private(&buckets.find(two, NOW + REST - 1)) && first.load(CLOSED) == Some(0));
        assert!(!is_private(&buckets.find(two, NOW + REST)));
    }

    #[test]
    fn a_hundred_thousand_new_keys_move_no_key_that_is_there_and_hold_little_memory() {
        let buckets = Buckets::private();
        let mine = buckets.key("mine");
        let bucket = buckets.find(mine, NOW);
        assert!(bucket.swap(SLOT, 0, NOW << 1));
        let mut places = HashSet::new();
        for n in 0..100_000 {
            let found = buckets.find(buckets.key(n), NOW);
            if !is_private(&found) {
                assert!(found.swap(SLOT, 0, NOW << 1) && places.insert(at(&found)), "one key, one place");
            }
        }
        assert!(places.len() > BUCKETS * 9 / 10 && places.len() < BUCKETS);
        assert_eq!(at(&buckets.find(mine, NOW)), at(&bucket));
        assert_eq!(bucket.load(SLOT), Some(NOW << 1));
        assert!(buckets.0.private.lock().unwrap().len() <= 1, "what says nothing is not kept");
        // A minute later there is room again.
        assert!(!is_private(&buckets.find(buckets.key("late"), NOW + REST)));
    }

    #[test]
    fn keys_of_different_parts_differ_and_depend_on_the_secret() {
        let (here, there) = (Buckets::private(), Buckets::private());
        there.0.words[SECRET].store(7, Ordering::Relaxed);
        assert_eq!(here.key(("a", 1)), here.key(("a", 1)));
        assert_ne!(here.key(("a", 1)), here.key(("a", 2)));
        assert_ne!(here.key(("a", 1)), there.key(("a", 1)));
    }

    #[test]
    fn a_place_that_a_process_died_in_while_taking_it_is_still_its_key_s() {
        let buckets = Buckets::small(1, REST, None);
        let [one, two] = ["one", "two"].map(|name| buckets.key(name));
        let bucket = buckets.find(one, NOW);
        assert!(bucket.swap(BUCKET - 1, 0, NOW << 1));
        // Half of it was done.
        let words = &buckets.0.words[BUCKET..];
        words[STATE].fetch_or(1, Ordering::AcqRel);
        words[CLOSED].store((bucket.tag + 1) << VALUE_BITS, Ordering::Release);
        assert!(is_private(&buckets.find(two, NOW)));
        assert_eq!(at(&buckets.find(one, NOW)), at(&bucket));
        assert_eq!((bucket.load(CLOSED), bucket.load(BUCKET - 1)), (Some(0), Some(NOW << 1)));
    }

    /// The file that stands for that of a cluster; of one test alone.
    fn shared_file(name: &str) -> impl Fn() -> File {
        let path = std::env::temp_dir().join(format!("sequin-{name}-{}", std::process::id()));
        move || File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap()
    }

    #[test]
    fn what_is_known_from_before_a_start_is_forgotten_and_only_then() {
        let file = shared_file("start");
        let memory: &'static [AtomicU64] = words(Buckets::WORDS).into_vec().leak();
        let one = Buckets::open(memory, file(), 1).unwrap();
        let key = one.key("a");
        assert!(one.find(key, NOW).swap(CLOSED, 0, NOW + 1));
        let again = Buckets::open(memory, file(), 1).unwrap();
        assert_eq!(again.key("a"), key);
        assert_eq!(again.find(key, NOW).load(CLOSED), Some(NOW + 1));
        let restarted = Buckets::open(memory, file(), 2).unwrap();
        assert_ne!(restarted.key("a"), key);
        assert_eq!(restarted.find(restarted.key("a"), NOW).load(CLOSED), Some(0));
        assert!(memory[BUCKET..].iter().filter(|word| word.load(Ordering::Relaxed) != 0).count() < BUCKET + 4);
    }

    /// Two processes with two threads each, many keys for few places, each given back as soon as no request is under way.
    #[test]
    fn no_word_ever_means_something_to_two_keys_however_threads_meet() {
        const KEYS: usize = 24;
        const PLACES: usize = 4;
        let file = shared_file("race");
        let one = Buckets::small(PLACES, 0, Some(file()));
        let two: &'static Table =
            Box::leak(Box::new(Table { words: one.0.words, file: Some(file()), private: Mutex::default(), rest: 0 }));
        let keys: Vec<Key> = (0..KEYS).map(|n| one.key(n)).collect();
        let (shared, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |buckets: Buckets, seed: usize| {
            for turn in 0..5_000_usize {
                let n = (turn * 7 + seed * 5 + turn / 3) % KEYS;
                let bucket = buckets.find(keys[n], now());
                let slot = SLOT + (turn + seed) % 3;
                let Some(before) = bucket.load(slot) else {
                    lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                if before & 1 == 1 {
                    continue;
                }
                let mine = now() << 1 | 1;
                std::thread::yield_now();
                if !bucket.swap(slot, before, mine) {
                    lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let Words::Shared(words) = &bucket.words else {
                    assert!(bucket.swap(slot, mine, 0));
                    continue;
                };
                shared.fetch_add(1, Ordering::Relaxed);
                // While one holds something in it, the bucket is its own.
                for _ in 0..3 {
                    std::thread::yield_now();
                    assert_eq!([KEY, KEY + 1].map(|at| words[at].load(Ordering::Acquire)), keys[n].0);
                    assert_eq!(bucket.load(slot), Some(mine));
                }
                // Of all keys only one is ever closed.
                if n == 0 {
                    bucket.raise(CLOSED, now() + 100);
                } else {
                    // `None` while somebody tries in vain to take the place over.
                    assert!(matches!(bucket.load(CLOSED), None | Some(0)), "key {n}");
                }
                assert!(bucket.swap(slot, mine, now() << 1));
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let buckets = if seed % 2 == 0 { one } else { Buckets(two) };
                scope.spawn(move || work(buckets, seed));
            }
        });
        let places: Vec<_> = (1..=PLACES).map(|at| one.0.words[at * BUCKET + KEY].load(Ordering::Relaxed)).collect();
        let hands: u64 = (1..=PLACES).map(|at| one.0.words[at * BUCKET].load(Ordering::Relaxed) >> 1).sum();
        assert_eq!(places.iter().collect::<HashSet<_>>().len(), PLACES, "one place for each key");
        assert!(
            hands > 2_000 && lost.load(Ordering::Relaxed) > 0 && shared.load(Ordering::Relaxed) > 1_000,
            "{hands} {shared:?} {lost:?}"
        );
    }
}
