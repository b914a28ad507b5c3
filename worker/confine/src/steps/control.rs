//! The launcher's end of the control socket.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};

use super::{StepError, StepResult, descriptors};
use dreamcore_wire::control::{MAX_LINE_BYTES, Message, Outcome};
use dreamcore_wire::plan::{Demand, Mechanism, Plan};

/// The socket to the worker. Closed on exec, so the confined program never holds it.
pub(crate) struct Control(OwnedFd);

impl Control {
    /// Takes the descriptor that the worker passed. Must be called first, once.
    pub(crate) fn inherit() -> StepResult<Self> {
        descriptors::take_control().map(Self)
    }

    /// Reads the plan: one line, then nothing more is ever sent.
    pub(crate) fn read_plan(&self) -> StepResult<Plan> {
        let mut line = Vec::new();
        let mut chunk = [0_u8; 8192];
        while line.last() != Some(&b'\n') {
            let n = recv(self.0.as_raw_fd(), &mut chunk, MsgFlags::empty())
                .map_err(StepError::at("read plan"))?;
            if n == 0 || line.len() + n > MAX_LINE_BYTES {
                let reason = "the plan ended early or is too long".to_owned();
                return Err(StepError { step: "read plan", reason });
            }
            line.extend(chunk.iter().take(n));
        }
        serde_json::from_slice(&line).map_err(StepError::at("read plan"))
    }

    /// Sends one message. Fails when the worker is gone.
    pub(crate) fn send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, &[])
    }

    /// Sends the listener that was opened inside the sandbox.
    pub(crate) fn send_listener(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        self.send_with(&Message::Listener, &[listener.as_raw_fd()])
    }

    fn send_with(&self, message: &Message, fds: &[RawFd]) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let rights = [ControlMessage::ScmRights(fds)];
        let attached = if fds.is_empty() { &[][..] } else { &rights[..] };
        // MSG_NOSIGNAL: a worker that is gone is an error here, not the end of the launcher.
        let sent = sendmsg::<()>(
            self.0.as_raw_fd(),
            &[IoSlice::new(&line)],
            attached,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Reports whether a mechanism holds, and fails if it does not but must.
    pub(crate) fn outcome(
        &self,
        plan: &Plan,
        mechanism: Mechanism,
        result: Result<String, String>,
    ) -> StepResult {
        let (applied, detail) = match result {
            Ok(detail) => (true, detail),
            Err(reason) if plan.demand(mechanism) == Demand::Required => {
                return Err(StepError { step: mechanism.name(), reason });
            }
            Err(reason) => (false, reason),
        };
        let outcome = Outcome { mechanism, applied, detail };
        self.send(&Message::Outcome(outcome)).map_err(StepError::at("report"))
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
