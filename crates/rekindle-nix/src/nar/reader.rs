//! Reads archives.

use std::io::{self, Read, Write};

use crate::error::{Error, Kind};
use crate::nar::{Event, LARGEST, Limits, MAGIC, Writer, check_name, check_target, padding};

/// Reads an archive, event by event.
///
/// It reads only as many bytes as the archive has, mostly a few at a time: give it something buffered. A length in
/// the stream is compared with the [`Limits`] before anything is allocated for it.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    trailing: bool,
    /// How many bytes were read.
    offset: u64,
    /// The name of the last entry of each open directory.
    open: Vec<Option<Vec<u8>>>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before the magic string.
    Start,
    /// Before a node.
    Node,
    /// Within the content of a file.
    Content { left: u64, padding: usize },
    /// Behind a node.
    Behind,
    /// Before an entry, or the end of a directory.
    Directory,
    /// Behind all.
    Done,
    /// Behind an error.
    Failed,
}

impl<R: Read> Reader<R> {
    /// Reads an archive that is all of `input`: the end of the archive has to be the end of the stream.
    pub fn new(input: R) -> Reader<R> {
        Reader {
            input,
            limits: Limits::LINUX,
            trailing: false,
            offset: 0,
            open: Vec::new(),
            state: State::Start,
        }
    }

    /// Reads an archive in the midst of a stream: what follows it is left there.
    pub fn embedded(input: R) -> Reader<R> {
        Reader { trailing: true, ..Reader::new(input) }
    }

    /// Sets other limits.
    pub fn with_limits(self, limits: Limits) -> Reader<R> {
        Reader { limits, ..self }
    }

    /// Returns the next event, or none behind the archive. What was not read of a file's content is skipped.
    ///
    /// # Errors
    /// The archive is malformed or beyond the limits, or the stream cannot be read or ends too early. After an error
    /// there is nothing more to read.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend out the content of a file")]
    pub fn next(&mut self) -> Result<Option<Event>, Error> {
        let event = self.advance();
        if event.is_err() {
            self.state = State::Failed;
        }
        event
    }

    /// Returns the content of the file that [`Reader::next`] returned last; nothing behind any other event.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { reader: self }
    }

    /// Returns how many bytes of the archive were read. Behind [`Event::Regular`], this is where the content is.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the rest and writes it to `writer`, which has to be where this reader is.
    ///
    /// # Errors
    /// Those of [`Reader::next`] and of the writer.
    pub fn copy_to<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), Error> {
        while let Some(event) = self.next()? {
            match event {
                Event::Directory => writer.directory()?,
                Event::Entry(name) => writer.entry(&name)?,
                Event::Regular { executable, size } => {
                    writer.regular(executable, size, &mut self.content())?;
                }
                Event::Symlink(target) => writer.symlink(&target)?,
                Event::End => writer.end()?,
            }
        }
        Ok(())
    }

    /// Returns the stream below.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn advance(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match self.state {
                State::Start => {
                    self.expect(MAGIC, "it does not begin with \"nix-archive-1\"")?;
                    self.state = State::Node;
                }
                State::Node => return self.node().map(Some),
                State::Content { .. } => {
                    io::copy(&mut self.content(), &mut io::sink()).map_err(|error| self.recover(error))?;
                    self.end_content()?;
                }
                State::Behind if self.open.is_empty() => {
                    if !self.trailing && self.input_goes_on()? {
                        return Err(self.malformed("nothing may follow the archive"));
                    }
                    self.state = State::Done;
                }
                State::Behind => {
                    self.expect(b")", "expected the end of an entry")?;
                    self.state = State::Directory;
                }
                State::Directory => return self.entry_or_end().map(Some),
                State::Done => return Ok(None),
                State::Failed => return Err(self.malformed("it was given up here")),
            }
        }
    }

    fn node(&mut self) -> Result<Event, Error> {
        self.expect(b"(", "expected a node")?;
        self.expect(b"type", "expected the type of a node")?;
        let mut keyword = [0; LONGEST_KEYWORD];
        match self.keyword(&mut keyword)? {
            b"regular" => {
                let executable = match self.keyword(&mut keyword)? {
                    b"executable" => {
                        self.expect(b"", "expected nothing behind \"executable\"")?;
                        self.expect(b"contents", "expected the contents of a file")?;
                        true
                    }
                    b"contents" => false,
                    _ => return Err(self.malformed("expected the contents of a file")),
                };
                let size = self.length()?;
                if size > LARGEST {
                    return Err(self.malformed("file that is larger than any file system's"));
                }
                self.state = State::Content { left: size, padding: padding(size) };
                Ok(Event::Regular { executable, size })
            }
            b"symlink" => {
                self.expect(b"target", "expected the target of a link")?;
                let offset = self.offset;
                let target = self.string(self.limits.target, "a link's target that is too long")?;
                check_target(&target, &self.limits, offset)?;
                self.expect(b")", "expected the end of a link")?;
                self.state = State::Behind;
                Ok(Event::Symlink(target))
            }
            b"directory" => {
                if self.open.len() >= self.limits.depth {
                    return Err(self.malformed("too many directories within each other"));
                }
                self.open.push(None);
                self.state = State::Directory;
                Ok(Event::Directory)
            }
            _ => Err(self.malformed("node that is no file, link or directory")),
        }
    }

    fn entry_or_end(&mut self) -> Result<Event, Error> {
        let mut keyword = [0; LONGEST_KEYWORD];
        match self.keyword(&mut keyword)? {
            b"entry" => {
                self.expect(b"(", "expected an entry")?;
                self.expect(b"name", "expected the name of an entry")?;
                let offset = self.offset;
                let name = self.string(self.limits.name, "name that is too long")?;
                if let Some(last) = self.open.last_mut() {
                    check_name(&name, last.as_deref(), &self.limits, offset)?;
                    *last = Some(name.clone());
                }
                self.expect(b"node", "expected the node of an entry")?;
                self.state = State::Node;
                Ok(Event::Entry(name))
            }
            b")" => {
                self.open.pop();
                self.state = State::Behind;
                Ok(Event::End)
            }
            _ => Err(self.malformed("expected an entry or the end of a directory")),
        }
    }

    fn end_content(&mut self) -> Result<(), Error> {
        if let State::Content { left: 0, padding } = self.state {
            self.zeros(padding)?;
            self.expect(b")", "expected the end of a file")?;
            self.state = State::Behind;
        }
        Ok(())
    }

    fn expect(&mut self, token: &[u8], why: &'static str) -> Result<(), Error> {
        let start = self.offset;
        let mut keyword = [0; LONGEST_KEYWORD];
        let found = self.keyword(&mut keyword).map(|found| found == token);
        match found {
            Ok(true) => Ok(()),
            Ok(false) => Err(Kind::Nar { offset: start, why }.into()),
            Err(error) if error.is_io() || error.is_truncated() => Err(error),
            Err(_) => Err(Kind::Nar { offset: start, why }.into()),
        }
    }

    /// Reads one of the format's own strings.
    fn keyword<'a>(&mut self, into: &'a mut [u8; LONGEST_KEYWORD]) -> Result<&'a [u8], Error> {
        let len = self.length()?;
        let keyword = usize::try_from(len).ok().and_then(|len| into.get_mut(..len));
        let keyword = keyword.ok_or_else(|| self.malformed("string that is none of the format's own"))?;
        self.fill(keyword)?;
        self.zeros(padding(len))?;
        Ok(keyword)
    }

    fn string(&mut self, longest: usize, too_long: &'static str) -> Result<Vec<u8>, Error> {
        let len = self.length()?;
        let fits = usize::try_from(len).ok().filter(|&len| len <= longest);
        let mut bytes = vec![0; fits.ok_or_else(|| self.malformed(too_long))?];
        self.fill(&mut bytes)?;
        self.zeros(padding(len))?;
        Ok(bytes)
    }

    fn length(&mut self) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn zeros(&mut self, count: usize) -> Result<(), Error> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes[..count])?;
        if bytes != [0; 8] {
            return Err(self.malformed("padding that is not zero"));
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.input.read_exact(bytes).map_err(|source| self.failed(source))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn input_goes_on(&mut self) -> Result<bool, Error> {
        loop {
            match self.input.read(&mut [0]) {
                Ok(count) => return Ok(count > 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed(source)),
            }
        }
    }

    fn malformed(&self, why: &'static str) -> Error {
        Kind::Nar { offset: self.offset, why }.into()
    }

    fn failed(&self, source: io::Error) -> Error {
        let offset = self.offset;
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Kind::Truncated { offset }.into(),
            _ => Kind::Io { offset, source }.into(),
        }
    }

    /// Takes back an error that went through [`Content`].
    fn recover(&self, error: io::Error) -> Error {
        error.downcast().unwrap_or_else(|error| self.failed(error))
    }
}

/// Longer than any of the format's own strings.
const LONGEST_KEYWORD: usize = 16;

/// The content of a file, to be read up to its size. An archive that ends within it is an error here, too.
#[derive(Debug)]
pub struct Content<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let State::Content { left, .. } = &mut self.reader.state else {
            return Ok(0);
        };
        let wanted = usize::try_from(*left).map_or(into.len(), |left| left.min(into.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.reader.input.read(&mut into[..wanted])?;
        if count == 0 {
            return Err(Error::from(Kind::Truncated { offset: self.reader.offset }).into());
        }
        *left -= count as u64;
        self.reader.offset += count as u64;
        Ok(count)
    }
}
