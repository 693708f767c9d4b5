//! The other direction: files on the server become objects, or files on a disk.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use integration_tests::object_source::Quirks;
use integration_tests::pattern;

use super::contestants::Contestant::{self, OpenSsh, OpenSshAesGcm, Predecessor, Rclone};
use super::contestants::{At, Work, tcp_alone};
use super::measure::{self, Sample};
use super::place::{BUCKET, Place, many, small_file};
use crate::far::Distant;

/// The directory on the server that is collected.
const DIRECTORY: &str = "out";

/// Leaves the files on the server.
pub(super) fn leave_files(place: &Place, work: Work) -> Result<()> {
    let directory = place.partner.root.join(DIRECTORY);
    std::fs::create_dir_all(&directory)?;
    // Gigabytes are not kept, only their checksums.
    let forgets = matches!(work, Work::Collect(_));
    place.source.quirks(Quirks { forgets, any_checksum: true, ..Quirks::default() });
    match work {
        Work::Collect(size) => {
            pattern::write(std::fs::File::create(directory.join(size.to_string()))?, size)?;
        }
        Work::CollectMany(count) => {
            for number in 0..count {
                std::fs::write(directory.join(format!("{number:04}")), small_file(number))?;
            }
        }
        Work::List(count) => {
            for number in 0..count {
                std::fs::write(directory.join(format!("a name of the usual length {number:06}.dat")), "")?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// One run, and the proof that it did its work.
pub(super) async fn run(
    place: &Place,
    who: Contestant,
    work: Work,
    distant: Option<&Distant>,
) -> Result<Sample> {
    if let (Contestant::Tcp, Work::Collect(size)) = (who, work) {
        return tcp_alone(distant, size);
    }
    let at = At { place, distant };
    let to_disk = place.folder.join("tmp/got");
    let is_to_disk = matches!(who, OpenSsh | OpenSshAesGcm);
    let (sample, printed) = measure::run(at.collecting(who, work, &to_disk)?).await?;
    match work {
        Work::Collect(size) if is_to_disk => {
            ensure!(pattern::difference(std::fs::File::open(&to_disk)?, size)?.is_none(), "the file differs");
            std::fs::remove_file(&to_disk)?;
        }
        Work::Collect(size) => {
            let name = format!("{BUCKET}/{size}");
            let object = place.source.object(&name).context("there is no object")?;
            let expected = BASE64_STANDARD.encode(pattern::crc64nvme(size).to_be_bytes());
            ensure!(object.length == size && object.checksum == Some(expected), "the object differs");
            place.source.remove(&name);
        }
        Work::CollectMany(count) => {
            for number in 0..count {
                let found = match is_to_disk {
                    true => std::fs::read(to_disk.join(format!("{number:04}")))?,
                    false => {
                        let name = format!("{BUCKET}/{}/{number:04}", many(count));
                        let object =
                            place.source.object(&name).with_context(|| format!("{name} is missing"))?;
                        place.source.remove(&name);
                        object.contents.context("contents are missing")?
                    }
                };
                ensure!(found == small_file(number), "{number} differs");
            }
            if is_to_disk {
                std::fs::remove_dir_all(&to_disk)?;
            }
        }
        Work::List(count) if who == Rclone || is_to_disk => {
            let names = printed.lines().filter(|line| line.ends_with(".dat")).count() as u64;
            ensure!(names == count, "{names} of {count} names were listed");
        }
        _ => {}
    }
    Ok(sample)
}

impl At<'_> {
    fn collecting(&self, who: Contestant, work: Work, to_disk: &Path) -> Result<Command> {
        let (source, target) = match work {
            Work::Collect(size) => (format!("{DIRECTORY}/{size}"), size.to_string()),
            Work::CollectMany(count) => (DIRECTORY.to_owned(), many(count)),
            _ => (DIRECTORY.to_owned(), String::new()),
        };
        Ok(match who {
            OpenSsh | OpenSshAesGcm => {
                let batch = match work {
                    Work::Collect(_) => format!("get {source} {}\n", to_disk.display()),
                    Work::CollectMany(_) => format!("get -r {source} {}\n", to_disk.display()),
                    _ => format!("ls -1 {source}\n"),
                };
                self.sftp(who, &batch)?
            }
            Rclone => {
                let mut rclone = self.rclone()?;
                match work {
                    Work::Collect(_) => rclone.arg("copyto"),
                    Work::CollectMany(_) => rclone.args(["copy", "--transfers", "16", "--checkers", "16"]),
                    _ => rclone.arg("lsf"),
                };
                rclone.arg(format!("sftp:{source}"));
                if !target.is_empty() {
                    rclone.arg(format!("s3:{BUCKET}/{target}"));
                }
                rclone
            }
            Predecessor => {
                let script = self.place.folder.join("former.py");
                std::fs::write(&script, include_str!("former.py"))?;
                let partner = &self.place.partner;
                let mut python = self.command(self.place.peers.program("python"));
                python.arg(script).args([&source, &self.host(), &partner.port.to_string(), &partner.user]);
                python.arg(partner.client_key_file()).args([BUCKET, &target]);
                python
            }
            Contestant::Tcp => bail!("TCP alone is no program"),
            _ => self.bridge_collecting(who, work),
        })
    }

    fn bridge_collecting(&self, who: Contestant, work: Work) -> Command {
        let mut bridge = self.bridge(who);
        bridge.arg("collect").env("COLLECT_BUCKET", BUCKET).env("COLLECT_DIRECTORY", DIRECTORY);
        // As the others, it copies at once, and leaves the files.
        bridge.env("COLLECT_SETTLE_SECONDS", "0").env("COLLECT_AFTERWARDS", "leave");
        match work {
            Work::CollectMany(count) => bridge.env("COLLECT_OBJECT_KEY", format!("{}/{{path}}", many(count))),
            // The names are listed and judged, and none of them is due.
            Work::List(_) => bridge.env("COLLECT_INCLUDE", "*.csv"),
            _ => &mut bridge,
        };
        bridge
    }
}
