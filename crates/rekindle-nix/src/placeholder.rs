//! Placeholders: what stands for an output path in a recipe while the path is not known.
//!
//! A placeholder is a slash and 52 base-32 digits, so it is longer than a hash part and cannot be mistaken for a
//! store path. The builder of a content-addressed derivation never sees one: it is replaced before it runs.

use std::fmt;

use crate::base32;
use crate::derivation::OutputName;
use crate::error::{Error, Kind};
use crate::hash::Hash;
use crate::store_path::{StorePath, compressed};

/// The stand-in for an output path. `Display` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placeholder(Hash);

impl Placeholder {
    /// Stands for an output of the derivation that it occurs in.
    pub fn own(output: &OutputName) -> Placeholder {
        Placeholder::of(&format!("nix-output:{output}"))
    }

    /// Stands for an output of another derivation, whose `.drv` file is known.
    ///
    /// # Errors
    /// `drv` is not the path of a `.drv` file, or the output's name becomes too long.
    pub fn upstream(drv: &StorePath, output: &OutputName) -> Result<Placeholder, Error> {
        let name = drv.drv_name().ok_or_else(|| {
            Error::from(Kind::StorePath { path: drv.to_string(), why: "it is not a derivation's" })
        })?;
        let path_name = output.path_name(&name)?;
        Ok(Placeholder::of(&format!("nix-upstream-output:{}:{path_name}", drv.hash_part())))
    }

    /// Stands for an output of a derivation that is itself an output, the one that `drv` stands for.
    pub fn computed(drv: &Placeholder, output: &OutputName) -> Placeholder {
        let drv = base32::encode(&compressed(&drv.0));
        Placeholder::of(&format!("nix-computed-output:{drv}:{output}"))
    }

    fn of(text: &str) -> Placeholder {
        Placeholder(Hash::sha256(text.as_bytes()))
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.to_nix32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drv(base_name: &str) -> StorePath {
        base_name.parse().unwrap()
    }

    #[test]
    fn placeholders_that_real_nix_gave() {
        let check = |placeholder: Placeholder, text: &str| assert_eq!(placeholder.to_string(), text);
        let out = OutputName::out();
        check(Placeholder::own(&out), "/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9");
        let ca = drv("168xh4mfkp32a188l933flpbj88ynpd8-ca.drv");
        check(
            Placeholder::upstream(&ca, &out).unwrap(),
            "/12rfv69nh9776w9xd0gc1vjnavfh1pvdk3c9xnzlb9hn1pi7pxpa",
        );
        let foo = drv("g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo.drv");
        check(
            Placeholder::upstream(&foo, &out).unwrap(),
            "/0c6rn30q4frawknapgwq386zq358m8r6msvywcvc89n6m5p2dgbz",
        );
        let of_drv =
            Placeholder::upstream(&drv("g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo.drv.drv"), &out).unwrap();
        check(Placeholder::computed(&of_drv, &out), "/0gn6agqxjyyalf0dpihgyf49xq5hqxgw100f0wydnj6yqrhqsb3w");
    }

    #[test]
    fn only_derivations_have_outputs() {
        let source = drv("168xh4mfkp32a188l933flpbj88ynpd8-ca");
        assert!(Placeholder::upstream(&source, &OutputName::out()).is_err());
    }
}
