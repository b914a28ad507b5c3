//! Suppresses the beginning of an answer that repeats an earlier answer, which broke off.
//!
//! After an answer breaks off, the CLI asks again, and the next answer often begins with the same
//! words. They are held back as long as they repeat what users have seen. Every byte is compared
//! once, whatever the pieces are in which it comes.

use std::borrow::Cow;

/// The longest answer that is remembered, in bytes. The longest answers of models have half of it.
const MAX_REMEMBERED_BYTES: usize = 1 << 20;

/// What was shown of the present message.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The text that was shown of a message that is not complete.
    shown: String,
    /// Whether more was shown than is remembered. Then `shown` is empty.
    forgotten: bool,
    /// How much of `shown` the present attempt has repeated, in bytes. `None` if it differs.
    repeated: Option<usize>,
    /// Whether the model has announced the end of the present message. The CLI also closes a
    /// message that broke off, but without this announcement.
    ending: bool,
}

impl Replay {
    /// Notes that a message begins. If text of an incomplete message was shown, this is the next
    /// attempt at it.
    pub(super) fn begin_attempt(&mut self) {
        let broke_off = self.forgotten || !self.shown.is_empty();
        self.repeated = broke_off.then_some(0);
        self.ending = false;
    }

    /// Notes that the model announces the end of the present message.
    pub(super) fn announce_end(&mut self) {
        self.ending = true;
    }

    /// Notes that the present message is over. If its end was announced, the next message is a new
    /// one.
    pub(super) fn end(&mut self) {
        if self.ending {
            self.forget();
        }
    }

    /// Makes the next message a new one, whatever its text is.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The text that is shown for the next piece of the message.
    pub(super) fn piece<'t>(&mut self, text: &'t str) -> Option<Cow<'t, str>> {
        if text.is_empty() {
            return None;
        }
        let Some(repeated) = self.repeated.take() else {
            self.remember(text);
            return Some(Cow::Borrowed(text));
        };
        // `repeated` always is at the end of a piece that was shown, or inside one that was
        // repeated, so it is between two characters.
        let (known, ahead) = self.shown.split_at_checked(repeated).unwrap_or_default();
        if !self.forgotten && ahead.starts_with(text) {
            self.repeated = Some(repeated + text.len());
            return None;
        }
        if !self.forgotten
            && let Some(new) = text.strip_prefix(ahead)
        {
            self.remember(new);
            return Some(Cow::Borrowed(new));
        }
        // The answer differs from the one before, so it is shown whole, in a new paragraph.
        let said = format!("\n\n{known}{text}");
        self.shown.truncate(repeated);
        self.forgotten = false;
        self.remember(text);
        Some(Cow::Owned(said))
    }

    fn remember(&mut self, text: &str) {
        if self.forgotten || self.shown.len() + text.len() > MAX_REMEMBERED_BYTES {
            self.forgotten = true;
            self.shown = String::new();
        } else {
            self.shown.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::time::{ClockId, clock_gettime};
    use proptest::prelude::*;

    use super::*;

    /// What is shown of several attempts at one message, each given in its pieces.
    fn shown<S: AsRef<str>>(attempts: &[Vec<S>]) -> String {
        let mut replay = Replay::default();
        let mut all = String::new();
        for attempt in attempts {
            replay.begin_attempt();
            for piece in attempt {
                all.extend(replay.piece(piece.as_ref()));
            }
        }
        all
    }

    /// The same by the definition: each piece is compared from the beginning of the message.
    fn shown_by_definition(attempts: &[Vec<String>]) -> String {
        let (mut all, mut before) = (String::new(), String::new());
        for attempt in attempts {
            let mut said = String::new();
            let mut repeats = !before.is_empty();
            for piece in attempt.iter().filter(|piece| !piece.is_empty()) {
                said.push_str(piece);
                if !repeats {
                    all.push_str(piece);
                } else if !before.starts_with(&said) {
                    repeats = false;
                    match said.strip_prefix(&before) {
                        Some(new) => all.push_str(new),
                        None => all.extend(["\n\n", &said]),
                    }
                }
            }
            if !repeats {
                before = said;
            }
        }
        all
    }

    #[test]
    fn a_longer_answer_than_is_remembered_is_said_again_rather_than_lost() {
        let long = "あ".repeat(MAX_REMEMBERED_BYTES / 3);
        let attempts = [vec![long.as_str(), "い"], vec![long.as_str(), "う"]];
        assert_eq!(shown(&attempts), format!("{long}い\n\n{long}う"));
        assert_eq!(shown(&[vec![&*long], vec![&*long, "い"]]), format!("{long}い"));
    }

    #[test]
    fn the_time_grows_with_the_text_and_not_with_its_square() {
        // The processor time of this thread, because others may keep it waiting.
        let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        let time = |bytes: usize| -> Duration {
            let attempts = [vec!["a".repeat(bytes)], vec!["a".to_owned(); bytes]];
            let once = || {
                let began = now();
                assert_eq!(shown(&attempts).len(), bytes);
                now().saturating_sub(began)
            };
            (0..3).map(|_| once()).min().unwrap_or_default()
        };
        let (small, large) = (time(1 << 16), time(1 << 20));
        // The input is sixteen times as long. With quadratic time it would take 256 times as long.
        assert!(large < small * 64, "{small:?} {large:?}");
    }

    proptest! {
        #[test]
        fn what_is_shown_does_not_depend_on_how_it_is_compared(
            attempts in proptest::collection::vec(
                proptest::collection::vec("[aあ]{0,4}", 0..8), 0..6),
        ) {
            prop_assert_eq!(shown(&attempts), shown_by_definition(&attempts));
        }

        #[test]
        fn a_repetition_in_any_pieces_shows_nothing(
            text in "[abあ]{1,40}", cuts in proptest::collection::vec(0_usize..40, 0..10),
        ) {
            let mut pieces = Vec::new();
            let mut rest = text.as_str();
            for cut in cuts {
                let cut = rest.floor_char_boundary(cut.min(rest.len()));
                let (piece, after) = rest.split_at(cut);
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(shown(&[vec![text.as_str()], pieces]), text);
        }
    }
}
