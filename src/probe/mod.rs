//! Looks regularly whether endpoints, disks and processes are up. The rules are pure, the looks are I/O.
