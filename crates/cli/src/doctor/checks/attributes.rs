//! Setting a mode or a time, as a delivery does.

use bridge::{Demand, Mode};
use partner::files::{AttributesSet, try_attributes};
use sftp::Attributes;

use crate::doctor::examination::{Doctor, Step, lost};
use crate::doctor::report::Finding;

/// A mode or a time to set.
pub(super) struct Wanted {
    pub(super) setting: &'static str,
    /// In words.
    pub(super) what: String,
    pub(super) attributes: Attributes,
    /// What the setting asks for, if it is set.
    pub(super) demand: Option<Demand>,
    /// The value of the setting with which a refusal is only a warning.
    pub(super) lenient: String,
}

impl Wanted {
    /// The mode of a file or directory; `default` is tried if none is set.
    pub(super) fn mode(setting: &'static str, of: &str, mode: Option<Mode>, default: u32) -> Self {
        let bits = mode.map_or(default, |mode| mode.bits);
        Self {
            setting,
            what: format!("the mode of a {of} ({bits:04o})"),
            attributes: Attributes { permissions: Some(bits), ..Attributes::default() },
            demand: mode.map(|mode| mode.demand),
            lenient: format!("try:{bits:04o}"),
        }
    }

    /// Sets it. Returns the finding, and whether the server does it, as far as it shows.
    pub(super) async fn set(&self, doctor: &Doctor, path: &str) -> Step<(Finding, bool)> {
        let what = &self.what;
        let problem = match try_attributes(&*doctor.sftp()?, path, self.attributes).await.map_err(lost)? {
            AttributesSet::Shown => return Ok((Finding::ok(format!("{what} can be set")), true)),
            AttributesSet::NotShown => {
                return Ok((Finding::ok(format!("{what} can be set, as far as the server shows")), true));
            }
            AttributesSet::Ignored(difference) => format!("the server says OK and ignores it: {difference}"),
            AttributesSet::Refused(status) => status.to_string(),
        };
        Ok((self.unsupported(problem), false))
    }

    fn unsupported(&self, problem: String) -> Finding {
        let Self { setting, lenient, .. } = self;
        match self.demand {
            None => Finding::absent(problem),
            Some(Demand::Try) => Finding::warn(
                problem,
                format!(
                    "deliveries succeed with a warning in each receipt; with {setting}=off they do not try it"
                ),
            ),
            Some(Demand::Require) => Finding::fail(
                problem,
                format!(
                    "{setting} requires it, so deliveries would fail: ask the partner to allow it, or set {setting}={lenient}, and each receipt has a warning instead"
                ),
            ),
        }
    }
}
