//! Writes derivations.

use std::collections::{BTreeMap, BTreeSet};

use crate::content_address::ContentMethod;
use crate::derivation::{Derivation, Output, OutputName};
use crate::hash::HashAlgo;
use crate::store_path::StoreDir;

/// Returns the text of a derivation.
pub fn write(derivation: &Derivation, dir: &StoreDir) -> Vec<u8> {
    let inputs = derivation.input_drvs.iter().map(|(path, outputs)| (dir.display(path), outputs));
    write_with(derivation, dir, OutputPaths::Kept, inputs)
}

/// Returns the text that a hash modulo is the hash of: with other names for the inputs, and perhaps without paths.
pub(crate) fn write_modulo(
    derivation: &Derivation,
    dir: &StoreDir,
    output_paths: OutputPaths,
    inputs: &BTreeMap<String, BTreeSet<&OutputName>>,
) -> Vec<u8> {
    let inputs = inputs.iter().map(|(hash, outputs)| (hash.clone(), outputs.iter().copied()));
    write_with(derivation, dir, output_paths, inputs)
}

/// What becomes of output paths, in the outputs and in the variables of their names.
#[derive(Clone, Copy)]
pub(crate) enum OutputPaths {
    Kept,
    Blanked,
}

fn write_with<'a, Names: IntoIterator<Item = &'a OutputName>>(
    derivation: &Derivation,
    dir: &StoreDir,
    output_paths: OutputPaths,
    inputs: impl Iterator<Item = (String, Names)>,
) -> Vec<u8> {
    let blank = matches!(output_paths, OutputPaths::Blanked);
    let mut text = Text(Vec::with_capacity(4096));
    text.raw("Derive(");
    text.list('[', ']', &derivation.outputs, |text, (name, output)| {
        let [mut path, algo, hash] = output_fields(output, dir);
        if blank {
            path.clear();
        }
        text.list('(', ')', [name.as_str(), &path, &algo, &hash], Text::string);
    });
    text.raw(",");
    text.list('[', ']', inputs, |text, (input, outputs)| {
        text.raw("(");
        text.string(input);
        text.raw(",");
        text.list('[', ']', outputs, |text, name| text.string(name.as_str()));
        text.raw(")");
    });
    text.raw(",");
    text.list('[', ']', &derivation.input_srcs, |text, path| text.string(dir.display(path)));
    text.raw(",");
    text.string(&derivation.system);
    text.raw(",");
    text.string(&derivation.builder);
    text.raw(",");
    text.list('[', ']', &derivation.args, Text::string);
    text.raw(",");
    text.list('[', ']', &derivation.env, |text, (name, value)| {
        let is_output = || str::from_utf8(name).is_ok_and(|name| derivation.outputs.contains_key(name));
        let value: &[u8] = if blank && is_output() { b"" } else { value };
        text.list('(', ')', [name.as_slice(), value], Text::string);
    });
    text.raw(")");
    text.0
}

/// Returns the fields of an output after its name: path, method and algorithm, hash.
fn output_fields(output: &Output, dir: &StoreDir) -> [String; 3] {
    let method_algo = |method: ContentMethod, algo: HashAlgo| format!("{}{algo}", method.prefix());
    match output {
        Output::InputAddressed(path) => [dir.display(path), String::new(), String::new()],
        Output::Fixed { address, path } => {
            let hash = address.hash();
            [dir.display(path), method_algo(address.method(), hash.algorithm()), hash.to_hex()]
        }
        Output::Floating { method, algo } => [String::new(), method_algo(*method, *algo), String::new()],
        Output::Deferred => [String::new(), String::new(), String::new()],
        Output::Impure { method, algo } => {
            [String::new(), method_algo(*method, *algo), super::parse::IMPURE.to_owned()]
        }
    }
}

struct Text(Vec<u8>);

impl Text {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.push(b'"');
        for &byte in bytes.as_ref() {
            match byte {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                b'\n' => self.raw("\\n"),
                b'\r' => self.raw("\\r"),
                b'\t' => self.raw("\\t"),
                byte => self.0.push(byte),
            }
        }
        self.0.push(b'"');
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Text, T),
    ) {
        self.0.push(open as u8);
        for (at, each) in items.into_iter().enumerate() {
            if at > 0 {
                self.0.push(b',');
            }
            item(self, each);
        }
        self.0.push(close as u8);
    }
}
