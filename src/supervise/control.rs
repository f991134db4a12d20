//! Names what the agent and the shepherd of a bot say to each other, one line each. Pure.

/// The longest line either side accepts; everything said is far shorter.
pub const MAX_LINE: usize = 512;

/// What the agent asks of the shepherd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End the tree: this signal to every process, the grace, then SIGKILL.
    Stop(i32),
    /// End the tree now.
    Kill,
    /// Pass this signal to the bot itself.
    Signal(i32),
}

/// What the shepherd reports to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The bot runs under this process number.
    Pid(u32),
    /// The bot ended with this code.
    Exited(i32),
    /// The bot was ended by this signal.
    Killed {
        /// Its number; 0 when the kernel named none we know.
        signal: i32,
        /// Whether it left a core dump.
        core: bool,
    },
}

impl Order {
    /// As a line, with its end.
    #[must_use]
    pub fn line(self) -> String {
        match self {
            Self::Stop(signal) => format!("stop {signal}\n"),
            Self::Kill => "kill\n".into(),
            Self::Signal(signal) => format!("signal {signal}\n"),
        }
    }

    /// From a line without its end.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        match (words.next()?, words.next()) {
            ("stop", Some(signal)) => signal.parse().ok().map(Self::Stop),
            ("kill", None) => Some(Self::Kill),
            ("signal", Some(signal)) => signal.parse().ok().map(Self::Signal),
            _ => None,
        }
    }
}

impl Report {
    /// As a line, with its end.
    #[must_use]
    pub fn line(self) -> String {
        match self {
            Self::Pid(pid) => format!("pid {pid}\n"),
            Self::Exited(code) => format!("exited {code}\n"),
            Self::Killed { signal, core } => format!("killed {signal} {}\n", u8::from(core)),
        }
    }

    /// From a line without its end.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let word = words.next()?;
        let number = words.next()?;
        match word {
            "pid" => number.parse().ok().map(Self::Pid),
            "exited" => number.parse().ok().map(Self::Exited),
            "killed" => number.parse().ok().map(|signal| Self::Killed { signal, core: words.next() == Some("1") }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for order in [Order::Stop(15), Order::Kill, Order::Signal(10)] {
            assert_eq!(Order::parse(order.line().trim_end()), Some(order));
        }
        for report in [Report::Pid(7), Report::Exited(3), Report::Killed { signal: 11, core: true }] {
            assert_eq!(Report::parse(report.line().trim_end()), Some(report));
        }
        assert_eq!(Order::parse("stop"), None);
        assert_eq!(Report::parse("pid x"), None);
    }
}
