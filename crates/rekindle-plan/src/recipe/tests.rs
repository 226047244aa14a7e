use proptest::prelude::*;

use super::*;

/// A recipe in which every field has a value.
pub(crate) fn recipe() -> Recipe {
    let text = |text: &str| text.as_bytes().to_vec();
    Recipe {
        format: 1,
        phase: Some("buildPhase".to_owned()),
        placement: Placement::Scratch,
        system: text("x86_64-linux"),
        builder: text("/bin/bash"),
        arguments: vec![text("-e"), text("builder.sh")],
        toolchain: text("gcc 12"),
        sandbox: 2,
        inputs: BTreeSet::from([text("lib-1"), text("tool-1")]),
        attributes: BTreeMap::from([
            (text("CFLAGS"), Attribute::Value(text("-O2"))),
            (text("installPhase"), Attribute::Present),
            (text("name"), Attribute::Value(text("hello"))),
        ]),
        before: Some(RecipeKey([7; 32])),
    }
}

fn value(text: &str) -> Attribute {
    Attribute::Value(text.into())
}

#[test]
fn every_field_counts_and_is_named() {
    let check = |edit: fn(&mut Recipe), field: Field, expect: &str| {
        let (old, mut new) = (recipe(), recipe());
        edit(&mut new);
        assert_ne!(old.key(), new.key(), "{expect}");
        let difference = new.difference(&old).expect(expect);
        assert_eq!((difference.field(), difference.to_string().as_str()), (field, expect));
        let stored = Recipe::decode(&new.encode()).expect("as it was written");
        assert_eq!((&stored, stored.key()), (&new, new.key()));
    };
    check(|r| r.format = 3, Field::Format, "the format of recipes: 1 became 3");
    check(
        |r| r.phase = Some("checkPhase".into()),
        Field::Phase,
        r#"the phase: "buildPhase" became "checkPhase""#,
    );
    check(|r| r.phase = None, Field::Phase, r#"the phase: "buildPhase" became none"#);
    check(
        |r| r.placement = Placement::Final,
        Field::Placement,
        r#"the place of the outputs: "scratch" became "final""#,
    );
    check(
        |r| r.system = b"aarch64-linux".to_vec(),
        Field::System,
        r#"the system: "x86_64-linux" became "aarch64-linux""#,
    );
    check(
        |r| r.builder = b"/bin/sh".to_vec(),
        Field::Builder,
        r#"the builder: "/bin/bash" became "/bin/sh""#,
    );
    check(
        |r| r.arguments[1] = b"b.sh".to_vec(),
        Field::Arguments,
        r#"argument 2: "builder.sh" became "b.sh""#,
    );
    check(|r| r.arguments.push(b"x".to_vec()), Field::Arguments, r#"argument 3 added: "x""#);
    check(|r| r.arguments.truncate(1), Field::Arguments, r#"argument 2 removed: "builder.sh""#);
    check(|r| r.arguments.swap(0, 1), Field::Arguments, r#"argument 1: "-e" became "builder.sh""#);
    check(|r| r.toolchain = b"gcc 13".to_vec(), Field::Toolchain, "the toolchain");
    check(|r| r.sandbox = 3, Field::Sandbox, "the version of the sandbox: 2 became 3");
    check(|r| r.inputs.extend([b"more".to_vec()]), Field::Inputs, r#"input added: "more""#);
    check(|r| r.inputs.retain(|input| input != b"lib-1"), Field::Inputs, r#"input removed: "lib-1""#);
    check(
        |r| r.inputs = BTreeSet::from([b"lib-2".to_vec(), b"tool-1".to_vec()]),
        Field::Inputs,
        r#"input: "lib-1" became "lib-2""#,
    );
    check(|r| r.inputs = BTreeSet::from([b"z".to_vec()]), Field::Inputs, r#"input removed: "lib-1""#);
    check(
        |r| drop(r.attributes.insert(b"CFLAGS".to_vec(), value("-O3"))),
        Field::Attributes,
        r#"attribute "CFLAGS": "-O2" became "-O3""#,
    );
    check(
        |r| drop(r.attributes.insert(b"LDFLAGS".to_vec(), value("-s"))),
        Field::Attributes,
        r#"attribute "LDFLAGS" added: "-s""#,
    );
    check(
        |r| drop(r.attributes.remove(&b"CFLAGS"[..])),
        Field::Attributes,
        r#"attribute "CFLAGS" removed: "-O2""#,
    );
    check(
        |r| drop(r.attributes.remove(&b"installPhase"[..])),
        Field::Attributes,
        r#"attribute "installPhase" removed: set"#,
    );
    check(
        |r| drop(r.attributes.insert(b"installPhase".to_vec(), value(""))),
        Field::Attributes,
        r#"attribute "installPhase": set became """#,
    );
    check(|r| r.before = None, Field::Before, "an earlier step");
    check(|r| r.before = Some(RecipeKey([8; 32])), Field::Before, "an earlier step");
}

/// The first in the order of the fields, whatever else differs.
#[test]
fn the_first_difference_is_named() {
    let mut new = recipe();
    new.attributes.clear();
    new.before = None;
    new.sandbox = 9;
    let difference = new.difference(&recipe()).expect("it differs");
    assert_eq!(difference.to_string(), "the version of the sandbox: 2 became 9");
    assert_eq!(recipe().difference(&recipe()), None);
}

#[test]
fn a_later_step_names_where_it_began() {
    let chain = |flags: &str, make: &str| {
        let mut chain: Vec<Recipe> = Vec::new();
        for (phase, attributes) in [
            ("unpackPhase", vec![]),
            ("configurePhase", vec![("flags", flags)]),
            ("buildPhase", vec![("flags", flags), ("make", make)]),
            ("installPhase", vec![("flags", flags)]),
        ] {
            let attributes = attributes.iter().map(|(name, text)| (name.as_bytes().to_vec(), value(text)));
            let mut step = Recipe { phase: Some(phase.to_owned()), ..recipe() };
            step.attributes = attributes.collect();
            step.before = chain.last().map(Recipe::key);
            chain.push(step);
        }
        chain
    };
    let check = |new: &[Recipe], old: &[Recipe], expect: &[&str]| {
        let found = differences(new, old);
        let texts = found.iter().map(|found| found.as_ref().map_or(String::new(), ToString::to_string));
        assert_eq!(texts.collect::<Vec<_>>(), expect);
    };
    let old = chain("a", "x");
    check(&chain("a", "x"), &old, &["", "", "", ""]);
    let (flags, make) = (r#"attribute "flags": "a" became "b""#, r#"attribute "make": "x" became "y""#);
    check(&chain("b", "y"), &old, &["", flags, flags, flags]);
    let installs = format!("an earlier step, buildPhase: {make}");
    check(&chain("a", "y"), &old, &["", "", make, &installs]);
    check(&chain("a", "y")[..3], &old, &["", "", make]);
    check(&chain("a", "y"), &old[..1], &[""]);
    assert_eq!(
        differences(&chain("a", "y"), &old)[3].as_ref().and_then(Difference::origin).map(Difference::field),
        Some(Field::Attributes)
    );
}

/// Where one value ends and the next begins counts: nothing can move across.
#[test]
fn neighbours_do_not_run_together() {
    let with = |arguments: &[&str]| Recipe {
        arguments: arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
        ..recipe()
    };
    let lists =
        [with(&[]), with(&[""]), with(&["", ""]), with(&["ab"]), with(&["a", "b"]), with(&["", "ab"])];
    let keys: BTreeSet<_> = lists.iter().map(Recipe::key).collect();
    assert_eq!(keys.len(), lists.len());
}

/// Keys are kept on disk and sent to other machines: another encoding takes another version.
#[test]
fn the_encoding_is_what_it_was() {
    let key = recipe().key();
    assert_eq!(key.to_string(), "70a1badeef00c4d1e86693a2eb133ec32497c8bb70841315bb6610b225e3b6f5");
    assert_eq!(RecipeKey::from_bytes(*key.as_bytes()), key);
}

fn small() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0)], 0..3)
}

fn any_recipe() -> impl Strategy<Value = Recipe> {
    let attribute = prop_oneof![Just(Attribute::Present), small().prop_map(Attribute::Value)];
    let list = proptest::collection::vec(small(), 0..3);
    let inputs = proptest::collection::btree_set(small(), 0..3);
    let attributes = proptest::collection::btree_map(small(), attribute, 0..3);
    let before = proptest::option::of((0u8..2).prop_map(|byte| RecipeKey([byte; 32])));
    (list, inputs, attributes, before, small()).prop_map(
        |(arguments, inputs, attributes, before, toolchain)| Recipe {
            arguments,
            inputs,
            attributes,
            before,
            toolchain,
            ..recipe()
        },
    )
}

proptest! {
    /// Keys, explanation and equality never disagree, and the disk gives back what it got.
    #[test]
    fn key_and_explanation_agree(a in any_recipe(), b in any_recipe()) {
        prop_assert_eq!(a == b, a.key() == b.key());
        prop_assert_eq!(a == b, a.difference(&b).is_none());
        prop_assert_eq!(a.difference(&b).map(|d| d.field()), b.difference(&a).map(|d| d.field()));
        prop_assert_eq!(Recipe::decode(&a.encode()).expect("as it was written"), a);
    }
}
