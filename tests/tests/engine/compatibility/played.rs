//! Servers that cannot be installed, played by the one inside the test.
