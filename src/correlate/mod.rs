//! Makes incidents and download jobs out of events. Pure.
