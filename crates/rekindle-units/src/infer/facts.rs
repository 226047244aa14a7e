//! Name and version as build files say them, by reading just as much of their languages as that takes.
//!
//! Only what is written plainly counts: a version that is a variable or a command is not said. A wrong guess
//! would end up in store paths, so each reader gives up early.

/// What a build file says of the package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
}

impl Said {
    /// Takes from another what this one does not say.
    pub(super) fn or(self, other: Said) -> Said {
        Said { name: self.name.or(other.name), version: self.version.or(other.version) }
    }
}

/// `[package]`, with a version that may be inherited from `[workspace.package]`. A virtual workspace has no name.
pub(super) fn cargo(text: &str) -> Said {
    let Ok(root) = text.parse::<toml::Table>() else { return Said::default() };
    let string = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).map(str::to_owned);
    let workspace = root.get("workspace").and_then(|workspace| workspace.get("package"));
    let inherited = string(workspace.and_then(|package| package.get("version")));
    match root.get("package") {
        Some(package) => {
            let version = package.get("version");
            let version =
                if version.is_some_and(toml::Value::is_table) { inherited } else { string(version) };
            Said { name: string(package.get("name")), version }
        }
        None => Said { name: None, version: inherited },
    }
}

/// `PACKAGE_TARNAME='name'` and `PACKAGE_VERSION='1.2'`, as autoconf writes them into `configure`.
pub(super) fn configure(text: &str) -> Said {
    let value = |variable: &str| {
        let value =
            text.lines().find_map(|line| line.strip_prefix(variable)?.strip_prefix("='")?.strip_suffix('\''));
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    Said { name: value("PACKAGE_TARNAME"), version: value("PACKAGE_VERSION") }
}

/// `AC_INIT([name], [version], [bug-report], [tarname], …)`.
pub(super) fn autoconf(text: &str) -> Said {
    let text = without_comments(text, &["dnl ", "dnl\t", "#"]);
    let Some(arguments) = call(&text, "AC_INIT", Nesting::Brackets) else { return Said::default() };
    // The old form `AC_INIT(file.c)` names a file, not a package.
    if arguments.len() < 2 {
        return Said::default();
    }
    let plain = |index: usize| {
        let argument = arguments.get(index)?.trim();
        let plain = argument.trim_start_matches('[').trim_end_matches(']').trim();
        // `m4_esyscmd(…)`, `VERSION_MACRO` and the like are not the text itself.
        let is_plain = !plain.contains(['(', '[', '$', ']']) && !plain.is_empty();
        let is_macro = !argument.starts_with('[') && is_macro_name(plain);
        (is_plain && !is_macro).then(|| plain.to_owned())
    };
    // Autoconf makes the one from the other in the same way.
    let from_name = plain(0).map(|name| name.strip_prefix("GNU ").unwrap_or(&name).to_ascii_lowercase());
    Said { name: plain(3).or(from_name), version: plain(1) }
}

/// `project(NAME VERSION 1.2 …)`.
pub(super) fn cmake(text: &str) -> Said {
    let text = without_comments(text, &["#"]);
    let Some(arguments) = call(&text, "project", Nesting::Words) else { return Said::default() };
    let words: Vec<_> = arguments.iter().map(|word| word.trim_matches('"')).collect();
    let plain = |word: &&str| (!word.contains('$') && !word.is_empty()).then(|| (*word).to_owned());
    let version = words.iter().position(|word| *word == "VERSION").and_then(|index| words.get(index + 1));
    Said { name: words.first().and_then(plain), version: version.and_then(plain) }
}

/// `project('name', 'c', version : '1.2')`.
pub(super) fn meson(text: &str) -> Said {
    let text = without_comments(text, &["#"]);
    let Some(arguments) = call(&text, "project", Nesting::Brackets) else { return Said::default() };
    let literal = |argument: &str| {
        let inner = argument.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        (!inner.contains(['\'', '\\'])).then(|| inner.to_owned())
    };
    let version = arguments.iter().find_map(|argument| {
        let (key, value) = argument.split_once(':')?;
        (key.trim() == "version").then(|| literal(value))?
    });
    Said { name: arguments.first().and_then(|argument| literal(argument)), version }
}

/// Tells whether a makefile assigns a variable.
pub(super) fn assigns(makefile: &str, variable: &str) -> bool {
    makefile.lines().any(|line| {
        line.strip_prefix(variable).is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.starts_with('=') || rest.starts_with("?=") || rest.starts_with(":=")
        })
    })
}

/// Splits `lua-5.4.4` into `lua` and `5.4.4`: at the first dash (or underscore) that a digit, or a `v` with a
/// digit, follows.
pub(super) fn split_version(directory: &str) -> (String, Option<String>) {
    for (index, _) in directory.match_indices(['-', '_']) {
        let rest = &directory[index + 1..];
        let version = rest.strip_prefix('v').unwrap_or(rest);
        if index > 0 && version.starts_with(|c: char| c.is_ascii_digit()) {
            return (directory[..index].to_owned(), Some(version.to_owned()));
        }
    }
    (directory.to_owned(), None)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    /// Arguments are separated by commas outside of brackets and quotes.
    Brackets,
    /// Arguments are words, separated by white space outside of double quotes.
    Words,
}

/// Returns the arguments of the first call of `function`, whose name is at the start of a line but for white space.
fn call(text: &str, function: &str, nesting: Nesting) -> Option<Vec<String>> {
    let body = text.lines().enumerate().find_map(|(index, line)| {
        let head = line.trim_start().get(..function.len())?;
        let same = match nesting {
            Nesting::Words => head.eq_ignore_ascii_case(function),
            Nesting::Brackets => head == function,
        };
        let rest = line.trim_start()[function.len()..].trim_start().strip_prefix('(')?;
        same.then(|| (index, rest.to_owned()))
    });
    let (index, first) = body?;
    let mut arguments = vec![String::new()];
    let (mut depth, mut quote) = (0_usize, None);
    let rest = text.lines().skip(index + 1);
    for c in std::iter::once(first.as_str()).chain(rest).flat_map(|line| line.chars().chain(['\n'])) {
        let separates = match nesting {
            Nesting::Brackets => c == ',',
            Nesting::Words => c.is_whitespace(),
        };
        let current = arguments.last_mut()?;
        if let Some(open) = quote {
            current.push(c);
            if c == open {
                quote = None;
            }
        } else if c == ')' && depth == 0 {
            arguments.retain(|argument| nesting == Nesting::Brackets || !argument.is_empty());
            return Some(arguments);
        } else if separates && depth == 0 {
            arguments.push(String::new());
        } else {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                // An apostrophe in m4 or CMake is only an apostrophe.
                '"' if nesting == Nesting::Words => quote = Some(c),
                '\'' if nesting == Nesting::Brackets && function == "project" => quote = Some(c),
                _ => {}
            }
            current.push(c);
        }
    }
    None
}

fn is_macro_name(word: &str) -> bool {
    word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
        || word.starts_with("m4_")
}

/// Drops what follows a comment sign at the start of a line, or after white space.
fn without_comments(text: &str, signs: &[&str]) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.lines() {
        let cut = signs.iter().filter_map(|sign| {
            line.match_indices(sign)
                .map(|(index, _)| index)
                .find(|index| line[..*index].chars().next_back().is_none_or(char::is_whitespace))
        });
        result.push_str(&line[..cut.min().unwrap_or(line.len())]);
        result.push('\n');
    }
    result
}
