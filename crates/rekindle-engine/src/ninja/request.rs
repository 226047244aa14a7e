//! What ninja was asked for by its arguments.

/// Of arguments that are longer than this together, each with what ends it, not all may have been kept.
const LONGEST: usize = 64 << 10;

/// What the arguments say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// Where it goes before it does anything.
    pub(super) directory: &'a [u8],
    pub(super) manifest: &'a [u8],
    pub(super) targets: Vec<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads the arguments, of which the first is the name of the program; `None` if they do not ask for a build.
    pub(super) fn read(arguments: impl Iterator<Item = &'a [u8]>) -> Option<Request<'a>> {
        let arguments: Vec<&[u8]> = arguments.collect();
        if arguments.iter().map(|argument| argument.len() + 1).sum::<usize>() >= LONGEST {
            return None;
        }
        let mut arguments = arguments.into_iter();
        arguments.next()?;
        let mut request = Request { directory: b"", manifest: b"build.ninja", targets: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument {
                b"--" => request.targets.extend(&mut arguments),
                b"--verbose" | b"--quiet" => {}
                [b'-', b'-', ..] => return None,
                [b'-', letters @ ..] if !letters.is_empty() => {
                    request.options(letters, &mut arguments)?;
                }
                target => request.targets.push(target),
            }
        }
        Some(request)
    }

    /// Options of one letter, several of which may stand together.
    fn options(
        &mut self,
        mut letters: &'a [u8],
        arguments: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Option<()> {
        while let [letter, rest @ ..] = letters {
            letters = rest;
            if matches!(letter, b'n' | b'v') {
                continue;
            }
            let value = if rest.is_empty() { arguments.next()? } else { rest };
            match letter {
                b'C' => self.directory = value,
                b'f' => self.manifest = value,
                b'd' | b'j' | b'k' | b'l' | b'w' => {}
                _ => return None,
            }
            return Some(());
        }
        Some(())
    }
}
