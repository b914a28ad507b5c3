//! Makes a list of steps from an answer and a fault.
//!
//! The meaning of each fault is decided here, without I/O, so that tests need not wait.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    fault::Fault,
    message::{Message, Timed},
    wire::{self, ApiError, Event},
};

/// What the server does with a request.
pub(crate) enum Plan {
    /// Close the connection without a byte.
    Close,
    /// Send an answer.
    Answer(Answer),
}

/// An HTTP answer in steps.
pub(crate) struct Answer {
    /// How long to wait before the status line.
    pub(crate) hang: Option<Wait>,
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) steps: Vec<Step>,
}

/// One step of a body.
pub(crate) enum Step {
    Send(Timed),
    Wait(Wait),
    /// Drop the connection.
    Cut,
}

/// How long a silence lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wait {
    For(Duration),
    Forever,
}

impl Wait {
    pub(crate) fn new(ms: Option<u64>) -> Self {
        ms.map_or(Self::Forever, |ms| Self::For(Duration::from_millis(ms)))
    }
}

impl Answer {
    /// A body in one piece.
    pub(crate) fn whole(status: u16, content_type: &str, body: Bytes) -> Self {
        Self::in_steps(status, content_type, vec![send(body)])
    }

    /// An error in Anthropic's JSON form.
    pub(crate) fn error(status: u16, error_type: &str, message: &str) -> Self {
        Self::whole(status, wire::JSON, wire::error_json(error_type, message))
    }

    fn in_steps(status: u16, content_type: &str, steps: Vec<Step>) -> Self {
        Self { hang: None, status, content_type: content_type.into(), headers: Vec::new(), steps }
    }
}

fn send(frame: Bytes) -> Step {
    Step::Send(Timed { gap: Duration::ZERO, frame })
}

/// The plan for a turn's message and the fault that this request meets, if any.
pub(crate) fn plan(message: &Message, stream: bool, fault: Option<&Fault>) -> Plan {
    let mut answer = if stream {
        let steps = message.events().into_iter().map(Step::Send).collect();
        Answer::in_steps(200, wire::EVENT_STREAM, steps)
    } else {
        Answer::whole(200, wire::JSON, message.json())
    };
    match fault {
        None => {}
        Some(Fault::CloseBeforeHeaders) => return Plan::Close,
        Some(Fault::HangBeforeHeaders { ms }) => answer.hang = Some(Wait::new(*ms)),
        Some(Fault::Status { status, error_type, message, retry_after_s, headers }) => {
            answer = Answer::error(*status, error_type, message);
            answer.headers = headers.clone().into_iter().collect();
            answer
                .headers
                .extend(retry_after_s.map(|seconds| ("retry-after".into(), seconds.to_string())));
        }
        Some(Fault::Garbage { body, content_type }) => {
            answer = Answer::whole(200, content_type, body.clone().into());
        }
        Some(Fault::StallAfter { events, ms }) => {
            let at = break_point(&mut answer, stream, *events);
            answer.steps.insert(at, Step::Wait(Wait::new(*ms)));
        }
        Some(Fault::CutAfter { events }) => {
            let at = break_point(&mut answer, stream, *events);
            answer.steps.truncate(at);
            answer.steps.push(Step::Cut);
        }
        Some(Fault::ErrorEventAfter { events, error_type, message }) => {
            if stream {
                answer.steps.truncate(*events);
                let error = ApiError { kind: error_type, message };
                answer.steps.push(send(Event::Error { error }.frame()));
            } else {
                // If the request does not stream, the API reports the same error by a status.
                answer = Answer::error(wire::status_of(error_type), error_type, message);
            }
        }
    }
    Plan::Answer(answer)
}

/// The index of the step before which a body breaks. A JSON body, which has no events, is cut in
/// two halves first and breaks between them.
fn break_point(answer: &mut Answer, stream: bool, events: usize) -> usize {
    if stream {
        return events.min(answer.steps.len());
    }
    if let [Step::Send(Timed { frame, .. })] = answer.steps.as_mut_slice() {
        let rest = frame.split_off(frame.len() / 2);
        answer.steps.push(send(rest));
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{block::text, message::Context, wire::Usage};

    fn answer(stream: bool, fault: &Fault) -> Answer {
        let context =
            Context { message_id: "msg_1".into(), model: "m", cwd: None, usage: Usage::default() };
        match plan(&Message::new(&[text("hello")], context), stream, Some(fault)) {
            Plan::Answer(answer) => answer,
            Plan::Close => panic!("closed"),
        }
    }

    /// `E` for an event, `W` for a wait, `X` for a cut, `!` for an error event.
    fn shape(answer: &Answer) -> String {
        let letter = |step: &Step| match step {
            Step::Send(Timed { frame, .. }) if frame.starts_with(b"event: error") => '!',
            Step::Send(_) => 'E',
            Step::Wait(_) => 'W',
            Step::Cut => 'X',
        };
        answer.steps.iter().map(letter).collect()
    }

    #[test]
    fn a_stalled_stream_goes_on_where_it_stopped() {
        let stalled = answer(true, &Fault::stall_after(2, 5));
        assert_eq!(shape(&stalled), "EEWEEEEE");
        assert!(matches!(stalled.steps[2], Step::Wait(Wait::For(_))));
        let for_ever = answer(true, &Fault::stall_after(99, None));
        assert_eq!(shape(&for_ever), "EEEEEEEW");
        assert!(matches!(for_ever.steps[7], Step::Wait(Wait::Forever)));
    }

    #[test]
    fn a_cut_stream_has_no_end() {
        assert_eq!(shape(&answer(true, &Fault::cut_after(3))), "EEEX");
        assert_eq!(shape(&answer(true, &Fault::cut_after(0))), "X");
    }

    #[test]
    fn an_error_event_ends_the_stream() {
        let answer = answer(true, &Fault::error_event_after(3, "overloaded_error"));
        assert_eq!((answer.status, shape(&answer).as_str()), (200, "EEE!"));
    }

    #[test]
    fn faults_within_a_body_hit_json_answers_too() {
        assert_eq!(shape(&answer(false, &Fault::cut_after(3))), "EX");
        assert_eq!(shape(&answer(false, &Fault::stall_after(3, None))), "EWE");
        let error = answer(false, &Fault::error_event_after(3, "overloaded_error"));
        assert_eq!((error.status, shape(&error).as_str()), (529, "E"));
    }

    #[test]
    fn a_status_carries_its_headers() {
        let fault = Fault::status(429, "rate_limit_error", "slow down")
            .retry_after(7)
            .header("x-should-retry", "false");
        let answer = answer(true, &fault);
        assert_eq!(answer.status, 429);
        assert!(answer.headers.contains(&("retry-after".into(), "7".into())));
        assert!(answer.headers.contains(&("x-should-retry".into(), "false".into())));
    }

    #[test]
    fn a_hang_comes_before_a_real_answer() {
        let answer = answer(true, &Fault::hang(3));
        assert_eq!(answer.hang, Some(Wait::For(Duration::from_millis(3))));
        assert_eq!(shape(&answer), "EEEEEEE");
    }
}
