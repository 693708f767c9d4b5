//! The files in progress, as tasks of this process.

use tokio::task::{JoinError, JoinSet};

use crate::stop::Stop;

/// The files in progress. Each is reported when it has finished.
pub(crate) struct Tasks<T, F> {
    tasks: JoinSet<T>,
    on_finished: F,
}

impl<T: Send + 'static, F: FnMut(&T)> Tasks<T, F> {
    pub(crate) fn new(on_finished: F) -> Self {
        Self { tasks: JoinSet::new(), on_finished }
    }

    /// Begins with another file.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = T> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Reports those that have finished. Does not wait.
    pub(crate) fn report_finished(&mut self) {
        while let Some(finished) = self.tasks.try_join_next() {
            self.report(finished);
        }
    }

    /// Waits for those that are left. Returns the number of those that a stop cut off.
    pub(crate) async fn finish(&mut self, stop: &Stop) -> usize {
        let mut due = std::pin::pin!(stop.due());
        loop {
            tokio::select! {
                finished = self.tasks.join_next() => match finished {
                    Some(finished) => self.report(finished),
                    None => return 0,
                },
                () = &mut due => {
                    let cut_off = self.tasks.len();
                    self.tasks.shutdown().await;
                    return cut_off;
                }
            }
        }
    }

    fn report(&mut self, finished: Result<T, JoinError>) {
        // A task can only be lost by a panic, which ends the process.
        if let Ok(finished) = finished {
            (self.on_finished)(&finished);
        }
    }
}
