//! A look on the partner's server: is each file there, with its size? Nothing is changed.

use std::sync::Arc;
use std::time::Duration;

use bridge::{CredentialReference, Error, FetchKeyInput, Result, Settings};
use partner::files::{Seen, look};
use partner::{Manners, Partner};
use serde_json::{Value, json};
use sftp::Sftp;
use tokio::task::JoinSet;

use super::finding::Stored;
use super::paths::Paths;
use crate::location::Location;
use crate::operate::holdings::{Holding, Upload};
use crate::operate::operator::Operator;
use crate::operate::problem::Problem;

/// What the server has of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    /// A file of its size.
    Same,
    /// A file of another size, or a directory.
    Differs { size: Option<u64> },
    /// Nothing. The partner may have taken it.
    Missing,
    /// Nobody can tell, and why.
    Unknown { why: String },
}

impl Remote {
    fn of(seen: Seen, size: u64) -> Self {
        match seen {
            Seen::File(Some(told)) if told == size => Self::Same,
            Seen::File(Some(told)) => Self::Differs { size: Some(told) },
            Seen::Directory => Self::Differs { size: None },
            Seen::Nothing => Self::Missing,
            Seen::File(None) => Self::unknown("the server does not tell its size"),
            Seen::Hidden => Self::unknown("the server does not let it be seen"),
        }
    }

    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// `None` if there is nothing to say.
    pub(super) fn in_words(&self, stored: Option<Stored>) -> Option<String> {
        let expected = stored.map(|stored| format!(" instead of {}", stored.size)).unwrap_or_default();
        match self {
            Self::Same => None,
            Self::Differs { size: Some(size) } => Some(format!("on the server: {size} bytes{expected}")),
            Self::Differs { size: None } => Some("on the server: a directory".into()),
            Self::Missing => Some("not on the server".into()),
            Self::Unknown { why } => Some(format!("on the server: {why}")),
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Same => json!({"found": "same_size"}),
            Self::Differs { size } => json!({"found": "differs", "size": size}),
            Self::Missing => json!({"found": "missing"}),
            Self::Unknown { why } => json!({"found": "unknown", "reason": why}),
        }
    }
}

/// How many questions are open at the server at the same time.
const OPEN_MAX: usize = 32;
/// How often the same objects are looked for after a lost connection.
const TRIES_MAX: u32 = 3;
/// How long a connection is kept between two looks, while listings are read.
const KEEP: Duration = Duration::from_secs(600);

/// The partner's server.
pub(super) struct PartnerLook {
    settings: Settings,
    partner: Partner,
    credential: CredentialReference,
    paths: Paths,
}

/// What is asked of the server: a path, or why there is none.
type Asked = std::result::Result<String, String>;

impl PartnerLook {
    /// Reads the credential. Connects later.
    pub(super) async fn start(
        operator: &Operator,
        settings: &Settings,
        prefix: &Location,
    ) -> std::result::Result<Self, Problem> {
        let settings = Settings { keep_connection: KEEP, ..settings.clone() };
        let clients = operator.credential_clients.clone();
        let deps = fetch_key::Deps { settings: settings.clone(), clients: clients.clone() };
        let credential = fetch_key::handle(&deps, FetchKeyInput { event: prefix.event() }).await?.credential;
        let partner = Partner::new(&settings, clients, sftp::Options::default());
        let partner = partner.with_manners(Manners::COMMAND_LINE);
        let paths = Paths::new(operator.records.clone(), &prefix.bucket);
        Ok(Self { settings, partner, credential, paths })
    }

    /// Looks for these uploads. What is not to be there is not looked for.
    pub(super) async fn look(
        &self,
        judged: &[(Upload, Holding)],
    ) -> std::result::Result<Vec<Option<Remote>>, Problem> {
        let mut found = vec![None; judged.len()];
        let mut asked = Vec::new();
        for (index, (upload, holding)) in judged.iter().enumerate() {
            if !matches!(holding, Holding::PassedOver(_) | Holding::Superseded) {
                asked.push((index, self.paths.of(&self.settings, upload, holding).await?));
            }
        }
        let mut tries = 1;
        let seen = loop {
            match self.look_once(&asked).await {
                Ok(seen) => break seen,
                Err(error) if tries < TRIES_MAX && error.name.is_connection_failure() => tries += 1,
                Err(error) => return Err(error.into()),
            }
        };
        for ((index, path), seen) in asked.into_iter().zip(seen) {
            found[index] = Some(match path {
                Ok(_) => Remote::of(seen, judged[index].0.size),
                Err(why) => Remote::unknown(why),
            });
        }
        Ok(found)
    }

    async fn look_once(&self, asked: &[(usize, Asked)]) -> Result<Vec<Seen>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let looking = self
            .partner
            .with_session(&self.credential, None, async |session| look_for_all(session.sftp(), asked).await);
        looking.await
    }

    /// Ends the session.
    pub(super) async fn end(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.partner.disconnect()).await;
    }
}

async fn look_for_all(sftp: &Arc<Sftp>, asked: &[(usize, Asked)]) -> Result<Vec<Seen>> {
    let mut seen = vec![Seen::Hidden; asked.len()];
    let mut looks: JoinSet<(usize, Result<Seen>)> = JoinSet::new();
    for (place, (_, path)) in asked.iter().enumerate() {
        let Ok(path) = path.clone() else { continue };
        while looks.len() >= OPEN_MAX {
            note(&mut seen, looks.join_next().await)?;
        }
        let sftp = Arc::clone(sftp);
        looks.spawn(async move { (place, look(&sftp, &path).await) });
    }
    while !looks.is_empty() {
        note(&mut seen, looks.join_next().await)?;
    }
    Ok(seen)
}

type Joined = Option<std::result::Result<(usize, Result<Seen>), tokio::task::JoinError>>;

/// A task can only be lost by a panic, which ends the process.
fn note(seen: &mut [Seen], joined: Joined) -> Result<(), Error> {
    if let Some(Ok((place, answer))) = joined {
        seen[place] = answer?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_nobody_tells_proves_nothing() {
        assert_eq!(Remote::of(Seen::File(Some(7)), 7), Remote::Same);
        assert_eq!(Remote::of(Seen::File(Some(0)), 7), Remote::Differs { size: Some(0) });
        assert_eq!(Remote::of(Seen::Directory, 7), Remote::Differs { size: None });
        assert_eq!(Remote::of(Seen::Nothing, 7), Remote::Missing);
        for seen in [Seen::File(None), Seen::Hidden] {
            assert!(matches!(Remote::of(seen, 7), Remote::Unknown { .. }), "{seen:?}");
        }
    }
}
