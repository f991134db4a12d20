//! Holds the seam: `step`, one deterministic function; `run`, the only loop.
