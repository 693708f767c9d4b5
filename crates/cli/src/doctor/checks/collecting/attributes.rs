//! `attributes`: whether the server tells type, size and time of a file, the same in a listing and in a look at it. A file
//! is known by them, and a file that is still being written shows itself by them.

use partner::files::Reply;
use sftp::Attributes;

use super::{collecting, on_server};
use crate::doctor::examination::{Doctor, Step, answer};
use crate::doctor::report::Finding;

/// What is wrong with some of the files.
#[derive(Default)]
struct Odd {
    /// The listing does not tell size or time.
    untold: usize,
    /// Not even a look does.
    unknown: usize,
    /// The first file of which the two differ; says how.
    differs: Option<String>,
    compared: usize,
}

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let (collecting, sftp) = (collecting(doctor)?, doctor.sftp()?);
    let mut odd = Odd::default();
    for (name, listed) in std::mem::take(&mut doctor.sample) {
        let path = on_server(&collecting, &name);
        let seen = match answer(sftp.lstat(&path).await)? {
            Reply::Done(Some(seen)) => seen,
            // The partner has taken it away.
            Reply::Done(None) => continue,
            Reply::Refused(status) => {
                return Ok(Finding::fail(
                    format!("the server lists {path:?} and refuses a look at it: {status}"),
                    "a file is looked at before and after it is read: ask the partner to permit LSTAT",
                ));
            }
        };
        odd.add(&path, listed, seen);
    }
    Ok(odd.finding())
}

impl Odd {
    fn add(&mut self, path: &str, listed: Attributes, seen: Attributes) {
        self.compared += 1;
        self.untold += usize::from(listed.size.is_none() || listed.modified.is_none());
        self.unknown += usize::from(seen.size.is_none());
        let differs =
            |one: Option<u64>, other: Option<u64>| one.zip(other).filter(|(one, other)| one != other);
        let time = |attributes: Attributes| attributes.modified.map(u64::from);
        for (what, pair) in
            [("size", differs(listed.size, seen.size)), ("time", differs(time(listed), time(seen)))]
        {
            if let Some((listed, seen)) = pair {
                let words = format!("{path:?}: the listing says {what} {listed}, a look at the file {seen}");
                self.differs.get_or_insert(words);
            }
        }
    }

    fn finding(self) -> Finding {
        let Self { untold, unknown, differs, compared } = self;
        if compared == 0 {
            return Finding::absent(
                "no file is there to compare; run this again when the partner has left one",
            );
        }
        if unknown > 0 {
            return Finding::fail(
                format!("the server does not tell the size of {unknown} of {compared} files"),
                "such a file is never collected: nobody could tell when it is finished. Ask the partner for another server program",
            );
        }
        if let Some(differs) = differs {
            return Finding::warn(
                differs,
                "if that file is just being written, run this again. Otherwise each file would be taken for one that is still changing: ask the partner what alters sizes or times",
            );
        }
        if untold > 0 {
            return Finding::warn(
                format!(
                    "the listing does not tell size or time of {untold} of {compared} files; a look at each does"
                ),
                "nothing to do: each file is looked at, which takes longer",
            );
        }
        Finding::ok(format!(
            "size and time of {compared} files are the same in the listing and in a look at each"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Status;

    fn shown(size: Option<u64>, modified: Option<u32>) -> Attributes {
        Attributes { size, modified, ..Attributes::default() }
    }

    #[test]
    fn what_is_not_told_or_differs_is_said() {
        let whole = shown(Some(5), Some(7));
        for (listed, seen, status) in [
            (whole, whole, Status::Ok),
            (shown(None, Some(7)), whole, Status::Warn),
            (shown(Some(5), None), shown(Some(5), None), Status::Warn),
            (shown(None, None), shown(None, Some(7)), Status::Fail),
            (shown(Some(4), Some(7)), whole, Status::Warn),
            (shown(Some(5), Some(3_607)), whole, Status::Warn),
        ] {
            let mut odd = Odd::default();
            odd.add("a", listed, seen);
            assert_eq!(odd.finding().status, status, "{listed:?} {seen:?}");
        }
        assert_eq!(Odd::default().finding().status, Status::Absent);
    }
}
