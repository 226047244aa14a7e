//! A command that is observed against the same one that is not, and what both took.

use std::fs;
use std::time::{Duration, Instant};

use rekindle_sandbox::{Cancel, Records, Sandbox, Spec};

use crate::Result;
use crate::worlds::Scratch;

/// Runs a command in copies of a tree, of which there is one at a time.
pub(crate) fn in_copies(
    sandbox: &Sandbox,
    name: &str,
    rounds: usize,
    copy: impl Fn() -> Result<Scratch>,
    spec: impl Fn(&Scratch) -> Spec,
) -> Result<()> {
    let mut trees = Vec::new();
    compare(sandbox, name, rounds, || {
        // One at a time: they are large.
        trees.clear();
        let tree = copy()?;
        let spec = spec(&tree);
        trees.push(tree);
        Ok(spec)
    })
}

/// Runs a command observed and not, by turns, in a world that is made anew each time, and prints medians.
/// A spec may say how it is to be observed.
pub(crate) fn compare(
    sandbox: &Sandbox,
    name: &str,
    rounds: usize,
    mut make: impl FnMut() -> Result<Spec>,
) -> Result<()> {
    let (mut plain, mut observed) = (Vec::new(), Vec::new());
    let mut last = Records::default();
    for _ in 0..rounds {
        plain.push(run(sandbox, &Spec { observe: None, ..make()? })?.0);
        let mut spec = make()?;
        spec.observe.get_or_insert_default();
        let (time, records) = run(sandbox, &spec)?;
        observed.push(time);
        last = records.unwrap_or_default();
    }
    let work = |times: &[Times]| {
        times.iter().map(|times| times.work).sum::<Duration>().as_secs_f64() * 1e3 / rounds as f64
    };
    let (plain_work, observed_work) = (work(&plain), work(&observed));
    let [plain, observed] = [plain, observed]
        .map(|times| median(times.iter().map(|times| times.wall).collect()).as_secs_f64() * 1e3);
    let each = (observed_work - plain_work) * 1e3 / last.events.max(1) as f64;
    let size = last.to_bytes().len() / 1024;
    let doubt = if last.complete { String::new() } else { format!("  {}", last.reason) };
    println!(
        "{name:<34} {plain:>9.1} {observed:>9.1} {:>7.3} {plain_work:>9.1} {observed_work:>9.1} {:>7.3} {:>9} {each:>9.2}  {size:>6} kB{doubt}",
        observed / plain,
        observed_work / plain_work,
        last.events
    );
    Ok(())
}

/// What a run took.
pub(crate) struct Times {
    wall: Duration,
    /// Processor time of the command, and of what observes it.
    work: Duration,
}

pub(crate) fn run(sandbox: &Sandbox, spec: &Spec) -> Result<(Times, Option<Records>)> {
    let mut output = Vec::new();
    let before = children()?;
    let start = Instant::now();
    let exit = sandbox.run(spec, &mut |bytes| output.extend_from_slice(bytes), &Cancel::new()?)?;
    let times = Times { wall: start.elapsed(), work: children()?.saturating_sub(before) };
    if !exit.status.success() {
        return Err(format!("{:?}: {}", exit.status, String::from_utf8_lossy(&output)).into());
    }
    Ok((times, exit.records))
}

/// Processor time of all children that have ended, and theirs.
fn children() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold any character. The unit is always 10 ms.
    let words = text.rsplit_once(')').ok_or("no end of the name")?.1.split_whitespace().skip(13).take(2);
    Ok(words
        .map(str::parse::<u64>)
        .sum::<std::result::Result<u64, _>>()
        .map(|ticks| Duration::from_millis(ticks * 10))?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
