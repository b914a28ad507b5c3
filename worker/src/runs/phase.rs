//! The phases of a run as a state machine; drawn in the documentation of [`super`].

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for its project's turn and for a slot.
    Waiting,
    /// The sandbox is made, the project is copied into it, the CLI comes up.
    Starting,
    /// The CLI works.
    Running,
    /// The CLI has ended, and it is decided whether it succeeded.
    Judging,
    /// The files become a version.
    Saving,
    /// The end: they are one.
    Done,
    /// The end: something went wrong. What there is of the work may be kept as a partial version.
    Failed,
    /// The end: the client left, or the worker stopped.
    Cancelled,
}

impl Phase {
    /// Whether this phase may come next.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Waiting => false,
            Self::Starting => self == Self::Waiting,
            Self::Running => self == Self::Starting,
            Self::Judging => self == Self::Running,
            // Files that a client sent are saved as they are.
            Self::Saving => matches!(self, Self::Judging | Self::Waiting),
            Self::Done => self == Self::Saving,
            Self::Failed | Self::Cancelled => !self.is_end(),
        }
    }

    /// Whether nothing comes after it.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// For the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Judging => "judging",
            Self::Saving => "saving",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::{Cancelled, Done, Failed, Judging, Running, Saving, Starting, Waiting};
    use super::*;

    const ALL: [Phase; 8] = [Waiting, Starting, Running, Judging, Saving, Done, Failed, Cancelled];

    #[test]
    fn the_phases_follow_each_other_as_they_are_drawn() {
        let drawn = [
            (Waiting, Starting),
            (Waiting, Saving),
            (Starting, Running),
            (Running, Judging),
            (Judging, Saving),
            (Saving, Done),
        ];
        for from in ALL {
            for to in ALL {
                let breaks_off = !from.is_end() && matches!(to, Failed | Cancelled);
                let expected = drawn.contains(&(from, to)) || breaks_off;
                assert_eq!(from.may_become(to), expected, "{from:?} to {to:?}");
            }
        }
    }
}
