//! What is run: which server, bucket and settings, and who delivers what.

use integration_tests::pattern;

use crate::server::Kind;

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) server: Kind,
    pub(crate) bucket: Bucket,
    pub(crate) processes: Processes,
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    /// The size of each upload; all but the first come when the scheduler wants it.
    pub(crate) uploads: Vec<usize>,
    /// The upload that each execution delivers.
    pub(crate) executions: Vec<usize>,
    /// The size of the file that lies under the final name at the start.
    pub(crate) former: Option<usize>,
    pub(crate) user_deletes: bool,
    /// The error names with which an execution may end here.
    pub(crate) may_fail: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bucket {
    Plain,
    Versioned,
}

/// Which processes make the calls of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processes {
    /// A new one for each call.
    OneForEachCall,
    /// One, as the command line does it; after it was killed, another.
    OneForAllStates,
}

/// Two WRITEs.
pub(crate) const SIZE: usize = 1500;

impl Scenario {
    /// One upload, delivered by `executions` executions.
    pub(crate) fn same_version(name: &str, server: Kind, executions: usize) -> Self {
        Self {
            name: name.to_owned(),
            server,
            bucket: Bucket::Plain,
            processes: Processes::OneForEachCall,
            variables: Vec::new(),
            uploads: vec![SIZE],
            executions: vec![0; executions],
            former: None,
            user_deletes: false,
            may_fail: Vec::new(),
        }
    }

    /// Two uploads of the same size, each with an execution.
    pub(crate) fn two_versions(name: &str, server: Kind) -> Self {
        let once = Self::same_version(name, server, 1);
        Self { uploads: vec![SIZE, SIZE], executions: vec![0, 1], ..once }
    }

    pub(crate) fn set(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    pub(crate) fn in_one_process(self) -> Self {
        Self { processes: Processes::OneForAllStates, ..self }
    }

    pub(crate) fn versioned(self) -> Self {
        Self { bucket: Bucket::Versioned, ..self }
    }

    /// A file of the partner's lies under the final name.
    pub(crate) fn with_former(self, size: usize) -> Self {
        Self { former: Some(size), ..self }
    }

    pub(crate) fn may_fail(self, names: &[&'static str]) -> Self {
        Self { may_fail: names.to_vec(), ..self }
    }

    pub(crate) fn is_set(&self, name: &str, value: &str) -> bool {
        self.variables.iter().any(|(known, set)| *known == name && *set == value)
    }
}

impl Scenario {
    /// Everything that may lie under a final name: its number among the uploads, and its contents.
    pub(crate) fn all_contents(&self) -> Vec<(usize, Vec<u8>)> {
        let uploads = self.uploads.iter().copied().enumerate();
        let former = self.former.map(|size| (FORMER, size));
        uploads.chain(former).map(|(upload, size)| (upload, contents(upload, size))).collect()
    }
}

/// The contents of an upload: other bytes for each upload.
fn contents(upload: usize, size: usize) -> Vec<u8> {
    pattern::noise_of(upload as u64 + 1, size)
}

/// The number that the partner's own file has among the uploads.
pub(crate) const FORMER: usize = 90;
