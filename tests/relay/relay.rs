//! The relay's client, and what the relay's server does with a message of a user.

use harness::script::ScriptSet;
use harness::{Answer, Event, Ids, Setup, Stream, Worker, terminal};
use serde_json::{Value, json};

use crate::page;

/// A relay that serves one user and one project.
pub(crate) struct Relay {
    /// The worker that the relay uses.
    pub(crate) worker: Worker,
    /// The project and its user.
    pub(crate) ids: Ids,
    /// The relay's setting `MODAL_ENDPOINT`.
    endpoint: String,
    /// The relay's data folder, which its prompts name.
    pub(crate) data_folder: String,
    /// The conversation, as the relay stores it.
    conversation: Vec<Value>,
}

/// What happened because of a message of the user.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// A run took place.
    Generated {
        /// All events of its stream.
        events: Vec<Event>,
        /// The assistant's reply: all streamed text together.
        reply: String,
    },
    /// The assistant answered in words.
    Answered {
        /// The answer.
        message: String,
        /// The texts of the buttons below the answer.
        suggestions: Vec<String>,
    },
    /// An earlier version was restored.
    Restored(page::Version),
    /// There was no earlier version.
    NothingToRestore,
}

impl Reaction {
    /// The reply of a run that succeeded.
    pub(crate) fn reply(self) -> String {
        match self {
            Self::Generated { events, reply } => {
                assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
                reply
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Relay {
    /// Starts a worker whose model plays these scripts, and a relay whose endpoint is the worker's
    /// `generate_game`.
    pub(crate) async fn start(setup: Setup, scripts: ScriptSet) -> Self {
        Self::start_for(Ids::new(), setup, scripts).await
    }

    /// The same for a project whose ids are in the scripts.
    pub(crate) async fn start_for(ids: Ids, setup: Setup, scripts: ScriptSet) -> Self {
        let worker = setup.scripts(scripts).start().await;
        let endpoint = format!("{}/generate_game", worker.base_url());
        Self { worker, ids, endpoint, data_folder: "/data".to_owned(), conversation: Vec::new() }
    }

    /// The URL of an endpoint: the relay replaces the first `generate-game` or `generate_game` in
    /// its setting by the name with hyphens.
    fn url(&self, endpoint: &str) -> String {
        let name = endpoint.replace('_', "-");
        let found = ["generate-game", "generate_game"]
            .into_iter()
            .filter_map(|own| Some((self.endpoint.find(own)?, own)))
            .min();
        let (_, own) = found.expect("the endpoint names generate_game");
        self.endpoint.replacen(own, &name, 1)
    }

    fn path(&self, endpoint: &str) -> String {
        let url = self.url(endpoint);
        url.strip_prefix(self.worker.base_url()).expect("the worker's address").to_owned()
    }

    /// Sends a POST with JSON whose answer is not a stream.
    pub(crate) async fn post(&self, endpoint: &str, body: &Value) -> Answer {
        self.worker.post(&self.path(endpoint), body).await
    }

    /// Sends a GET about the project.
    pub(crate) async fn get(&self, endpoint: &str, further: &str) -> Answer {
        let (user, project) = (self.ids.user, self.ids.project);
        let path = self.path(endpoint);
        self.worker.get(&format!("{path}?user_id={user}&project_id={project}{further}")).await
    }

    /// The body of a request about the project.
    pub(crate) fn about(&self, further: &Value) -> Value {
        let mut body = json!({ "user_id": self.ids.user, "project_id": self.ids.project });
        for (name, value) in further.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    }

    /// The files that the preview shows.
    pub(crate) async fn files(&self) -> Vec<String> {
        let files = self.get("list_files", "").await.json()["files"].clone();
        serde_json::from_value(files).expect("a list of names")
    }

    /// The text of a file.
    pub(crate) async fn file(&self, path: &str) -> String {
        let answer = self.get("get_file", &format!("&path={path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// Asks for the list of versions.
    pub(crate) async fn log(&self) -> Value {
        let body = self.about(&json!({ "action": "git_log", "limit": 50 }));
        let answer = self.post("apply_files", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The diff that the page shows at the i-th newest answer of the assistant, from 0.
    pub(crate) async fn diff_of_answer(&self, newest: usize) -> String {
        let version = page::version_of_answer(&self.log().await, newest).expect("a version");
        let body = self.about(&json!({ "action": "git_diff", "commit": version.hash }));
        let answer = self.post("apply_files", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["diff"].as_str().expect("a diff").to_owned()
    }

    /// Restores a version in the way of the page.
    pub(crate) async fn restore(&self, hash: &str) {
        let body = self.about(&json!({ "action": "git_restore", "commit": hash }));
        let answer = self.post("apply_files", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["success"], true);
    }

    /// Does what the relay does when the user presses the button to undo the last change.
    pub(crate) async fn undo(&self) -> Reaction {
        match page::undone_to(&self.log().await) {
            Some(version) => {
                self.restore(&version.hash).await;
                Reaction::Restored(version)
            }
            None => Reaction::NothingToRestore,
        }
    }

    /// Writes the style that the user has chosen, which comes before the first generation.
    pub(crate) async fn choose_style(&self, text: &str) {
        let files = json!([{ "path": "STYLE.md", "content": text, "action": "create" }]);
        let body = self.about(&json!({ "files": files, "commit_message": "Add style" }));
        let events = self.stream("apply_files", &body).await.collect().await;
        assert_eq!(terminal(&events).kind(), "done", "{events:#?}");
    }

    /// Sends a POST whose answer is a stream.
    pub(crate) async fn stream(&self, endpoint: &str, body: &Value) -> Stream {
        self.worker.stream(&self.path(endpoint), body).await
    }

    /// Does everything that the relay does with a message of the user.
    pub(crate) async fn say(&mut self, message: &str) -> Reaction {
        self.conversation.push(json!({
            "role": "user", "content": message, "timestamp": "2026-11-24T00:00:00.000Z",
        }));
        let has_game = !self.files().await.is_empty();
        let intent = self.post("detect_intent", &json!({ "message": message })).await;
        assert_eq!(intent.status, 200, "without an answer the message hangs for ever");
        let reaction = match intent.json()["intent"].as_str() {
            Some("restore") => self.undo().await,
            Some("chat") if has_game => self.chat(message).await,
            Some("chat" | "edit") => self.generate(message).await,
            other => panic!("{other:?} is no intent"),
        };
        let said = match &reaction {
            Reaction::Generated { reply, .. } => reply.clone(),
            Reaction::Answered { message, .. } => message.clone(),
            Reaction::Restored(_) | Reaction::NothingToRestore => "元に戻しました。".to_owned(),
        };
        self.conversation.push(json!({ "role": "assistant", "content": said }));
        reaction
    }

    /// Asks for an answer in words.
    pub(crate) async fn chat(&self, message: &str) -> Reaction {
        let body = json!({
            "message": message,
            "game_spec": "# 仕様",
            "conversation_history": self.conversation,
        });
        let answer = self.post("chat_haiku", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        Reaction::Answered {
            message: answer["message"].as_str().expect("a message").to_owned(),
            suggestions: serde_json::from_value(answer["suggestions"].clone()).expect("a list"),
        }
    }

    /// Asks for skills, composes the prompt and reads the stream to its end.
    pub(crate) async fn generate(&self, message: &str) -> Reaction {
        let body = json!({ "message": message, "dimension": "2d", "existing_code": "" });
        let answer = self.post("detect_skills", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let skills: Vec<String> =
            serde_json::from_value(answer.json()["skills"].clone()).expect("a list of names");
        let prompt = self.prompt(message, &skills);
        let body = self.about(&json!({ "prompt": prompt }));
        let events = self.stream("generate_game", &body).await.collect().await;
        let pieces = events.iter().filter(|event| event.kind() == "stream");
        let reply = pieces.map(|event| event.text("content")).collect();
        Reaction::Generated { events, reply }
    }

    /// The one prompt that the relay sends.
    pub(crate) fn prompt(&self, message: &str, skills: &[String]) -> String {
        let (user, project, data) = (self.ids.user, self.ids.project, &self.data_folder);
        let lines = skills.iter().map(|name| format!("- .claude/skills/{name}/SKILL.md を読む"));
        let reading = lines.collect::<Vec<_>>().join("\n");
        format!(
            "<system>\nあなたはゲーム開発者です。\n作業ディレクトリ: {data}/users/{user}/projects/{project}\n\
             【必須】最初に次のスキルを読んでください。\n{reading}\n</system>\n\n<user>\n{message}\n</user>"
        )
    }
}
