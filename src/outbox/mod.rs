//! Delivers notifications, however long it takes.
