//! Makes events out of bytes: lines, then multi-line events, both bounded. Pure.
