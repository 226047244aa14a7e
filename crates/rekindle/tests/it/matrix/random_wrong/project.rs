//! Projects of some parts that lie about what they read, for make, ninja, or a script that compares times.

use std::fmt::{self, Debug, Write as _};

use super::super::edit::{Edit, age, dir, link, mode, remove, rename, write};
use super::super::make::MANIFEST;
use super::super::random::{Numbers, Project};
use super::gadget::{GADGETS, GATE, Gadget, SHUT};

/// What decides what is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Make,
    Ninja,
    Script,
}

/// Some parts. Each has a number of its own that it keeps when others are left out.
#[derive(Clone)]
pub(super) struct Parts {
    tool: Tool,
    parts: Vec<(usize, &'static Gadget)>,
}

/// The outputs are as the commands leave them; what is compiled does not know where it will be.
const CUSTOM: &str = "\
[package]
name = \"probe\"
version = \"1\"
build-system = \"custom\"
[package.phases]
skip = [\"fixup\"]
";

const MAKEFILE: &str = "\
.NOTPARALLEL:
unexport LD_RUN_PATH
.DEFAULT_GOAL := all
FORCE:
.PHONY: FORCE all install
install:
\tcp -r out $(PREFIX)/out
";

/// What make does for a file with inputs.
const SCRIPT: &str = "\
set -e
old() { target=$1; shift; [ -e $target ] || return 0; for input; do if [ $input -nt $target ]; then return 0; fi; done; return 1; }
";

impl Parts {
    pub(super) fn new(tool: Tool, seed: u64) -> Parts {
        let mut numbers = Numbers::new(seed ^ 0x5bd1_e995);
        let count = 1 + numbers.below(3) as usize;
        let mut parts: Vec<(usize, &Gadget)> = Vec::new();
        while parts.len() < count {
            let gadget = &GADGETS[numbers.below(GADGETS.len() as u64) as usize];
            parts.push((parts.len(), gadget));
        }
        if numbers.below(3) > 0 {
            parts.insert(numbers.below(1 + count as u64) as usize, (count, &GATE));
        }
        Parts { tool, parts }
    }

    /// The file that says how all is built.
    fn description(&self) -> Edit {
        let (path, text) = match self.tool {
            Tool::Make => ("Makefile", self.makefile()),
            Tool::Ninja => ("build.ninja", self.ninja()),
            Tool::Script => ("build.sh", self.script_text()),
        };
        write(path, text)
    }

    fn makefile(&self) -> String {
        let mut text = MAKEFILE.to_owned();
        let mut all = String::new();
        for (number, gadget) in &self.parts {
            if let Some(make) = gadget.make {
                all += &format!(" out/{number}");
                text += &named(make, *number);
                continue;
            }
            for (output, inputs, command) in gadget.rules {
                let rule = format!("{output}: {}\n\t{}\n", inputs.join(" "), command.replace('$', "$$"));
                text += &named(&rule, *number);
                all += &named(&format!(" {output}"), *number);
            }
        }
        text + "all:" + &all + "\n"
    }

    fn ninja(&self) -> String {
        let mut text = String::new();
        for (number, gadget) in &self.parts {
            let mut before = String::new();
            for (step, (output, inputs, command)) in gadget.rules.iter().enumerate() {
                let rule = format!("r{number}_{step}");
                let command = command.replace('$', "$$");
                let inputs = inputs.join(" ");
                let build = format!(
                    "rule {rule}\n  command = {command}\nbuild {output}: {rule} {inputs} || {before}\n"
                );
                text += &named(&build, *number);
                before += output;
                before.push(' ');
            }
        }
        text
    }

    fn script_text(&self) -> String {
        let mut text = SCRIPT.to_owned();
        for (number, gadget) in &self.parts {
            let mut own = format!("{}\n", gadget.script);
            for (output, inputs, command) in gadget.rules {
                let _ = writeln!(own, "if old {output} {}; then\n    {command}\nfi", inputs.join(" "));
            }
            text += &named(&own, *number);
        }
        text
    }

    /// Other flags, or a part more or less.
    fn edit_description(&self, numbers: &mut Numbers) -> Edit {
        let Edit::Write(path, text) = self.description() else { unreachable!("it is written") };
        let text = String::from_utf8(text).expect("it is text");
        match numbers.below(4) {
            0 => write(&path, text.replace("-DV=1", "-DV=2")),
            1 if self.parts.len() > 1 => {
                let mut less = self.clone();
                less.parts.remove(numbers.below(self.parts.len() as u64) as usize);
                less.description()
            }
            2 => write(&path, text.replace("cat ", "cat -u ")),
            _ => write(&path, text),
        }
    }
}

impl Project for Parts {
    fn files(&self) -> Vec<Edit> {
        let manifest = match self.tool {
            Tool::Make => format!("{MANIFEST}[package.phases]\nskip = [\"fixup\"]\n"),
            Tool::Ninja => format!(
                "{CUSTOM}build = 'unset LD_RUN_PATH; ninja -j1'\ninstall = 'mkdir -p $out; cp -r out $out/out'\n"
            ),
            Tool::Script => {
                format!(
                    "{CUSTOM}build = 'unset LD_RUN_PATH; sh build.sh'\ninstall = 'mkdir -p $out; cp -r out $out/out'\n"
                )
            }
        };
        let mut files = vec![write("rekindle.toml", manifest), write("out/keep", ""), self.description()];
        for (number, gadget) in &self.parts {
            let mut there: Vec<&str> = Vec::new();
            for (path, text, _) in gadget.sources.iter().filter(|(.., at_first)| *at_first) {
                if !there.contains(path) {
                    there.push(path);
                    files.push(source(*number, path, text, 1));
                }
            }
        }
        files
    }

    fn edit(&self, numbers: &mut Numbers) -> Edit {
        let (number, gadget) = numbers.one(&self.parts);
        let (path, text, at_first) = numbers.one(gadget.sources);
        let (other, ..) = numbers.one(gadget.sources);
        let full = format!("g{number}/{path}");
        match numbers.below(48) {
            0..=27 => source(number, path, text, numbers.below(4)),
            28..=30 => match source(number, path, text, numbers.below(4)) {
                Edit::Write(path, bytes) => Edit::Sneak(path, bytes),
                other => other,
            },
            31..=32 => age(&full, 1 + numbers.below(4_000_000_000)),
            33..=34 => mode(&full, if numbers.below(2) == 0 { 0o755 } else { 0o644 }),
            35..=38 => self.edit_description(numbers),
            // What is not there at first can be left out. Most of the rest cannot, and then both builds fail.
            39..=42 if at_first => source(number, path, text, numbers.below(4)),
            39..=43 => remove(&full),
            44 => rename(&full, &format!("g{number}/{other}")),
            45 => link(&full, &format!("{}{other}", "../".repeat(path.matches('/').count()))),
            46 => dir(&format!("g{number}/{}", numbers.one(&["data/empty", "first", "other", "data/sub"]))),
            _ => source(number, &format!("{path}/inside"), text, 1),
        }
    }

    fn slip(&self, numbers: &mut Numbers) -> (Edit, Edit) {
        let gate = self.parts.iter().find(|(_, gadget)| gadget.name == GATE.name);
        if let Some((number, gadget)) = gate {
            let (path, text, _) = gadget.sources[0];
            return (source(*number, path, SHUT, 0), source(*number, path, text, numbers.below(4)));
        }
        let (number, gadget) = numbers.one(&self.parts);
        let needed: Vec<_> = gadget.sources.iter().filter(|(.., at_first)| *at_first).copied().collect();
        let (path, text, _) = numbers.one(&needed);
        (remove(&format!("g{number}/{path}")), source(number, path, text, numbers.below(4)))
    }

    fn script(&self) -> &'static str {
        match self.tool {
            Tool::Make => "make -j2 PREFIX=$out prefix=$out\nmake PREFIX=$out prefix=$out install",
            Tool::Ninja => "ninja -j1\ncp -r out $out/out",
            Tool::Script => "sh build.sh\ncp -r out $out/out",
        }
    }

    fn smaller(&self) -> Vec<Parts> {
        let without = |part| {
            let mut smaller = self.clone();
            smaller.parts.remove(part);
            smaller
        };
        if self.parts.len() > 1 { (0..self.parts.len()).map(without).collect() } else { Vec::new() }
    }
}

impl Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, gadget) in &self.parts {
            writeln!(f, "part g{number}: {}", gadget.name)?;
        }
        let Edit::Write(path, text) = self.description() else { unreachable!("it is written") };
        write!(f, "{path}:\n{}", String::from_utf8_lossy(&text))
    }
}

/// A source of a part.
fn source(number: usize, path: &str, text: &str, value: u64) -> Edit {
    write(&format!("g{number}/{path}"), named(text, number).replace("{n}", &value.to_string()))
}

/// Puts the names of a part into a text.
fn named(text: &str, number: usize) -> String {
    text.replace("@/", &format!("g{number}/"))
        .replace("OUT", &format!("out/{number}"))
        .replace("V_NAME", &format!("V{number}"))
}
