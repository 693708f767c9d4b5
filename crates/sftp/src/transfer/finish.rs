//! The end of an upload in one flight: the last WRITEs, the CLOSE, and a look at what is there then.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::protocol::attributes::Attributes;
use crate::protocol::channel::Sftp;
use crate::protocol::decode::Reply;
use crate::protocol::line::NumberedReply;
use crate::protocol::requests::{Closed, Closing};
use crate::transfer::lanes::Spread;
use crate::transfer::upload::{Journal, Upload};

/// Why a file was not closed as a whole one.
#[derive(Debug)]
pub enum Unfinished {
    /// The server refused a WRITE, or a session was lost.
    Sending(Error),
    /// The server refused the CLOSE, which it got when every byte was acknowledged.
    Closing(Error),
    /// The server refused the CLOSE, which it got along with the last WRITEs. It accepted these.
    ClosingEarly(Error),
    /// The server got the CLOSE along with the last WRITEs. It refused a WRITE (the first refusal is here), or answered one
    /// after what closes the file. Perhaps it does not keep their order: what was acknowledged may be missing in the file.
    OutOfOrder(Option<Error>),
}

/// The replies to the last requests of an upload.
#[derive(Default)]
struct Answers {
    fsync: Option<Reply>,
    close: Option<Reply>,
    /// What the look showed, if it was answered after the CLOSE. What it showed before may be what was there before.
    look: Option<Option<Reply>>,
    /// The first refusal of a WRITE.
    refusal: Option<Error>,
    /// Whether the server answered what closes the file before a WRITE.
    is_out_of_order: bool,
}

impl<J: Journal> Upload<J> {
    /// Sends the remaining bytes, closes the file, and looks at its path behind the CLOSE. With `sync`, the server is asked
    /// to write the file to its disk before the CLOSE. `attributes` are asked for behind the CLOSE; what is seen then tells
    /// whether the server set them.
    ///
    /// All requests travel together if one lane carries the file, and if its window has room for what is left. Otherwise the
    /// CLOSE waits until every byte is acknowledged. The protocol obliges a server to process the requests for one file in
    /// their order. One that does not is noticed: it refuses a WRITE after the CLOSE, or answers it after the CLOSE.
    ///
    /// # Errors
    /// See [`Unfinished`]. Unless a session was lost, the server has answered everything.
    ///
    /// # Cancel safety
    /// If the future is dropped, the file is closed without waiting for the answers.
    pub async fn finish_at_once(
        mut self,
        sync: bool,
        attributes: Option<Attributes>,
    ) -> std::result::Result<Closed, Unfinished> {
        self.send_rest().await.map_err(Unfinished::Sending)?;
        let is_early = !self.in_flight.is_empty();
        let number = self.next_number();
        let first = &mut self.lanes[0].lane;
        let (sftp, path) = (Arc::clone(&first.sftp), first.file.path.clone());
        let closing = sftp.send_close(&mut first.file, sync, attributes.as_ref(), &self.replies_to, number);
        let mut others: JoinSet<Result<()>> = self.lanes.drain(1..).map(|other| other.lane.close()).collect();
        let is_alone = others.is_empty();
        // Lanes that wait for the file to grow give up.
        self.acknowledged = watch::Sender::new(self.acknowledged());
        let joining = std::mem::replace(&mut self.joining, Spread::none());
        let (answers, ()) = tokio::join!(self.answers(&sftp, &closing), joining.end());
        while let Some(closed) = others.join_next().await {
            closed.unwrap_or(Ok(())).map_err(|error| match error {
                // What came over this lane may not be in the file.
                refusal @ Error::Refused(_) => Unfinished::Closing(refusal),
                error => Unfinished::Sending(error),
            })?;
        }
        let mut answers = answers?;
        let look = answers.look.take();
        let synced = answers.conclude(&sftp, &path, is_early)?;
        // The look was behind the CLOSE of the first lane only.
        let attributes = if is_alone { self.seen(&sftp, look).await } else { None };
        Ok(Closed { attributes, synced })
    }

    /// Sends the remaining bytes. Returns at once only if the CLOSE may follow them.
    async fn send_rest(&mut self) -> Result<()> {
        let is_alone = self.lanes.len() == 1 && !self.joining.is_wanted();
        if !is_alone || !self.lanes[0].has_room(self.staged_length) {
            return self.flush().await;
        }
        self.send_staged().await
    }

    /// What the look behind the CLOSE shows. `None` if the server refuses, or the session was lost since: the file is closed
    /// nevertheless.
    async fn seen(&mut self, sftp: &Sftp, answered: Option<Option<Reply>>) -> Option<Attributes> {
        let reply = match answered {
            Some(reply) => reply,
            None => sftp.write_reply(&mut self.replies).await.ok()??.reply,
        };
        match reply? {
            Reply::Attributes(attributes) => Some(attributes),
            _ => None,
        }
    }

    async fn answers(&mut self, sftp: &Sftp, closing: &Closing) -> std::result::Result<Answers, Unfinished> {
        let mut answers = Answers::default();
        let mut unanswered = self.in_flight.iter().filter(|write| !write.is_acknowledged).count();
        while unanswered > 0 || answers.close.is_none() || closing.fsync.is_some() && answers.fsync.is_none()
        {
            let reply = match unanswered {
                0 => sftp.closing_reply(&mut self.replies).await,
                _ => sftp.write_reply(&mut self.replies).await,
            };
            // There is always a reply to wait for, and `replies_to` is not dropped before.
            let Some(NumberedReply { number, reply }) = reply.map_err(Unfinished::Sending)? else { break };
            if number == closing.look {
                answers.look = Some(reply.filter(|_| answers.close.is_some()));
                continue;
            }
            if number != closing.close && Some(number) != closing.fsync {
                unanswered -= 1;
                match self.settle(NumberedReply { number, reply }).await {
                    Err(refusal @ Error::Refused(_)) => drop(answers.refusal.get_or_insert(refusal)),
                    settled => settled.map_err(Unfinished::Sending)?,
                }
                continue;
            }
            let Some(reply) = reply else { return Err(Unfinished::Sending(sftp.lost_error().await)) };
            answers.is_out_of_order |= unanswered > 0;
            let place = if number == closing.close { &mut answers.close } else { &mut answers.fsync };
            *place = Some(reply);
        }
        Ok(answers)
    }
}

impl Answers {
    /// Whether the file is closed as a whole one; if so, whether it was written to the disk.
    fn conclude(
        self,
        sftp: &Sftp,
        path: &str,
        is_early: bool,
    ) -> std::result::Result<Option<Result<()>>, Unfinished> {
        let status = |operation, reply: Option<Reply>| reply.map(|reply| sftp.done(operation, path, reply));
        let (closed, synced) = (status("close", self.close), status("fsync", self.fsync));
        for outcome in [&closed, &synced] {
            if let Some(Err(error)) = outcome
                && !matches!(error, Error::Refused(_))
            {
                return Err(Unfinished::Sending(error.clone()));
            }
        }
        if self.refusal.is_some() || self.is_out_of_order {
            return Err(Unfinished::OutOfOrder(self.refusal));
        }
        match closed {
            Some(Err(refusal)) if is_early => Err(Unfinished::ClosingEarly(refusal)),
            Some(Err(refusal)) => Err(Unfinished::Closing(refusal)),
            _ => Ok(synced),
        }
    }
}

#[cfg(feature = "internals")]
#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;
    use crate::protocol::packet::{CLOSE, SETSTAT, STAT, WRITE};
    use crate::transfer::lanes::Lane;
    use crate::transfer::scripted::Server;
    use crate::transfer::upload::InUse;
    use crate::{OpenFlags, Session};

    const PIECE: usize = 32 * 1024;

    impl Server {
        /// Sends `size` bytes to a file, and finishes at once.
        async fn upload(
            &mut self,
            session: &Arc<Session>,
            size: usize,
        ) -> JoinHandle<std::result::Result<Closed, Unfinished>> {
            self.upload_with(session, size, None).await
        }

        async fn upload_with(
            &mut self,
            session: &Arc<Session>,
            size: usize,
            attributes: Option<Attributes>,
        ) -> JoinHandle<std::result::Result<Closed, Unfinished>> {
            let sftp = Arc::clone(session.sftp());
            let opening = tokio::spawn(async move { sftp.open("f", OpenFlags::WRITE).await });
            let (_, id) = self.request().await;
            self.handle(id);
            let mut upload = session.upload(opening.await.unwrap().unwrap()).start();
            tokio::spawn(async move {
                upload.push(vec![7; size].into()).await.map_err(Unfinished::Sending)?;
                upload.finish_at_once(true, attributes).await
            })
        }
    }

    const THREE_WRITES: [u8; 5] = [WRITE, WRITE, WRITE, CLOSE, STAT];

    #[tokio::test]
    async fn everything_that_is_left_travels_at_once() {
        let (mut server, session) = Server::with_session().await;
        let uploading = server.upload(&session, 2 * PIECE + 5).await;
        let [first, second, third, close, stat] = server.requests(THREE_WRITES).await;
        for id in [second, first, third, close] {
            server.status(id, 0);
        }
        server.size(stat, 65_541);
        let closed = uploading.await.unwrap().unwrap();
        assert_eq!(closed.attributes.and_then(|attributes| attributes.size), Some(65_541));
        assert!(closed.synced.is_none(), "the server cannot");
        assert!(server.hears_nothing().await, "the file is not closed twice");
    }

    #[tokio::test]
    async fn attributes_are_asked_for_between_the_close_and_the_look() {
        let (mut server, session) = Server::with_session().await;
        let attributes = Attributes { modified: Some(9), ..Attributes::default() };
        let uploading = server.upload_with(&session, 1, Some(attributes)).await;
        let [write, close, setstat, stat] = server.requests([WRITE, CLOSE, SETSTAT, STAT]).await;
        server.status(write, 0);
        server.status(close, 0);
        server.size(stat, 1);
        server.status(setstat, 4);
        assert!(uploading.await.unwrap().is_ok(), "a refusal does not matter");
    }

    #[tokio::test]
    async fn a_look_that_is_answered_first_or_refused_does_not_matter() {
        let (mut server, session) = Server::with_session().await;
        let uploading = server.upload(&session, 1).await;
        let [write, close, stat] = server.requests([WRITE, CLOSE, STAT]).await;
        server.size(stat, 1);
        server.status(write, 0);
        server.status(close, 0);
        let closed = uploading.await.unwrap().unwrap();
        assert_eq!(closed.attributes, None, "the CLOSE may change what was seen");
        let uploading = server.upload(&session, 0).await;
        let [close, stat] = server.requests([CLOSE, STAT]).await;
        server.status(close, 0);
        server.status(stat, 3);
        assert_eq!(uploading.await.unwrap().unwrap().attributes, None);
    }

    #[tokio::test]
    async fn a_close_that_is_answered_before_a_write_is_not_believed() {
        let (mut server, session) = Server::with_session().await;
        let uploading = server.upload(&session, 2 * PIECE + 5).await;
        let [first, second, third, close, stat] = server.requests(THREE_WRITES).await;
        for id in [first, close, second, third] {
            server.status(id, 0);
        }
        server.size(stat, 65_541);
        assert!(matches!(uploading.await.unwrap(), Err(Unfinished::OutOfOrder(None))));
    }

    #[tokio::test]
    async fn a_write_that_is_refused_counts_whatever_became_of_the_close() {
        for close_status in [0, 4] {
            let (mut server, session) = Server::with_session().await;
            let uploading = server.upload(&session, 2 * PIECE + 5).await;
            let [first, second, third, close, stat] = server.requests(THREE_WRITES).await;
            for (id, code) in [(first, 0), (second, 4), (third, 0), (close, close_status)] {
                server.status(id, code);
            }
            server.status(stat, 2);
            match uploading.await.unwrap() {
                Err(Unfinished::OutOfOrder(Some(Error::Refused(status)))) => {
                    assert_eq!(status.operation, "write")
                }
                other => panic!("{other:?}"),
            }
            assert!(server.hears_nothing().await, "the file is not closed twice");
        }
    }

    #[tokio::test]
    async fn a_refused_close_is_final_only_if_it_came_last() {
        let (mut server, session) = Server::with_session().await;
        let uploading = server.upload(&session, 1).await;
        let [write, close, _] = server.requests([WRITE, CLOSE, STAT]).await;
        server.status(write, 0);
        server.status(close, 4);
        assert!(matches!(uploading.await.unwrap(), Err(Unfinished::ClosingEarly(_))));
        let uploading = server.upload(&session, 0).await;
        let [close, _] = server.requests([CLOSE, STAT]).await;
        server.status(close, 4);
        assert!(matches!(uploading.await.unwrap(), Err(Unfinished::Closing(_))));
    }

    /// Some servers commit what each open file was sent only now.
    #[tokio::test]
    async fn a_close_that_is_refused_on_a_further_lane_is_final_too() {
        let (mut server, session) = Server::with_session().await;
        let mut files = Vec::new();
        for _ in 0..2 {
            let sftp = Arc::clone(session.sftp());
            let opening = tokio::spawn(async move { sftp.open("f", OpenFlags::WRITE).await });
            let (_, id) = server.request().await;
            server.handle(id);
            files.push(opening.await.unwrap().unwrap());
        }
        let further = Lane::new(Arc::clone(session.sftp()), files.pop().unwrap());
        let mut upload = session.upload(files.pop().unwrap()).start();
        upload.lanes.push(InUse::new(further));
        let uploading = tokio::spawn(async move {
            upload.push(vec![7; 5].into()).await.map_err(Unfinished::Sending)?;
            upload.finish_at_once(false, None).await
        });
        let [write] = server.requests([WRITE]).await;
        server.status(write, 0);
        let [close, stat, further_close] = server.requests([CLOSE, STAT, CLOSE]).await;
        server.status(close, 0);
        server.size(stat, 5);
        server.status(further_close, 4);
        let finished = uploading.await.unwrap();
        assert!(matches!(finished, Err(Unfinished::Closing(Error::Refused(_)))), "{finished:?}");
    }

    #[tokio::test]
    async fn what_does_not_fit_in_the_window_is_acknowledged_before_the_close() {
        let (mut server, session) = Server::with_session().await;
        // The first window is of half a mebibyte.
        let uploading = server.upload(&session, 16 * PIECE + 5).await;
        let writes = server.requests([WRITE; 16]).await;
        assert!(server.hears_nothing().await, "the window is full");
        writes.into_iter().for_each(|id| server.status(id, 0));
        let [last] = server.requests([WRITE]).await;
        assert!(server.hears_nothing().await, "no CLOSE yet");
        server.status(last, 0);
        let [close, stat] = server.requests([CLOSE, STAT]).await;
        server.status(close, 0);
        server.size(stat, 1);
        assert!(uploading.await.unwrap().is_ok());
    }

    /// A WRITE that is carried out after the CLOSE would change the file that got the handle.
    #[tokio::test]
    async fn a_handle_that_is_given_away_too_early_ends_the_session() {
        let (mut server, session) = Server::with_session().await;
        let uploading = server.upload(&session, 1).await;
        let [_, close, _] = server.requests([WRITE, CLOSE, STAT]).await;
        server.status(close, 0);
        let sftp = Arc::clone(session.sftp());
        let opening = tokio::spawn(async move { sftp.open("g", OpenFlags::WRITE).await });
        let (_, id) = server.request().await;
        server.handle(id);
        assert!(matches!(opening.await.unwrap(), Err(Error::Lost(_))));
        assert!(matches!(uploading.await.unwrap(), Err(Unfinished::Sending(Error::Lost(_)))));
        assert!(session.sftp().is_poisoned());
    }
}
