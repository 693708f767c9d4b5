//! The retriers of the state machine's definition, and how long they wait.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tools::workspace;

/// Lambda's error when no concurrency is free.
pub const THROTTLED: &str = "Lambda.TooManyRequestsException";

/// How often, and after which delays, a failed call is made again. With full jitter, each delay is a random part of the
/// longest one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retrier {
    /// `IntervalSeconds`.
    pub interval: f64,
    /// `BackoffRate`.
    pub rate: f64,
    /// `MaxDelaySeconds`.
    pub delay_max: f64,
    /// `MaxAttempts`.
    pub attempts: u32,
}

impl Retrier {
    /// That of `statemachine/bridge.asl.json` for this state and error.
    pub fn of(state: &str, error: &str) -> Result<Self> {
        let definition = std::fs::read_to_string(workspace().join("statemachine/bridge.asl.json"))?;
        let definition: Value = serde_json::from_str(&definition)?;
        let serves = |retrier: &&Value| {
            retrier["ErrorEquals"].as_array().is_some_and(|errors| errors.iter().any(|it| it == error))
        };
        let retriers = definition["States"][state]["Retry"].as_array();
        let retrier = retriers.into_iter().flatten().find(serves);
        let retrier = retrier.with_context(|| format!("{state} has no retrier for {error}"))?;
        let number = |field: &str| retrier[field].as_f64().with_context(|| format!("{state}: no {field}"));
        Ok(Self {
            interval: number("IntervalSeconds")?,
            rate: number("BackoffRate")?,
            delay_max: number("MaxDelaySeconds")?,
            attempts: number("MaxAttempts")? as u32,
        })
    }

    /// The longest delay before this retry, in seconds. The first one is 0.
    pub fn longest(&self, retry: u32) -> f64 {
        (self.interval * self.rate.powi(retry.min(1000) as i32)).min(self.delay_max)
    }

    /// All delays together, if each is as long as it can be.
    pub fn at_most(&self) -> f64 {
        (0..self.attempts).map(|retry| self.longest(retry)).sum()
    }

    /// All delays together, on average.
    pub fn on_average(&self) -> f64 {
        self.at_most() / 2.0
    }

    /// All delays together are shorter than this once in 30,000 executions: four times the deviation below the average.
    pub fn at_least(&self) -> f64 {
        let variance: f64 = (0..self.attempts).map(|retry| self.longest(retry).powi(2) / 12.0).sum();
        self.on_average() - 4.0 * variance.sqrt()
    }
}
