//! Over as many sessions as it takes.

use bridge::Result;
use partner::Persistence;
use sftp::Caps;

use crate::read::collecting::Collecting;
use crate::read::outcome::Read;

impl Collecting<'_> {
    /// Reads until S3 has every byte, or the stop has come. A lost session is followed by another: what was read is not read
    /// again.
    pub(crate) async fn over_sessions(&mut self) -> Result<Read> {
        let left = self.file().size - self.writer.position();
        let mut persistence = Persistence::with(self.call.deps.partner.caps().for_reading(left));
        loop {
            let start = (self.report.restarts, self.writer.position());
            let error = match self.one_session(persistence.caps()).await {
                Ok(read) => return Ok(read),
                Err(error) => error,
            };
            let progress = (self.report.restarts, self.writer.position()) > start;
            let stop = self.call.stop;
            if stop.has_passed() || !persistence.goes_on(&error, progress, stop).await {
                return Err(error);
            }
        }
    }

    async fn one_session(&mut self, caps: Caps) -> Result<Read> {
        let call = self.call;
        let accepted = self.report.credential_version_id.clone();
        let reading =
            call.deps.partner.with_session(&call.input.credential, accepted.as_deref(), async |session| {
                self.logged_in(session);
                Box::pin(self.read(session, caps)).await
            });
        reading.await
    }
}
