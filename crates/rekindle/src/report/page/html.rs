//! Writing HTML in which no text can become markup.
//!
//! Text and attribute values are escaped by the writer, always; names of elements and attributes are constants of this program.
//! What is written is also well-formed XML, so that it can be checked easily.

/// A document that is being written.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// The document.
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Text of this program's own, as it is.
    pub(super) fn raw(&mut self, text: &'static str) {
        self.0.push_str(text);
    }

    /// Text of whomever.
    pub(super) fn text(&mut self, text: &str) {
        escape(text, &mut self.0);
    }

    /// An element with attributes, and in it what `inside` writes.
    pub(super) fn tag(
        &mut self,
        name: &'static str,
        attributes: &[(&'static str, &str)],
        inside: impl FnOnce(&mut Html),
    ) {
        self.open(name, attributes);
        self.0.push('>');
        inside(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// An element with nothing but a text in it.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: &[(&'static str, &str)], text: &str) {
        self.tag(name, attributes, |html| html.text(text));
    }

    /// An element that has nothing in it.
    pub(super) fn empty(&mut self, name: &'static str, attributes: &[(&'static str, &str)]) {
        self.open(name, attributes);
        self.0.push_str("/>");
    }

    fn open(&mut self, name: &'static str, attributes: &[(&'static str, &str)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            escape(value, &mut self.0);
            self.0.push('"');
        }
    }
}

fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(char),
            // XML has no place for these, and these turn the direction of writing.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {}
            char if char.is_control() => {}
            char => out.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let mut html = Html::default();
        html.tag("p", &[("title", "a\"b' onload=<x>")], |html| html.text("</p><script>&\u{1b}\u{202e}"));
        assert_eq!(
            html.finish(),
            "<p title=\"a&quot;b&#39; onload=&lt;x&gt;\">&lt;/p&gt;&lt;script&gt;&amp;</p>"
        );
    }
}
