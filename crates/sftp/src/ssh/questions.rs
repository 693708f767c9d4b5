//! The questions of a server in keyboard-interactive. The password must not be the answer to a question for something
//! else, or to a question whose answer is shown.

use russh::client::Prompt;

use crate::words::clipped;

/// What a server asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Nothing.
    None,
    /// The password: one question with a hidden answer that names nothing else.
    Password,
    /// A new password, because the old one has expired.
    NewPassword,
    /// Something else, or several things.
    Other,
}

/// Words of questions for a new password.
const NEW: &[&str] = &[
    "new", "current", "old", "retype", "reenter", "repeat", "again", "confirm", "change", "neues", "neue",
    "nouveau", "nuevo", "nueva", "nuova", "novo", "nova",
];

/// Words of questions for something other than the password.
const OTHER: &[&str] = &[
    "code",
    "token",
    "otp",
    "totp",
    "hotp",
    "oath",
    "onetime",
    "pin",
    "passcode",
    "verification",
    "verify",
    "challenge",
    "response",
    "authenticator",
    "duo",
    "yubikey",
    "login",
    "user",
    "username",
    "captcha",
    "bestätigungscode",
];

/// What the server asks of this user.
pub(crate) fn question(prompts: &[Prompt], user_name: &str) -> Question {
    if prompts.is_empty() {
        return Question::None;
    }
    let asked: Vec<Vec<String>> = prompts.iter().map(|prompt| words_of(&prompt.prompt, user_name)).collect();
    let names = |words: &[&str]| asked.iter().flatten().any(|word| words.contains(&word.as_str()));
    match prompts {
        _ if names(NEW) => Question::NewPassword,
        [Prompt { echo: false, .. }] if !names(OTHER) => Question::Password,
        _ => Question::Other,
    }
}

/// The words of a question, in lower case, without the name of the user and a host name beside it.
fn words_of(prompt: &str, user_name: &str) -> Vec<String> {
    let prompt = if user_name.is_empty() { prompt.to_owned() } else { prompt.replace(user_name, " ") };
    let prompt = prompt.to_lowercase().replace("one-time", "onetime").replace("one time", "onetime");
    let prompt = prompt.replace("re-enter", "reenter").replace("re-type", "retype");
    let parts = prompt.split_whitespace().filter(|part| !part.contains('@'));
    let words = parts.flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The questions and the server's instructions for an error message: escaped and cut to a maximum length.
pub(crate) fn words(instructions: &str, prompts: &[Prompt]) -> String {
    let prompts: Vec<String> =
        prompts.iter().take(8).map(|it| format!("{:?}", clipped(&it.prompt))).collect();
    let asked = clipped(&prompts.join(", ")).to_owned();
    match instructions.trim() {
        "" => asked,
        instructions => format!("{asked}, saying {:?}", clipped(instructions)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(questions: &[(&str, bool)]) -> Question {
        let prompt = |(prompt, echo): &(&str, bool)| Prompt { prompt: (*prompt).to_owned(), echo: *echo };
        question(&questions.iter().map(prompt).collect::<Vec<_>>(), "newton")
    }

    #[test]
    fn only_one_hidden_question_for_the_password_is_one() {
        assert_eq!(of(&[]), Question::None);
        for question in [
            "Password: ",
            "(newton@code.example) Password:",
            "Password for newton@new.example:",
            "newton's password: ",
            "Mot de passe :",
            "Passwort für newton",
            "",
            ": ",
        ] {
            assert_eq!(of(&[(question, false)]), Question::Password, "{question}");
            assert_eq!(of(&[(question, true)]), Question::Other, "{question}");
            assert_eq!(of(&[(question, false), (question, false)]), Question::Other, "{question}");
        }
        for question in [
            "Verification code: ",
            "One-time password (OATH) for `newton': ",
            "Passcode or option (1-3): ",
            "Enter PIN for token",
            "Login: ",
            "otp-md5 498 re1234 ext, Response: ",
        ] {
            assert_eq!(of(&[(question, false)]), Question::Other, "{question}");
        }
        for question in [
            "(current) UNIX password: ",
            "New password: ",
            "Retype new UNIX password",
            "Re-enter:",
            "Neues Passwort",
            "Password again:",
        ] {
            assert_eq!(of(&[(question, false)]), Question::NewPassword, "{question}");
            assert_eq!(of(&[("Login:", true), (question, false)]), Question::NewPassword, "{question}");
        }
    }

    #[test]
    fn the_questions_are_escaped_and_not_too_long() {
        let prompt = Prompt { prompt: format!("\u{1b}[2J{}", "x".repeat(100_000)), echo: false };
        let asked = words("", std::slice::from_ref(&prompt));
        assert!(asked.starts_with("\"\\u{1b}[2Jxxx") && asked.len() <= 1024, "{}", asked.len());
        let said = words("Your password\nhas expired", &[prompt]);
        assert!(said.ends_with(", saying \"Your password\\nhas expired\""), "{said}");
    }
}
