//! A pace for calls of Step Functions, below the account's quotas. When AWS throttles nevertheless, the pace becomes
//! slower, and grows again with every call that passes.
//!
//! Quotas: <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>. They hold for the whole account,
//! and state machines at work use them, too.

use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bridge::lock;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::CallError;

/// A call with a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// ListExecutions
    ListExecutions,
    /// DescribeExecution
    DescribeExecution,
    /// GetExecutionHistory
    GetExecutionHistory,
    /// StartExecution
    StartExecution,
    /// RedriveExecution
    RedriveExecution,
}

impl Api {
    const ALL: [Self; 5] = [
        Self::ListExecutions,
        Self::DescribeExecution,
        Self::GetExecutionHistory,
        Self::StartExecution,
        Self::RedriveExecution,
    ];

    /// Calls in a second if AWS does not throttle.
    fn fastest(self) -> f64 {
        match self {
            Self::ListExecutions => 5.0,
            Self::DescribeExecution => 10.0,
            Self::GetExecutionHistory => 15.0,
            Self::StartExecution | Self::RedriveExecution => 100.0,
        }
    }
}

/// Maximum number of attempts of a call that AWS throttles.
const THROTTLED_MAX: u32 = 8;
/// Maximum number of attempts of a call that fails for another reason that may pass.
const TRANSIENT_MAX: u32 = 3;
/// The pause after the first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(16);
/// The part of the fastest pace that is never given up.
const SLOWEST: f64 = 0.02;
/// The part of the fastest pace that a call which passes gives back.
const RECOVERY: f64 = 0.02;

/// The pace of all calls of one command, or of a process.
#[derive(Debug)]
pub struct Limiter {
    lanes: [Mutex<Lane>; Api::ALL.len()],
}

/// The calls of one API.
#[derive(Debug)]
struct Lane {
    fastest: f64,
    per_second: f64,
    next: Instant,
}

impl Default for Limiter {
    fn default() -> Self {
        let lane =
            |api: Api| Lane { fastest: api.fastest(), per_second: api.fastest(), next: Instant::now() };
        Self { lanes: Api::ALL.map(|api| Mutex::new(lane(api))) }
    }
}

impl Limiter {
    /// Makes the call when it is its turn, and again if AWS throttles it or the failure may pass. `send` may be called
    /// several times: the call must be one that may be repeated.
    ///
    /// # Errors
    /// What AWS answered last.
    pub async fn call<T, E, F>(&self, api: Api, send: impl Fn() -> F) -> Result<T, SdkError<E, HttpResponse>>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let (mut throttled, mut transient) = (0, 0);
        loop {
            self.turn(api).await;
            let error = match send().await {
                Ok(output) => {
                    self.lane(api, Lane::passed);
                    return Ok(output);
                }
                Err(error) => error,
            };
            let kind = CallError::of(&error);
            if kind.is_throttled() {
                throttled += 1;
                self.lane(api, |lane| lane.throttled(pause(throttled)));
            } else {
                transient += 1;
            }
            let is_final = !kind.is_transient() || throttled >= THROTTLED_MAX || transient >= TRANSIENT_MAX;
            if is_final {
                return Err(error);
            }
            sleep(pause(throttled.max(transient))).await;
        }
    }

    async fn turn(&self, api: Api) {
        let turn = self.lane(api, Lane::take);
        sleep_until(turn).await;
    }

    fn lane<T>(&self, api: Api, change: impl FnOnce(&mut Lane) -> T) -> T {
        // `ALL` is in the order of the variants.
        change(&mut lock(&self.lanes[api as usize]))
    }
}

impl Lane {
    /// When the next call may be made.
    fn take(&mut self) -> Instant {
        let turn = self.next.max(Instant::now());
        self.next = turn + Duration::from_secs_f64(1.0 / self.per_second);
        turn
    }

    fn throttled(&mut self, pause: Duration) {
        self.per_second = (self.per_second / 2.0).max(self.fastest * SLOWEST);
        self.next = self.next.max(Instant::now() + pause);
    }

    fn passed(&mut self) {
        self.per_second = (self.per_second + self.fastest * RECOVERY).min(self.fastest);
    }
}

fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use aws_sdk_s3::error::ErrorMetadata;
    use aws_sdk_s3::primitives::SdkBody;

    use super::*;

    fn failed(code: &str, status: u16) -> SdkError<ErrorMetadata, HttpResponse> {
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(ErrorMetadata::builder().code(code).build(), response)
    }

    async fn seconds_of(limiter: &Limiter, calls: usize) -> f64 {
        let start = Instant::now();
        for _ in 0..calls {
            let passes = async || Ok::<_, SdkError<ErrorMetadata, HttpResponse>>(());
            limiter.call(Api::RedriveExecution, passes).await.unwrap();
        }
        start.elapsed().as_secs_f64()
    }

    #[test]
    fn each_api_has_its_lane() {
        for (index, api) in Api::ALL.into_iter().enumerate() {
            assert_eq!(api as usize, index);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_spread() {
        let seconds = seconds_of(&Limiter::default(), 1_001).await;
        assert!((9.9..11.0).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_is_repeated_and_slows_the_others_for_a_while() {
        let limiter = Limiter::default();
        let calls = Cell::new(0);
        let throttled_twice = async || {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { Err(failed("ThrottlingException", 400)) } else { Ok(()) }
        };
        limiter.call(Api::RedriveExecution, throttled_twice).await.unwrap();
        assert_eq!(calls.get(), 3);
        let slow = seconds_of(&limiter, 30).await;
        seconds_of(&limiter, 100).await;
        let fast = seconds_of(&limiter, 30).await;
        assert!(slow > 1.5 * fast && fast < 0.35, "{slow} {fast}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_given_up() {
        let limiter = Limiter::default();
        for (code, status, expected) in [
            ("ThrottlingException", 400, THROTTLED_MAX),
            ("TooManyRequestsException", 429, THROTTLED_MAX),
            ("InternalFailure", 500, TRANSIENT_MAX),
            ("ExecutionNotRedrivable", 400, 1),
        ] {
            let calls = Cell::new(0);
            let start = Instant::now();
            let fails = async || {
                calls.set(calls.get() + 1);
                Err::<(), _>(failed(code, status))
            };
            limiter.call(Api::StartExecution, fails).await.unwrap_err();
            assert_eq!(calls.get(), expected, "{code}");
            assert!(start.elapsed() < Duration::from_secs(90), "{code}: {:?}", start.elapsed());
        }
    }
}
