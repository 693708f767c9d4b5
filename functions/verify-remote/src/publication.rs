//! From the partial file to the final name, within one session: it is found, proved, and published.

use std::time::Duration;

use aws::{Newer, Standing};
use bridge::{
    AttributeSettings, Checkpoint, Deadline, ErrorName, IfExists, Outcome, Proof, ProofPolicy, Result,
};
use partner::files::{AttributesOf, Discarded, Seen, discard, look, set_file_attributes};
use sftp::Sftp;

use crate::Deps;
use crate::hashes::{self, Known};
use crate::marker::MarkerFile;
use crate::proof::{Prover, Search, Subject, Verdict};
use crate::publish::{LOST_ANSWER, Published, Publisher, cannot_tell, standing};

/// How finding, proving and publishing ended.
pub(crate) enum Step {
    Published(Ended),
    /// Says by what.
    Superseded(String),
    /// There is more to do in another call.
    StopCame,
}

/// The file lies under its final name.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) proof: Proof,
    /// It was not seen there.
    pub(crate) unconfirmed: bool,
    /// What S3 said after that, if it was asked.
    pub(crate) standing: Option<Standing>,
}

impl Ended {
    fn new(outcome: Outcome, proof: Proof) -> Self {
        Self { outcome, proof, unconfirmed: false, standing: None }
    }
}

/// What one look at the server led to.
enum Turn {
    Ended(Step),
    /// What is there has changed meanwhile.
    LookAgain,
}

/// Maximum number of times that something else is found than the time before.
const LOOKS_MAX: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Proves what was sent, and publishes it unless a newer upload or another file stands against it.
pub(crate) async fn publish_proved(
    deps: &Deps,
    checkpoint: &mut Checkpoint,
    sftp: &Sftp,
    stop: Deadline,
    is_retry: bool,
) -> Result<Step> {
    let direct = checkpoint.remote.is_direct();
    let keeps = deps.partner.settings.policy.if_exists.keeps() && !direct;
    let delivery = Delivery { deps, sftp, stop, direct, keeps, is_retry };
    loop {
        match Box::pin(delivery.turn(checkpoint)).await? {
            Turn::Ended(step) => return Ok(step),
            Turn::LookAgain => checkpoint.publish_refusals += 1,
        }
        let looks = checkpoint.publish_refusals;
        if looks > LOOKS_MAX {
            return Err(ErrorName::RemoteFailure.error(format!(
                "what lies at {:?} changed each of the {looks} times that it was looked at; nothing was published. Something else writes to this name: stop it",
                checkpoint.final_path()
            )));
        }
        let pause = LOOK_PAUSE * looks;
        if stop.remaining() <= pause {
            return Ok(Step::StopCame);
        }
        tokio::time::sleep(pause).await;
    }
}

struct Delivery<'a> {
    deps: &'a Deps,
    sftp: &'a Sftp,
    stop: Deadline,
    /// The final name itself was written to.
    direct: bool,
    /// A file that is there must not be replaced.
    keeps: bool,
    /// An earlier call may have been killed.
    is_retry: bool,
}

impl Delivery<'_> {
    async fn turn(&self, checkpoint: &mut Checkpoint) -> Result<Turn> {
        let Self { deps, sftp, stop, direct, .. } = *self;
        let prover = Prover { deps, sftp, stop };
        let (publisher, path) = (self.publisher(), checkpoint.final_path());
        if !checkpoint.vanished {
            publisher.restore(checkpoint, &path).await?;
        }
        if self.keeps
            && !checkpoint.already_there
            && let Some(step) = keep_what_is_there(&prover, checkpoint).await?
        {
            return Ok(Turn::Ended(step));
        }
        let subject = match Subject::find(sftp, checkpoint, stop).await? {
            Some(subject) if direct => match grown(subject, sftp, checkpoint, stop).await? {
                Some(subject) => subject,
                None => return Ok(Turn::Ended(Step::StopCame)),
            },
            Some(subject) => subject,
            None => {
                // Ours is not there: the former file is better than none.
                publisher.put_aside_back(checkpoint, &path).await?;
                return gone(deps, checkpoint).await.map(Turn::Ended);
            }
        };
        let published_before = checkpoint.already_there || checkpoint.publishing || direct;
        if !subject.is_partial() && !published_before && !checkpoint.vanished {
            // What was read back so far was read of the partial file.
            checkpoint.vanished = true;
            checkpoint.read_back = None;
        }
        let proof = match self.prove(&prover, &subject, checkpoint).await? {
            Proved::Yes(proof) => proof,
            Proved::Step(step) => return Ok(Turn::Ended(step)),
        };
        // Before the file is published: the partner is not to wait for the marker while an object is read again.
        let wanted = deps.partner.settings.marker.hashes();
        if let Known::NotYet = hashes::know(deps, checkpoint, wanted, stop).await? {
            return Ok(Turn::Ended(Step::StopCame));
        }
        // Once it lies under the final name, S3 is asked after it, and a newer upload is delivered as well.
        if !checkpoint.already_there
            && subject.is_partial()
            && let Some(turn) = self.overtaken(checkpoint).await?
        {
            return Ok(turn);
        }
        if subject.is_partial() {
            Box::pin(self.publish(checkpoint, &subject, proof)).await
        } else {
            self.conclude(checkpoint, &subject, proof).await
        }
    }

    /// Proves the file. One that differs is removed, unless it may be a newer version that lies there by now.
    async fn prove(
        &self,
        prover: &Prover<'_>,
        subject: &Subject,
        checkpoint: &mut Checkpoint,
    ) -> Result<Proved> {
        match prover.prove(subject, checkpoint).await {
            Ok(Verdict::Proved { proof, mut warnings }) => {
                checkpoint.warnings.append(&mut warnings);
                Ok(Proved::Yes(proof))
            }
            Ok(Verdict::StopCame | Verdict::Differs) => Ok(Proved::Step(Step::StopCame)),
            Err(error) if error.name == ErrorName::RemoteMismatch => {
                let path = checkpoint.final_path();
                self.publisher().put_aside_back(checkpoint, &path).await?;
                if let Some(newer) = superseded(self.deps, checkpoint).await? {
                    return Ok(Proved::Step(self.superseded(checkpoint, newer).await));
                }
                if subject.is_partial() {
                    discard(self.sftp, &checkpoint.remote.partial).await;
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The partial file is not needed any more. If it is gone, a rename that was asked for before was carried out late, and
    /// may have replaced the newer file.
    async fn superseded(&self, checkpoint: &Checkpoint, newer: Newer) -> Step {
        if self.direct {
            return Step::Superseded(newer.reason);
        }
        let is_renamed = match discard(self.sftp, &checkpoint.remote.partial).await {
            Discarded::Removed => false,
            Discarded::Nothing => !checkpoint.already_there,
            Discarded::Refused => checkpoint.publishing,
        };
        match is_renamed {
            false => Step::Superseded(newer.reason),
            true => Step::Published(Ended {
                unconfirmed: true,
                standing: Some(Standing::Superseded(newer)),
                ..Ended::new(Outcome::Delivered, Proof::Unverified)
            }),
        }
    }

    fn publisher(&self) -> Publisher<'_> {
        let Self { deps, sftp, stop, keeps, is_retry, .. } = *self;
        Publisher { deps, sftp, stop, keeps, is_retry }
    }

    /// What stands against publishing: a newer upload, or that nobody can tell whether there was one.
    async fn overtaken(&self, checkpoint: &mut Checkpoint) -> Result<Option<Turn>> {
        let to_be_renamed = !self.direct;
        match standing(self.deps, checkpoint).await? {
            Standing::Superseded(newer) => Ok(Some(Turn::Ended(self.superseded(checkpoint, newer).await))),
            // Under a free name nothing is overwritten, whatever there was.
            Standing::Gone if to_be_renamed && !self.keeps => {
                let path = checkpoint.final_path();
                match look(self.sftp, &path).await? {
                    Seen::Nothing => Ok(None),
                    Seen::File(Some(size)) if size == checkpoint.object.size => {
                        // Perhaps another execution of the same event has delivered this very file.
                        checkpoint.already_there = true;
                        checkpoint.read_back = None;
                        Ok(Some(Turn::LookAgain))
                    }
                    _ => Err(cannot_tell(checkpoint, &path)),
                }
            }
            Standing::Newest | Standing::Gone => Ok(None),
        }
    }

    async fn publish(&self, checkpoint: &mut Checkpoint, subject: &Subject, proof: Proof) -> Result<Turn> {
        let Self { deps, sftp, is_retry, .. } = *self;
        let settings = &deps.partner.settings;
        let mut warnings = set_attributes(sftp, settings.attributes, checkpoint, subject.path()).await?;
        checkpoint.warnings.append(&mut warnings);
        let marker = MarkerFile::new(settings, checkpoint, &checkpoint.final_path())?;
        checkpoint.proved = Some(proof);
        if let Some(marker) = &marker {
            if is_retry {
                marker.find_aside(sftp, checkpoint).await?;
            }
            marker.put_back(sftp, checkpoint).await?;
        }
        let publisher = self.publisher();
        match publisher.publish(checkpoint, marker.as_ref()).await? {
            Published::Now => {}
            Published::LookAgain => return Ok(Turn::LookAgain),
            Published::NotYet => return Ok(Turn::Ended(Step::StopCame)),
            Published::Superseded(newer) => {
                return Ok(Turn::Ended(self.superseded(checkpoint, newer).await));
            }
        }
        // Both in the time of one: what lies there, and whether a newer upload has come since S3 was asked.
        let before = checkpoint.clone();
        let (confirmed, standing) = tokio::join!(publisher.confirm(checkpoint), standing(deps, &before));
        let standing = standing.map_err(|error| tracing::warn!(%error, "S3 will be asked again")).ok();
        let is_overtaken = matches!(standing, Some(Standing::Superseded(_)));
        let unconfirmed = match confirmed {
            Ok(confirmed) => !confirmed,
            // It may be the newer one that was seen.
            Err(error) if error.name == ErrorName::RemoteMismatch && is_overtaken => true,
            Err(error) if error.name == ErrorName::RemoteMismatch => return Err(error),
            Err(error) => {
                // That it is published must not be forgotten.
                tracing::warn!(%error, "the published file could not be looked at");
                checkpoint.warnings.push(format!("the published file could not be looked at: {error}"));
                true
            }
        };
        Ok(Turn::Ended(Step::Published(Ended { outcome: Outcome::Delivered, proof, unconfirmed, standing })))
    }

    /// The file lies under the final name already.
    async fn conclude(&self, checkpoint: &mut Checkpoint, subject: &Subject, proof: Proof) -> Result<Turn> {
        let settings = &self.deps.partner.settings;
        if !checkpoint.already_there {
            // The answer to an earlier rename was lost, or the call that asked for it was killed.
            return Ok(Turn::Ended(Step::Published(Ended::new(Outcome::Delivered, proof))));
        }
        if !self.direct && checkpoint.offset > 0 {
            // What was sent before it was found.
            discard(self.sftp, &checkpoint.remote.partial).await;
        }
        // It may be what a try left that wrote to the final name directly, and could set neither.
        if self.direct && settings.policy.if_exists != IfExists::Skip {
            let mut warnings =
                set_attributes(self.sftp, settings.attributes, checkpoint, subject.path()).await?;
            checkpoint.warnings.append(&mut warnings);
        }
        Ok(Turn::Ended(Step::Published(Ended::new(Outcome::AlreadyDelivered, proof))))
    }
}

enum Proved {
    Yes(Proof),
    Step(Step),
}

/// Looks among the files that are to be kept for one with the same contents. `None` if ours may be published, under the
/// number that the checkpoint now has.
async fn keep_what_is_there(prover: &Prover<'_>, checkpoint: &mut Checkpoint) -> Result<Option<Step>> {
    let Prover { deps, sftp, .. } = prover;
    if checkpoint.publishing
        && let Some(proof) = checkpoint.proved
        && look(sftp, &checkpoint.remote.partial).await? == Seen::Nothing
    {
        // It was renamed, unless another file lies there or none.
        match look(sftp, &checkpoint.final_path()).await? {
            Seen::File(Some(size)) if size != checkpoint.object.size => {}
            Seen::File(_) | Seen::Hidden => {
                return Ok(Some(Step::Published(Ended::new(Outcome::Delivered, proof))));
            }
            Seen::Nothing | Seen::Directory => {
                checkpoint.warnings.push(LOST_ANSWER.to_owned());
                let ended = Ended { unconfirmed: true, ..Ended::new(Outcome::Delivered, proof) };
                return Ok(Some(Step::Published(ended)));
            }
        }
    }
    match prover.search(checkpoint).await? {
        Search::Free => Ok(None),
        Search::StopCame => Ok(Some(Step::StopCame)),
        Search::Same(proof) => {
            // Without a partial file it was us: the answer to an earlier rename was lost.
            let outcome = match discard(sftp, &checkpoint.remote.partial).await {
                Discarded::Nothing => Outcome::Delivered,
                Discarded::Removed | Discarded::Refused => Outcome::AlreadyDelivered,
            };
            Ok(Some(Step::Published(Ended::new(outcome, proof))))
        }
        Search::Taken => {
            if let Some(newer) = superseded(deps, checkpoint).await? {
                discard(sftp, &checkpoint.remote.partial).await;
                return Ok(Some(Step::Superseded(newer.reason)));
            }
            Err(ErrorName::RemotePathRejected.error(format!(
                "{:?} exists, with other contents, and SFTP_IF_EXISTS is {}; nothing was published",
                checkpoint.final_path(),
                deps.partner.settings.policy.if_exists.as_str()
            )))
        }
    }
}

/// There is neither a partial file nor a final one.
async fn gone(deps: &Deps, checkpoint: &mut Checkpoint) -> Result<Step> {
    let direct = checkpoint.remote.is_direct();
    let taken = |proof| Step::Published(Ended { unconfirmed: true, ..Ended::new(Outcome::Delivered, proof) });
    if checkpoint.publishing
        && let Some(proof) = checkpoint.proved
    {
        checkpoint.warnings.push(LOST_ANSWER.to_owned());
        return Ok(taken(proof));
    }
    if !direct && !checkpoint.publishing {
        return Err(ErrorName::RemoteMismatch.error(format!(
            "{:?} is gone: the server, or someone on it, removed it after every byte was acknowledged. If it takes files away at once, set SFTP_PUBLISH to direct",
            checkpoint.remote.partial
        )));
    }
    if direct && let Some(newer) = superseded(deps, checkpoint).await? {
        return Ok(Step::Superseded(newer.reason));
    }
    if !matches!(deps.partner.settings.proof, ProofPolicy::Auto | ProofPolicy::None) {
        return Err(ErrorName::InvalidConfig.error(format!(
            "SFTP_PROOF demands a proof, but {:?} is gone: the server takes files away at once. Set it to auto or none",
            checkpoint.final_path()
        )));
    }
    let warning = if direct { TAKEN } else { LOST_ANSWER };
    checkpoint.warnings.push(warning.to_owned());
    Ok(taken(Proof::Unverified))
}

/// By what, if by anything.
async fn superseded(deps: &Deps, checkpoint: &Checkpoint) -> Result<Option<Newer>> {
    match standing(deps, checkpoint).await? {
        Standing::Superseded(newer) => Ok(Some(newer)),
        Standing::Newest | Standing::Gone => Ok(None),
    }
}

const TAKEN: &str = "the file was gone before it could be proved: the server takes files away at once";

/// With `SFTP_PUBLISH=direct`, a file that gets longer without our doing is being written by another execution of the same
/// version, to which ours lost it. Waits until it is whole, or does not grow any more; `None` if the stop comes first.
async fn grown(
    mut subject: Subject,
    sftp: &Sftp,
    checkpoint: &Checkpoint,
    stop: Deadline,
) -> Result<Option<Subject>> {
    const PATIENCE: Duration = Duration::from_secs(3);
    while subject.is_shorter(checkpoint.object.size) {
        if stop.has_passed() {
            return Ok(None);
        }
        tokio::time::sleep(PATIENCE.min(stop.remaining())).await;
        match Subject::find(sftp, checkpoint, stop).await? {
            Some(now) if now.size() != subject.size() => subject = now,
            _ => break,
        }
    }
    Ok(Some(subject))
}

/// Sets mode and time of the file, while it is still the partial one, unless the final one is written to directly.
async fn set_attributes(
    sftp: &Sftp,
    settings: AttributeSettings,
    checkpoint: &Checkpoint,
    path: &str,
) -> Result<Vec<String>> {
    let of = if checkpoint.remote.is_direct() {
        AttributesOf::FinalFile
    } else {
        AttributesOf::PartialFile { rename_requested: checkpoint.publishing }
    };
    set_file_attributes(sftp, path, settings, checkpoint.object.last_modified, of).await
}
