//! The choice of shared skills for a message. This file has the choice without a model.

mod ask;
mod table;

pub use crate::api::request::Dimension;

pub use ask::Chosen;
pub use table::OFFERED;
use table::{WORDS, has_word};

use super::words::fold;
use crate::types::{SkillName, user_words};

/// The largest number of skills in an answer.
pub const MAX_SKILLS: usize = 5;

impl Dimension {
    /// The skill with which every game of this dimension begins.
    pub fn setup_skill(self) -> &'static str {
        match self {
            Self::Two => "p5js-setup",
            Self::Three => "threejs-setup",
        }
    }

    /// The skills that most games of this dimension need, the most important first.
    fn basics(self) -> [&'static str; 2] {
        match self {
            Self::Two => ["p5js-input", "p5js-collision"],
            Self::Three => ["threejs-input", "threejs-lighting"],
        }
    }

    /// Whether a skill is for this dimension. The names of skills say so.
    pub fn suits(self, skill: &str) -> bool {
        match self {
            Self::Two => !skill.starts_with("threejs-") && !skill.ends_with("-3d"),
            Self::Three => !skill.starts_with("p5js-") && !skill.ends_with("-2d"),
        }
    }
}

/// Chooses skills for a message among those that `exist`, without a model: the setup skill of the
/// dimension, those that the words of the message call for, and those that most games need.
pub fn choose(message: &str, dimension: Dimension, exist: &[SkillName]) -> Vec<SkillName> {
    let folded = fold(user_words(message));
    let called = WORDS
        .iter()
        .filter(|(words, _)| words.iter().any(|word| has_word(&folded, word)))
        .flat_map(|(_, skills)| skills.iter().copied());
    let [first, second] = dimension.basics();
    // The first skill that most games need comes before those that the words call for.
    let names = [dimension.setup_skill(), first].into_iter().chain(called).chain([second]);
    pick(names, dimension, exist)
}

/// The first [`MAX_SKILLS`] of `names` that exist and are for the dimension, without repetitions
/// and with the setup skill first.
pub fn pick<'n>(
    names: impl IntoIterator<Item = &'n str>,
    dimension: Dimension,
    exist: &[SkillName],
) -> Vec<SkillName> {
    let mut chosen: Vec<SkillName> = Vec::new();
    for name in std::iter::once(dimension.setup_skill()).chain(names) {
        let known = exist.iter().find(|skill| skill.as_str() == name);
        if let Some(skill) = known.filter(|skill| dimension.suits(skill.as_str()))
            && !chosen.contains(skill)
            && chosen.len() < MAX_SKILLS
        {
            chosen.push(skill.clone());
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Vec<SkillName> {
        OFFERED.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn names(chosen: &[SkillName]) -> Vec<&str> {
        chosen.iter().map(SkillName::as_str).collect()
    }

    #[test]
    fn words_call_for_skills() {
        for (message, dimension, skill) in [
            ("敵を追加して", Dimension::Two, "game-ai"),
            ("テキをふやして", Dimension::Two, "game-ai"),
            ("add a BOSS", Dimension::Three, "game-ai"),
            ("車のレースゲーム", Dimension::Three, "game-ai"),
            ("もっと滑らかなアニメーションにして", Dimension::Two, "tween-animation"),
            ("海で泳ぐゲーム", Dimension::Three, "threejs-water"),
            ("かわいくして", Dimension::Two, "kawaii-colors"),
            ("カワイイ猫", Dimension::Three, "kawaii-3d"),
            ("爆発を派手に", Dimension::Two, "visual-polish-2d"),
            ("ネオンの街", Dimension::Three, "visual-polish-3d"),
            ("スマホで操作", Dimension::Two, "p5js-input"),
        ] {
            let chosen = choose(message, dimension, &offered());
            assert!(names(&chosen).contains(&skill), "{message}: {chosen:?}");
            assert_eq!(chosen[0].as_str(), dimension.setup_skill());
            assert!(chosen.len() <= MAX_SKILLS);
        }
    }

    #[test]
    fn a_message_without_such_words_gets_what_most_games_need() {
        let of = |dimension| names(&choose("ゲーム", dimension, &offered())).join(" ");
        assert_eq!(of(Dimension::Two), "p5js-setup p5js-input p5js-collision");
        assert_eq!(of(Dimension::Three), "threejs-setup threejs-input threejs-lighting");
    }

    #[test]
    fn english_words_are_whole_words() {
        assert!(has_word("my car!", "car"));
        assert!(!has_word("scary card", "car"));
        assert!(!has_word("said again", "ai"));
        assert!(has_word("敵のaiを", "ai"));
    }

    #[test]
    fn only_what_exists_and_suits_is_chosen() {
        let exist: Vec<SkillName> =
            ["p5js-setup", "threejs-water", "game-ai"].map(|name| name.parse().unwrap()).into();
        assert_eq!(names(&choose("敵と海", Dimension::Two, &exist)), ["p5js-setup", "game-ai"]);
        assert!(choose("敵", Dimension::Two, &[]).is_empty());
        for dimension in [Dimension::Two, Dimension::Three] {
            let all = choose(&"敵 海 かわいい 光 アニメ 車".repeat(9), dimension, &offered());
            assert_eq!(all.len(), MAX_SKILLS);
            assert!(all.iter().all(|skill| dimension.suits(skill.as_str())), "{all:?}");
        }
    }

    #[test]
    fn the_table_names_only_offered_skills_in_folded_words() {
        for (words, skills) in WORDS {
            for word in *words {
                assert_eq!(fold(word), *word);
            }
            assert!(skills.iter().all(|skill| OFFERED.contains(skill)), "{skills:?}");
        }
    }
}
