//! A fair sample of an object that is too large to be read whole: a page of each of several spans of time, thinned out
//! so that each span has the share of the sample that it has of the records.

/// Pages that are read for one sample.
pub const MAX_PAGES: usize = 16;

const SECOND: i64 = 1_000_000;

/// Cuts a time into at most so many spans of one length, in microseconds: each from one instant on and until before
/// another. The first one begins and the last one ends nowhere. All cuts are whole seconds, which every API knows.
pub fn spans(first: i64, last: i64, most: usize) -> Vec<(Option<i64>, Option<i64>)> {
    let (first, last) = (first.div_euclid(SECOND), last.div_euclid(SECOND));
    let Some(length) = last.checked_sub(first).filter(|length| *length > 0) else { return vec![(None, None)] };
    let cut = |at: usize| i128::from(first) + i128::from(length) * at as i128 / most as i128;
    let mut cuts: Vec<_> = (1..most).filter_map(|at| i64::try_from(cut(at)).ok()?.checked_mul(SECOND)).collect();
    cuts.dedup();
    let starts = std::iter::once(None).chain(cuts.iter().copied().map(Some));
    let ends = cuts.iter().copied().map(Some).chain(std::iter::once(None));
    starts.zip(ends).collect()
}

/// How many rows each part gives to a sample of at most so many: the same share of all its records. `parts` are
/// records and how many of them were read.
pub fn shares(parts: &[(u64, usize)], most: usize) -> Vec<usize> {
    let total: u64 = parts.iter().map(|(records, _)| records).sum();
    let all = most as f64 / total.max(1) as f64;
    let read = parts.iter().filter(|(_, read)| *read > 0);
    let rate = read.map(|(records, read)| *read as f64 / *records as f64).fold(all, f64::min).min(1.0);
    let mut left = most;
    let mut share = |(records, read): &(u64, usize)| {
        let rows = ((*records as f64 * rate).round() as usize).min(*read).min(left);
        left -= rows;
        rows
    };
    parts.iter().map(&mut share).collect()
}

/// Which rows of a page are taken: so many, evenly spaced.
pub fn evenly(take: usize, of: usize) -> impl Iterator<Item = usize> {
    (0..take.min(of)).map(move |at| at * of / take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_all_time_once() {
        let spans = spans(10 * SECOND + 7, 100 * SECOND, 3);
        assert_eq!(
            spans,
            [(None, Some(40 * SECOND)), (Some(40 * SECOND), Some(70 * SECOND)), (Some(70 * SECOND), None)]
        );
    }

    #[test]
    fn no_span_is_empty_by_its_bounds() {
        assert_eq!(spans(5, 900_000, 15), [(None, None)]);
        assert_eq!(spans(i64::MIN, i64::MAX, 2).len(), 2);
        let short = spans(0, 3 * SECOND, 15);
        assert!(short.len() <= 4, "{short:?}");
        assert!(short.iter().all(|(from, to)| from.is_none() || from != to), "{short:?}");
    }

    #[test]
    fn each_part_has_the_share_of_the_sample_that_it_has_of_the_records() {
        assert_eq!(shares(&[(10_000, 2_000), (1_000, 1_000), (0, 0)], 30_000), [2_000, 200, 0]);
        assert_eq!(shares(&[(100, 100), (300, 300)], 200), [50, 150]);
        // Read whole, and there is room for all of it.
        assert_eq!(shares(&[(100, 100), (30, 30)], 30_000), [100, 30]);
        // A page that came empty says nothing of its part.
        assert_eq!(shares(&[(1_000, 0), (1_000, 500)], 30_000), [0, 500]);
        assert!(shares(&[(3, 3); 15], 20).iter().sum::<usize>() <= 20);
    }

    #[test]
    fn rows_are_taken_from_all_of_a_page() {
        assert_eq!(evenly(4, 8).collect::<Vec<_>>(), [0, 2, 4, 6]);
        assert_eq!(evenly(3, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(evenly(0, 5).count(), 0);
    }
}
