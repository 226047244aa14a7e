//! The text of a `.drv` file, in the notation of ATerm.
//!
//! ```text
//! Derive([("out","/nix/store/…-hello","",""),…],       outputs: name, path, [method:]algorithm, hash
//!        [("/nix/store/…-gcc.drv",["out",…]),…],       derivations that it needs
//!        ["/nix/store/…-hello.tar.gz",…],              sources that it needs
//!        "x86_64-linux","/bin/sh",["-c",…],            system, builder, arguments
//!        [("name","hello"),…])                         environment
//! ```
//!
//! without the line breaks and blanks. All lists but the arguments are sorted by bytes and without duplicates.
//! Strings may hold any byte; only `"`, `\`, line feed, carriage return and tab are escaped.
//!
//! A text has one derivation, and a derivation one text: [`parse()`] takes only what [`write()`] would write, since a
//! `.drv` file is identified by the hash of its bytes.

mod parse;
mod write;

pub use parse::parse;
pub use write::write;
pub(crate) use write::{OutputPaths, write_modulo};

#[cfg(test)]
mod tests;
