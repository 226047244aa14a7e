//! Where the processes of a build go in a timeline.
//!
//! A compiler driver waits for the compiler, a shell for the driver, `make` for all of them. What counts as work of a process is
//! the time in which nothing that it started was running. These spans are put into lanes, each span into the first lane that
//! is free: there are as many lanes as things ran at a time. What is too short to be seen is not drawn one by one but counted,
//! as how many ran at a time on average, so that a page has a bounded size whatever the build did.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A process, as far as the timeline knows it. Times are microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Who started it, or what it was before, by its place in the list; it comes before it.
    pub(crate) above: Option<usize>,
    /// The name of its program.
    pub(crate) program: String,
    /// Its command line.
    pub(crate) command: String,
    /// The phase that it was part of.
    pub(crate) phase: String,
    /// How it ended, if that was seen.
    pub(crate) exit: Option<u32>,
    /// When it began.
    pub(crate) start: u64,
    /// When it ended.
    pub(crate) end: u64,
}

/// Some of the time of a process in which it worked itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Whose.
    pub(crate) process: usize,
    /// From when on.
    pub(crate) start: u64,
    /// Until when.
    pub(crate) end: u64,
}

/// A span that is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    /// Which.
    pub(crate) span: Span,
    /// In which lane.
    pub(crate) lane: usize,
}

/// A timeline.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Timeline {
    /// What is drawn, in the order of time.
    pub(crate) bars: Vec<Bar>,
    /// How many lanes there are.
    pub(crate) lanes: usize,
    /// Of what is too short to be drawn, how many ran at a time on average, in equal parts of the whole time.
    pub(crate) short: Vec<f64>,
    /// How many spans that were.
    pub(crate) shorts: usize,
}

/// So many parts has the row of what is short.
pub(crate) const PARTS: usize = 240;
/// More lanes than these nobody can look at.
const MOST_LANES: usize = 48;
/// What is shorter than this part of the whole cannot be seen.
const LEAST_SHARE: u64 = 1200;

/// The time in which each process worked itself, in the order of time.
pub(crate) fn spans(processes: &[Ran]) -> Vec<Span> {
    let mut below: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
    for process in processes {
        if let Some(above) = process.above {
            below.entry(above).or_default().push((process.start, process.end));
        }
    }
    let mut spans = Vec::new();
    for (at, process) in processes.iter().enumerate() {
        let mut covered = below.remove(&at).unwrap_or_default();
        covered.sort_unstable();
        let mut from = process.start;
        for (start, end) in covered {
            if start > from {
                spans.push(Span { process: at, start: from, end: start.min(process.end) });
            }
            from = from.max(end);
        }
        if process.end > from {
            spans.push(Span { process: at, start: from, end: process.end });
        }
    }
    spans.retain(|span| span.end > span.start);
    spans.sort_unstable_by_key(|span| (span.start, Reverse(span.end)));
    spans
}

impl Timeline {
    /// Lays out spans in a time of `whole` microseconds. At most `most` are drawn.
    pub(crate) fn of(spans: &[Span], whole: u64, most: usize) -> Timeline {
        let mut least = (whole / LEAST_SHARE).max(1);
        let mut lengths: Vec<u64> = spans.iter().map(|span| span.end - span.start).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(longest_left_out) = lengths.get(most) {
            least = least.max(longest_left_out + 1);
        }
        let mut timeline = Timeline { short: vec![0.0; PARTS], ..Timeline::default() };
        let mut free: BinaryHeap<Reverse<usize>> = BinaryHeap::new();
        let mut busy: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        for span in spans {
            while let Some(Reverse((end, lane))) = busy.peek().copied() {
                if end > span.start {
                    break;
                }
                busy.pop();
                free.push(Reverse(lane));
            }
            let is_full = busy.len() >= MOST_LANES;
            if span.end - span.start < least || is_full {
                timeline.shorts += 1;
                add(&mut timeline.short, *span, whole);
                continue;
            }
            let lane = free.pop().map_or(timeline.lanes, |Reverse(lane)| lane);
            timeline.lanes = timeline.lanes.max(lane + 1);
            busy.push(Reverse((span.end, lane)));
            timeline.bars.push(Bar { span: *span, lane });
        }
        timeline
    }
}

/// Adds a span to the parts that it lies in, each by its share.
fn add(parts: &mut [f64], span: Span, whole: u64) {
    let width = (whole.max(1) as f64) / parts.len() as f64;
    let (start, end) = (span.start as f64 / width, span.end as f64 / width);
    let last = parts.len().saturating_sub(1);
    for (at, part) in parts.iter_mut().enumerate().take(last.min(end as usize) + 1).skip(start as usize) {
        let share = (end.min(at as f64 + 1.0) - start.max(at as f64)).max(0.0);
        *part += share;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ran(above: Option<usize>, start: u64, end: u64) -> Ran {
        Ran { above, start, end, ..Ran::default() }
    }

    #[test]
    fn who_waits_does_not_work() {
        let processes = [
            ran(None, 0, 100),
            ran(Some(0), 10, 40),
            ran(Some(0), 30, 60),
            ran(Some(1), 10, 40),
            ran(Some(0), 99, 120),
        ];
        let found: Vec<_> =
            spans(&processes).iter().map(|span| (span.process, span.start, span.end)).collect();
        assert_eq!(found, [(0, 0, 10), (3, 10, 40), (2, 30, 60), (0, 60, 99), (4, 99, 120)]);
    }

    #[test]
    fn lanes_are_as_many_as_ran_at_a_time() {
        let span = |process, start, end| Span { process, start, end };
        let all = [span(0, 0, 50), span(1, 0, 20), span(2, 20, 60), span(3, 55, 90), span(4, 90, 100)];
        let timeline = Timeline::of(&all, 100, 100);
        let lanes: Vec<usize> = timeline.bars.iter().map(|bar| bar.lane).collect();
        assert_eq!((lanes, timeline.lanes, timeline.shorts), (vec![0, 1, 1, 0, 0], 2, 0));
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let all: Vec<Span> =
            (0..10_000).map(|at| Span { process: at, start: at as u64, end: at as u64 + 1 }).collect();
        let timeline = Timeline::of(&all, 10_000, 500);
        assert_eq!((timeline.bars.len(), timeline.shorts), (0, 10_000));
        // One at a time, all the time.
        assert!(timeline.short.iter().all(|part| (part - 1.0).abs() < 1e-6), "{:?}", timeline.short);
    }

    proptest! {
        #[test]
        fn no_lane_has_two_at_a_time(
            starts in proptest::collection::vec((0u64..10_000, 1u64..3_000), 0..200),
            most in 0usize..100,
        ) {
            let mut all: Vec<Span> = starts
                .iter()
                .enumerate()
                .map(|(process, (start, length))| Span { process, start: *start, end: start + length })
                .collect();
            all.sort_unstable_by_key(|span| (span.start, Reverse(span.end)));
            let timeline = Timeline::of(&all, 13_000, most);
            prop_assert!(timeline.bars.len() <= most);
            prop_assert_eq!(timeline.bars.len() + timeline.shorts, all.len());
            for lane in 0..timeline.lanes {
                let mut free = 0;
                for bar in timeline.bars.iter().filter(|bar| bar.lane == lane) {
                    prop_assert!(bar.span.start >= free);
                    free = bar.span.end;
                }
            }
            let drawn: u64 = timeline.bars.iter().map(|bar| bar.span.end - bar.span.start).sum();
            let counted: f64 = timeline.short.iter().sum::<f64>() * 13_000.0 / PARTS as f64;
            let whole: u64 = all.iter().map(|span| span.end - span.start).sum();
            prop_assert!((drawn as f64 + counted - whole as f64).abs() < 1.0, "{} {} {}", drawn, counted, whole);
        }
    }
}
