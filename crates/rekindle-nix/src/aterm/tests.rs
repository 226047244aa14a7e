use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::content_address::{ContentAddress, ContentMethod};
use crate::derivation::tests::{VECTORS, name};
use crate::derivation::{Derivation, Output, OutputName};
use crate::error::Error;
use crate::hash::{Hash, HashAlgo};
use crate::store_path::{StoreDir, StorePath};

fn parse_x(text: &[u8]) -> Result<Derivation, Error> {
    parse(&StoreDir::default(), &name("x"), text)
}

#[test]
fn texts_of_real_nix_round_trip() {
    let dir = StoreDir::default();
    for (path, text) in VECTORS {
        let name = path.parse::<StorePath>().unwrap().drv_name().unwrap();
        assert_eq!(write(&parse(&dir, &name, text).unwrap(), &dir), text, "{path}");
    }
}

const SMALL: &str = concat!(
    r#"Derive([("dev","/nix/store/00000000000000000000000000000000-x-dev","",""),"#,
    r#"("out","/nix/store/00000000000000000000000000000000-x","","")],"#,
    r#"[("/nix/store/00000000000000000000000000000000-a.drv",["dev","out"]),"#,
    r#"("/nix/store/00000000000000000000000000000000-b.drv",["out"])],"#,
    r#"["/nix/store/00000000000000000000000000000000-s","/nix/store/00000000000000000000000000000000-t"],"#,
    r#""sys","/b",["z","a","z"],[("a","1"),("b","\"\\\n\r\t")])"#,
);

#[test]
fn every_field_is_where_it_belongs() {
    let derivation = parse_x(SMALL.as_bytes()).unwrap();
    let path =
        |name: &str| -> StorePath { format!("00000000000000000000000000000000-{name}").parse().unwrap() };
    let outputs =
        |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<OutputName>>();
    assert_eq!(
        derivation,
        Derivation {
            name: name("x"),
            outputs: BTreeMap::from([
                ("dev".parse().unwrap(), Output::InputAddressed(path("x-dev"))),
                ("out".parse().unwrap(), Output::InputAddressed(path("x"))),
            ]),
            input_drvs: BTreeMap::from([
                (path("a.drv"), outputs(&["dev", "out"])),
                (path("b.drv"), outputs(&["out"])),
            ]),
            input_srcs: BTreeSet::from([path("s"), path("t")]),
            system: b"sys".to_vec(),
            builder: b"/b".to_vec(),
            args: vec![b"z".to_vec(), b"a".to_vec(), b"z".to_vec()],
            env: BTreeMap::from([(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"\"\\\n\r\t".to_vec()),]),
        }
    );
}

#[test]
fn malformed_texts_are_refused_with_the_byte() {
    let check = |from: &str, to: &str, message: &str| {
        assert!(SMALL.contains(from), "{from}");
        let text = SMALL.replacen(from, to, 1);
        let error = parse_x(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(message), "{to}: {error}");
    };
    check("Derive(", "derive(", "at byte 0: it has to begin with");
    check("Derive(", "Derive( ", "at byte 7: expected \"[\"");
    check("[(\"dev\"", "[(dev", "at byte 9: expected a string");
    check("(\"dev\"", "(\"zzz\"", "not in order");
    check("(\"dev\"", "(\"out\"", "a duplicate");
    check("(\"dev\"", "(\"d/v\"", "at byte 9: invalid name of an output");
    check("(\"dev\"", "(\"\"", "invalid name of an output");
    check("x-dev\",\"\"", "x-dev\",\"sha256\"", "invalid output");
    check("x-dev\",\"\",\"\"", "x-dev\",\"\",\"00\"", "a hash but no algorithm");
    check("/nix/store/00000000000000000000000000000000-x-dev", "", "different kinds");
    check("/nix/store/00000000000000000000000000000000-x-dev", "/nix/store/x", "invalid output");
    check("[\"dev\",\"out\"]", "[]", "no output is needed");
    check("[\"dev\",\"out\"]", "[\"out\",\"dev\"]", "not in order");
    check("-a.drv", "-c.drv", "not in order");
    check("-a.drv", "-a", "has to end in \".drv\"");
    check("-a.drv", ".drv", "invalid store path");
    check("-s\"", "-s/\"", "invalid store path");
    check(
        "/nix/store/00000000000000000000000000000000-s",
        "/nix/store/../store/00000000000000000000000000000000-s",
        "invalid store path",
    );
    check("-s\"", "-u\"", "not in order");
    check("[\"z\",", "[\"z\" ,", "expected \",\"");
    check("[\"z\",", "[,\"z\",", "expected a string");
    check("\"z\"]", "\"z\",]", "expected a string");
    check("(\"a\",\"1\")", "(\"b\",\"1\")", "a duplicate");
    check("(\"a\",\"1\")", "(\"a\",\"1\",\"2\")", "expected \")\"");
    check("\\r", "\r", "that is not escaped");
    check("\\n", "\n", "that is not escaped");
    check("\\t", "\t", "that is not escaped");
    check("\\r", "\\x", "needless escape");
    check("\\t\")])", "\\t\")]) ", "nothing may follow");
    check("\\t\")])", "\\t\")]", "expected \")\"");
    check("\\t\")])", "\\t", "string without an end");
    check("\\t\")])", "\\", "string without an end");
    check("Derive(", "DrvWithVersion(\"xp-dyn-drv\",", "not supported");
    for len in 0..SMALL.len() {
        assert!(parse_x(&SMALL.as_bytes()[..len]).is_err(), "{len}");
    }
}

#[test]
fn what_is_not_supported_says_so() {
    let dynamic = parse_x(br#"DrvWithVersion("xp-dyn-drv",[],[],[],"","",[],[])"#).unwrap_err();
    assert!(dynamic.is_unsupported());
    let git = parse_x(br#"Derive([("out","","git:sha1","")],[],[],"","",[],[])"#).unwrap_err();
    assert!(git.is_unsupported());
}

/// The outputs of a derivation called `x`, and what they are.
#[test]
fn kinds_of_outputs() {
    let nix32 = "sha256:1c5xas6l8qgbylr0v5jpp5h7bzkk4z9n67dls49wb0vg0yiyclfi";
    let hash: Hash = nix32.parse().unwrap();
    let hex = hash.to_hex();
    let dir = StoreDir::default();
    let parse_output = |path: &str, algo: &str, hash: &str| {
        let text = format!(r#"Derive([("out","{path}","{algo}","{hash}")],[],[],"","",[],[])"#);
        let mut derivation = parse_x(text.as_bytes())?;
        assert_eq!(write(&derivation, &dir), text.as_bytes());
        Ok::<_, Error>(derivation.outputs.pop_first().unwrap().1)
    };
    let check = |path: &str, algo: &str, hash: &str, output: Output| {
        assert_eq!(parse_output(path, algo, hash).unwrap(), output);
    };
    let [recursive, sha256] = [ContentMethod::Recursive, ContentMethod::Flat];
    check("", "", "", Output::Deferred);
    check("", "r:sha256", "", Output::Floating { method: recursive, algo: HashAlgo::Sha256 });
    check("", "text:sha256", "", Output::Floating { method: ContentMethod::Text, algo: HashAlgo::Sha256 });
    check("", "sha512", "impure", Output::Impure { method: sha256, algo: HashAlgo::Sha512 });
    for method in [ContentMethod::Flat, ContentMethod::Recursive, ContentMethod::Text] {
        let address = ContentAddress::new(method, hash).unwrap();
        let path = dir.fixed_output_path(&name("x"), &address).unwrap();
        let algo = format!("{}sha256", method.prefix());
        check(&dir.display(&path), &algo, &hex, Output::Fixed { address, path: path.clone() });
        assert!(parse_output("", &algo, &hex).is_err());
        assert!(parse_output(&dir.display(&path), &algo, &hex.to_uppercase()).is_err());
        assert!(parse_output(&dir.display(&path), &algo, &hash.to_nix32()).is_err());
        assert!(parse_output(&dir.display(&path), &algo, "impure").is_err());
        assert!(parse_output(&dir.display(&path), &algo, "").is_err());
        let wrong = parse_output("/nix/store/00000000000000000000000000000000-x", &algo, &hex).unwrap_err();
        assert!(wrong.is_output_mismatch());
    }
    assert!(parse_output("", "x:sha256", "").is_err());
    assert!(parse_output("", "text:sha512", "").is_err());
}

prop_compose! {
    fn any_path()(hash in "[0-9a-d]{32}", name in "[a-zA-Z0-9+_?=][a-zA-Z0-9+._?=-]{0,20}") -> StorePath {
        format!("{hash}-{name}").parse().unwrap()
    }
}

fn any_output_name() -> impl Strategy<Value = OutputName> {
    "[a-z_]{1,5}".prop_map(|name| name.parse().unwrap())
}

/// Bytes among which there are those that matter.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\"\\\n\r\t,)]".as_slice())];
    prop::collection::vec(byte, 0..20)
}

fn any_outputs() -> impl Strategy<Value = BTreeMap<OutputName, Output>> {
    use prop::collection::btree_map;
    let addressed = any_path().prop_map(Output::InputAddressed);
    let floating = Output::Floating { method: ContentMethod::Recursive, algo: HashAlgo::Sha1 };
    prop_oneof![
        btree_map(any_output_name(), addressed, 1..4),
        btree_map(any_output_name(), Just(Output::Deferred), 1..4),
        btree_map(any_output_name(), Just(floating), 1..4),
        (any_bytes(), 0..4_usize, any::<bool>()).prop_map(|(bytes, algo, flat)| {
            let method = if flat { ContentMethod::Flat } else { ContentMethod::Recursive };
            let address = ContentAddress::new(method, HashAlgo::ALL[algo].digest(&bytes)).unwrap();
            let path = StoreDir::default().fixed_output_path(&name("x"), &address).unwrap();
            BTreeMap::from([(OutputName::out(), Output::Fixed { address, path })])
        }),
    ]
}

prop_compose! {
    fn any_derivation()(
        outputs in any_outputs(),
        inputs in prop::collection::btree_map(
            any_path(),
            prop::collection::btree_set(any_output_name(), 1..3),
            0..4,
        ),
        input_srcs in prop::collection::btree_set(any_path(), 0..4),
        system in any_bytes(),
        builder in any_bytes(),
        args in prop::collection::vec(any_bytes(), 0..5),
        env in prop::collection::btree_map(any_bytes(), any_bytes(), 0..6),
    ) -> Derivation {
        let input_drvs = inputs
            .into_iter()
            .map(|(path, outputs)| (format!("{path}.drv").parse().unwrap(), outputs))
            .collect();
        Derivation { name: name("x"), outputs, input_drvs, input_srcs, system, builder, args, env }
    }
}

proptest! {
    #[test]
    fn any_derivation_round_trips(derivation in any_derivation()) {
        let text = write(&derivation, &StoreDir::default());
        prop_assert_eq!(parse_x(&text).unwrap(), derivation);
    }

    /// A bounded run of what the fuzz target does without end.
    #[test]
    fn a_damaged_text_is_refused_or_written_as_it_was(
        derivation in any_derivation(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut text = write(&derivation, &StoreDir::default());
        for (at, byte, how) in damage {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ if text.len() > 1 => drop(text.remove(at)),
                _ => {}
            }
        }
        if let Ok(parsed) = parse_x(&text) {
            prop_assert_eq!(write(&parsed, &StoreDir::default()), text);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = parse_x(&bytes);
        let _ = parse_x(&[b"Derive([", bytes.as_slice()].concat());
    }
}
