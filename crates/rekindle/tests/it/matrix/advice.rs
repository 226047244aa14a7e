//! What a makefile reads about what depends on what: a compiler's is of no concern, whatever else looks like it tells what there is to
//! make something from. Each of these was once installed stale.

use super::doubts::{check, differences};
use super::edit::{Edit, remove, write};

const NUMBERS: [(&str, &str); 3] = [("1.txt", "1\n"), ("2.txt", "2\n"), ("3.txt", "3\n")];

/// A build with `make`, with three files to make something from.
#[track_caller]
fn make(makefile: &str, files: &[(&str, &str)], edits: &[Edit]) {
    let files: Vec<_> = [("Makefile", makefile)].iter().chain(&NUMBERS).chain(files).copied().collect();
    check("mkdir -p out; make", &files, edits);
}

const LIST: (&str, &str) = ("list", "1.txt\n2.txt\n3.txt\n");

fn shorter() -> Edit {
    write("list", "1.txt\n3.txt\n")
}

/// What something is made from is listed by a rule of its own, whatever it is called.
#[test]
fn a_list_of_prerequisites_is_shorter() {
    for target in ["out/all.h", "out/all.o", "out/all.txt"] {
        let makefile = format!(
            "{target}:\n\tcat $^ > $@\ndeps.mk: list\n\tsed 's,^,{target}: ,' list > deps.mk\ninclude deps.mk\n"
        );
        make(&makefile, &[LIST], &[shorter(), write("list", "3.txt\n1.txt\n")]);
    }
}

#[test]
fn a_composite_object_has_a_part_less() {
    let makefile = "out/mod.o:\n\tld -r -o $@ $^\n%.o: %.c\n\tgcc -c -o $@ $<\ndeps.mk: list\n\t\
        sed 's,^,out/mod.o: ,' list > deps.mk\ninclude deps.mk\n";
    let files = [
        ("a.c", "int a = 1;\n"),
        ("b.c", "int b = 2;\n"),
        ("c.c", "int c = 3;\n"),
        ("list", "a.o\nb.o\nc.o\n"),
    ];
    make(makefile, &files, &[write("list", "a.o\nc.o\n"), write("a.c", "int a = 4;\n")]);
}

/// Nothing asks any more for what is still there.
#[test]
fn what_was_only_made_for_a_list() {
    let makefile = "out/all: one\n\tcat $(filter out/%,$^) > $@\n\
        out/%.made: %.txt\n\tcp $< $@\ndeps.mk: list\n\tsed 's,^,out/all: out/,;s,txt,made,' list > deps.mk\n\
        include deps.mk\n";
    make(makefile, &[LIST, ("one", "1\n")], &[shorter()]);
}

/// Two have the same name, and one of them was made again.
#[test]
fn another_file_of_the_same_name_was_made_again() {
    let makefile = "all: out/a/all.txt out/b/all.txt\nout/a/all.txt:\n\tmkdir -p out/a; cat $^ > $@\n\
        out/b/all.txt: b\n\tmkdir -p out/b; cat b > $@\n\
        deps.mk: list\n\tsed 's,^,out/a/all.txt: ,' list > deps.mk\ninclude deps.mk\n";
    let edits = [shorter(), write("b", "other\n")];
    make(makefile, &[LIST], &edits);
    // At once.
    let makefile = makefile.replace("all.txt: b\n", "all.txt: list\n");
    make(&makefile, &[LIST], &[shorter()]);
}

/// What is nothing but a comment is read for what it says.
#[test]
fn a_comment_is_data() {
    let head = |how: &str| format!("{how}out/x: b\n\techo '$(T)' | cat - b > out/x\n");
    let made = "head.txt: title.in\n\tsed 's/^/# /' title.in > head.txt\n";
    let files = [("title.in", "One\n")];
    let edit = [write("title.in", "Two\n"), write("title.in", "\n"), write("title.in", "Three\n")];
    let by_make = format!("{}{made}", head("include head.txt\nT = $(file <head.txt)\n"));
    make(&by_make, &files, &edit);
    let files = [("Makefile", &*format!("{}{made}", head(""))), ("title.in", "One\n")];
    check("mkdir -p out; make head.txt; read T < head.txt; make T=\"$T\"", &files, &edit);
}

/// A shell takes from rules what it likes.
#[test]
fn a_shell_reads_rules() {
    let makefile = "prog.o: a.c\n\tgcc -MMD -c -o prog.o a.c\nout/x:\n\techo '$(T)' > out/x\n";
    let files = [("Makefile", makefile), ("a.c", "int a;\n"), ("a.h", "")];
    let build = "mkdir -p out; make prog.o; read T < prog.d; [ -e out/x ] || echo \"$T\" > out/x";
    check(build, &files, &[write("a.c", "#include \"a.h\"\nint a;\n")]);
}

/// The names that a glob of a rule stands for came or went.
#[test]
fn a_rule_with_a_glob_stands_alone() {
    let makefile = "all: out/list\ninclude deps.mk\nout/list:\n\techo $^ > $@\n";
    let files = [("data/a.txt", "a\n"), ("data/b.txt", "b\n"), ("deps.mk", "out/list: data/*.txt\n")];
    make(makefile, &files, &[remove("data/b.txt"), write("data/c.txt", "c\n")]);
    // The build makes it.
    let makefile = format!("{makefile}deps.mk: b\n\techo 'out/list: data/*.txt' > deps.mk\n");
    make(&makefile, &files[..2], &[remove("data/b.txt"), write("data/c.txt", "c\n")]);
}

/// `make` includes what is made once, of all sources.
#[test]
fn dependencies_of_all_sources() {
    let makefile = "out/prog:\n\tgcc -o $@ $^\n.depend:\n\t(for f in *.c; do echo \"out/prog: $${f%.c}.o\"; \
        gcc -MM $$f; done) > .depend\n-include .depend\n";
    let files = [
        ("Makefile", makefile),
        ("a.c", "int main(void) { return 0; }\n"),
        ("b.c", "#include \"b.h\"\nint b = B;\n"),
        ("b.h", "#define B 1\n"),
    ];
    let edits = [write("c.c", "int c = 3;\n"), write("b.h", "#define B 2\n"), write("b.c", "int b = 4;\n")];
    check("mkdir -p out; make", &files, &edits);
}

/// They are made once more for a header, and as long as they say the same, nothing is built clean.
#[test]
fn dependencies_that_do_not_know_headers() {
    let makefile = "all: out/x out/y\n-include dep.mk\nout/x: x.c\n\tcc -E -P x.c > out/x\nout/y: b\n\tcp b out/y\n\
        dep.mk: x.c\n\tcc -MM -MT out/x x.c > dep.mk\n";
    let files = [
        ("Makefile", makefile),
        ("x.c", "#include \"x.h\"\nX\n"),
        ("x.h", "#define X 1\n"),
        ("y.h", "#define X 2\n"),
    ];
    let edits =
        [write("x.h", "#define X 2\n"), write("x.h", "#include \"y.h\"\n"), write("y.h", "#define X 3\n")];
    check("mkdir -p out; make", &files, &edits);
    for (_, built) in differences("mkdir -p out; make", &files, &edits[..1]) {
        assert_eq!(built.build()["audits"][0]["clean"], false, "{}", built.told);
    }
}

/// Only `make` reads the rules, but they are installed.
#[test]
fn rules_are_installed() {
    let makefile = "out/x: b\n\tcp b out/x\nout/deps.mk:\n\tsh gendeps.sh > $@\n-include out/deps.mk\n";
    let files =
        [("gendeps.sh", "for name in $(cat list); do echo \"out/x: $name\"; done\n"), ("list", "1.txt\n")];
    make(makefile, &files, &[write("list", "1.txt\n2.txt\n")]);
}

/// What lists the sources of all objects at once, and is gone after a clean build, as in Redis, costs nothing.
/// A comment, or an empty line, in a makefile is none of make's business.
#[test]
fn comments_in_a_makefile() {
    let rules = "PROG = out/x\ninclude more.mk\n$(PROG): a\n\tcp a $@\nout/y: b Makefile\n\tcp b $@\n";
    let files = [("Makefile", &format!("{rules}all: out/y\n")[..]), ("more.mk", "all: out/x\n")];
    let edits = [
        write("more.mk", "# What is made:\n\nall: out/x\n"),
        write("Makefile", format!("# Copies. \\\n  More.\n{rules}all: out/y # and this\n")),
    ];
    for (differences, built) in differences("mkdir -p out; make all", &files, &edits) {
        assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
        assert_eq!(built.build()["audits"][0]["clean"], false, "{}", built.told);
    }
}

#[test]
fn a_compilers_list_of_all_objects() {
    let makefile = "all: settings out/prog\nifneq ($(MAKECMDGOALS),clean)\n-include all.dep\nendif\n\
        all.dep:\n\t-gcc -MM a.c b.c > all.dep || true\nsettings:\n\t$(MAKE) clean\n\ttouch settings\n\
        clean:\n\trm -f all.dep\nNAME = a$(SUFFIX)\nout/prog: $(NAME)\n\tcp $(NAME) $@\n$(NAME): a.o b.o\n\tgcc -o $@ $^\n";
    let files = [("Makefile", makefile), ("a.c", "int b(void);\nint main(void) { return b(); }\n")];
    let edits = [1, 2, 3].map(|value| write("b.c", format!("int b(void) {{ return {value}; }}\n")));
    let files = [&files[..], &[("b.c", "int b(void) { return 0; }\n")]].concat();
    for (differences, built) in differences("mkdir -p out; make", &files, &edits) {
        assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
        assert_eq!(built.build()["audits"][0]["clean"], false, "{}", built.told);
    }
}

/// It is called like a build tool, and takes from the file what it likes.
#[test]
fn a_tool_with_a_longer_name_reads_rules() {
    let makefile = "all: out/x\na.o: a.c\n\tgcc -MMD -c a.c\n-include a.d\nout/x: | a.o make-list ninja-list\n\t\
        ./make-list a.d > out/x; ./ninja-list a.d >> out/x\n%-list: list.c\n\tgcc -o $@ list.c\n";
    let list = "#include <stdio.h>\nint main(int count, char **words) {\n  FILE *file = fopen(words[1], \"r\");\n  \
        for (int c; (c = getc(file)) != EOF;) putchar(c);\n}\n";
    let files = [("list.c", list), ("a.c", "int a;\n"), ("a.h", "")];
    make(makefile, &files, &[write("a.c", "#include \"a.h\"\nint a;\n")]);
}

/// What lists is no compiler, only told something that begins alike.
#[test]
fn a_script_lists_what_an_object_is_made_from() {
    let makefile = "out/mod.o: Makefile\n\tcat $(filter-out Makefile,$^) > $@\ndeps.mk: list gen.pl\n\t\
        perl -MFile::Basename gen.pl list > deps.mk\ninclude deps.mk\n";
    let script = "print \"out/mod.o: mod.c\"; while (<>) { chomp; print \" $_\"; } print \"\\n\";\n";
    make(
        makefile,
        &[("gen.pl", script), ("mod.c", "m\n"), LIST],
        &[shorter(), write("list", "3.txt\n1.txt\n")],
    );
}

/// A compiler lists what there is, and the recipe of the objects takes that from the list.
#[test]
fn a_recipe_speaks_of_headers() {
    let makefile = "all: out/a.o\ninclude all.dep\nall.dep: a.c\n\tgcc -MM -MT out/a.o a.c > all.dep\n\
        out/%.o: %.c\n\tgcc -c -DHEADERS='\"$(notdir $(filter %.h,$^))\"' -o $@ $<\n";
    let files = [("a.c", "#include \"a.h\"\nchar *a = HEADERS;\n"), ("a.h", ""), ("b.h", "")];
    make(makefile, &files, &[write("a.h", "#include \"b.h\"\n"), write("a.h", "// None.\n")]);
}

/// A list that names itself is made again when it has to be, as in the manual of GNU make.
#[test]
fn a_compilers_list_that_names_itself() {
    let makefile = "all: out/prog\nout/prog: a.o b.o\n\tgcc -o $@ $^\n%.d: %.c\n\t\
        gcc -MM $< | sed 's,\\($*\\)\\.o[ :]*,\\1.o $@ : ,g' > $@\ninclude a.d b.d\n";
    let files = [
        ("a.c", "#include \"a.h\"\nint main(void) { return A; }\n"),
        ("b.c", "int b;\n"),
        ("a.h", "#define A 1\n"),
        ("b.h", "#define B 1\n"),
    ];
    let edits = [
        write("b.c", "#include \"b.h\"\nint b = B;\n"),
        write("a.h", "#include \"b.h\"\n#define A B\n"),
        write("b.h", "#define B 3\n"),
    ];
    let files = [&[("Makefile", makefile)], &files[..]].concat();
    for (differences, built) in differences("mkdir -p out; make", &files, &edits) {
        assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
        assert_eq!(built.build()["audits"][0]["clean"], false, "{}", built.told);
    }
}
