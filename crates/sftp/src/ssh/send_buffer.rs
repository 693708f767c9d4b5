//! How many bytes TCP keeps in flight. Everything that is not acknowledged is in the send buffer of a connection.
//!
//! Linux lets a send buffer grow to `tcp_wmem`, by default 4 MiB: at 50 ms, a connection then sends about 60 MB/s.
//! Instead, a process may ask for a fixed size up to `wmem_max`, and the kernel doubles it. If that is more than 4 MiB,
//! more channels are worth it.

use std::sync::LazyLock;

/// The largest size to ask for, in bytes: the kernel doubles it.
const WANTED: usize = 4 * 1024 * 1024;

/// What Linux grows to by default, in bytes.
const USUAL: usize = 4 * 1024 * 1024;

/// The limits of this machine.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How far a buffer grows by itself, in bytes.
    grows_to: usize,
    /// What a process may ask for, in bytes.
    may_ask: usize,
}

static LIMITS: LazyLock<Limits> = LazyLock::new(|| {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    Limits::parse(&read("/proc/sys/net/ipv4/tcp_wmem"), &read("/proc/sys/net/core/wmem_max"))
});

impl Limits {
    /// From the texts of Linux's settings; empty if there are none.
    fn parse(tcp_wmem: &str, wmem_max: &str) -> Self {
        let last = |text: &str| text.split_whitespace().last()?.parse().ok();
        Self { grows_to: last(tcp_wmem).unwrap_or(USUAL), may_ask: last(wmem_max).unwrap_or(0) }
    }

    /// See [`wanted`].
    fn wanted(self) -> Option<usize> {
        let asked = self.may_ask.min(WANTED);
        (2 * asked > self.grows_to).then_some(asked)
    }

    /// See [`capacity`].
    fn capacity(self) -> usize {
        self.wanted().map_or(self.grows_to, |asked| 2 * asked)
    }
}

/// The size to ask for; `None` if the buffer grows as far by itself.
pub(crate) fn wanted() -> Option<usize> {
    LIMITS.wanted()
}

/// How many bytes a connection can have in flight, with their headers.
pub(crate) fn capacity() -> usize {
    LIMITS.capacity()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_size_is_asked_for_only_if_the_buffer_does_not_grow_as_far() {
        let told = |wmem, max| {
            let limits = Limits::parse(wmem, max);
            (limits.wanted(), limits.capacity())
        };
        let usual = "4096\t16384\t4194304\n";
        assert_eq!(told(usual, "212992\n"), (None, 4 * MIB), "Linux's default");
        assert_eq!(told(usual, "4194304\n"), (Some(4 * MIB), 8 * MIB));
        assert_eq!(told(usual, "67108864\n"), (Some(4 * MIB), 8 * MIB));
        assert_eq!(told("4096 16384 33554432", "4194304"), (None, 32 * MIB));
        assert_eq!(told("", ""), (None, 4 * MIB), "not Linux");
    }
}
