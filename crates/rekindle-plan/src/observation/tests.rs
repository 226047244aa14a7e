use proptest::prelude::*;

use super::ChangeKind::{Added, Content, Kind, Link, Mode, Removed};
use super::*;

const KINDS: [ChangeKind; 6] = [Added, Removed, Content, Mode, Kind, Link];

fn observed(build: impl FnOnce(&mut ObservationsBuilder)) -> Observations {
    let mut builder = ObservationsBuilder::new();
    build(&mut builder);
    builder.finish()
}

fn change(path: &str, kind: ChangeKind) -> SourceChange {
    SourceChange { path: path.as_bytes().to_owned(), kind }
}

/// Checks how a change of each kind is seen, in the order of `KINDS`.
fn check(observations: &Observations, path: &str, expect: [Option<How>; 6]) {
    let found = KINDS.map(|kind| observations.first_seen(&[change(path, kind)]).map(|seen| seen.how));
    assert_eq!(found, expect, "{path} in {observations:?}");
}

fn all(how: How) -> [Option<How>; 6] {
    [Some(how); 6]
}

fn all_but_content(how: How) -> [Option<How>; 6] {
    KINDS.map(|kind| (kind != Content).then_some(how))
}

const NONE: [Option<How>; 6] = [None; 6];

#[test]
fn changes_count_against_what_was_looked_at() {
    let opened = observed(|o| o.opened(b"src/a.c"));
    check(&opened, "src/a.c", all(How::Opened));
    check(&opened, "src", all_but_content(How::Opened));
    for beside in ["", "src/b.c", "src/a.c.orig", "src/a", "a.c"] {
        check(&opened, beside, if beside.is_empty() { all_but_content(How::Opened) } else { NONE });
    }

    let listed = observed(|o| o.listed(b"src/lib"));
    check(&listed, "src/lib/x.c", all_but_content(How::Listed));
    check(&listed, "src/lib", all_but_content(How::Listed));
    check(&listed, "src", all_but_content(How::Listed));
    check(&listed, "src/lib/deep/x.c", NONE);
    check(&listed, "src/x.c", NONE);

    let root = observed(|o| o.listed(b""));
    check(&root, "README", all_but_content(How::Listed));
    check(&root, "src/a.c", NONE);

    let looked_for = observed(|o| o.looked_for(b"gen/config.h"));
    check(&looked_for, "gen/config.h", all_but_content(How::LookedFor));
    check(&looked_for, "gen", all_but_content(How::LookedFor));
    check(&looked_for, "gen/config.hh", NONE);
}

#[test]
fn what_is_in_doubt_counts() {
    let unknown = observed(ObservationsBuilder::lookups_unknown);
    let how = Some(How::LookupsUnknown);
    check(&unknown, "a", [how, None, None, None, how, how]);
    let not_watched = observed(ObservationsBuilder::presence_not_watched);
    check(&not_watched, "a", all_but_content(How::PresenceNotWatched));
    check(&observed(ObservationsBuilder::everything), "a", all(How::Unknown));
    check(&Observations::everything(), "", all(How::Unknown));
    // A path that cannot be compared, on either side.
    check(&observed(|o| o.opened(b"../a")), "b", all(How::Unknown));
    check(&observed(|o| o.looked_for(b"a\0b")), "b", all(How::Unknown));
    check(&observed(|_| ()), "./a", all(How::Unknown));
    check(&observed(|_| ()), "a", NONE);
}

#[test]
fn the_first_change_that_was_seen_is_told() {
    let observations = observed(|o| {
        o.opened(b"b");
        o.opened(b"c");
    });
    let changes = [change("a", Added), change("c", Mode), change("b", Content)];
    let seen = observations.first_seen(&changes).expect("two were opened");
    assert_eq!(seen, Seen { change: change("c", Mode), how: How::Opened });
    assert_eq!(seen.to_string(), r#""c" has another mode, and it was read"#);
    assert_eq!(observations.first_seen(&changes[..1]), None);
    assert_eq!(Observations::everything().first_seen(&[]), None);
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![Just("a"), Just("b"), Just("a-"), Just("a0"), Just("é")];
    proptest::collection::vec(name, 0..4).prop_map(|names| names.join("/").into_bytes())
}

fn any_observations() -> impl Strategy<Value = Observations> {
    let paths = || proptest::collection::vec(path(), 0..6);
    (paths(), paths(), paths(), any::<bool>(), any::<bool>(), proptest::bool::weighted(0.1)).prop_map(
        |(opened, listed, looked_for, unknown, not_watched, everything)| {
            observed(|o| {
                opened.iter().for_each(|path| o.opened(path));
                listed.iter().for_each(|path| o.listed(path));
                looked_for.iter().for_each(|path| o.looked_for(path));
                if unknown {
                    o.lookups_unknown();
                }
                if not_watched {
                    o.presence_not_watched();
                }
                if everything {
                    o.everything();
                }
            })
        },
    )
}

proptest! {
    #[test]
    fn the_disk_gives_back_what_it_got(observations in any_observations()) {
        prop_assert_eq!(Observations::decode(&observations.encode()).expect("as written"), observations);
    }

    /// Two steps together see what either sees, no more and no less.
    #[test]
    fn a_union_sees_what_either_sees(
        a in any_observations(),
        b in any_observations(),
        path in path(),
        kind in proptest::sample::select(&KINDS[..]),
    ) {
        let changes = [SourceChange { path, kind }];
        let sees = |observations: &Observations| observations.first_seen(&changes).is_some();
        prop_assert_eq!(sees(&a.union(&b)), sees(&a) || sees(&b));
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.union(&a), a);
    }

    /// The binary search finds what a walk over all paths finds.
    #[test]
    fn the_search_misses_nothing(
        observations in any_observations(),
        path in path(),
        kind in proptest::sample::select(&KINDS[..]),
    ) {
        let is_below = |other: &[u8]| {
            other == path || path.is_empty() || other.strip_prefix(&path[..]).is_some_and(|rest| rest[0] == b'/')
        };
        let directory = String::from_utf8_lossy(&path).rsplit_once('/').map_or(String::new(), |(dir, _)| dir.into());
        let flags = observations.flags;
        let expect = flags.everything
            || if kind == Content {
                observations.opened().any(|opened| opened == path)
            } else {
                observations.opened().chain(observations.listed()).chain(observations.looked_for()).any(is_below)
                    || observations.listed().any(|listed| listed == directory.as_bytes())
                    || flags.presence_not_watched
                    || (flags.lookups_unknown && [Added, Kind, Link].contains(&kind))
            };
        let seen = observations.first_seen(&[SourceChange { path, kind }]);
        prop_assert_eq!(seen.is_some(), expect);
    }
}
