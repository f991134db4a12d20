//! Knows every file of the library: what it is, whether it is whole, how it looks.
