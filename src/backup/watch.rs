//! Says how work holds still, ends, and tells how far it is. Pure: an interface.

/// Somebody asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Whoever watches over the work.
pub trait Watch {
    /// A safe point, at `done` bytes: holds still while that is wanted.
    ///
    /// # Errors
    /// When the work is to end here.
    fn point(&mut self, done: u64) -> Result<(), Stopped>;

    /// What comes next, and how many bytes there are in all, once that is known.
    fn tell(&mut self, what: &str, total: Option<u64>);

    /// A question for long calls: whether they may go on. They are begun anew after a pause.
    fn go_on(&self) -> Box<dyn FnMut() -> bool + Send>;
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn point(&mut self, _: u64) -> Result<(), Stopped> {
        Ok(())
    }

    fn tell(&mut self, _: &str, _: Option<u64>) {}

    fn go_on(&self) -> Box<dyn FnMut() -> bool + Send> {
        Box::new(|| true)
    }
}
