//! Confirms, repairs and proves: carries out what `decide` asks for. I/O.
