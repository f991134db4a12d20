//! Runs what takes time: one queue, one set of states, progress. The rules are pure, the workers are I/O.
