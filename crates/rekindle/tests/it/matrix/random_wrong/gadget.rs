//! Small parts of projects, each with a lie: what it declares is less than what it reads.
//!
//! In all texts `@` is the directory of the part, `OUT` what it makes to be installed, and `{n}` a number that edits
//! change. Commands are lines of `sh`. What they look at by asking alone, without opening or listing, is no part of
//! any: nobody watches that, and the documentation says so.

/// A source: its path, its text, and whether it is there at first.
pub(super) type Source = (&'static str, &'static str, bool);

/// An output, the inputs that are declared, and the command.
pub(super) type Rule = (&'static str, &'static [&'static str], &'static str);

/// One kind of part.
#[derive(Debug)]
pub(super) struct Gadget {
    pub(super) name: &'static str,
    pub(super) sources: &'static [Source],
    /// In the order in which a clean build makes them.
    pub(super) rules: &'static [Rule],
    /// What stands for the rules in a makefile, where that has means of its own.
    pub(super) make: Option<&'static str>,
    /// What a build script does first.
    pub(super) script: &'static str,
}

const PLAIN: Gadget = Gadget { name: "", sources: &[], rules: &[], make: None, script: "" };

/// One that edits may make fail, when half of what it makes is there.
pub(super) const GATE: Gadget = Gadget {
    name: "what fails now and then",
    sources: &[("gate.sh", "cat @/gate.txt\necho {n}\n", true), ("gate.txt", "gate {n}\n", true)],
    rules: &[("OUT", &["@/gate.sh"], "echo first > OUT && sh @/gate.sh >> OUT")],
    make: Some("OUT: @/gate.sh\n\techo first > $@\n\tsh @/gate.sh >> $@\n"),
    ..PLAIN
};

/// What makes it fail.
pub(super) const SHUT: &str = "cat @/gate.txt\nexit 3\n";

pub(super) const GADGETS: &[Gadget] = &[
    Gadget {
        name: "nothing is wrong",
        sources: &[("x.m4", "x {n} V include(`@/h.m4')\n", true), ("h.m4", "h {n}\n", true)],
        rules: &[("OUT", &["@/x.m4", "@/h.m4"], "m4 -DV=1 @/x.m4 > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "headers that nobody declares, looked for in two places",
        sources: &[
            ("x.m4", "x {n} V include(`one.m4')include(`two.m4')\n", true),
            ("first/one.m4", "first one {n}\n", false),
            ("first/two.m4", "first two {n}\n", false),
            ("second/one.m4", "second one {n}\n", true),
            ("second/two.m4", "second two {n}\n", true),
        ],
        rules: &[("OUT", &["@/x.m4"], "m4 -DV=1 -I @/first -I @/second @/x.m4 > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "a compiler and no dependency file",
        sources: &[
            ("x.c", "#include <one.h>\nint x = {n} + ONE;\n", true),
            ("first/one.h", "#define ONE 1{n}\n", false),
            ("second/one.h", "#define ONE 2{n}\n", true),
        ],
        rules: &[("OUT", &["@/x.c"], "gcc -S -O0 -DV=1 -I@/first -I@/second -o OUT @/x.c")],
        ..PLAIN
    },
    Gadget {
        name: "all that is in a directory",
        sources: &[
            ("data/a.txt", "a {n}\n", true),
            ("data/b.txt", "b {n}\n", true),
            ("data/c.txt", "c {n}\n", false),
            ("data/sub/d.txt", "d {n}\n", false),
        ],
        rules: &[("OUT", &["@/data/a.txt"], "find @/data -name '*.txt' -type f | sort | xargs -r cat > OUT")],
        make: Some("OUT: $(wildcard @/data/*.txt)\n\tcat $(sort $(wildcard @/data/*.txt)) /dev/null > $@\n"),
        ..PLAIN
    },
    Gadget {
        name: "names of what is in a directory",
        sources: &[("data/a", "{n}\n", true), ("data/b", "{n}\n", true), ("data/c", "{n}\n", false)],
        rules: &[("OUT", &["@/data/a"], "ls @/data > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "a script that reads a list",
        sources: &[
            ("gen.sh", "while read name; do cat @/parts/$name; done < $1; echo {n}\n", true),
            ("list", "a\nb\n", true),
            ("list", "b\n", true),
            ("list", "a\nb\nc\n", true),
            ("parts/a", "a {n}\n", true),
            ("parts/b", "b {n}\n", true),
            ("parts/c", "c {n}\n", true),
        ],
        rules: &[("OUT", &["@/gen.sh"], "sh @/gen.sh @/list > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "a generated header",
        sources: &[("h.txt", "h {n}\n", true), ("x.m4", "x {n} include(`@/h.m4')\n", true)],
        rules: &[
            ("@/h.m4", &["@/h.txt"], "sed 's/h/H/' @/h.txt > @/h.m4"),
            ("OUT", &["@/x.m4"], "m4 @/x.m4 > OUT"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "two levels of generating",
        sources: &[
            ("x.txt", "include(`@/y.m4') x {n} COMMON\n", true),
            ("common.m4", "define(`COMMON', `common {n}')dnl\n", true),
            ("y.txt", "y {n} COMMON\n", true),
        ],
        rules: &[
            ("@/y.m4", &["@/y.txt"], "m4 @/common.m4 @/y.txt > @/y.m4"),
            ("@/x.m4", &["@/x.txt"], "m4 @/common.m4 @/x.txt > @/x.m4"),
            ("OUT", &["@/x.m4"], "tr a-z A-Z < @/x.m4 > OUT"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "an archive that is updated",
        sources: &[("a.m4", "a {n}\n", true), ("b.m4", "b {n}\n", true), ("c.m4", "c {n}\n", false)],
        rules: &[(
            "OUT",
            &["@/a.m4", "@/b.m4"],
            "for i in @/*.m4; do m4 $i > ${i%.m4}.o || exit 1; done; ar rcD OUT @/*.o",
        )],
        make: Some(
            "@/%.o: @/%.m4\n\tm4 $< > $@\n\
             OUT: $(patsubst %.m4,%.o,$(sort $(wildcard @/*.m4)))\n\tar rcD $@ $^\n",
        ),
        ..PLAIN
    },
    Gadget {
        name: "a second line that changes what the first has made",
        sources: &[("in", "in {n}\n", true), ("post.sh", "echo {n} >> $1\n", true)],
        rules: &[("OUT", &["@/in"], "cp @/in OUT && sh @/post.sh OUT")],
        make: Some("OUT: @/in\n\tcp $< $@\n\tsh @/post.sh $@\n"),
        ..PLAIN
    },
    Gadget {
        name: "lines that are told the same for each file",
        sources: &[
            ("a.in", "a {n}\n", true),
            ("b.in", "b {n}\n", true),
            ("check.sh", "test -f @/a.in && test -f @/b.in && cat @/limit\n", true),
            ("limit", "{n}\n", true),
        ],
        rules: &[
            ("@/a.out", &["@/a.in"], "cat @/a.in > @/a.out && sh @/check.sh"),
            ("@/b.out", &["@/b.in"], "cat @/b.in > @/b.out && sh @/check.sh"),
            ("OUT", &["@/a.out", "@/b.out"], "cat @/a.out @/b.out > OUT"),
        ],
        make: Some(
            "@/%.out: @/%.in\n\tcat $< > $@\n\t-test -f @/none\n\tsh @/check.sh\n\
             OUT: @/a.out @/b.out\n\tcat $^ > $@\n",
        ),
        ..PLAIN
    },
    Gadget {
        name: "a log that grows",
        sources: &[("in", "in {n}\n", true)],
        rules: &[("OUT", &["@/in"], "cat @/in >> OUT")],
        ..PLAIN
    },
    Gadget {
        name: "what was made before goes into it",
        sources: &[("in", "in {n}\n", true)],
        rules: &[("OUT", &["@/in"], "cat @/in OUT > OUT.new 2> /dev/null || true; mv OUT.new OUT")],
        ..PLAIN
    },
    Gadget {
        name: "two that append to one file",
        sources: &[("a", "a {n}\n", true), ("b", "b {n}\n", true)],
        rules: &[
            ("@/one", &["@/a"], "cat @/a > OUT; touch @/one"),
            ("@/two", &["@/b"], "cat @/b >> OUT; touch @/two"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "two that write the same file",
        sources: &[("a", "a {n}\n", true), ("b", "b {n}\n", true)],
        rules: &[
            ("@/one", &["@/a"], "cp @/a OUT; touch @/one"),
            ("@/two", &["@/b"], "cp @/b OUT; touch @/two"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "one that is renamed over another",
        sources: &[("a", "a {n}\n", true), ("b", "b {n}\n", true)],
        rules: &[
            ("@/one", &["@/a"], "rm -f OUT; cp @/a OUT; touch @/one"),
            ("@/two", &["@/b"], "cp @/b @/new; mv -f @/new OUT; touch @/two"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "what somebody else takes away",
        sources: &[("a", "a {n}\n", true), ("b", "b {n}\n", true)],
        rules: &[
            ("@/one", &["@/a"], "cp @/a OUT.tmp; cp @/a OUT; cp @/a @/one"),
            ("@/two", &["@/b"], "perl -e 'unlink $ARGV[0]' OUT.tmp; cp @/b @/two"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "a directory that somebody else empties",
        sources: &[("a", "a {n}\n", true), ("b", "b {n}\n", true)],
        rules: &[
            ("@/one", &["@/a"], "rm -rf OUT; mkdir OUT; cp @/a OUT/a; cp @/a @/one"),
            ("@/two", &["@/b"], "perl -e 'open F, q(>), shift; print F <>' OUT/b @/b; cp @/b @/two"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "a mode from somebody else",
        sources: &[("a", "a {n}\n", true), ("b", "b {n}\n", true)],
        rules: &[
            ("@/one", &["@/a"], "rm -f OUT; cp @/a OUT; touch @/one"),
            (
                "@/two",
                &["@/b"],
                "if grep -q [13579] @/b; then chmod 755 OUT; else chmod 644 OUT; fi; touch @/two",
            ),
        ],
        ..PLAIN
    },
    Gadget {
        name: "a source that the build edits",
        sources: &[("in", "in {n}\n", true), ("notes", "notes {n}\n", true)],
        rules: &[("OUT", &["@/in"], "cat @/in >> @/notes; cp @/notes OUT")],
        ..PLAIN
    },
    Gadget {
        name: "a source that the build edits by another name",
        sources: &[("in", "in {n}\n", true), ("notes", "notes {n}\n", true)],
        rules: &[("OUT", &["@/in"], "sed -i -e '1r @/in' @/notes; cp @/notes OUT")],
        ..PLAIN
    },
    Gadget {
        name: "a pipe",
        sources: &[("in", "b {n}\na {n}\n", true), ("edit.sed", "s/a/<{n}>/\n", true)],
        rules: &[("OUT", &["@/in"], "sort @/in | sed -f @/edit.sed | tr a-z A-Z > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "a variable from a command",
        sources: &[("in", "in {n}\n", true), ("version", "{n}\n", true)],
        rules: &[("OUT", &["@/in"], "{ echo version $(cat @/version); cat @/in; } > OUT")],
        make: Some("V_NAME := $(shell cat @/version)\nOUT: @/in\n\techo version $(V_NAME) | cat - $< > $@\n"),
        script: "V_NAME=$(cat @/version)",
    },
    Gadget {
        name: "a tool of its own",
        sources: &[("tool.m4", "tr a-z {n}-Z < $1\n", true), ("in", "in {n}\n", true)],
        rules: &[
            ("@/tool", &["@/tool.m4"], "m4 @/tool.m4 > @/tool && chmod +x @/tool"),
            ("OUT", &["@/in"], "sh @/tool @/in > OUT"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "a program of its own",
        sources: &[
            (
                "tool.c",
                "#include <stdio.h>\nint main(void) { int c; while ((c = getchar()) != EOF) putchar(c ^ {n}); return 0; }\n",
                true,
            ),
            ("in", "in {n}\n", true),
        ],
        rules: &[
            ("@/tool", &["@/tool.c"], "gcc -O0 -o @/tool @/tool.c"),
            ("OUT", &["@/in"], "@/tool < @/in > OUT"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "a make in make",
        sources: &[
            ("sub.mk", "F = {n}\nOUT: @/x.m4\n\tm4 -DF=$(F) $< > $@\n", true),
            ("x.m4", "x {n} F include(`@/h.m4')\n", true),
            ("h.m4", "h {n}\n", true),
        ],
        rules: &[("OUT", &["@/x.m4"], "make -s -f @/sub.mk OUT")],
        make: Some("OUT: FORCE\n\t@$(MAKE) -s -f @/sub.mk OUT\n"),
        ..PLAIN
    },
    Gadget {
        name: "a fragment with flags",
        sources: &[("flags", "FLAG={n}\n", true), ("x.m4", "x {n} F\n", true)],
        rules: &[("OUT", &["@/x.m4"], ". ./@/flags; m4 -DF=$FLAG @/x.m4 > OUT")],
        make: Some("FLAG=\ninclude @/flags\nOUT: OWN := $(FLAG)\nOUT: @/x.m4\n\tm4 -DF=$(OWN) $< > $@\n"),
        ..PLAIN
    },
    Gadget {
        name: "a script and its siblings",
        sources: &[
            ("run.sh", ". $(dirname $0)/lib.sh; show $(dirname $0)/data {n}\n", true),
            ("lib.sh", "show() { while read line; do echo \"{n} $line\"; done < $1; }\n", true),
            ("data", "data {n}\n", true),
        ],
        rules: &[("OUT", &["@/run.sh"], "sh @/run.sh > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "what is generated is shipped too",
        sources: &[
            ("y.y", "y {n}\n", true),
            ("y.c", "c {n}\n", true),
            ("y.c", "Y 1\n", true),
            ("x", "x {n}\n", true),
        ],
        rules: &[
            ("@/y.c", &["@/y.y"], "tr y Y < @/y.y > @/y.c"),
            ("OUT", &["@/x", "@/y.c"], "cat @/x @/y.c > OUT"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "too early",
        sources: &[("in", "in {n}\n", true), ("late.txt", "late {n}\n", true)],
        rules: &[
            ("OUT", &["@/in"], "cat @/late > OUT 2> /dev/null || true; cat @/in >> OUT"),
            ("@/late", &["@/late.txt"], "cp @/late.txt @/late"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "python and what it imports",
        sources: &[
            ("gen.py", "import one\nprint(one.V, {n})\n", true),
            ("one.py", "V = 1{n}\n", true),
            ("one/__init__.py", "V = 2{n}\n", false),
        ],
        rules: &[("OUT", &["@/gen.py"], "python3 @/gen.py > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "what may be there",
        sources: &[("in", "in {n}\n", true), ("more", "more {n}\n", false)],
        rules: &[("OUT", &["@/in"], "{ cat @/in; cat @/more 2> /dev/null || true; } > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "data that looks like rules",
        sources: &[
            ("in", "author: {n}\n", true),
            ("title", "title: {n} \\\n more\n", true),
            ("title", "", true),
        ],
        rules: &[("OUT", &["@/in"], "cat @/in @/title > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "a directory is copied",
        sources: &[
            ("data/a", "a {n}\n", true),
            ("data/b", "b {n}\n", true),
            ("data/sub/c", "c {n}\n", true),
            ("data/d", "d {n}\n", false),
            ("data/sub", "sub {n}\n", false),
        ],
        rules: &[("@/stamp", &["@/data/a"], "mkdir -p OUT; cp -r @/data/. OUT; touch @/stamp")],
        ..PLAIN
    },
    Gadget {
        name: "made under another name",
        sources: &[("x.m4", "x {n} include(`@/h.m4')\n", true), ("h.m4", "h {n}\n", true)],
        rules: &[("OUT", &["@/x.m4"], "m4 @/x.m4 > @/x.tmp && mv @/x.tmp OUT")],
        ..PLAIN
    },
    Gadget {
        name: "made beside a stamp",
        sources: &[
            ("x.m4", "x {n} include(`@/h.m4')\n", true),
            ("h.m4", "h {n}\n", true),
            ("y", "y {n}\n", true),
        ],
        rules: &[
            ("@/stamp", &["@/x.m4"], "m4 @/x.m4 > @/side; touch @/stamp"),
            ("OUT", &["@/stamp", "@/y"], "cat @/side @/y > OUT"),
        ],
        ..PLAIN
    },
    Gadget {
        name: "two outputs of one command",
        sources: &[("a", "a {n}\n", true), ("b", "b {n}\n", true)],
        rules: &[("OUT.more", &["@/a"], "cat @/a @/b > OUT; cat @/b > OUT.more")],
        ..PLAIN
    },
    Gadget {
        name: "through a link",
        sources: &[("one", "one {n}\n", true), ("other", "other {n}\n", true), ("link", "own {n}\n", true)],
        rules: &[("OUT", &["@/link"], "cat @/link > OUT")],
        ..PLAIN
    },
    Gadget {
        name: "one after the other, and only the last is declared",
        sources: &[("a", "a {n}\n", true), ("b", "b {n}\n", true)],
        rules: &[
            ("@/one", &["@/a"], "cat @/a > @/one"),
            ("@/two", &[], "cat @/one @/b > @/two"),
            ("OUT", &[], "cat @/two > OUT"),
        ],
        ..PLAIN
    },
];
