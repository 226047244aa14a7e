//! Derivations that real Nix instantiates from made-up expressions: texts, paths, placeholders.

use std::collections::BTreeMap;
use std::path::Path;

use rekindle_nix::{
    Derivation, DerivationKind, DrvHash, Error, HashAlgo, ModuloMemo, Output, Placeholder, StoreDir,
    StorePath, aterm,
};

use super::{RealNix, lines};

#[test]
fn a_chroot_store() {
    let nix = RealNix::new();
    let expression = expression(400, 1);
    std::fs::create_dir(nix.dir().join("source")).unwrap();
    std::fs::write(nix.dir().join("source/file"), "content").unwrap();
    std::fs::write(nix.dir().join("all.nix"), expression).unwrap();
    let paths = lines(nix.command("nix-instantiate").arg("all.nix"));
    check_all(&StoreDir::default(), &nix.store_on_disk(), &paths);
}

#[test]
fn a_store_directory_of_another_name() {
    let nix = RealNix::new();
    let store = nix.dir().join("a store=é");
    std::fs::create_dir(nix.dir().join("source")).unwrap();
    std::fs::write(nix.dir().join("all.nix"), expression(60, 2)).unwrap();
    let mut instantiate = nix.command_at(&store, "nix-instantiate");
    let paths = lines(instantiate.arg("all.nix"));
    check_all(&StoreDir::new(store.to_str().unwrap().as_bytes()).unwrap(), &store, &paths);
}

fn check_all(dir: &StoreDir, on_disk: &Path, paths: &[String]) {
    let mut texts = BTreeMap::new();
    for entry in std::fs::read_dir(on_disk).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".drv") {
            texts.insert(name.parse::<StorePath>().unwrap(), std::fs::read(entry.path()).unwrap());
        }
    }
    for path in paths {
        // Nix adds the output that it would build, unless that is the one called "out".
        let path = path.split('!').next().unwrap();
        assert!(texts.contains_key(&dir.parse(path.as_bytes()).unwrap()), "{path}");
    }
    let load = |path: &StorePath| aterm::parse(dir, &path.drv_name().unwrap(), &texts[path]);

    let mut memo = ModuloMemo::new();
    let mut kinds = BTreeMap::<String, usize>::new();
    for (path, text) in &texts {
        let derivation = load(path).unwrap();
        assert!(aterm::write(&derivation, dir) == *text, "{path}");
        assert_eq!(&derivation.drv_path(dir).unwrap(), path);

        let mut input = |input: &StorePath| memo.hash_as_input(dir, input, &mut |path| load(path));
        derivation.check_output_paths(dir, &mut input).unwrap();
        let mut blank = blanked(&derivation);
        blank.fill_output_paths(dir, &mut input).unwrap();
        assert_eq!(blank, derivation, "{path}");

        for (input, outputs) in &derivation.input_drvs {
            let of_input = load(input).unwrap();
            for output in outputs {
                let expected = match of_input.output_path(output) {
                    Some(path) => dir.display(path),
                    None => Placeholder::upstream(input, output).unwrap().to_string(),
                };
                let found = text.windows(expected.len()).any(|window| window == expected.as_bytes());
                assert!(found, "{path} does not mention {expected}");
            }
        }
        *kinds.entry(format!("{:?}", derivation.kind().unwrap())).or_default() += 1;
        check_a_change_is_seen(&derivation, dir, &mut input);
    }
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert!(texts.values().any(|text| str::from_utf8(text).is_err()));
    assert!(texts.len() >= paths.len());
}

/// The derivation before its output paths were computed.
fn blanked(derivation: &Derivation) -> Derivation {
    let mut blank = derivation.clone();
    for (name, output) in &mut blank.outputs {
        match output {
            Output::InputAddressed(_) => *output = Output::Deferred,
            Output::Fixed { path, .. } => *path = "00000000000000000000000000000000-x".parse().unwrap(),
            _ => {}
        }
        blank.env.remove(name.as_str().as_bytes());
    }
    blank
}

fn check_a_change_is_seen(
    derivation: &Derivation,
    dir: &StoreDir,
    input: &mut dyn FnMut(&StorePath) -> Result<DrvHash, Error>,
) {
    let mut changed = derivation.clone();
    changed.args.push(b"more".to_vec());
    assert_ne!(changed.drv_path(dir).unwrap(), derivation.drv_path(dir).unwrap());
    let checked = changed.check_output_paths(dir, input);
    let stays = derivation.kind().unwrap() != DerivationKind::InputAddressed;
    assert_eq!(checked.is_ok(), stays);
}

/// Returns a list of derivations that depend on each other, of all kinds and with odd bytes everywhere.
fn expression(count: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut text = b"let source = ./source; file = builtins.toFile \"text+file\" \"x\";\n".to_vec();
    let mut outputs: Vec<Vec<&str>> = Vec::new();
    for number in 0..count {
        let kind = dice.roll(10);
        text.extend(format!("d{number} = derivation {{ name = \"{}\";", name(&mut dice, number)).bytes());
        text.extend(b" system = \"x\"; builder = \"/bin/sh\";");
        // Structured attributes are JSON, and so in UTF-8.
        let structured = kind == 2;
        text.extend(b" args = [");
        for _ in 0..dice.roll(4) {
            string(&mut dice, &outputs, true, &mut text);
        }
        text.extend(b"];");
        for attribute in 0..dice.roll(5) {
            text.extend(format!(" a{attribute} = ").bytes());
            string(&mut dice, &outputs, !structured, &mut text);
            text.push(b';');
        }
        let mut own = vec!["out"];
        match kind {
            0 | 1 => fixed(&mut dice, &mut text),
            2 => text.extend(
                b" __structuredAttrs = true; list = [ 1 true null \"\\n\" { a.b = \"\xc3\xa9\"; } source ];",
            ),
            3 => text.extend(
                b" __contentAddressed = true; outputHashMode = \"recursive\"; outputHashAlgo = \"sha256\";",
            ),
            _ => {}
        }
        if kind > 2 && dice.roll(2) == 0 {
            own = ["dev", "out", "lib", "doc-x", "a_b"].into_iter().filter(|_| dice.roll(2) == 0).collect();
            own.extend(own.is_empty().then_some("bin"));
            own.reverse();
            text.extend(format!(" outputs = [ \"{}\" ];", own.join("\" \"")).bytes());
        }
        text.extend(b" };\n");
        outputs.push(own);
    }
    text.extend(b"in [");
    text.extend((0..count).flat_map(|number| format!(" d{number}").into_bytes()));
    text.extend(b" ]");
    text
}

fn fixed(dice: &mut Dice, text: &mut Vec<u8>) {
    let algo = HashAlgo::ALL[dice.roll(4)];
    let hash = algo.digest(&dice.roll(1000).to_le_bytes());
    let written = &[hash.to_hex(), hash.to_nix32(), hash.to_sri()][dice.roll(3)];
    let mode = ["flat", "recursive"][dice.roll(2)];
    let attributes =
        format!(" outputHash = \"{written}\"; outputHashAlgo = \"{algo}\"; outputHashMode = \"{mode}\";");
    text.extend(attributes.bytes());
}

fn name(dice: &mut Dice, number: usize) -> String {
    let odd = ["", "+", "_b-", "?x=", "1.2.", "-"][dice.roll(6)];
    format!("n{odd}{number}")
}

/// Writes a string of a few pieces: odd bytes, sources, and outputs of what came before.
fn string(dice: &mut Dice, outputs: &[Vec<&str>], bytes: bool, text: &mut Vec<u8>) {
    text.extend(b" \"");
    for _ in 0..dice.roll(4) {
        match dice.roll(8) {
            0 => text.extend(b"${source}/file"),
            1 => text.extend(b"${file}"),
            2..=4 if !outputs.is_empty() => {
                // Mostly near ones, so that chains are long.
                let near = outputs.len() - 1 - dice.roll(outputs.len().min(8));
                let output = outputs[near][dice.roll(outputs[near].len())];
                text.extend(format!("${{d{near}.{output}}}/x").bytes());
            }
            5 if bytes => {
                for _ in 0..dice.roll(6) {
                    let byte = u8::try_from(128 + dice.roll(128)).unwrap();
                    text.push(byte);
                }
            }
            _ => text.extend(
                [
                    &b"\\\""[..],
                    b"\\\\",
                    b"\\n",
                    b"\\r",
                    b"\\t",
                    b"\n",
                    b"\\${x}",
                    b"\x7f\x1b",
                    b"plain [(,)]",
                ][dice.roll(9)],
            ),
        }
    }
    text.push(b'"');
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}
