//! What a script is: named scripts and their turns. What a turn says is in `block`.
//!
//! The same types are built by tests (`Script::new().turn([text("hi")])`) and read from JSON by
//! the binary, so a scenario can move from a test to a file as it is:
//!
//! ```json
//! {
//!   "default": "hello",
//!   "scripts": {
//!     "hello": {
//!       "about": "Writes one file",
//!       "turns": [
//!         { "blocks": [
//!             { "type": "text", "text": "I write it.", "delay_ms": 15 },
//!             { "type": "tool_use", "name": "Write",
//!               "input": { "file_path": "{{cwd}}/a.txt", "content": "a" } } ],
//!           "attempts": [ { "kind": "status", "status": 529,
//!                           "error_type": "overloaded_error", "message": "Overloaded" } ] },
//!         { "blocks": [ { "type": "text", "text": "Done." } ] }
//!       ]
//!     }
//!   }
//! }
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{block::Block, fault::Fault};

/// Named scripts and the name of the one that answers when nothing else is asked for.
///
/// The default always exists: there is no way to build or read a set without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawScriptSet")]
pub struct ScriptSet {
    default: String,
    scripts: BTreeMap<String, Script>,
}

/// The JSON form, before it is known to be consistent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScriptSet {
    default: String,
    scripts: BTreeMap<String, Script>,
}

impl TryFrom<RawScriptSet> for ScriptSet {
    type Error = String;

    fn try_from(raw: RawScriptSet) -> Result<Self, String> {
        if let Some(name) = raw.scripts.keys().find(|name| !is_script_name(name)) {
            return Err(format!("script name {name:?}: only a-z, A-Z, 0-9, - and _ are allowed"));
        }
        if !raw.scripts.contains_key(&raw.default) {
            return Err(format!("the default script {:?} is not among the scripts", raw.default));
        }
        Ok(Self { default: raw.default, scripts: raw.scripts })
    }
}

/// Whether a marker can name it.
pub(crate) fn is_script_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl ScriptSet {
    /// A set of one script, which is the default.
    pub fn new(default: impl Into<String>, script: Script) -> Self {
        let default = default.into();
        let scripts = BTreeMap::from([(default.clone(), script)]);
        Self { default, scripts }
    }

    /// Adds a script, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, script: Script) -> Self {
        self.scripts.insert(name.into(), script);
        self
    }

    /// Reads a set from JSON. Fails on unknown fields too, so that a misspelt fault is not
    /// silently no fault.
    pub fn from_json(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    /// The name of the default script.
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// The script of that name.
    pub fn get(&self, name: &str) -> Option<&Script> {
        self.scripts.get(name)
    }

    /// All scripts by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Script)> {
        self.scripts.iter().map(|(name, script)| (name.as_str(), script))
    }
}

/// One conversation: what the assistant answers, turn by turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// One line for `--list`.
    #[serde(default)]
    pub about: String,
    /// The answers in order.
    pub turns: Vec<Turn>,
}

impl Script {
    /// A script without turns: it answers with the closing text only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the one-line description.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    /// Adds a turn.
    #[must_use]
    pub fn turn(mut self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.turns.push(Turn { blocks: blocks.into_iter().collect(), ..Turn::default() });
        self
    }

    /// The turn added last meets this fault first (call again for a second fault, and so on).
    /// Without any turn, one with no blocks is added to carry it.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.last_turn().attempts.push(fault);
        self
    }

    /// As [`Script::fault`], and this fault then repeats for ever: the turn is never answered.
    #[must_use]
    pub fn fault_forever(mut self, fault: Fault) -> Self {
        let turn = self.last_turn();
        turn.attempts.push(fault);
        turn.forever = true;
        self
    }

    fn last_turn(&mut self) -> &mut Turn {
        if self.turns.is_empty() {
            self.turns.push(Turn::default());
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last]
    }
}

/// One answer of the assistant. Its stop reason is `tool_use` if a block is, else `end_turn`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The content, in order.
    pub blocks: Vec<Block>,
    /// What goes wrong first: the n-th request for this turn meets the n-th fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Fault>,
    /// The last fault repeats instead of giving way to the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forever: bool,
}

impl Turn {
    /// What the n-th request (from 0) for this turn meets, if not the answer.
    pub(crate) fn fault_at(&self, attempt: usize) -> Option<&Fault> {
        let repeated = if self.forever { self.attempts.last() } else { None };
        self.attempts.get(attempt).or(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{emit, text, thinking, tool};
    use serde_json::json;

    #[test]
    fn a_set_survives_json() {
        let set = ScriptSet::new(
            "a",
            Script::new()
                .turn([thinking("hm").delay_ms(3), text("hi").chunk_chars(1), emit(3, 4)])
                .fault(Fault::status(429, "rate_limit_error", "slow down"))
                .turn([tool("Bash", json!({"command": "ls"}))])
                .fault_forever(Fault::hang(None)),
        );
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(ScriptSet::from_json(&json).unwrap(), set);
    }

    #[test]
    fn the_example_in_the_documentation_is_valid() {
        let doc: String = include_str!("script.rs")
            .lines()
            .skip_while(|line| *line != "//! ```json")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        let set = ScriptSet::from_json(&doc).unwrap();
        assert_eq!(set.get("hello").map(|script| script.turns.len()), Some(2));
    }

    #[test]
    fn a_set_that_could_not_be_played_is_refused() {
        for (json, why) in [
            (r#"{"default":"b","scripts":{"a":{"turns":[]}}}"#, "not among the scripts"),
            (r#"{"default":"a b","scripts":{"a b":{"turns":[]}}}"#, "script name"),
            (
                r#"{"default":"a","scripts":{"a":{"turns":[{"blocks":[],"atempts":[]}]}}}"#,
                "unknown field",
            ),
            (
                r#"{"default":"a","scripts":{"a":{"turns":[{"blocks":[{"type":"text","text":"x","delay":1}]}]}}}"#,
                "unknown field",
            ),
        ] {
            let error = ScriptSet::from_json(json).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn faults_come_in_order_and_then_the_answer_unless_forever() {
        let two = Script::new()
            .turn([text("x")])
            .fault(Fault::CloseBeforeHeaders)
            .fault(Fault::hang(None));
        let turn = &two.turns[0];
        assert_eq!(turn.fault_at(0), Some(&Fault::CloseBeforeHeaders));
        assert_eq!(turn.fault_at(1), Some(&Fault::hang(None)));
        assert_eq!(turn.fault_at(2), None);

        let for_ever = Script::new().fault_forever(Fault::CloseBeforeHeaders);
        assert_eq!(for_ever.turns[0].fault_at(99), Some(&Fault::CloseBeforeHeaders));
    }
}
