//! A look on the partner's server: is each file there, with its size? Nothing is changed.

use std::sync::Arc;
use std::time::Duration;

use bridge::{CredentialReference, Error, FetchKeyInput, Result, Settings};
use partner::files::{Seen, look};
use partner::{Manners, Partner};
use sftp::Sftp;
use tokio::task::JoinSet;

use super::paths::Paths;
use super::remote::Remote;
use crate::location::Location;
use crate::operate::holdings::{Holding, Upload};
use crate::operate::operator::Operator;
use crate::operate::problem::Problem;

/// How many questions are open at the server at the same time.
const OPEN_MAX: usize = 32;
/// How often the same objects are looked for after a lost connection.
const TRIES_MAX: u32 = 3;

/// The partner's server.
pub(super) struct PartnerLook {
    settings: Settings,
    partner: Partner,
    credential: CredentialReference,
    paths: Paths,
}

/// What is asked of the server: a path, or why it has no path.
type Asked = std::result::Result<String, String>;

impl PartnerLook {
    /// Reads the credential. Connects later.
    pub(super) async fn start(
        operator: &Operator,
        settings: &Settings,
        prefix: &Location,
    ) -> std::result::Result<Self, Problem> {
        let (settings, clients) = (settings.clone(), operator.credential_clients.clone());
        let deps = fetch_key::Deps { settings: settings.clone(), clients: clients.clone() };
        let credential = fetch_key::handle(&deps, FetchKeyInput { event: prefix.event() }).await?.credential;
        let partner = Partner::new(&settings, clients, sftp::Options::default());
        // It is kept between two looks, while listings are read.
        let partner = partner.with_manners(Manners::COMMAND_LINE).keeping_its_session();
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
