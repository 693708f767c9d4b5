//! All output of the command. Each text becomes one line, whatever others wrote into it. When the reader closes a pipe,
//! that is a request to stop, not a panic.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use bridge::{is_unprintable, printable};
use serde::Serialize;
use tokio::sync::Notify;

/// Whether the reader closed standard output or standard error.
static CLOSED: AtomicBool = AtomicBool::new(false);
static CLOSING: Notify = Notify::const_new();
/// Whether something was not written for another reason, such as a full disk.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Writes lines to standard output.
pub(crate) fn say(lines: &[String]) {
    write(&mut io::stdout().lock(), &as_text(lines));
}

/// Writes lines to standard error.
pub(crate) fn note(lines: &[String]) {
    write(&mut io::stderr().lock(), &as_text(lines));
}

/// Writes a question to standard error; the answer is typed behind it.
pub(crate) fn ask(question: &str) {
    write(&mut io::stderr().lock(), &(printable(question).into_owned() + " "));
}

/// Clears the screen of a terminal, for output that is shown again and again.
pub(crate) fn clear_screen() {
    write(&mut io::stdout().lock(), "\u{1b}[H\u{1b}[2J\u{1b}[3J");
}

/// How a part of a line looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Title,
    Good,
    Warning,
    Bad,
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) style: Style,
}

impl Span {
    pub(crate) fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }

    /// How many columns it takes.
    pub(crate) fn width(&self) -> usize {
        printable(&self.text).chars().count()
    }
}

impl<T: Into<String>> From<T> for Span {
    fn from(text: T) -> Self {
        Self::new(Style::Plain, text)
    }
}

/// Writes lines to standard output: in colour if that is a terminal and `NO_COLOR` is not set.
pub(crate) fn say_styled(lines: &[Vec<Span>]) {
    let text: String = lines.iter().map(|line| styled(line, colour()) + "\n").collect();
    write(&mut io::stdout().lock(), &text);
}

/// Whether escape sequences are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    On,
    Off,
}

/// <https://no-color.org>
fn colour() -> Colour {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    let is_on = io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb;
    if is_on { Colour::On } else { Colour::Off }
}

/// The text is escaped before colours are added, so that nobody else's text commands the terminal.
fn styled(line: &[Span], colour: Colour) -> String {
    let span = |span: &Span| {
        let text = printable(&span.text);
        let code = match span.style {
            Style::Title => "1",
            Style::Good => "32",
            Style::Warning => "33",
            Style::Bad => "31",
            Style::Plain => return text.into_owned(),
        };
        if colour == Colour::On { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into_owned() }
    };
    line.iter().map(span).collect()
}

/// Writes JSON to standard output.
pub(crate) fn say_json(value: &impl Serialize, layout: Layout) {
    write(&mut io::stdout().lock(), &as_json(value, layout));
}

/// Writes help or a usage error. clap made the line breaks; `arguments` are the user's.
pub(crate) fn usage(error: &clap::Error, arguments: impl Iterator<Item = String>) {
    let text = usage_text(&error.render().to_string(), arguments);
    if error.use_stderr() {
        write(&mut io::stderr().lock(), &text);
    } else {
        write(&mut io::stdout().lock(), &text);
    }
}

/// The layout of JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// Indented, so that people can read it too.
    Pretty,
    /// One value on each line.
    OneLine,
}

/// Whether the reader closed the output.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Returns when the reader closes the output.
pub(crate) async fn closed() {
    let closing = CLOSING.notified();
    if !is_closed() {
        closing.await;
    }
}

/// Whether output was lost although a reader waits for it.
pub(crate) fn is_incomplete() -> bool {
    INCOMPLETE.load(Ordering::Relaxed)
}

/// Log lines on standard error.
pub(crate) struct Log;

impl Log {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // One call writes one JSON object.
        write(&mut io::stderr().lock(), &escaped_json(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(stream: &mut impl Write, text: &str) {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            CLOSING.notify_waiters();
        }
        Err(_) => INCOMPLETE.store(true, Ordering::Relaxed),
    }
}

fn as_text(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + &printable(line) + "\n")
}

fn as_json(value: &impl Serialize, layout: Layout) -> String {
    let text = match layout {
        Layout::Pretty => serde_json::to_string_pretty(value),
        Layout::OneLine => serde_json::to_string(value),
    };
    // Serialization cannot fail: the values have string keys only.
    escaped_json(&text.unwrap_or_default()) + "\n"
}

/// serde_json escapes only what JSON requires. Other unprintable characters can only be inside strings; this escapes them.
fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unprintable(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn usage_text(rendered: &str, arguments: impl Iterator<Item = String>) -> String {
    let values = arguments.flat_map(|argument| {
        let value = argument.split_once('=').map(|(_, value)| value.to_owned());
        [Some(argument), value]
    });
    let odd = values.flatten().filter(|value| value.contains(is_unprintable));
    // clap quotes the arguments that it repeats. Search with the quotes: an argument may be a single line feed.
    let quoted = |value: &str| format!("'{value}'");
    let text = odd
        .fold(rendered.to_owned(), |text, value| text.replace(&quoted(&value), &quoted(&printable(&value))));
    text.split_inclusive('\n').fold(String::new(), |text, line| match line.strip_suffix('\n') {
        Some(line) => text + &printable(line) + "\n",
        None => text + &printable(line),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text from others: many control characters, and some letters.
    pub(crate) fn hostile() -> impl Strategy<Value = String> {
        let nasty =
            "\0\x07\x08\t\n\r\x1b\x7f\u{85}\u{9b}\u{61c}\u{200b}\u{200e}\u{202e}\u{2028}\u{2066}\u{e0041}";
        let nasty: Vec<char> = nasty.chars().collect();
        let c = prop_oneof![prop::sample::select(nasty), any::<char>(), proptest::char::range(' ', '~')];
        prop::collection::vec(c, 0..20).prop_map(String::from_iter)
    }

    /// Asserts what holds for all text that is printed for people.
    pub(crate) fn assert_plain(lines: &[String]) {
        let text = as_text(lines);
        assert_eq!(text.matches('\n').count(), lines.len(), "{text:?}");
        assert!(!text.chars().any(|c| is_unprintable(c) && c != '\n'), "{text:?}");
    }

    proptest! {
        #[test]
        fn story_40_no_text_begins_a_line_or_commands_the_terminal(lines in prop::collection::vec(hostile(), 0..4)) {
            assert_plain(&lines);
        }

        #[test]
        fn story_40_colour_adds_only_its_own_commands(text in hostile()) {
            let line = [Span::new(Style::Bad, text.clone()), " ".into(), Span::from(text)];
            let plain = styled(&line, Colour::Off);
            prop_assert!(!plain.contains(is_unprintable), "{plain:?}");
            let width: usize = line.iter().map(Span::width).sum();
            prop_assert_eq!(plain.chars().count(), width);
            let coloured = styled(&line, Colour::On);
            prop_assert_eq!(coloured.replace("\u{1b}[31m", "").replace("\u{1b}[0m", ""), plain);
        }

        #[test]
        fn story_40_json_stays_json_and_commands_nothing(key in hostile(), value in hostile()) {
            let json = serde_json::json!({ key: [value, {"a": 1}] });
            for layout in [Layout::Pretty, Layout::OneLine] {
                let text = as_json(&json, layout);
                prop_assert!(!text.chars().any(|c| is_unprintable(c) && c != '\n'), "{text:?}");
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&text).unwrap(), &json);
            }
            prop_assert_eq!(as_json(&json, Layout::OneLine).matches('\n').count(), 1);
        }

        #[test]
        fn story_40_a_usage_error_does_not_show_an_argument_raw(argument in prop_oneof![hostile(), Just("\n".to_owned())]) {
            let rendered = format!("error: invalid value '{argument}' for '<OBJECT>'\n\nFor more information\n");
            let text = usage_text(&rendered, [argument].into_iter());
            prop_assert_eq!(text.matches('\n').count(), 3);
            prop_assert!(!text.chars().any(|c| is_unprintable(c) && c != '\n'), "{text:?}");
        }
    }
}
