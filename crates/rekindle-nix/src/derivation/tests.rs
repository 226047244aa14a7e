use super::*;
use crate::content_address::{ContentAddress, ContentMethod};
use crate::hash::HashAlgo;

macro_rules! vectors {
    ($($path:literal),*) => {
        [$(($path, include_bytes!(concat!("../../tests/vectors/", $path)).as_slice())),*]
    };
}

/// What real Nix made, inputs before what needs them.
pub(crate) const VECTORS: [(&str, &[u8]); 7] = vectors![
    "hff4ya0w9zwng0wxrnhswqfxcr9ch5hk-src.drv",
    "4yz9q4mdqnijv95qc3lc3bsfxac354sg-a.drv",
    "jk18w6m9xrwrf647acy0qa3nq3f57r7f-b.drv",
    "70zkiddw2pbm84yr40a6jixgf13gww47-ca.drv",
    "7bxb4y4iby2npl147f3907fja0hlbr7j-dep.drv",
    "6pf6qxg2mkpa6f2687zqcmmg73f5jiym-top.drv",
    "zhb7qhb1dfffybibxcdvrl7j7hj8l9xp-j.drv"
];

pub(crate) fn name(text: &str) -> StorePathName {
    StorePathName::new(text).unwrap()
}

fn load(path: &StorePath) -> Result<Derivation, Error> {
    let (_, text) = VECTORS.iter().find(|(each, _)| *each == path.base_name()).unwrap();
    aterm::parse(&StoreDir::default(), &path.drv_name().unwrap(), text)
}

fn each_vector() -> impl Iterator<Item = (StorePath, Derivation)> {
    VECTORS.iter().map(|(path, _)| {
        let path: StorePath = path.parse().unwrap();
        let derivation = load(&path).unwrap();
        (path, derivation)
    })
}

/// Answers with a memo of its own.
fn input(path: &StorePath) -> Result<DrvHash, Error> {
    ModuloMemo::new().hash_as_input(&StoreDir::default(), path, &mut load)
}

#[test]
fn the_paths_of_files_and_outputs_are_those_of_real_nix() {
    let dir = StoreDir::default();
    for (path, derivation) in each_vector() {
        assert_eq!(derivation.drv_path(&dir).unwrap(), path);
        derivation.check_output_paths(&dir, &mut input).unwrap();
        let mut blank = derivation.clone();
        for (name, output) in &mut blank.outputs {
            match output {
                Output::Fixed { path, .. } => *path = "00000000000000000000000000000000-x".parse().unwrap(),
                Output::InputAddressed(_) => *output = Output::Deferred,
                _ => {}
            }
            blank.env.remove(name.as_str().as_bytes());
        }
        assert_ne!(blank, derivation);
        blank.fill_output_paths(&dir, &mut input).unwrap();
        assert_eq!(blank, derivation);
    }
}

#[test]
fn kinds_and_what_is_deferred() {
    let expect = [
        (DerivationKind::Fixed, false),
        (DerivationKind::InputAddressed, false),
        (DerivationKind::InputAddressed, false),
        (DerivationKind::Floating, true),
        (DerivationKind::Deferred, true),
        (DerivationKind::Deferred, true),
        (DerivationKind::InputAddressed, false),
    ];
    for ((path, derivation), (kind, deferred)) in each_vector().zip(expect) {
        assert_eq!(derivation.kind().unwrap(), kind, "{path}");
        assert_eq!(input(&path).unwrap().deferred, deferred, "{path}");
        assert_eq!(derivation.has_structured_attrs(), path.name() == "j.drv");
    }
}

#[test]
fn a_wrong_path_in_an_output_or_in_the_environment_is_told() {
    let dir = StoreDir::default();
    let (_, good) = each_vector().nth(1).unwrap();
    let check = |change: &dyn Fn(&mut Derivation), message: &str| {
        let mut wrong = good.clone();
        change(&mut wrong);
        let error = wrong.check_output_paths(&dir, &mut input).unwrap_err();
        assert!(error.is_output_mismatch());
        assert!(error.to_string().contains(message), "{error}");
    };
    check(&|drv| drop(drv.env.insert(b"s".to_vec(), b"changed".to_vec())), "has the path /nix/store/97jh13");
    check(&|drv| drop(drv.env.insert(b"out".to_vec(), b"".to_vec())), "the variable out set to \"\"");
    check(&|drv| drop(drv.env.remove(b"dev".as_slice())), "the variable dev set to nothing");
    let deferred =
        |drv: &mut Derivation| drv.outputs.values_mut().for_each(|output| *output = Output::Deferred);
    check(&deferred, "has the path no path for output dev, which should be /nix/store/97jh13");
}

#[test]
fn impossible_outputs() {
    let (_, good) = each_vector().nth(1).unwrap();
    let check = |outputs: &[(&str, Output)], message: &str| {
        let outputs = outputs.iter().map(|(name, output)| (name.parse().unwrap(), output.clone()));
        let error = Derivation { outputs: outputs.collect(), ..good.clone() }.kind().unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    };
    let floating = Output::Floating { method: ContentMethod::Recursive, algo: HashAlgo::Sha256 };
    let fixed = Output::Fixed {
        address: ContentAddress::new(ContentMethod::Flat, Hash::sha256(b"")).unwrap(),
        path: "00000000000000000000000000000000-x".parse().unwrap(),
    };
    check(&[], "no outputs");
    check(&[("out", Output::Deferred), ("dev", floating)], "different kinds");
    check(&[("dev", fixed.clone())], "the only one");
    check(&[("out", fixed.clone()), ("dev", fixed)], "the only one");
}

/// A chain as long as here would overflow the stack if the walk recursed, and never end if it forgot.
#[test]
fn the_memo_asks_once_and_does_not_recurse() {
    let dir = StoreDir::default();
    let path = |number: usize| -> StorePath { format!("{number:0>32}-x.drv").parse().unwrap() };
    let outputs = BTreeSet::from([OutputName::out()]);
    let (_, template) = each_vector().nth(2).unwrap();
    let mut loaded = 0;
    let mut load = |drv: &StorePath| {
        loaded += 1;
        let number: usize = drv.hash_part().parse().unwrap();
        let needed = [number.checked_sub(1), number.checked_sub(2)];
        let input_drvs = needed.into_iter().flatten().map(|input| (path(input), outputs.clone())).collect();
        Ok::<_, Error>(Derivation { input_drvs, ..template.clone() })
    };
    let mut memo = ModuloMemo::new();
    let first = memo.hash_as_input(&dir, &path(20_000), &mut load).unwrap();
    assert_eq!(memo.hash_as_input(&dir, &path(20_000), &mut load).unwrap(), first);
    assert_eq!(loaded, 20_001);
}

#[test]
fn derivations_in_a_circle_are_told() {
    let (_, template) = each_vector().nth(2).unwrap();
    let path: StorePath = "00000000000000000000000000000000-x.drv".parse().unwrap();
    let input_drvs = BTreeMap::from([(path.clone(), BTreeSet::from([OutputName::out()]))]);
    let looping = Derivation { input_drvs, ..template };
    let mut memo = ModuloMemo::new();
    let error = memo
        .hash_as_input(&StoreDir::default(), &path, &mut |_| Ok::<_, Error>(looping.clone()))
        .unwrap_err();
    assert!(error.to_string().contains("depends on itself"), "{error}");
}

#[test]
fn an_input_whose_outputs_are_fixed_is_known_by_them_alone() {
    let dir = StoreDir::default();
    let (_, mut source) = each_vector().next().unwrap();
    let none = &mut |_: &StorePath| -> Result<DrvHash, Error> { unreachable!("it has no inputs") };
    let before = source.hash_as_input(&dir, none).unwrap();
    source.env.insert(b"url".to_vec(), b"https://elsewhere.example".to_vec());
    assert_eq!(source.hash_as_input(&dir, none).unwrap(), before);
    assert_eq!(source.hash_modulo(&dir, none).unwrap(), before);
}

#[test]
fn a_failing_input_changes_nothing() {
    #[derive(Debug)]
    struct Missing;
    impl From<Error> for Missing {
        fn from(error: Error) -> Missing {
            panic!("{error}")
        }
    }
    let (_, mut derivation) = each_vector().nth(1).unwrap();
    let before = derivation.clone();
    let dir = StoreDir::default();
    assert!(derivation.fill_output_paths(&dir, &mut |_| Err::<DrvHash, _>(Missing)).is_err());
    assert_eq!(derivation, before);
}

#[test]
fn references_are_inputs_of_both_sorts() {
    let (_, mut derivation) = each_vector().nth(1).unwrap();
    let source: StorePath = "00000000000000000000000000000000-x".parse().unwrap();
    derivation.input_srcs.insert(source.clone());
    let names: Vec<_> = derivation.references().into_iter().map(StorePath::name).collect();
    assert_eq!(names, ["x", "src.drv"]);
}
