//! The partner's disk: names, and the files that they stand for. An open file outlives its name, as on Unix.

use std::collections::BTreeMap;

/// A file, whatever it is called.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Inode {
    pub(crate) data: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) modified: u32,
    pub(crate) mode: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Directory,
    File(u32),
}

#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Files {
    names: BTreeMap<String, Node>,
    inodes: BTreeMap<u32, Inode>,
    next: u32,
}

impl Files {
    pub(crate) fn put(&mut self, path: &str, data: Vec<u8>, modified: u32) {
        let inode = self.create(path, modified);
        if let Some(inode) = self.inode_mut(inode) {
            inode.data = data;
        }
    }

    pub(crate) fn create(&mut self, path: &str, modified: u32) -> u32 {
        let number = self.next;
        self.next += 1;
        self.inodes.insert(number, Inode { data: Vec::new(), modified, mode: 0o644 });
        self.names.insert(path.to_owned(), Node::File(number));
        number
    }

    pub(crate) fn make_directory(&mut self, path: &str) {
        self.names.insert(path.to_owned(), Node::Directory);
    }

    pub(crate) fn look(&self, path: &str) -> Option<Node> {
        if path.is_empty() { Some(Node::Directory) } else { self.names.get(path).copied() }
    }

    pub(crate) fn inode(&self, number: u32) -> Option<&Inode> {
        self.inodes.get(&number)
    }

    pub(crate) fn inode_mut(&mut self, number: u32) -> Option<&mut Inode> {
        self.inodes.get_mut(&number)
    }

    /// What lies under a name.
    pub(crate) fn contents(&self, path: &str) -> Option<&[u8]> {
        match self.look(path)? {
            Node::File(number) => Some(&self.inode(number)?.data),
            Node::Directory => None,
        }
    }

    /// Every file's name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter(|(_, node)| matches!(node, Node::File(_))).map(|(name, _)| name.as_str())
    }

    pub(crate) fn unlink(&mut self, path: &str) -> Option<Node> {
        self.names.remove(path)
    }

    /// Puts the file under another name, in the place of what lies there.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(node) = self.names.remove(from) {
            self.names.insert(to.to_owned(), node);
        }
    }

    pub(crate) fn has_parent(&self, path: &str) -> bool {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.look(parent) == Some(Node::Directory)
    }

    /// Forgets files that have neither a name nor a handle, so that two states that differ in them only are the same.
    pub(crate) fn forget(&mut self, open: impl Fn(u32) -> bool) {
        let named: Vec<u32> = self
            .names
            .values()
            .filter_map(|node| match node {
                Node::File(number) => Some(*number),
                Node::Directory => None,
            })
            .collect();
        self.inodes.retain(|number, _| named.contains(number) || open(*number));
    }
}
