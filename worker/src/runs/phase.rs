//! The phases of a run as a state machine. The documentation of [`super`] draws it.

/// The phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The run waits for its project's turn and for a slot.
    Waiting,
    /// The sandbox is made, the project is copied into it, and the CLI starts.
    Starting,
    /// The CLI works.
    Running,
    /// The CLI has ended, and the verdict decides whether it succeeded.
    Judging,
    /// The files become a version.
    Saving,
    /// The end of a run that succeeded: the version is saved.
    Done,
    /// The end of a run that failed. Its unfinished work may have been kept as a partial version.
    Failed,
    /// The end of a run whose client left, or whose worker stopped.
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
            // Files that a client sent are saved without starting and judging a CLI.
            Self::Saving => matches!(self, Self::Judging | Self::Waiting),
            Self::Done => self == Self::Saving,
            Self::Failed | Self::Cancelled => !self.is_end(),
        }
    }

    /// Whether the phase is an end.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// The name of the phase in the worker's log.
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
