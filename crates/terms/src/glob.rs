//! Patterns of object keys and host names.

/// A pattern that a whole text must match. `?` stands for one character and `*` for any number of them, but neither
/// for a slash. `**` stands for anything, and `**/` for any number of whole path components. Other characters stand for
/// themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Exactly(char),
    /// `?`: one character except a slash.
    One,
    /// `*`: any number of characters except slashes.
    Some,
    /// `**`: any number of characters.
    All,
    /// `**/`: any number of whole components, or none.
    Components,
}

impl Glob {
    /// Parses a pattern. Every text is one.
    pub fn new(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let at_start = matches!(tokens.last(), None | Some(Token::Exactly('/') | Token::Components));
            let (token, length) = match first {
                '*' if at_start && rest.starts_with("**/") => (Token::Components, 3),
                '*' if rest.starts_with("**") => (Token::All, 2),
                '*' => (Token::Some, 1),
                '?' => (Token::One, 1),
                other => (Token::Exactly(other), other.len_utf8()),
            };
            tokens.push(token);
            rest = &rest[length..];
        }
        Self { text: text.to_owned(), tokens }
    }

    /// The text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole text matches. All positions in the pattern are followed at the same time, so the time is at most
    /// proportional to the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        // The tokens that may match the next character.
        let mut here = vec![false; self.tokens.len() + 1];
        here[0] = true;
        let mut next = here.clone();
        self.pass(&mut here, true);
        for character in text.chars() {
            next.fill(false);
            for (index, token) in self.tokens.iter().enumerate().filter(|(index, _)| here[*index]) {
                match token {
                    Token::Exactly(wanted) => next[index + 1] |= *wanted == character,
                    Token::One => next[index + 1] |= character != '/',
                    Token::Some => next[index] |= character != '/',
                    Token::All | Token::Components => next[index] = true,
                }
            }
            std::mem::swap(&mut here, &mut next);
            if !here.contains(&true) {
                return false;
            }
            self.pass(&mut here, character == '/');
        }
        here[self.tokens.len()]
    }

    /// Also marks the tokens after those that may match nothing more. `**/` may only end at the start of a component.
    fn pass(&self, here: &mut [bool], at_start: bool) {
        for (index, token) in self.tokens.iter().enumerate() {
            let passable = match token {
                Token::Some | Token::All => true,
                Token::Components => at_start,
                Token::Exactly(_) | Token::One => false,
            };
            here[index + 1] |= here[index] && passable;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, matching, other) in [
            ("report.csv", &["report.csv"][..], &["a/report.csv", "report.csv2", "xreport.csv", ""][..]),
            ("*.csv", &["a.csv", ".csv", "a.b.csv"], &["d/a.csv", "a.csv.gz", "acsv"]),
            ("**/*.csv", &["a.csv", "d/a.csv", "d/e/a.csv"], &["a.txt", "d/a.csv/b"]),
            ("out/**", &["out/a", "out/a/b", "out/"], &["out", "in/out/a"]),
            ("**/tmp/**", &["tmp/a", "x/tmp/a", "x/y/tmp/a/b"], &["xtmp/a", "tmp"]),
            ("a**z", &["az", "a/b/z", "aaz"], &["a/b/y"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["az", "a/bz", "ab/z"]),
            ("?.csv", &["a.csv", "ü.csv"], &["ab.csv", "/.csv", ".csv"]),
            ("räks*/*", &["räksmörgås/a"], &["räksmörgås", "räksmörgås/a/b"]),
            ("[a]+(b).{c}", &["[a]+(b).{c}"], &["a+(b).{c}"]),
            ("**", &["", "a", "a/b"], &[]),
            ("*", &["", "a"], &["a/b"]),
        ] {
            let glob = Glob::new(pattern);
            for key in matching {
                assert!(glob.matches(key), "{pattern} is to match {key}");
            }
            for key in other {
                assert!(!glob.matches(key), "{pattern} is not to match {key}");
            }
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        // Trying each position for each `*` in turn would take minutes, even for the length of a host name.
        assert!(!Glob::new(&"*a".repeat(20)).matches(&"a-".repeat(63)));
        assert!(!Glob::new(&"*a".repeat(200)).matches(&"a".repeat(1_024).replace("aaaaa", "aaaa/")));
    }
}
