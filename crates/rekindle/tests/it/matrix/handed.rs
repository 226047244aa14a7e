//! What one command hands to another in a way that leaves nothing behind, or under another name.

use super::doubts::{check, differences};
use super::edit::write;

/// What is in `/tmp` is gone when the step goes on, and who made it need not run again.
#[test]
fn outside_of_the_tree() {
    let edits = [write("b", "other\n"), write("a", "other\n")];
    for place in ["/tmp/x", "/dev/shm/x"] {
        for read in [
            format!("cat b > out/x; cat {place} >> out/x || true"),
            format!(
                "cat b > out/x; if test -r {place}; then cat {place} >> out/x; else echo none >> out/x; fi"
            ),
        ] {
            let makefile = format!(
                "all: gen out/x\ngen: a\n\tcp a {place}; touch gen\nout/x: b\n\tmkdir -p out; {read}\n"
            );
            check("make", &[("Makefile", &makefile)], &edits);
        }
        let makefile = format!(
            "all: st out/x\nst:\n\tcp a {place} || true\n\ttouch st\n\
             out/x: st\n\tmkdir -p out; cat {place} > out/x || echo no > out/x\n"
        );
        check("make", &[("Makefile", &makefile)], &edits[1..]);
    }
}

#[test]
fn and_removed_by_a_third() {
    let makefile = "all: gen out/x end\ngen: a\n\tcp a x; touch gen\n\
        out/x: b\n\tmkdir -p out; cat b > out/x; if test -r x; then cat x >> out/x; else echo none >> out/x; fi\n\
        end: gen out/x\n\trm -f x; touch end\n";
    check("make", &[("Makefile", makefile)], &[write("b", "other\n"), write("a", "other\n")]);
}

/// What one line is called and a part of another line are two.
#[test]
fn to_a_line_that_only_looks_like_another() {
    let makefile = "all: out/x opts\nout/x: a\n\tmkdir -p out; cp a out/x\nopts: FORCE\n\t@rm -f $@+\n\t@echo flags > $@+\n\
        \t@cmp -s $@+ $@ && rm -f $@+ || mv -f $@+ $@\nFORCE:\n";
    let (files, edits) = ([("Makefile", makefile)], ["1\n", "2\n", "3\n"].map(|text| write("a", text)));
    for (differences, built) in differences("make", &files, &edits) {
        assert!(differences.is_empty(), "{differences:?}\n{}", built.told);
        assert_eq!(built.build()["audits"][0]["clean"], false, "{}", built.told);
    }
}

/// It is the same file until its source is another one.
#[test]
fn by_another_name() {
    let makefile = "all: out/x\nh/x.h:\n\tmkdir -p h; ln src/x.h h/x.h\n\
        out/x: b | h/x.h\n\tmkdir -p out; cat h/x.h b > out/x\n";
    let files = [("Makefile", makefile), ("src/x.h", "one\n")];
    check("make", &files, &[write("src/x.h", "other\n"), write("b", "other\n")]);
    let makefile = "all: out/x\nout/x: stamp b\n\tcat h/x.h b > out/x\nstamp:\n\tmkdir -p out; cp -al src h; touch stamp\n";
    check("make", &[("Makefile", makefile), files[1]], &[write("src/x.h", "other\n")]);
}

/// Who gives something another name takes it away, and does not find it again. A directory takes with it what others put there.
#[test]
fn and_taken_by_a_new_name() {
    let (file, directory) = ("cat x > t", "mkdir -p t; cat x > t/x");
    let python = "python3 -c \"import os; os.rename('t', 'out/n')\"";
    for (make, take) in [
        (file, "mv t out/n || echo none > out/n2"),
        (file, "rm -f out/n; mv t out/n || echo none > out/n2"),
        (file, &format!("{python} || echo none > out/n2")),
        (file, "mv t out/n"),
        (directory, "mv t out/n || echo none > out/n2"),
        (directory, "rm -rf out/n; mkdir -p t; mv t out/n; ls out/n > out/n2"),
    ] {
        let makefile = format!(
            "all: out/n out/a\nout/a: a\n\tcat a > out/a\n\
             out/n: .st\n\tmkdir -p out; {take}\n.st: x\n\t{make}; sleep 0.02; touch .st\n"
        );
        let files = [("Makefile", &*makefile), ("x", "1\n")];
        for (differences, built) in differences("mkdir -p out; make", &files, &[write("a", "other\n")]) {
            assert!(differences.is_empty(), "{take}: {differences:?}\n{}", built.told);
            assert!(built.told.contains("did not get"), "{take}\n{}", built.told);
        }
    }
}
