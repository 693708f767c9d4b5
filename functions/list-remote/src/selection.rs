//! The oldest files of a walk, in bounded memory.

use std::collections::BinaryHeap;

use bridge::collect::{ListCursor, RemoteFile};

use crate::limits::Limits;

/// A file that may be started, without what all files have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Comes first: it decides the order.
    place: ListCursor,
    size: u64,
    modified: Option<u32>,
}

/// The oldest files of a walk. What does not fit is left to another walk, which begins behind the last of these.
#[derive(Debug)]
pub(crate) struct Selection {
    limits: Limits,
    /// The newest is on top.
    held: BinaryHeap<Candidate>,
    bytes: usize,
    /// The oldest file that did not fit. Nothing from here on is held, or the next walk would miss what lies between.
    cut: Option<ListCursor>,
}

impl Selection {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, held: BinaryHeap::new(), bytes: 0, cut: None }
    }

    /// Whether files were left to another walk.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// How many files are held.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Adds a file, and drops the newest if there is no room.
    pub(crate) fn add(&mut self, file: RemoteFile) {
        let place = ListCursor::of(&file);
        if self.cut.as_ref().is_some_and(|cut| place >= *cut) {
            return;
        }
        self.bytes += place.path.len();
        self.held.push(Candidate { place, size: file.size, modified: file.modified });
        // One is always held, or the look would never come to an end.
        while self.held.len() > 1
            && (self.held.len() > self.limits.candidates || self.bytes > self.limits.candidate_bytes)
        {
            let Some(newest) = self.held.pop() else { break };
            self.bytes -= newest.place.path.len();
            self.cut = Some(newest.place);
        }
    }

    /// The files, oldest first.
    pub(crate) fn into_files(self, host: &str, directory: &str) -> impl Iterator<Item = RemoteFile> {
        self.held.into_sorted_vec().into_iter().map(move |Candidate { place, size, modified }| RemoteFile {
            host: host.to_owned(),
            directory: directory.to_owned(),
            path: place.path,
            size,
            modified,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, modified: Option<u32>) -> RemoteFile {
        RemoteFile { host: "h".into(), directory: "d".into(), path: path.into(), size: 1, modified }
    }

    /// One look: walks over all files until none is left, and what is started in which order.
    fn look(files: &[RemoteFile], limits: Limits) -> Vec<RemoteFile> {
        let (mut cursor, mut started) = (None, Vec::new());
        for _ in 0..=files.len() {
            let mut selection = Selection::new(limits);
            for file in files.iter().filter(|file| Some(ListCursor::of(file)) > cursor) {
                selection.add(file.clone());
                assert!(
                    selection.held.len() <= limits.candidates && selection.bytes <= limits.candidate_bytes
                );
            }
            let is_cut = selection.is_cut();
            started.extend(selection.into_files("h", "d"));
            cursor = started.last().map(ListCursor::of);
            if !is_cut {
                break;
            }
        }
        started
    }

    #[test]
    fn the_oldest_come_first_and_none_is_missed_however_little_room_there_is() {
        let long = "x".repeat(40);
        let mut files: Vec<RemoteFile> = (0..200_u32)
            .map(|number| {
                file(&format!("{number}{}", &long[..number as usize % 40]), Some(number * 7919 % 50))
            })
            .collect();
        files.push(file("without a time", None));
        let mut sorted = files.clone();
        sorted.sort_by_key(ListCursor::of);
        for (candidates, candidate_bytes) in [(1, 100), (7, 10_000), (1_000, 64), (50, 200), (1_000, 100_000)]
        {
            let limits = Limits { candidates, candidate_bytes, ..Limits::default() };
            assert_eq!(look(&files, limits), sorted, "{candidates} {candidate_bytes}");
        }
    }

    #[test]
    fn what_is_newer_than_what_was_dropped_is_not_held_although_there_is_room() {
        let mut selection = Selection::new(Limits { candidate_bytes: 10, ..Limits::default() });
        selection.add(file("old", Some(1)));
        selection.add(file("a-long-name", Some(2)));
        selection.add(file("new", Some(3)));
        assert!(selection.is_cut());
        let held: Vec<String> = selection.into_files("h", "d").map(|file| file.path).collect();
        assert_eq!(held, ["old"]);
    }
}
