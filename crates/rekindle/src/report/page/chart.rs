//! The timeline as a drawing, and the same as a table.
//!
//! Places are in percent, so it is as wide as the page. Each bar can have the focus; one at a time is reached by the Tab key,
//! the others from there with arrows. Colors only repeat what the text of a bar says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::html::Html;
use super::table;
use super::timeline::{Ran, Span, Timeline};
use crate::report::history::Build;
use crate::report::line::{fit, spoken_short};

/// So many programs have a color of their own.
const COLORS: usize = 6;
/// How high a lane is.
const LANE: usize = 16;
/// Where the lanes begin, below the axis and the phases.
const TOP: usize = 44;
/// How high the row of what is short is.
const SHORT: usize = 28;
/// So wide is a command in a bar's text.
const COLUMNS: usize = 160;

pub(super) fn write(html: &mut Html, build: &Build, processes: &[Ran], spans: &[Span], most: usize) {
    let whole = processes.iter().map(|process| process.end).max().unwrap_or_default();
    let ended = |step: &super::super::history::Step| (step.at + step.usage.wall).as_micros() as u64;
    let whole = build.steps.iter().map(ended).max().unwrap_or_default().max(whole).max(1);
    let timeline = Timeline::of(spans, whole, most);
    let colors = colors(processes, spans);
    html.leaf("h3", &[], "Timeline");
    legend(html, processes, &colors);
    let has_short = timeline.shorts > 0;
    let height = TOP + timeline.lanes * LANE + if has_short { SHORT + 18 } else { 4 };
    let label = format!(
        "Timeline of {} processes in {} lanes; arrow keys go from one to another",
        processes.len(),
        timeline.lanes
    );
    html.tag("div", &[("class", "chart")], |html| {
        let height = height.to_string();
        let svg = [
            ("class", "timeline"),
            ("width", "100%"),
            ("height", &height[..]),
            ("role", "group"),
            ("aria-label", &label[..]),
        ];
        html.tag("svg", &svg, |html| {
            axis(html, whole, &height);
            phases(html, build, whole);
            bars(html, processes, &timeline, &colors, whole);
            if has_short {
                short(html, &timeline);
            }
        });
        html.leaf(
            "output",
            &[("aria-live", "polite")],
            "Point at a bar, or go there with Tab and the arrow keys.",
        );
    });
    unobserved(html, build, processes);
    html.tag("details", &[], |html| {
        html.leaf("summary", &[], "The same as a table");
        let mut parts: Vec<&Span> = timeline.bars.iter().map(|bar| &bar.span).collect();
        parts.sort_by_key(|span| span.start);
        table(html, &["from", "took", "command", "phase"], |html| {
            for span in parts {
                let process = &processes[span.process];
                html.tag("tr", &[], |html| {
                    html.leaf("td", &[("class", "number")], &micros(span.start));
                    html.leaf("td", &[("class", "number")], &micros(span.end - span.start));
                    html.tag("td", &[("class", "command")], |html| html.leaf("code", &[], &brief(process)));
                    html.leaf("td", &[("class", "number")], &process.phase);
                });
            }
        });
        if timeline.shorts > 0 {
            html.leaf(
                "p",
                &[],
                &format!("Not here: {} spans that are too short to be drawn.", timeline.shorts),
            );
        }
    });
}

/// Says of which phases there are no processes, so that nobody takes them for idle.
fn unobserved(html: &mut Html, build: &Build, processes: &[Ran]) {
    let mut phases: Vec<&str> =
        build.steps.iter().map(|step| step.phase.as_deref().unwrap_or("build")).collect();
    phases.dedup();
    phases.retain(|phase| !processes.iter().any(|process| process.phase == *phase));
    if !phases.is_empty() {
        html.leaf("p", &[("class", "lead")], &format!("Not observed: {}.", phases.join(", ")));
    }
}

/// The programs that took the longest, each with its color.
fn colors<'p>(processes: &'p [Ran], spans: &[Span]) -> BTreeMap<&'p str, usize> {
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for span in spans {
        *times.entry(&processes[span.process].program).or_default() += span.end - span.start;
    }
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort_by_key(|(name, time)| (std::cmp::Reverse(*time), *name));
    times.into_iter().take(COLORS).enumerate().map(|(at, (name, _))| (name, at)).collect()
}

fn legend(html: &mut Html, processes: &[Ran], colors: &BTreeMap<&str, usize>) {
    let mut names: Vec<(&str, usize)> = colors.iter().map(|(name, at)| (*name, *at)).collect();
    names.sort_by_key(|(_, at)| *at);
    let has_others = processes.iter().any(|process| !colors.contains_key(&process.program[..]));
    names.extend(has_others.then_some(("others", COLORS)));
    html.tag("div", &[("class", "legend"), ("role", "group"), ("aria-label", "Programs")], |html| {
        for (name, at) in names {
            let button = [("type", "button"), ("data-color", &at.to_string()[..]), ("aria-pressed", "false")];
            html.tag("button", &button, |html| {
                html.tag("svg", &[("width", "10"), ("height", "10"), ("aria-hidden", "true")], |html| {
                    let class = format!("c{at}");
                    html.empty("rect", &[("class", &class), ("width", "10"), ("height", "10"), ("rx", "2")]);
                });
                html.text(name);
            });
        }
    });
}

fn axis(html: &mut Html, whole: u64, height: &str) {
    let step = nice(whole);
    let mut at = 0;
    while at <= whole {
        let x = percent(at, whole);
        html.empty("line", &[("class", "grid"), ("x1", &x), ("x2", &x), ("y1", "14"), ("y2", height)]);
        // The last one would be cut off.
        if at * 100 < whole * 94 {
            html.leaf("text", &[("class", "tick"), ("x", &x), ("y", "10")], &tick(at, step));
        }
        at += step;
    }
}

/// A distance of ticks: about eight of them, at round numbers.
fn nice(whole: u64) -> u64 {
    let rough = (whole / 8).max(1);
    let mut power = 1;
    while power * 10 <= rough {
        power *= 10;
    }
    [1, 2, 5, 10].into_iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough)
}

fn tick(at: u64, step: u64) -> String {
    match step {
        0..1_000 => format!("{} µs", at),
        1_000..1_000_000 if at < 1_000_000 && step < 100_000 => format!("{} ms", at / 1000),
        1_000..1_000_000 => format!("{:.1} s", at as f64 / 1e6),
        _ => format!("{} s", at / 1_000_000),
    }
}

fn phases(html: &mut Html, build: &Build, whole: u64) {
    for step in &build.steps {
        let (start, wall) = (step.at.as_micros() as u64, step.usage.wall.as_micros() as u64);
        let (x, width) = (percent(start, whole), percent(wall, whole));
        let name = step.phase.as_deref().unwrap_or("build");
        // What does not fit is cut off by a view of its own.
        html.tag("svg", &[("x", &x[..]), ("y", "18"), ("width", &width), ("height", "20")], |html| {
            html.tag(
                "rect",
                &[("class", "phase"), ("width", "100%"), ("height", "20"), ("rx", "3")],
                |html| {
                    html.leaf("title", &[], &format!("{name}, {}", spoken_short(step.usage.wall)));
                },
            );
            html.leaf("text", &[("class", "name"), ("x", "5"), ("y", "14")], name);
        });
    }
}

fn bars(html: &mut Html, processes: &[Ran], timeline: &Timeline, colors: &BTreeMap<&str, usize>, whole: u64) {
    for (at, bar) in timeline.bars.iter().enumerate() {
        let process = &processes[bar.span.process];
        let color = colors.get(&process.program[..]).copied().unwrap_or(COLORS);
        let exit = match process.exit {
            Some(0) | None => String::new(),
            Some(code) => format!(", exit code {code}"),
        };
        let took = micros(bar.span.end - bar.span.start);
        let text =
            format!("{}: {took} from {} on, {}{exit}", brief(process), micros(bar.span.start), process.phase);
        let rect = [
            ("class", &format!("bar c{color}")[..]),
            ("x", &percent(bar.span.start, whole)),
            ("y", &(TOP + bar.lane * LANE).to_string()),
            ("width", &percent(bar.span.end - bar.span.start, whole)),
            ("height", &(LANE - 2).to_string()),
            ("rx", "2"),
            ("tabindex", if at == 0 { "0" } else { "-1" }),
            ("role", "img"),
            ("data-lane", &bar.lane.to_string()),
            ("aria-label", &text),
        ];
        html.empty("rect", &rect);
    }
}

fn short(html: &mut Html, timeline: &Timeline) {
    let top = TOP + timeline.lanes * LANE + 14;
    let highest = timeline.short.iter().copied().fold(1.0, f64::max);
    let text = format!("{} short spans; at most {highest:.1} at a time", timeline.shorts);
    html.leaf("text", &[("class", "tick"), ("x", "0"), ("y", &top.to_string())], &text);
    let count = timeline.short.len() as f64;
    for (at, part) in timeline.short.iter().enumerate().filter(|(_, part)| **part > 0.0) {
        let height = (part / highest * SHORT as f64).max(1.0);
        html.empty(
            "rect",
            &[
                ("class", "short"),
                ("x", &format!("{:.3}%", at as f64 * 100.0 / count)),
                ("y", &format!("{:.1}", (top + 4 + SHORT) as f64 - height)),
                ("width", &format!("{:.3}%", 100.0 / count)),
                ("height", &format!("{height:.1}")),
            ],
        );
    }
}

fn brief(process: &Ran) -> String {
    fit(&process.command, COLUMNS, "…").into_owned()
}

fn micros(micros: u64) -> String {
    spoken_short(Duration::from_micros(micros))
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.3}%", part as f64 * 100.0 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_at_round_numbers() {
        let check = |whole, step, text: &str| {
            assert_eq!(nice(whole), step, "{whole}");
            assert_eq!(tick(step, step), text, "{whole}");
        };
        check(1_000, 200, "200 µs");
        check(80_000, 10_000, "10 ms");
        check(1_300_000, 200_000, "0.2 s");
        check(46_000_000, 10_000_000, "10 s");
        check(1, 1, "1 µs");
    }
}
