//! What must hold: after every step, and when everybody has ended.

use std::collections::BTreeSet;

use bridge::Outcome;

use crate::scenario::FORMER;
use crate::store::OBJECT_KEY;
use crate::world::World;

/// A broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// Which promise; the same words for the same kind of fault.
    pub(crate) promise: &'static str,
    pub(crate) details: String,
}

/// What has been seen of a run so far.
#[derive(Default)]
pub(crate) struct Checker {
    /// What has lain under a final name.
    published: BTreeSet<usize>,
    former_lost: Option<usize>,
    faults: usize,
}

/// The names that a partner's readers look for.
const FINAL: [&str; 4] = ["report.csv", "report.1.csv", "report.2.csv", "report.3.csv"];

impl Checker {
    pub(crate) fn after_step(&mut self, world: &World, step: usize, faulty: bool) -> Result<(), Violation> {
        self.faults += usize::from(faulty);
        for name in FINAL {
            let Some(data) = world.files.contents(name) else { continue };
            match whole(world, data) {
                Some(upload) => drop(self.published.insert(upload)),
                None => {
                    let details = format!("{name} has {} bytes that are no whole version", data.len());
                    return Err(Violation { promise: "never a partial file", details });
                }
            }
        }
        let there = world.files.contents(OBJECT_KEY).and_then(|data| whole(world, data));
        if there.is_none() && world.scenario.former.is_some() {
            self.former_lost.get_or_insert(step);
        }
        self.markers(world)
    }

    /// A reader of a marker with a hash finds all of it. That it speaks of the file beside it is checked at the end: an
    /// older version that comes over a newer one is taken back, and so is its marker.
    fn markers(&self, world: &World) -> Result<(), Violation> {
        for name in FINAL {
            let Some(marker) = world.files.contents(&format!("{name}.sha256")) else { continue };
            let is_whole = world.contents.iter().any(|(_, data)| marker == hash_line(data, name).as_bytes());
            if !is_whole {
                let details =
                    format!("{name}.sha256 has {} bytes that are no hash of any version", marker.len());
                return Err(Violation { promise: "never a part of a marker", details });
            }
        }
        Ok(())
    }

    fn markers_at_the_end(&self, world: &World) -> Result<(), Violation> {
        let promise = "a marker speaks of the file beside it";
        for (name, suffix) in FINAL.iter().flat_map(|name| [(name, ".sha256"), (name, ".done")]) {
            let Some(marker) = world.files.contents(&format!("{name}{suffix}")) else { continue };
            let Some(data) = world.files.contents(name) else {
                return Err(Violation { promise, details: format!("{name}{suffix} stands alone") });
            };
            if suffix == ".sha256" && marker != hash_line(data, name).as_bytes() {
                return Err(Violation { promise, details: format!("{name}{suffix} speaks of another file") });
            }
        }
        Ok(())
    }

    /// Everything that is wrong.
    pub(crate) fn at_the_end(&self, world: &World) -> Vec<Violation> {
        if world.met_known_limit {
            return Vec::new();
        }
        let there = world.files.contents(OBJECT_KEY).and_then(|data| whole(world, data));
        let executions = (0..world.executions.len()).map(|number| self.execution(world, number, there));
        let others = [
            self.former(world, there),
            self.newest(world, there),
            self.markers_at_the_end(world),
            self.leftovers(world),
        ];
        executions.chain(others).filter_map(Result::err).collect()
    }

    fn former(&self, world: &World, there: Option<usize>) -> Result<(), Violation> {
        match (world.scenario.former, there) {
            (Some(_), None) => Err(Violation {
                promise: "never less than before",
                details: format!("{OBJECT_KEY} is gone; missing since step {:?}", self.former_lost),
            }),
            _ => Ok(()),
        }
    }

    fn execution(&self, world: &World, number: usize, there: Option<usize>) -> Result<(), Violation> {
        let upload = world.scenario.executions[number];
        let broken = |promise, details: String| {
            Err(Violation { promise, details: format!("execution {number} (upload {upload}): {details}") })
        };
        let receipt = match &world.executions[number].outcome {
            Some(Ok(receipt)) => receipt,
            Some(Err(error)) => {
                let name = error.name.to_string();
                let allowed = world.scenario.may_fail.contains(&name.as_str());
                return if allowed {
                    Ok(())
                } else {
                    broken("nobody fails who was not disturbed", error.to_string())
                };
            }
            None => return broken("every execution ends", "it is still running".into()),
        };
        let keeps_both = world.scenario.is_set("SFTP_IF_EXISTS", "keep-both");
        let stands = if keeps_both {
            FINAL.iter().any(|name| {
                world
                    .files
                    .contents(name)
                    .and_then(|data| whole(world, data))
                    .is_some_and(|it| is_as_new(it, upload))
            })
        } else {
            there.is_some_and(|it| is_as_new(it, upload))
        };
        let is_unconfirmed =
            receipt.warnings.iter().any(|warning| warning.contains("Ask the partner whether it arrived"));
        match receipt.outcome {
            Outcome::Delivered if is_unconfirmed && world.scenario.server.takes_elsewhere() => {}
            Outcome::Delivered | Outcome::AlreadyDelivered => {
                // An execution that met a newer upload delivers that one, and says so.
                let spoken_of =
                    receipt.object.etag.as_ref().and_then(|etag| etag.strip_prefix("etag-")?.parse().ok());
                if !self.published.contains(&spoken_of.unwrap_or(upload)) {
                    return broken(
                        "every receipt is true",
                        format!("{:?}, and it never lay there", receipt.outcome),
                    );
                }
                if !stands {
                    return broken(
                        "nothing delivered is lost",
                        format!("{:?}, and {there:?} lies there", receipt.outcome),
                    );
                }
            }
            Outcome::Superseded if world.events.len() <= upload + 1 => {
                return broken("every receipt is true", "superseded, and nothing newer was uploaded".into());
            }
            Outcome::Superseded | Outcome::Skipped => {}
        }
        if receipt.after_delivery.as_deref() == Some("deleted") && world.store.has(upload) {
            return broken("every receipt is true", "deleted, and the object is there".into());
        }
        let gone = !world.store.has(upload) && !world.deleted_by_user && world.events.len() == upload + 1;
        if gone && !stands {
            return broken(
                "nothing delivered is lost",
                "the object is gone, and its file is not there".into(),
            );
        }
        Ok(())
    }

    /// Once everybody has succeeded, it is the newest upload that lies there.
    fn newest(&self, world: &World, there: Option<usize>) -> Result<(), Violation> {
        let succeeded = |upload: usize| {
            world.executions.iter().zip(&world.scenario.executions).any(|(execution, of)| {
                *of == upload && matches!(&execution.outcome, Some(Ok(receipt)) if receipt.outcome != Outcome::Superseded)
            })
        };
        let newest = (0..world.events.len()).rev().find(|upload| succeeded(*upload));
        match (newest, there) {
            (Some(newest), Some(there)) if there != FORMER && there < newest => Err(Violation {
                promise: "no older version over a newer one",
                details: format!("upload {there} lies there, upload {newest} was delivered"),
            }),
            _ => Ok(()),
        }
    }

    /// After success without faults, nothing of ours is left behind.
    fn leftovers(&self, world: &World) -> Result<(), Violation> {
        let all_well = world.executions.iter().all(|execution| matches!(execution.outcome, Some(Ok(_))));
        if self.faults > 0 || !all_well {
            return Ok(());
        }
        let known = |name: &str| FINAL.iter().any(|known| name.starts_with(known));
        let left: Vec<&str> =
            world.files.names().filter(|name| !known(name) || name.ends_with(".partial")).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(Violation { promise: "nothing of ours is left behind", details: left.join(", ") })
        }
    }
}

/// Which upload it is, if it is a whole one.
fn whole(world: &World, data: &[u8]) -> Option<usize> {
    world.contents.iter().find(|(_, contents)| contents == data).map(|(upload, _)| *upload)
}

/// Whether what lies there is this upload or a newer one.
fn is_as_new(there: usize, upload: usize) -> bool {
    there != FORMER && there >= upload
}

fn hash_line(data: &[u8], name: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(data);
    let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hexadecimal}  {name}\n")
}
