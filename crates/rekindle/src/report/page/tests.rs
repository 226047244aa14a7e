use rekindle_engine::{Audited, Event, Failure, FailureKind, Finding, Progress, StepUsage, Taken};
use rekindle_nix::StorePath;

use super::*;

/// Elements that this program writes, as they are nested; their texts; and all values of attributes. Panics if the page
/// is not well-formed: an element that is not closed, an attribute that is not quoted, a character that is not escaped.
struct Parsed {
    elements: Vec<String>,
    texts: Vec<String>,
    attributes: Vec<(String, String)>,
}

fn parse(page: &str) -> Parsed {
    let mut parsed = Parsed { elements: Vec::new(), texts: Vec::new(), attributes: Vec::new() };
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.strip_prefix(PAGE_START).expect("a page");
    while let Some(at) = rest.find('<') {
        parsed.texts.push(unescape(&rest[..at]));
        rest = &rest[at + 1..];
        if let Some(closing) = rest.strip_prefix('/') {
            let (name, after) = closing.split_once('>').expect("it ends");
            assert_eq!(open.pop().as_deref(), Some(name));
            rest = after;
            continue;
        }
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric()).expect("a name ends");
        let name = rest[..end].to_owned();
        assert!(!name.is_empty(), "{}", &rest[..20]);
        rest = &rest[end..];
        while let Some(attribute) = rest.strip_prefix(' ') {
            let (key, value) = attribute.split_once("=\"").expect("a value in quotation marks");
            assert!(
                key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit()),
                "{key}"
            );
            let (value, after) = value.split_once('"').expect("it ends");
            assert!(!value.contains('<') && !value.contains('>'), "{value}");
            parsed.attributes.push((key.to_owned(), unescape(value)));
            rest = after;
        }
        parsed.elements.push(name.clone());
        if let Some(after) = rest.strip_prefix("/>") {
            rest = after;
            continue;
        }
        rest = rest.strip_prefix('>').unwrap_or_else(|| panic!("{name} does not end: {}", &rest[..20]));
        if name == "script" || name == "style" {
            let (_, after) = rest.split_once(&format!("</{name}>")).expect("it ends");
            rest = after;
            continue;
        }
        open.push(name);
    }
    assert_eq!((open, rest.trim()), (Vec::new(), ""));
    parsed
}

fn unescape(text: &str) -> String {
    assert!(!text.contains('>'), "{text}");
    let mut parts = text.split('&');
    let mut plain = parts.next().expect("a first part").to_owned();
    for part in parts {
        let (name, rest) = part.split_once(';').expect("an escape ends");
        plain.push_str(match name {
            "lt" => "<",
            "gt" => ">",
            "amp" => "&",
            "quot" => "\"",
            "#39" => "'",
            other => panic!("&{other};"),
        });
        plain.push_str(rest);
    }
    plain
}

const HOSTILE: &str = "</script></style><img src=x onerror=alert(1)>\"' onfocus='alert(2)' &lt;b&gt;";

fn drv() -> StorePath {
    StorePath::new(&[7; 20], &"hello-2.10.drv".parse().expect("a name"))
}

fn history(end: BuildResult) -> History {
    let mut history = History::default();
    let drv = drv();
    let usage =
        StepUsage { wall: Duration::from_secs(2), cpu: Duration::from_millis(1500), peak_rss: 9 << 20 };
    history.note(&Event::Started { drv: drv.clone(), fetch: false });
    for (phase, verdict) in [("setup", "reuse"), ("buildPhase", "seed"), ("installPhase", "run")] {
        let (phase, why) = (phase.to_owned(), format!("because of {HOSTILE}"));
        history.note(&Event::StepJudged { drv: drv.clone(), phase, verdict, reason: "source", why });
    }
    let audited = Audited {
        took: std::time::Duration::from_millis(3),
        rounds: 2,
        made_again: vec![format!("build/source/{HOSTILE}").into_bytes()],
        is_clean: false,
        findings: vec![Finding { rule: "producer", text: format!("found {HOSTILE}") }],
    };
    history.note(&Event::Audited { drv: drv.clone(), phase: "buildPhase".into(), audited });
    let taken =
        Taken { base: "1ee73a56089058f4".into(), changed: 1, reused: 1, seeded: 1, ..Taken::default() };
    history.note(&Event::Taken { drv: drv.clone(), taken });
    for phase in ["buildPhase", "buildPhase", "installPhase"] {
        history.note(&Event::StepFinished { drv: drv.clone(), phase: Some(phase.into()), usage });
    }
    history.note(&Event::Warning { message: format!("careful {HOSTILE}") });
    history.note(&Event::Finished { drv, result: end, wall: Duration::from_secs(5) });
    history
}

fn processes(count: usize) -> Vec<Ran> {
    let ran = |at: usize| Ran {
        above: (at > 0).then_some(0),
        program: format!("cc{}{HOSTILE}", at % 9),
        command: format!("cc{} -c {HOSTILE} -o {at}.o {}", at % 9, "-I/some/where ".repeat(40)),
        phase: "buildPhase".to_owned(),
        exit: Some(u32::from(at % 7 == 1)),
        start: at as u64 * 40,
        end: at as u64 * 40 + 20 + (at as u64 % 11) * 5_000,
    };
    (0..count).map(ran).collect()
}

fn page(history: &History, observed: Option<Observed>) -> String {
    let goals = [Goal { drv: drv(), package: Some("hello".into()), directory: None, outputs: None }];
    write(&Page {
        goals: &goals,
        history,
        observed: vec![observed],
        wall: Duration::from_secs(6),
        exit_code: 0,
    })
}

fn observed(count: usize) -> Observed {
    Observed {
        processes: processes(count),
        changes: vec![format!("{HOSTILE} has other content")],
        made: 3,
        kept: 4,
        reasons: vec![(HOSTILE.to_owned(), vec![format!("the source {HOSTILE}"), "→ made".to_owned()])],
    }
}

#[test]
fn nothing_that_a_builder_wrote_becomes_markup() {
    let failure = Failure {
        phase: Some("buildPhase".to_owned()),
        kind: FailureKind::Exit(2),
        tail: vec![format!("make: *** {HOSTILE}").into_bytes(), b"\x1b[31mred".to_vec()],
        log: None,
        kept: None,
        progress: Progress::None,
    };
    let text = page(&history(BuildResult::Failed(failure)), Some(observed(200)));
    let parsed = parse(&text);
    for element in ["img", "b"] {
        assert!(!parsed.elements.iter().any(|name| name == element), "{element}");
    }
    assert_eq!(parsed.elements.iter().filter(|name| *name == "script").count(), 1);
    assert!(parsed.attributes.iter().all(|(name, _)| !name.starts_with("on") && name != "style"));
    // It is there, as what it is.
    let places = parsed.texts.iter().filter(|text| text.contains("</script></style><img src=x")).count();
    assert!(places > 8, "{places}");
    assert!(
        parsed
            .attributes
            .iter()
            .any(|(name, value)| name == "aria-label" && value.contains("onerror=alert(1)"))
    );
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_page_needs_nothing_else() {
    let parsed = parse(&page(&history(BuildResult::Built), Some(observed(50))));
    for (name, value) in &parsed.attributes {
        assert!(!["src", "href", "xlink:href", "action", "data"].contains(&&name[..]), "{name}={value}");
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !SCRIPT.contains("import"));
    // The policy allows just what is in the page.
    let policy = &parsed
        .attributes
        .iter()
        .find(|(name, value)| name == "content" && value.contains("src"))
        .expect("it")
        .1;
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && policy.contains("'sha256-"),
        "{policy}"
    );
}

#[test]
fn the_same_is_there_as_a_table() {
    let text = page(&history(BuildResult::Built), Some(observed(50)));
    let parsed = parse(&text);
    let bars = parsed.attributes.iter().filter(|(name, _)| name == "data-lane").count();
    assert!(bars > 30, "{bars}");
    let of_tab =
        parsed.attributes.iter().filter(|(name, value)| name == "class" && value.starts_with("bar ")).count();
    assert_eq!(of_tab, bars);
    let table = text
        .split("The same as a table")
        .nth(1)
        .and_then(|rest| rest.split("</table>").next())
        .expect("a table");
    assert_eq!(table.matches("<tr>").count(), bars + 1);
    for said in
        ["continued", "in 2 rounds", "incremental", "1 changed", "Time by program", "The slowest processes"]
    {
        let is_there = parsed.texts.iter().any(|text| text.contains(said));
        assert_eq!(is_there, said != "incremental", "{said}");
    }
}

#[test]
fn a_hundred_thousand_processes_are_some_megabytes() {
    let text = page(&history(BuildResult::Built), Some(observed(100_000)));
    assert!(text.len() < 3 << 20, "{}", text.len());
    let parsed = parse(&text);
    assert!(parsed.texts.iter().any(|text| text.contains("short spans")));
    assert!(parsed.attributes.iter().filter(|(name, _)| name == "data-lane").count() <= MOST_BARS);
}

#[test]
fn without_observations_there_is_still_a_page() {
    let parsed = parse(&page(&history(BuildResult::Built), None));
    assert!(parsed.texts.iter().any(|text| text == "Phases"));
    let nothing = parse(&write(&Page {
        goals: &[],
        history: &History::default(),
        observed: Vec::new(),
        wall: Duration::ZERO,
        exit_code: 0,
    }));
    assert!(nothing.texts.iter().any(|text| text.contains("Nothing had to be done")));
}
