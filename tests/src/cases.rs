//! Cases of one test that run at the same time.

use tokio::task::JoinSet;

/// Runs a test for all its cases at the same time: a case spends most of its time waiting. The first panic of a case is
/// the test's.
pub async fn at_once<C, F>(cases: impl IntoIterator<Item = C>, test: impl Fn(C) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for case in cases {
        running.spawn(test(case));
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}
