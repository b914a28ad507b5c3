//! What was shown of an answer that broke off, so that the next attempt does not say it again.
//!
//! After an answer breaks off, the CLI asks again, and the next answer often begins with the same
//! words. They are held back for as long as they repeat what was shown. Every byte is compared
//! once, whatever the pieces are in which it comes.

use std::borrow::Cow;

/// The longest answer that is remembered, in bytes. The longest that a model gives is half of it.
const MAX_REMEMBERED_BYTES: usize = 1 << 20;

/// An answer that is being shown.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// What was shown of the message whose end has not been seen.
    shown: String,
    /// Whether more was shown than is remembered; then nothing is.
    forgotten: bool,
    /// How much of `shown` the attempt under way has repeated; `None` if it says something new.
    repeated: Option<usize>,
    /// Whether the message under way has announced its end. The CLI closes broken messages itself,
    /// but does not announce it.
    ending: bool,
}

impl Replay {
    /// A message begins. If text of one without an end was shown, this is the next attempt at it.
    pub(super) fn begin_attempt(&mut self) {
        let broke_off = self.forgotten || !self.shown.is_empty();
        self.repeated = broke_off.then_some(0);
        self.ending = false;
    }

    /// The message under way says that it ends.
    pub(super) fn announce_end(&mut self) {
        self.ending = true;
    }

    /// The message under way is over. If it announced that, the next one is no attempt at it.
    pub(super) fn end(&mut self) {
        if self.ending {
            self.forget();
        }
    }

    /// The next message is another one, whatever it says.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What is to be shown for the next piece of the message.
    pub(super) fn piece<'t>(&mut self, text: &'t str) -> Option<Cow<'t, str>> {
        if text.is_empty() {
            return None;
        }
        let Some(repeated) = self.repeated.take() else {
            self.remember(text);
            return Some(Cow::Borrowed(text));
        };
        // It always ends where a piece that was shown ends, or within one that was repeated.
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
        // Another answer than before: it stands for itself, on a new line.
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
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    /// The attempts at one message, each in its pieces; what is shown of them.
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

    /// The same by the definition: compared from the beginning with every piece.
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
        let time = |bytes: usize| -> Duration {
            let attempts = [vec!["a".repeat(bytes)], vec!["a".to_owned(); bytes]];
            let once = || {
                let began = Instant::now();
                assert_eq!(shown(&attempts).len(), bytes);
                began.elapsed()
            };
            (0..3).map(|_| once()).min().unwrap_or_default()
        };
        let (small, large) = (time(1 << 16), time(1 << 20));
        // Sixteen times as much; its square would be 256 times.
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
