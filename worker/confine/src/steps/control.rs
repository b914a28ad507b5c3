//! The launcher's end of the control socket.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use dreamcore_wire::control::{Failure, Message, Outcome, Step};
use dreamcore_wire::line;
use dreamcore_wire::plan::{Demand, Mechanism, Plan};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};

use super::{StepResult, descriptors};

/// The socket to the worker. The kernel closes it on exec, so the confined program never holds it.
pub(crate) struct Control(OwnedFd);

impl Control {
    /// Takes the descriptor that the worker passed. Must be called first, once.
    pub(crate) fn inherit() -> StepResult<Self> {
        descriptors::take_control().map(Self)
    }

    /// Reads the plan: one line, the only one that the worker ever sends.
    pub(crate) fn read_plan(&self) -> StepResult<Plan> {
        let mut line = Vec::new();
        let mut chunk = [0_u8; 8192];
        while line.last() != Some(&b'\n') {
            let n = recv(self.0.as_raw_fd(), &mut chunk, MsgFlags::empty())
                .map_err(Failure::at(Step::Plan))?;
            if n == 0 || line.len() + n > line::MAX_BYTES {
                return Err(Failure::at(Step::Plan)("it ended early or is too long"));
            }
            line.extend(chunk.iter().take(n));
        }
        line::decode(&line).map_err(Failure::at(Step::Plan))
    }

    /// Sends one message. Fails if the worker has ended.
    pub(crate) fn send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, &[])
    }

    /// Sends the listener that was opened inside the sandbox.
    pub(crate) fn send_listener(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        self.send_with(&Message::Listener, &[listener.as_raw_fd()])
    }

    fn send_with(&self, message: &Message, fds: &[RawFd]) -> io::Result<()> {
        let line = line::encode(message)?;
        let rights = [ControlMessage::ScmRights(fds)];
        let attached = if fds.is_empty() { &[][..] } else { &rights[..] };
        // MSG_NOSIGNAL: if the worker has ended, this call fails instead of raising SIGPIPE, which
        // would end the launcher before it has cleaned up.
        let sent = sendmsg::<()>(
            self.0.as_raw_fd(),
            &[IoSlice::new(&line)],
            attached,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Reports whether a mechanism was applied, and fails if it was not and the plan requires it.
    pub(crate) fn outcome(
        &self,
        plan: &Plan,
        mechanism: Mechanism,
        result: Result<String, String>,
    ) -> StepResult {
        let (applied, detail) = match result {
            Ok(detail) => (true, detail),
            Err(reason) if plan.demand(mechanism) == Demand::Required => {
                return Err(Failure { step: Step::Mechanism(mechanism), reason });
            }
            Err(reason) => (false, reason),
        };
        let outcome = Outcome { mechanism, applied, detail };
        self.send(&Message::Outcome(outcome)).map_err(Failure::at(Step::Report))
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
