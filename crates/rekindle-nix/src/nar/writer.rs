//! Writes archives.

use std::io::{self, Read, Write};

use crate::error::{Error, Kind};
use crate::nar::{LARGEST, Limits, MAGIC, check_name, check_target, padding};

/// Writes an archive, event by event. What it writes, [`super::Reader`] reads.
///
/// A recursive walk calls [`Writer::directory`], for each name in order [`Writer::entry`] and the node, and
/// [`Writer::end`]. A walk that gives whole paths calls [`Writer::at_path`] before each node and never `end`.
/// Events that make no tree are errors, as are the names that a reader would refuse.
///
/// Small pieces go straight to the stream below: give it something buffered, or a hasher.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    /// How many bytes were written.
    offset: u64,
    /// The name of the last entry of each open directory.
    open: Vec<Option<Vec<u8>>>,
    state: State,
    /// For copying content; allocated when it is needed.
    chunk: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Before the magic string.
    Start,
    /// Before the node of an entry.
    Node,
    /// Within a file.
    Content { left: u64, padding: usize },
    /// Within a directory, between entries.
    Directory,
    /// Behind the root node.
    Done,
    /// Behind an error.
    Failed,
}

/// How much content is copied at once, in bytes.
const CHUNK: usize = 128 * 1024;

impl<W: Write> Writer<W> {
    /// Starts an archive. Nothing is written before the first node.
    pub fn new(output: W) -> Writer<W> {
        Writer { output, offset: 0, open: Vec::new(), state: State::Start, chunk: Vec::new() }
    }

    /// Begins a directory.
    ///
    /// # Errors
    /// No node belongs here, too many directories are open, or the stream fails.
    pub fn directory(&mut self) -> Result<(), Error> {
        if self.open.len() >= Limits::LINUX.depth {
            return Err(self.misused("too many directories within each other"));
        }
        self.begin_node(&[b"directory"])?;
        self.open.push(None);
        self.state = State::Directory;
        Ok(())
    }

    /// Begins an entry of the innermost open directory. Its node has to come next.
    ///
    /// # Errors
    /// No entry belongs here, the name is not behind the last one or no name, or the stream fails.
    pub fn entry(&mut self, name: &[u8]) -> Result<(), Error> {
        let (State::Directory, Some(last)) = (&self.state, self.open.last_mut()) else {
            return Err(self.misused("an entry belongs in a directory"));
        };
        check_name(name, last.as_deref(), &Limits::LINUX, self.offset)?;
        *last = Some(name.to_vec());
        self.strings(&[b"entry", b"(", b"name", name, b"node"])?;
        self.state = State::Node;
        Ok(())
    }

    /// Ends the innermost open directory.
    ///
    /// # Errors
    /// No directory is open, or something in it is not complete, or the stream fails.
    pub fn end(&mut self) -> Result<(), Error> {
        if self.state != State::Directory {
            return Err(self.misused("only a directory that is complete can end"));
        }
        self.open.pop();
        self.end_node()
    }

    /// Goes to the entry at `path` below the root, such as `bin/hello`: ends the directories that it is not in, and
    /// begins the entry. An empty path is the root itself.
    ///
    /// The nodes have to come sorted by the *components* of their paths, each directory before what is in it.
    ///
    /// # Errors
    /// The parent directory is not open or was ended already, or what [`Writer::entry`] fails with.
    pub fn at_path(&mut self, path: &[u8]) -> Result<(), Error> {
        if path.is_empty() {
            return if self.state == State::Start { Ok(()) } else { Err(self.misused("there is one root")) };
        }
        let mut components: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        let name = components.pop().unwrap_or_default();
        while !self.innermost_is(&components) {
            if self.open.len() <= 1 {
                return Err(self.misused("the parent directory is not open"));
            }
            self.end()?;
        }
        self.entry(name)
    }

    /// Writes a symbolic link.
    ///
    /// # Errors
    /// No node belongs here, the target is empty, too long or has a zero byte, or the stream fails.
    pub fn symlink(&mut self, target: &[u8]) -> Result<(), Error> {
        check_target(target, &Limits::LINUX, self.offset)?;
        self.begin_node(&[b"symlink", b"target", target])?;
        self.end_node()
    }

    /// Writes a regular file from memory.
    ///
    /// # Errors
    /// No node belongs here, or the stream fails.
    pub fn file(&mut self, executable: bool, content: &[u8]) -> Result<(), Error> {
        self.begin_regular(executable, content.len() as u64)?;
        self.content(content)
    }

    /// Writes a regular file of `size` bytes from a stream. Does not look whether the stream goes on.
    ///
    /// # Errors
    /// No node belongs here, `content` fails or is too short (as when a file shrinks while it is read), or the stream
    /// below fails.
    pub fn regular(&mut self, executable: bool, size: u64, content: &mut impl Read) -> Result<(), Error> {
        self.begin_regular(executable, size)?;
        let mut chunk = std::mem::take(&mut self.chunk);
        let wanted = usize::try_from(size).map_or(CHUNK, |size| size.min(CHUNK));
        if chunk.len() < wanted {
            chunk.resize(wanted, 0);
        }
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            match content.read(&mut chunk[..wanted]) {
                Ok(0) => {
                    return Err(self.misused(&format!("a file of {size} bytes ended {left} bytes too early")));
                }
                Ok(count) => {
                    self.content(&chunk[..count])?;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.state = State::Failed;
                    let offset = self.offset;
                    return Err(error.downcast().unwrap_or_else(|source| Kind::Io { offset, source }.into()));
                }
            }
        }
        self.chunk = chunk;
        Ok(())
    }

    /// Begins a regular file. Its content has to come next, in one or more calls of [`Writer::content`]; an empty
    /// file is complete at once.
    ///
    /// # Errors
    /// No node belongs here, no file can have that size, or the stream fails.
    pub fn begin_regular(&mut self, executable: bool, size: u64) -> Result<(), Error> {
        if size > LARGEST {
            return Err(self.misused("no file is that large"));
        }
        if executable {
            self.begin_node(&[b"regular", b"executable", b"", b"contents"])?;
        } else {
            self.begin_node(&[b"regular", b"contents"])?;
        }
        self.put(&size.to_le_bytes())?;
        self.state = State::Content { left: size, padding: padding(size) };
        self.end_content()
    }

    /// Writes the next bytes of a file. The last of them complete it.
    ///
    /// # Errors
    /// These are more bytes than the file was to have, or the stream fails.
    pub fn content(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            // Of an empty file this is all, and it is complete already.
            return Ok(());
        }
        let State::Content { left, padding } = self.state else {
            return Err(self.misused("content belongs in a file"));
        };
        let Some(left) = left.checked_sub(bytes.len() as u64) else {
            return Err(self.misused("a file has more content than it was to have"));
        };
        self.put(bytes)?;
        self.state = State::Content { left, padding };
        self.end_content()
    }

    /// Ends the directories that are still open, and returns the stream below. Does not flush it.
    ///
    /// # Errors
    /// There is no root node yet, or an entry or a file is not complete, or the stream fails.
    pub fn finish(mut self) -> Result<W, Error> {
        while self.state == State::Directory {
            self.end()?;
        }
        if self.state != State::Done {
            return Err(self.misused("something is not complete"));
        }
        Ok(self.output)
    }

    /// Returns how many bytes were written so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns whether the innermost open directory is the one that these entries lead to.
    fn innermost_is(&self, components: &[&[u8]]) -> bool {
        let above = self.open.len().saturating_sub(1);
        let leading = self.open[..above].iter().map(|last| last.as_deref().unwrap_or_default());
        leading.eq(components.iter().copied())
    }

    fn begin_node(&mut self, strings: &[&[u8]]) -> Result<(), Error> {
        match self.state {
            State::Start => self.strings(&[MAGIC])?,
            State::Node => {}
            _ => return Err(self.misused("no node belongs here")),
        }
        self.strings(&[b"(", b"type"])?;
        self.strings(strings)
    }

    fn end_content(&mut self) -> Result<(), Error> {
        if let State::Content { left: 0, padding } = self.state {
            self.put(&[0; 8][..padding])?;
            self.end_node()?;
        }
        Ok(())
    }

    fn end_node(&mut self) -> Result<(), Error> {
        self.strings(&[b")"])?;
        self.state = State::Done;
        if !self.open.is_empty() {
            self.strings(&[b")"])?;
            self.state = State::Directory;
        }
        Ok(())
    }

    fn strings(&mut self, strings: &[&[u8]]) -> Result<(), Error> {
        for string in strings {
            let len = string.len() as u64;
            self.put(&len.to_le_bytes())?;
            self.put(string)?;
            self.put(&[0; 8][..padding(len)])?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.output.write_all(bytes).map_err(|source| {
            self.state = State::Failed;
            Error::from(Kind::Io { offset: self.offset, source })
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn misused(&mut self, why: &str) -> Error {
        self.state = State::Failed;
        Kind::NarWrite { why: why.to_owned() }.into()
    }
}
