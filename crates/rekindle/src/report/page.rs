//! The page that `build --report` writes: one file, which needs nothing else and loads nothing.
//!
//! Everything that is drawn is written here; the script only moves the focus and shows what has it. A policy in the page
//! allows no other script than this very one, by its digest, and no style but ours, so that text of a builder that became
//! markup by a mistake of ours could still do nothing. Its size is bounded: see [`timeline`] and the limits below.

mod chart;
mod html;
pub(crate) mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use rekindle_engine::{BuildResult, PAGE_START, Provenance};
use rekindle_nix::Hash;

use super::failure::what;
use super::history::{Build, History};
use super::json::Goal;
use super::line::{fit, one_line, short_id, spoken, spoken_bytes, spoken_short};
use html::Html;
use timeline::{Ran, Span, spans};

/// So many bars are drawn in the whole page.
const MOST_BARS: usize = 1600;
/// Of lists so many are shown.
const MOST_ROWS: usize = 60;
/// So wide is a command in a list.
const COLUMNS: usize = 320;
/// So many processes are named as the slowest.
const SLOWEST: usize = 15;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// A build, as it is told.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// What was asked for.
    pub(crate) goals: &'a [Goal],
    /// What happened.
    pub(crate) history: &'a History,
    /// What is known of the processes, for each build in the history.
    pub(crate) observed: Vec<Option<Observed>>,
    /// How long all took.
    pub(crate) wall: Duration,
    /// How it ended.
    pub(crate) exit_code: u8,
}

/// What is known of the processes of one derivation.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// The processes of this build; their times are from the begin of the derivation.
    pub(crate) processes: Vec<Ran>,
    /// How the sources differ from those that it went on from, in words.
    pub(crate) changes: Vec<String>,
    /// How many files were made.
    pub(crate) made: usize,
    /// How many were taken over from earlier builds.
    pub(crate) kept: usize,
    /// What was made again, and why: a path, and lines with the root cause first.
    pub(crate) reasons: Vec<(String, Vec<String>)>,
}

/// Writes the page.
pub(crate) fn write(page: &Page<'_>) -> String {
    let title = title(page);
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        Hash::sha256(SCRIPT.as_bytes()).to_sri(),
        Hash::sha256(STYLE.as_bytes()).to_sri()
    );
    let mut html = Html::default();
    html.raw(PAGE_START);
    html.tag("html", &[("lang", "en")], |html| {
        html.tag("head", &[], |html| {
            html.empty("meta", &[("charset", "utf-8")]);
            html.empty("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)]);
            html.empty("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
            html.empty("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            html.leaf("title", &[], &title);
            html.tag("style", &[], |html| html.raw(STYLE));
        });
        html.tag("body", &[], |html| {
            html.tag("main", &[], |html| body(html, page, &title));
            html.tag("script", &[], |html| html.raw(SCRIPT));
        });
    });
    html.raw("\n");
    html.finish()
}

fn title(page: &Page<'_>) -> String {
    let names: Vec<&str> = page.goals.iter().map(|goal| super::board::label(&goal.drv)).collect();
    let names = match &names[..] {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    format!("Build of {}", one_line(names.as_bytes()))
}

fn body(html: &mut Html, page: &Page<'_>, title: &str) {
    let builds = page.history.builds();
    html.tag("header", &[], |html| {
        html.leaf("h1", &[], title);
        let (class, said) = match page.exit_code {
            0 => ("badge good", "done".to_owned()),
            code => ("badge bad", format!("exit code {code}")),
        };
        html.leaf("span", &[("class", class)], &said);
    });
    let cpu: Duration = builds.iter().flat_map(|build| &build.steps).map(|step| step.usage.cpu).sum();
    let observed = || page.observed.iter().flatten();
    let of_verdict = |wanted: &[&str]| {
        let verdicts = builds.iter().flat_map(|build| &build.verdicts);
        verdicts.filter(|judged| wanted.contains(&judged.verdict)).count().to_string()
    };
    html.tag("dl", &[("class", "tiles")], |html| {
        let mut tile = |name: &str, value: &str| {
            html.tag("div", &[], |html| {
                html.leaf("dt", &[], name);
                html.leaf("dd", &[], value);
            });
        };
        tile("took", &spoken(page.wall));
        tile("processor time", &spoken(cpu));
        if builds.len() > 1 {
            tile("packages", &builds.len().to_string());
        }
        tile("phases taken over", &of_verdict(&["reuse", "skip"]));
        tile("phases continued", &of_verdict(&["seed"]));
        tile("phases run", &of_verdict(&["run"]));
        if observed().next().is_some() {
            tile("processes", &observed().map(|it| it.processes.len()).sum::<usize>().to_string());
            tile("files made", &observed().map(|it| it.made).sum::<usize>().to_string());
            tile("files taken over", &observed().map(|it| it.kept).sum::<usize>().to_string());
        }
    });
    if builds.is_empty() {
        html.leaf("p", &[], "Nothing had to be done: all outputs were there.");
    }
    for warning in page.history.warnings().iter().take(MOST_ROWS) {
        html.leaf("p", &[("class", "warning")], &one_line(warning.as_bytes()));
    }
    let with_processes = observed().filter(|it| !it.processes.is_empty()).count();
    let most = MOST_BARS / with_processes.max(1);
    for (build, observed) in builds.iter().zip(&page.observed) {
        html.tag("section", &[("class", "build")], |html| {
            section(html, page, build, observed.as_ref(), most);
        });
    }
}

fn section(html: &mut Html, page: &Page<'_>, build: &Build, observed: Option<&Observed>, most: usize) {
    html.leaf("h2", &[], super::board::label(&build.drv));
    html.leaf("p", &[("class", "lead")], &outcome(page, build));
    if let Some((BuildResult::Failed(failure), _)) = &build.end {
        let place = failure.phase.as_ref().map_or_else(String::new, |phase| format!(" in {phase}"));
        html.leaf("p", &[("class", "warning")], &format!("failed{place}: {}", what(&failure.kind)));
        let tail: Vec<String> = failure.tail.iter().map(|line| one_line(line)).collect();
        if !tail.is_empty() {
            html.leaf("pre", &[("tabindex", "0")], &tail.join("\n"));
        }
    }
    for restart in &build.restarts {
        html.leaf("p", &[("class", "warning")], &one_line(super::transcript::restart(restart).as_bytes()));
    }
    if let Some(observed) = observed {
        list(html, "Sources that changed", &observed.changes);
    }
    phases(html, build);
    audits(html, build);
    let Some(observed) = observed else { return };
    if !observed.processes.is_empty() {
        let spans = spans(&observed.processes);
        chart::write(html, build, &observed.processes, &spans, most);
        programs(html, &observed.processes, &spans);
        slowest(html, &observed.processes, &spans);
    }
    reasons(html, observed);
}

fn outcome(page: &Page<'_>, build: &Build) -> String {
    let took = build.end.as_ref().map_or_else(String::new, |(_, wall)| format!(" in {}", spoken(*wall)));
    let outputs =
        page.goals.iter().filter(|goal| goal.drv == build.drv).filter_map(|goal| goal.outputs.as_ref());
    let provenance = outputs.flatten().find_map(|output| output.provenance.as_ref());
    let how = match provenance {
        Some(Provenance::Incremental { .. }) => ", incremental",
        Some(Provenance::Clean) => ", clean",
        _ => "",
    };
    let from = build.taken.as_ref().filter(|taken| taken.reused + taken.skipped + taken.seeded > 0);
    let from = from.map_or_else(String::new, |taken| {
        format!(
            ", from checkpoint {}; sources: {} added, {} changed, {} removed",
            short_id(&taken.base),
            taken.added,
            taken.changed,
            taken.removed
        )
    });
    let word = match build.end.as_ref().map(|(result, _)| result) {
        Some(BuildResult::Built) => "built",
        Some(BuildResult::Fetched) => "fetched",
        Some(BuildResult::AlreadyValid) => "built by another process",
        Some(BuildResult::Failed(_)) => "failed",
        Some(BuildResult::Abandoned) => "not tried",
        Some(_) => "done",
        None => "not finished",
    };
    format!("{word}{took}{how}{from}")
}

fn phases(html: &mut Html, build: &Build) {
    if build.verdicts.is_empty() && build.steps.is_empty() {
        return;
    }
    html.leaf("h3", &[], "Phases");
    table(html, &["phase", "what became of it", "why", "took", "processor", "memory"], |html| {
        let mut told: Vec<&str> = Vec::new();
        let row = |html: &mut Html, phase: &str, verdict: &str, why: &str| {
            let steps = build.steps.iter().filter(|step| step.phase.as_deref().unwrap_or("build") == phase);
            let (mut wall, mut cpu, mut memory, mut runs) = (Duration::ZERO, Duration::ZERO, 0, 0);
            for step in steps {
                wall += step.usage.wall;
                cpu += step.usage.cpu;
                memory = memory.max(step.usage.peak_rss);
                runs += 1;
            }
            html.tag("tr", &[], |html| {
                html.leaf("th", &[("scope", "row")], phase);
                let word = match verdict {
                    "reuse" => "reused",
                    "skip" => "not concerned",
                    "seed" => "continued",
                    other => other,
                };
                html.tag("td", &[], |html| {
                    if !word.is_empty() {
                        html.leaf("span", &[("class", &format!("verdict {verdict}"))], word);
                    }
                    if runs > 1 {
                        html.leaf("span", &[("class", "rounds")], &format!(" in {runs} rounds"));
                    }
                });
                html.leaf("td", &[("class", "why")], &one_line(why.as_bytes()));
                let shown = |text: String| if runs > 0 { text } else { String::new() };
                html.leaf("td", &[("class", "number")], &shown(spoken_short(wall)));
                html.leaf("td", &[("class", "number")], &shown(spoken_short(cpu)));
                html.leaf("td", &[("class", "number")], &shown(spoken_bytes(memory)));
            });
        };
        for judged in &build.verdicts {
            row(html, &judged.phase, judged.verdict, &judged.why);
            told.push(&judged.phase);
        }
        for step in &build.steps {
            let phase = step.phase.as_deref().unwrap_or("build");
            if !told.contains(&phase) {
                row(html, phase, "", "");
                told.push(phase);
            }
        }
    });
}

fn audits(html: &mut Html, build: &Build) {
    for (phase, audited) in &build.audits {
        let said = match (audited.is_clean, audited.findings.is_empty()) {
            (true, _) => "it had to run from its beginning",
            (false, true) => "nothing against what it had left alone",
            (false, false) => "files that it had left alone and had to make again",
        };
        html.leaf("h3", &[], &format!("Audit of {phase}: {said}"));
        let findings: Vec<String> =
            audited.findings.iter().map(|finding| one_line(finding.text.as_bytes())).collect();
        list(html, "Findings", &findings);
        let files: Vec<String> = audited.made_again.iter().map(|path| one_line(path)).collect();
        list(html, "Made again", &files);
    }
}

fn programs(html: &mut Html, processes: &[Ran], spans: &[Span]) {
    let mut programs: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for span in spans {
        programs.entry(&processes[span.process].program).or_default().0 += span.end - span.start;
    }
    for process in processes {
        programs.entry(&process.program).or_default().1 += 1;
    }
    let mut programs: Vec<_> = programs.into_iter().collect();
    programs.sort_by_key(|(name, (time, _))| (std::cmp::Reverse(*time), *name));
    let all: u64 = programs.iter().map(|(_, (time, _))| time).sum();
    html.leaf("h3", &[], "Time by program");
    html.leaf("p", &[("class", "lead")], "While it ran, and nothing that it had started.");
    table(html, &["program", "processes", "worked", "share", ""], |html| {
        for (name, (time, count)) in programs.iter().take(SLOWEST) {
            let share = *time as f64 * 100.0 / all.max(1) as f64;
            html.tag("tr", &[], |html| {
                html.leaf("th", &[("scope", "row")], name);
                html.leaf("td", &[("class", "number")], &count.to_string());
                html.leaf("td", &[("class", "number")], &spoken_short(Duration::from_micros(*time)));
                let label = if share < 1.0 { "< 1 %".to_owned() } else { format!("{share:.0} %") };
                html.leaf("td", &[("class", "number")], &label);
                html.tag("td", &[("class", "share")], |html| {
                    let bar = [("width", "100%"), ("height", "10"), ("aria-hidden", "true")];
                    html.tag("svg", &bar, |html| {
                        let width = format!("{share:.2}%");
                        html.empty(
                            "rect",
                            &[("class", "part"), ("width", &width), ("height", "10"), ("rx", "2")],
                        );
                    });
                });
            });
        }
    });
}

fn slowest(html: &mut Html, processes: &[Ran], spans: &[Span]) {
    let mut worked = vec![0; processes.len()];
    spans.iter().for_each(|span| worked[span.process] += span.end - span.start);
    let mut order: Vec<usize> = (0..processes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(worked[*at]));
    html.leaf("h3", &[], "The slowest processes");
    table(html, &["command", "phase", "worked"], |html| {
        for at in order.into_iter().take(SLOWEST) {
            let process = &processes[at];
            html.tag("tr", &[], |html| {
                html.tag("td", &[("class", "command")], |html| {
                    html.leaf("code", &[], &fit(&process.command, COLUMNS, "…"));
                });
                html.leaf("td", &[("class", "number")], &process.phase);
                html.leaf("td", &[("class", "number")], &spoken_short(Duration::from_micros(worked[at])));
            });
        }
    });
}

fn reasons(html: &mut Html, observed: &Observed) {
    if observed.reasons.is_empty() {
        return;
    }
    html.leaf("h3", &[], "What was made again, and why");
    html.tag("ul", &[("class", "reasons")], |html| {
        for (path, lines) in observed.reasons.iter().take(MOST_ROWS) {
            html.tag("li", &[], |html| {
                html.tag("details", &[], |html| {
                    html.tag("summary", &[], |html| {
                        html.leaf("code", &[], path);
                        html.text(&format!(" {}", lines.first().map_or("", String::as_str)));
                    });
                    html.tag("ol", &[], |html| {
                        lines.iter().for_each(|line| html.leaf("li", &[], line));
                    });
                });
            });
        }
    });
}

fn list(html: &mut Html, title: &str, entries: &[String]) {
    if entries.is_empty() {
        return;
    }
    html.leaf("h4", &[], title);
    html.tag("ul", &[], |html| {
        entries.iter().take(MOST_ROWS).for_each(|entry| html.leaf("li", &[], entry));
        if entries.len() > MOST_ROWS {
            html.leaf("li", &[], &format!("and {} more", entries.len() - MOST_ROWS));
        }
    });
}

/// A table that scrolls by itself, so that the page need not.
fn table(html: &mut Html, head: &[&str], rows: impl FnOnce(&mut Html)) {
    let scrolls = [("class", "scrolls"), ("tabindex", "0"), ("role", "group"), ("aria-label", head[0])];
    html.tag("div", &scrolls, |html| {
        html.tag("table", &[], |html| {
            html.tag("thead", &[], |html| {
                html.tag("tr", &[], |html| {
                    head.iter().for_each(|name| html.leaf("th", &[("scope", "col")], name));
                });
            });
            html.tag("tbody", &[], rows);
        });
    });
}

#[cfg(test)]
mod tests;
