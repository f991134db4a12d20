//! Tells whether a media file is whole, by its structure. Pure: walks over a reader.
