//! The words of ninja's language, and what its variables stand for.
//!
//! A text with variables is kept as it is written and taken apart where it is expanded: most are expanded once, and those of rules
//! only if somebody asks.

/// What a line is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Word(&'t [u8]),
    Indent,
    Newline,
    Colon,
    Equals,
    Pipe,
    DoublePipe,
    PipeAt,
    End,
}

/// A text that is read from its beginning to its end.
pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Lexer { text, at: 0 }
    }

    /// The next token, or `None` if there is none that ninja knows.
    pub(super) fn next(&mut self) -> Option<Token<'t>> {
        loop {
            let spaces = self.rest().iter().take_while(|byte| **byte == b' ').count();
            let rest = &self.rest()[spaces..];
            if rest.first() == Some(&b'#') {
                let line = rest.iter().take_while(|byte| **byte != b'\n').count();
                self.at = (self.at + spaces + line + 1).min(self.text.len());
                continue;
            }
            if let Some(length) = newline(rest) {
                self.at += spaces + length;
                return Some(Token::Newline);
            }
            if spaces > 0 {
                self.at += spaces;
                self.skip_blanks();
                return Some(Token::Indent);
            }
            let word = rest.iter().take_while(|byte| is_in_word(**byte)).count();
            let (token, length) = match rest {
                [] => return Some(Token::End),
                _ if word > 0 => (Token::Word(&rest[..word]), word),
                [b':', ..] => (Token::Colon, 1),
                [b'=', ..] => (Token::Equals, 1),
                [b'|', b'|', ..] => (Token::DoublePipe, 2),
                [b'|', b'@', ..] => (Token::PipeAt, 2),
                [b'|', ..] => (Token::Pipe, 1),
                _ => return None,
            };
            self.at += length;
            self.skip_blanks();
            return Some(token);
        }
    }

    /// Whether the next token is this one, which is then behind it.
    pub(super) fn takes(&mut self, wanted: Token<'_>) -> bool {
        let before = self.at;
        if self.next() == Some(wanted) {
            return true;
        }
        self.at = before;
        false
    }

    /// The next token has to be this one.
    pub(super) fn expect(&mut self, wanted: Token<'_>) -> Option<()> {
        self.takes(wanted).then_some(())
    }

    /// The next token has to be a word.
    pub(super) fn word(&mut self) -> Option<&'t [u8]> {
        let length = self.rest().iter().take_while(|byte| is_in_word(**byte)).count();
        let word = &self.rest()[..length];
        self.at += length;
        self.skip_blanks();
        (length > 0).then_some(word)
    }

    /// What is bound to the word before it, up to the end of the line, with its variables.
    pub(super) fn value(&mut self) -> Option<&'t [u8]> {
        self.expect(Token::Equals)?;
        let value = self.up_to(b"")?;
        self.at += newline(self.rest())?;
        Some(value)
    }

    /// The next path, with its variables; empty if there is none.
    pub(super) fn path(&mut self) -> Option<&'t [u8]> {
        let path = self.up_to(b" :|")?;
        self.skip_blanks();
        Some(path)
    }

    /// The text up to the end of the line, or to one of these, if no `$` stands before it.
    fn up_to(&mut self, ends: &[u8]) -> Option<&'t [u8]> {
        let rest = self.rest();
        let mut end = 0;
        while newline(&rest[end..]).is_none() && !ends.contains(rest.get(end)?) {
            end += match &rest[end..] {
                [b'$', b'\r', b'\n', ..] => 3,
                [b'$', ..] => 2,
                [0, ..] => return None,
                _ => 1,
            };
            if end > rest.len() {
                return None;
            }
        }
        self.at += end;
        Some(&rest[..end])
    }

    fn skip_blanks(&mut self) {
        loop {
            self.at += match self.rest() {
                [b' ', ..] => 1,
                [b'$', b'\n', ..] => 2,
                [b'$', b'\r', b'\n', ..] => 3,
                _ => return,
            };
        }
    }

    fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t [u8]),
    Variable(&'t [u8]),
}

/// The first part of a text, and what follows it; `None` if ninja would not take it.
pub(super) fn first_part(text: &[u8]) -> Option<(Part<'_>, &[u8])> {
    let plain = text.iter().take_while(|byte| **byte != b'$').count();
    if plain > 0 {
        return Some((Part::Text(&text[..plain]), &text[plain..]));
    }
    let after = &text[1..];
    match after {
        [b'$' | b' ' | b':', ..] => Some((Part::Text(&after[..1]), &after[1..])),
        [b'^', ..] => Some((Part::Text(b"\n"), &after[1..])),
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => {
            let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
            Some((Part::Text(b""), &rest[spaces..]))
        }
        [b'{', rest @ ..] => {
            let length = rest.iter().take_while(|byte| is_in_word(**byte)).count();
            let is_closed = length > 0 && rest.get(length) == Some(&b'}');
            is_closed.then(|| (Part::Variable(&rest[..length]), &rest[length + 1..]))
        }
        _ => {
            // Without braces a name ends before a dot.
            let length = after.iter().take_while(|byte| is_in_word(**byte) && **byte != b'.').count();
            (length > 0).then(|| (Part::Variable(&after[..length]), &after[length..]))
        }
    }
}

fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

/// How long the end of a line is that the text begins with.
fn newline(text: &[u8]) -> Option<usize> {
    match text {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}
