//! Who is served next, and which order differs from the usual one.

use std::collections::BTreeMap;
use std::fmt;

/// Who may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Actor {
    /// The first request of an execution that waits for its answer, or its start.
    Execution(usize),
    /// The next version is uploaded.
    Upload,
    /// The user deletes the object.
    Delete,
    /// Nothing happens until an execution that sleeps has a request.
    Time,
    /// A request whose session was cut before is carried out.
    Late,
}

/// What goes wrong with the request that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    /// The session is cut, and the request is not carried out.
    Cut,
    /// It is carried out, and the session is cut before the answer.
    LostAnswer,
    /// The session is cut, and the request is carried out at some later time.
    Late,
    /// The process is killed before it is carried out.
    Killed,
    /// The process is killed after it was carried out.
    KilledAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Choice {
    pub(crate) actor: Actor,
    pub(crate) fault: Option<Fault>,
    /// How many earlier requests of the execution wait while this one is served.
    pub(crate) overtakes: usize,
}

impl Choice {
    /// What nothing goes wrong with, in the order of the requests.
    pub(crate) fn of(actor: Actor) -> Self {
        Self { actor, fault: None, overtakes: 0 }
    }
}

/// The choices that differ from the usual ones, by step. `parse` and `Display` are each other's inverse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) choices: BTreeMap<usize, Choice>,
}

impl Schedule {
    /// Reads `7:1 9:0+2 12:0l`: at step 7 execution 1 is served, at step 9 the third request of execution 0, and at step 12
    /// the answer to execution 0 is lost.
    pub(crate) fn parse(text: &str) -> Self {
        let choices = text.split_whitespace().map(|part| {
            let (step, choice) = part.split_once(':').expect("STEP:CHOICE");
            (step.parse().expect("a step"), Choice::parse(choice))
        });
        Self { choices: choices.collect() }
    }

    pub(crate) fn with(&self, step: usize, choice: Choice) -> Self {
        let mut choices = self.choices.clone();
        choices.insert(step, choice);
        Self { choices }
    }

    /// The first step that it says nothing of, nor of any later one.
    pub(crate) fn end(&self) -> usize {
        self.choices.last_key_value().map_or(0, |(step, _)| step + 1)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.choices.iter().map(|(step, choice)| format!("{step}:{choice}")).collect();
        write!(f, "{}", parts.join(" "))
    }
}

const FAULTS: [(char, Fault); 5] = [
    ('x', Fault::Cut),
    ('l', Fault::LostAnswer),
    ('z', Fault::Late),
    ('k', Fault::Killed),
    ('K', Fault::KilledAfter),
];

impl Choice {
    fn parse(text: &str) -> Self {
        let mut letters = text.chars();
        let actor = match letters.next().expect("an actor") {
            'u' => Actor::Upload,
            'd' => Actor::Delete,
            't' => Actor::Time,
            'o' => Actor::Late,
            number => Actor::Execution(number.to_digit(10).expect("an execution") as usize),
        };
        let overtakes = letters.as_str().strip_prefix('+').map(|count| count.parse().expect("a number"));
        let fault = letters.next().filter(|_| overtakes.is_none()).map(|letter| {
            FAULTS.iter().find(|(known, _)| *known == letter).expect("a fault: x, l, z, k or K").1
        });
        Self { actor, fault, overtakes: overtakes.unwrap_or_default() }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.actor {
            Actor::Execution(number) => write!(f, "{number}")?,
            Actor::Upload => write!(f, "u")?,
            Actor::Delete => write!(f, "d")?,
            Actor::Time => write!(f, "t")?,
            Actor::Late => write!(f, "o")?,
        }
        match self.fault {
            Some(fault) => {
                write!(
                    f,
                    "{}",
                    FAULTS.iter().find(|(_, known)| *known == fault).map_or('?', |(letter, _)| *letter)
                )
            }
            None if self.overtakes > 0 => write!(f, "+{}", self.overtakes),
            None => Ok(()),
        }
    }
}

#[test]
fn a_schedule_survives_being_printed() {
    let text = "3:1 5:0+2 7:0x 9:0l 12:2z 13:0k 14:1K 20:u 21:d 22:t 23:o";
    assert_eq!(Schedule::parse(text).to_string(), text);
}
