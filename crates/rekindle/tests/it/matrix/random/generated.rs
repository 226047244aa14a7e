//! Projects and edits from numbers. The projects know all their dependencies, and every edit may meet every other.

use super::super::edit::{Edit, age, dir, link, mode, remove, rename, write};
use super::super::make::MANIFEST;
use super::{Numbers, Project};

/// What builds the project.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tool {
    Make,
    Ninja,
    Cargo,
}

/// What it does to outputs depends on where they are.
const NO_FIXUP: &str = "[package.phases]\nskip = [\"fixup\"]\n";

/// The path of the output would be in the program.
const CARGO_PHASES: &str = "[package.phases]\nskip = [\"fixup\"]\npre-build = \"unset LD_RUN_PATH\"\n";

/// What is compiled fast is compiled as well.
const CARGO_WORKSPACE: &str = "\
[workspace]
members = [\"library\", \"prog\"]
resolver = \"2\"
[profile.release]
opt-level = 0
";

const CARGO_MAIN: &str = "\
fn main() {
    println!(\"{} {:?} {}\", library::sum(), library::DATA, library::LISTED);
}
";

/// Lists what there is before it compiles; an object that nobody needs any more stays and is not linked.
const MAKEFILE: &str = "\
MAKEFLAGS += -L
unexport LD_RUN_PATH
SOURCES := $(shell find src -name '*.c' ! -type d | LC_ALL=C sort)
OBJECTS := $(patsubst src/%.c,obj/%.o,$(SOURCES))
CFLAGS = -O0 -MMD -MP -Iinclude -Iobj
all: prog listing
obj/table.h: table.txt
\tmkdir -p obj
\tsed 's/^/#define TABLE /' table.txt > $@
obj/%.o: src/%.c | obj/table.h
\tmkdir -p $(@D)
\t$(CC) $(CFLAGS) -c -o $@ $<
objects: FORCE
\techo '$(OBJECTS)' | cmp -s - $@ || echo '$(OBJECTS)' > $@
prog: $(OBJECTS) objects
\t$(CC) -o $@ $(OBJECTS)
listing: FORCE
\tfind share -printf '%P %y %m %l\\n' | LC_ALL=C sort > $@
.PHONY: FORCE install
FORCE:
install: all
\tinstall -D prog $(PREFIX)/bin/prog
\tinstall -D -m 644 listing $(PREFIX)/listing
\tcp -rP share $(PREFIX)/share
-include $(OBJECTS:.o=.d)
";

/// Writes the rules for ninja.
const CONFIGURE: &str = r#"
cat <<'EOF'
rule cc
  command = gcc -O0 -MMD -MF $out.d -Iinclude -Iobj -c -o $out $in
  depfile = $out.d
  deps = gcc
rule link
  command = gcc -o $out $in
rule table
  command = sed 's/^/#define TABLE /' $in > $out
rule list
  command = find share -printf '%P %y %m %l\n' | LC_ALL=C sort > $out
build always: phony
build listing: list always
build obj/table.h: table table.txt
EOF
objects=
for source in $(find src -name '*.c' -type f | LC_ALL=C sort); do
    object=obj/${source#src/}
    object=${object%.c}.o
    echo "build $object: cc $source || obj/table.h"
    objects="$objects $object"
done
echo "build prog: link$objects"
echo "default prog listing"
"#;

const NINJA_MANIFEST: &str = "\
[package]
name = \"probe\"
version = \"1\"
build-system = \"custom\"
[package.phases]
skip = [\"fixup\"]
configure = \"sh rules.sh > build.ninja\"
build = \"unset LD_RUN_PATH; ninja\"
install = '''
install -D prog $out/bin/prog
install -m 644 listing $out/listing
cp -rP share $out/share
'''
";

const SOURCES: [&str; 6] =
    ["src/f0.c", "src/f1.c", "src/f2.c", "src/sub/g0.c", "src/sub/g1.c", "src/sub/deep/h0.c"];
/// What links among the sources lead to.
const TEMPLATES: [&str; 2] = ["../templates/t0.c", "../templates/t1.c"];
const HEADERS: [&str; 3] = ["include/h0.h", "include/h1.h", "include/h2.h"];
const DATA: [&str; 7] = [
    "share/a",
    "share/b",
    "share/.hidden",
    "share/sub/c",
    "share/sub/d",
    "share/sub/deep/e",
    "share/with space",
];
const DIRECTORIES: [&str; 5] = ["share/empty", "share/sub", "share/sub/deep", "src/sub", "src/empty"];
const MODULES: [&str; 3] = ["library/src/one.rs", "library/src/two.rs", "library/src/three.rs"];

/// A source that links with any others.
fn source(numbers: &mut Numbers) -> String {
    let (header, value) = (numbers.below(3), numbers.below(4));
    format!(
        "#include \"h{header}.h\"\n#include \"table.h\"\nextern int total;\n\
         __attribute__((constructor)) static void add(void) {{ total += {value} + H{header} + TABLE; }}\n"
    )
}

fn header(number: u64, value: u64) -> String {
    format!("#define H{number} {value}\n")
}

fn module(value: u64) -> String {
    format!("pub fn value() -> u32 {{\n    {value}\n}}\n")
}

/// Two modules out of three.
fn library(without: u64) -> String {
    let names: Vec<&str> = ["one", "two", "three"]
        .into_iter()
        .enumerate()
        .filter(|(number, _)| *number as u64 != without)
        .map(|(_, name)| name)
        .collect();
    let modules: String = names.iter().map(|name| format!("mod {name};\n")).collect();
    let sum: Vec<String> = names.iter().map(|name| format!("{name}::value()")).collect();
    format!(
        "{modules}pub const DATA: &[u8] = include_bytes!(\"../../share/a\");\n\
         pub const LISTED: &str = include_str!(concat!(env!(\"OUT_DIR\"), \"/listed\"));\n\
         pub fn sum() -> u32 {{\n    {}\n}}\n",
        sum.join(" + ")
    )
}

impl Project for Tool {
    fn files(&self) -> Vec<Edit> {
        let mut project = match self {
            Tool::Make => {
                vec![write("rekindle.toml", format!("{MANIFEST}{NO_FIXUP}")), write("Makefile", MAKEFILE)]
            }
            Tool::Ninja => vec![write("rekindle.toml", NINJA_MANIFEST), write("rules.sh", CONFIGURE)],
            Tool::Cargo => super::super::cargo::project(),
        };
        if matches!(self, Tool::Cargo) {
            project.push(write("rekindle.toml", format!("{MANIFEST}{CARGO_PHASES}")));
            project.push(write("Cargo.toml", CARGO_WORKSPACE));
            project.push(write("library/src/three.rs", module(3)));
            project.push(write("library/src/lib.rs", library(2)));
            project.push(write("prog/src/main.rs", CARGO_MAIN));
        } else {
            let mut numbers = Numbers::new(1);
            project.extend(SOURCES[..4].iter().map(|path| write(path, source(&mut numbers))));
            project.extend((0..).zip(HEADERS).map(|(number, path)| write(path, header(number, number))));
            project.extend(TEMPLATES.iter().map(|path| write(&path[3..], source(&mut numbers))));
            project.push(write("table.txt", "1\n"));
            let main =
                "#include <stdio.h>\nint total;\nint main(void) { printf(\"%d\\n\", total); return 0; }\n";
            project.push(write("src/main.c", main));
        }
        project.extend(DATA.iter().map(|path| write(path, path)));
        project.push(link("share/link", "a"));
        project
    }

    fn edit(&self, numbers: &mut Numbers) -> Edit {
        match numbers.below(10) {
            0..=4 => match self {
                Tool::Cargo => module_edit(numbers),
                _ => self.source_edit(numbers),
            },
            5..=8 => data_edit(numbers),
            _ => self.any_edit(numbers),
        }
    }

    fn slip(&self, numbers: &mut Numbers) -> (Edit, Edit) {
        if let Tool::Cargo = self {
            let slip = "pub fn value( -> u32 {}\n";
            let path = numbers.one(&MODULES);
            return match numbers.below(2) {
                0 => (write(path, slip), write(path, module(numbers.below(4)))),
                _ => (write("prog/src/main.rs", slip), write("prog/src/main.rs", CARGO_MAIN)),
            };
        }
        let number = numbers.below(3);
        match numbers.below(4) {
            0 => (remove(HEADERS[number as usize]), write(HEADERS[number as usize], header(number, number))),
            1 => (write("table.txt", "x y\n"), write("table.txt", "2\n")),
            _ => {
                let path = numbers.one(&SOURCES[..4]);
                (write(path, "int broken(\n"), write(path, source(numbers)))
            }
        }
    }

    fn script(&self) -> &'static str {
        match self {
            Tool::Make => "make -j2 PREFIX=$out prefix=$out\nmake PREFIX=$out prefix=$out install",
            Tool::Ninja => {
                "sh rules.sh > build.ninja\nninja\ninstall -D prog $out/bin/prog\n\
                 install -m 644 listing $out/listing\ncp -rP share $out/share"
            }
            Tool::Cargo => "cargo build --release --offline -q\ninstall -D target/release/prog $out/bin/prog",
        }
    }
}

impl Tool {
    fn source_edit(self, numbers: &mut Numbers) -> Edit {
        let path = numbers.one(&SOURCES);
        match numbers.below(12) {
            0..=3 => write(path, source(numbers)),
            4 => remove(path),
            5 => rename(path, numbers.one(&SOURCES)),
            6..=7 => {
                let number = numbers.below(3);
                write(HEADERS[number as usize], header(number, numbers.below(4)))
            }
            8 if numbers.below(2) == 0 => write(&numbers.one(&TEMPLATES)[3..], source(numbers)),
            8 => write("table.txt", format!("{}\n", numbers.below(3))),
            9 => Edit::Sneak(path.to_owned(), source(numbers).into_bytes()),
            // A link leads to what may be older than itself, and only make can be told to look at both. One that leads
            // nowhere is as good as any to it, as long as the link itself is no newer.
            10 if matches!(self, Tool::Make) => link(numbers.one(&SOURCES[..3]), numbers.one(&TEMPLATES)),
            10 => write(&format!("{path}/inside.c"), source(numbers)),
            _ => age(path, 1 + numbers.below(4_000_000_000)),
        }
    }

    /// One that may break the build, or that means nothing.
    fn any_edit(self, numbers: &mut Numbers) -> Edit {
        match (self, numbers.below(6)) {
            (Tool::Cargo, 0) => remove(numbers.one(&MODULES)),
            (_, 0) => remove(numbers.one(&HEADERS)),
            (Tool::Cargo, 1) => write(numbers.one(&MODULES), "pub fn value( -> u32 {}\n"),
            (_, 1) => write(numbers.one(&SOURCES), "int broken(\n"),
            (Tool::Cargo, 2) => mode(numbers.one(&MODULES), 0o755),
            (_, 2) => mode(numbers.one(&SOURCES), 0o755),
            (_, 3) => remove("new"),
            (_, 4) => write("new", [b'x', numbers.below(3) as u8]),
            _ => dir("another"),
        }
    }
}

fn module_edit(numbers: &mut Numbers) -> Edit {
    let path = numbers.one(&MODULES);
    match numbers.below(8) {
        0..=3 => write(path, module(numbers.below(4))),
        4..=5 => write("library/src/lib.rs", library(numbers.below(3))),
        6 => Edit::Sneak(path.to_owned(), module(numbers.below(4)).into_bytes()),
        _ => age(path, 1 + numbers.below(4_000_000_000)),
    }
}

fn data_edit(numbers: &mut Numbers) -> Edit {
    let path = numbers.one(&DATA);
    match numbers.below(14) {
        0..=1 => write(path, format!("{}\n", numbers.below(3))),
        2 => write(path, [0, 0xff, b'\r', b'\n', numbers.below(3) as u8]),
        3 => write(path, ""),
        4 => remove(path),
        5 => rename(path, numbers.one(&DATA)),
        6 => mode(path, 0o755),
        7 => mode(path, 0o644),
        8 => link(path, numbers.one(&["a", "b", "nowhere", "../table.txt"])),
        9 => write(&format!("{path}/in"), "in\n"),
        10 => dir(numbers.one(&DIRECTORIES)),
        11 => remove(numbers.one(&DIRECTORIES)),
        12 => rename("share/sub", "share/other"),
        _ => age(path, 1 + numbers.below(4_000_000_000)),
    }
}
