//! Directories that a program was told of when they were not there: it looks for them, and not at what may come to lie in them.

use super::doubts::check;
use super::edit::write;

const MAIN: &str = "#include \"x.h\"\n#include <stdio.h>\nint main(void) { puts(X); }\n";
const OLD: &str = "#define X \"old\"\n";
const NEW: &str = "#define X \"new\"\n";

/// A program in `src` that is built there, with a header that another one comes to hide.
#[track_caller]
fn compiles(build: &str, command: &str) {
    let makefile = format!("all: ../out/prog\n../out/prog: main.c\n\t{command}\n");
    let files = [("src/Makefile", &*makefile), ("src/main.c", MAIN), ("inc/x.h", OLD)];
    check(&format!("mkdir -p out; {build}"), &files, &[write("over/x.h", NEW)]);
}

#[test]
fn above_the_working_directory() {
    compiles("make -C src", "gcc -I../over -I../inc -o $@ main.c");
    compiles("make -C src", "gcc -I$(CURDIR)/../over/ -I../inc -o $@ main.c");
    compiles("make -C src", "gcc -isystem../over -isystem../inc -o $@ main.c");
    compiles("make -C src", "cd ../inc && gcc -I./../over/. -I. -o ../out/prog ../src/main.c");
}

#[test]
fn of_who_keeps_book() {
    let ninja = "rule c\n  command = gcc -MD -MF $out.d -I../over -I../inc -o $out $in\n  depfile = $out.d\n  deps = gcc\n\
                 build ../out/prog: c ../src/main.c\n";
    let files = [("b/build.ninja", ninja), ("src/main.c", MAIN), ("inc/x.h", OLD)];
    check("mkdir -p out; ninja -C b", &files, &[write("over/x.h", NEW)]);
}

/// A compiler looks for more than it is told.
#[test]
fn below_what_it_is_told() {
    let check = |options: &str, path: &str| {
        let makefile = format!("all: out/x\nout/x: m.c\n\tgcc -E -P {options} -idirafter inc m.c > out/x\n");
        let files =
            [("Makefile", &*makefile), ("sys/x", ""), ("inc/zz.h", "one\n"), ("m.c", "#include <zz.h>\n")];
        check("mkdir -p out; make", &files, &[write(path, "two\n")]);
    };
    check("--sysroot=sys", "sys/usr/include/zz.h");
    check("-isysroot sys", "sys/usr/local/include/zz.h");
    check("--sysroot=sys -I=/over", "sys/over/zz.h");
    check("-B sys", "sys/include/zz.h");
}

#[test]
fn in_a_list_of_places() {
    let script = "for d in $(echo $1 | tr : ' '); do [ -d $d ] && cat $d/* && break; done > $2\n";
    let makefile = "all: out/x\nout/x: b\n\tmkdir -p out; sh first.sh over:inc out/x\n";
    let files = [("Makefile", makefile), ("first.sh", script), ("inc/x", OLD)];
    check("make", &files, &[write("over/x", NEW)]);
}
