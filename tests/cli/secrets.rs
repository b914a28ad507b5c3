//! An agent finds neither the real key nor the worker's secret, and the token that it has is valid
//! only for one run and only for messages.
//!
//! The agent here is the real CLI with Bash calls that search the sandbox. Their output is in the
//! next request to the model API, which is recorded. Patterns are written so that they do not find
//! themselves.

use harness::script::{Script, ScriptSet, text, tool};
use harness::{Ids, REAL_KEY, SECRET, Setup, Worker, claude};
use serde_json::{Value, json};

use crate::support::{answers, expect_done, expect_error, visible};

/// A pattern that matches the real key and the secret without containing them.
const PATTERN: &str = "sk-ant-real-ke[y]|456789abcdef012345678[9]|-real-key-of-the-tes[t]";

fn bash(command: &str) -> harness::script::Block {
    tool("Bash", json!({"command": command}))
}

/// All requests to the model API, as text.
fn sent(worker: &Worker) -> String {
    let bodies = worker.api.requests().into_iter().map(|request| request.body.to_string());
    bodies.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_agent_finds_neither_the_key_nor_the_secret() {
    let script = Script::new()
        .turn([bash("env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'")])
        .turn([bash(&format!(
            "grep -rlsE '{PATTERN}' \"$HOME\" \"$TMPDIR\" /tmp . /etc /run /var /root /home /work 2>/dev/null | sed s/^/FOUND-/; \
             for f in /proc/[0-9]*/fd/[0-9]*; do \
               test -f $f && timeout 5 head -c 1000000 $f | grep -qaE '{PATTERN}' && echo FOUND-$f; \
             done 2>/dev/null; echo searched-all"
        ))])
        .turn([bash(&format!(
            "for p in /proc/[0-9]*; do grep -acE '{PATTERN}' $p/environ $p/maps $p/cmdline; done 2>/dev/null | grep -v ':0$' | sed s/^/FOUND-/; \
             (cd /proc && printf '%s\\n' *); echo listed-all"
        ))])
        .turn([text("ok")]);
    let worker = Setup::default().script(script).start().await;
    worker.add_skill("p5js-setup", "---\nname: p5js-setup\ndescription: x\n---\n");
    let ids = Ids::new();
    worker.put(ids, "bait.txt", REAL_KEY.split_at(20).0);
    let events = worker.generate(ids, "さがして").await;
    expect_done(&worker, &events);

    let [environment, searched, processes] = answers(&worker).try_into().expect("three answers");
    // The searches have run, and find what they can find.
    assert!(environment.contains("ANTHROPIC_API_KEY=dreamcore-run-"), "{environment}");
    let mut found = searched.lines().filter(|line| line.starts_with("FOUND-")).peekable();
    assert!(found.peek().is_some() && searched.contains("searched-all"), "{searched}");
    // The CLI's own file contains texts like keys, and may be in a folder that is searched.
    let cli = format!("FOUND-{}", claude().display());
    assert!(found.all(|line| line.ends_with("/bait.txt") || line == cli), "{searched}");
    assert!(processes.starts_with("1\n") && processes.ends_with("listed-all"), "{processes}");
    let sent = sent(&worker);
    assert!(!sent.contains(REAL_KEY));
    assert!(!sent.contains(SECRET));
    assert!(!sent.contains("MODAL_INTERNAL_SECRET"));

    for request in worker.api.requests() {
        if request.path == "/v1/messages" {
            assert_eq!(request.headers["x-api-key"], REAL_KEY);
        }
    }
    let log = worker.log();
    assert!(!log.contains(REAL_KEY) && !log.contains(SECRET) && !log.contains("さがして"));
    assert!(!log.contains("dreamcore-run-"), "{log}");
    for event in events {
        assert!(!event.0.to_string().contains(REAL_KEY));
    }
}

#[tokio::test]
async fn a_token_ends_with_its_run() {
    let ask = "curl -s -o /dev/null -w '%{http_code} ' -X POST -H \"x-api-key: $key\" -H 'content-type: application/json' \
               -d '{\"model\":\"claude-x\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}' \
               \"$ANTHROPIC_BASE_URL/v1/messages\"";
    let first = Script::new()
        .turn([bash("printf %s \"$ANTHROPIC_API_KEY\" > token.txt")])
        .turn([text("ok")]);
    let second = Script::new()
        .turn([bash(&format!(
            "key=$(cat token.txt); {ask}; key=; {ask}; key=\"$ANTHROPIC_API_KEY\"; {ask}; key=\"${{key}}x\"; {ask}"
        ))])
        .turn([text("ok")]);
    let scripts = ScriptSet::new("first", first).with("second", second);
    let worker = Setup::default().scripts(scripts).start().await;
    let ids = Ids::new();
    expect_done(&worker, &worker.generate(ids, "[script:first]").await);
    expect_done(&worker, &worker.generate(ids, "[script:second]").await);
    assert_eq!(answers(&worker).last().expect("an answer").trim(), "401 401 200 401");
}

#[tokio::test]
async fn the_broker_serves_messages_of_allowed_models_and_nothing_else() {
    let post = |path: &str, body: &Value| {
        format!(
            "curl -s -o /dev/null -w '%{{http_code}} ' --path-as-is -X POST -H \"x-api-key: $ANTHROPIC_API_KEY\" \
             -H 'content-type: application/json' -d '{body}' \"$ANTHROPIC_BASE_URL{path}\"; "
        )
    };
    let with = |name: &str, value: Value| {
        let mut body = json!({"model": "claude-x", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]});
        body[name] = value;
        body
    };
    let user = |block: Value| with("messages", json!([{"role": "user", "content": [block]}]));
    let url = json!({"type": "url", "url": "https://example.org/?stolen"});
    let good = with("max_tokens", json!(2));
    let refused = [
        with("model", json!("gpt-5")),
        with("tools", json!([{"type": "web_fetch_20250910", "name": "web_fetch"}])),
        with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])),
        with("mcp_servers", json!([{"type": "url", "url": "https://example.org", "name": "x"}])),
        with("container", json!("c")),
        // The API would fetch these itself, which would be a way out of the sandbox.
        user(json!({"type": "image", "source": url})),
        user(json!({"type": "document", "source": url})),
        user(json!({"type": "image", "source": {"type": "file", "file_id": "file_1"}})),
        user(
            json!({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": url}]}}),
        ),
        user(
            json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": url}]}),
        ),
        user(json!({"type": "container_upload", "file_id": "file_1"})),
        // A tool of the API's servers that is added in the middle of a conversation.
        user(
            json!({"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {"type": "web_fetch_20250910"}}}),
        ),
        // Fields that change the model or the price, or that make the API keep the conversation.
        with("fallbacks", json!([{"model": "gpt-5"}])),
        with("service_tier", json!("auto")),
        with("speed", json!("fast")),
        with("thread", json!({"type": "new"})),
        with("max_tokens", json!("many")),
        with("system", json!([{"type": "image", "source": url}])),
    ];
    let paths = [
        "/v1/messages/batches",
        "/v1/files",
        "/v1/messages/../files",
        "/v1/messages?x=1",
        "//v1/messages",
        "/v1/models",
    ];
    let mut command = post("/v1/messages", &good);
    for body in &refused {
        command += &post("/v1/messages", body);
    }
    for path in paths {
        command += &post(path, &good);
    }
    let good_with = |header: &str| {
        post("/v1/messages", &good).replace("-H 'content", &format!("-H '{header}' -H 'content"))
    };
    for header in ["anthropic-beta: files-api-2025-04-14", "anthropic-version: 2099-01-01"] {
        command += &good_with(header);
    }
    command += &good_with("transfer-encoding: chunked");
    command += &good_with("content-length: 33554433");
    command += "curl -s -o /dev/null -w '%{http_code} ' -H \"x-api-key: $ANTHROPIC_API_KEY\" $ANTHROPIC_BASE_URL/v1/messages; ";
    command += "curl -s -m 3 -o /dev/null -w '%{http_code}' -x $ANTHROPIC_BASE_URL http://example.org/v1/files";
    let script = Script::new().turn([bash(&command)]).turn([text("ok")]);
    let worker = Setup::default().script(script).start().await;
    let events = worker.generate(Ids::new(), "test").await;
    expect_done(&worker, &events);
    let expected = format!(
        "200 {}{}400 400 411 413 404 404",
        "400 ".repeat(refused.len()),
        "404 ".repeat(paths.len())
    );
    assert_eq!(answers(&worker).last().expect("an answer").trim(), expected);
    assert!(
        worker
            .api
            .requests()
            .iter()
            .all(|r| r.path.starts_with("/v1/messages") || r.path == "/api/hello")
    );
}

#[tokio::test]
async fn the_cli_does_without_betas_that_are_not_allowed() {
    let script = Script::new().turn([bash("echo 1 > 1.txt")]).turn([text("ok")]);
    let left = "claude-code-20250219,per-turn-control-2026-07-01,effort-2025-11-24";
    let setup = Setup::default().script(script).var("DREAMCORE_ALLOWED_BETAS", left);
    let worker = setup.start().await;
    let ids = Ids::new();
    expect_done(&worker, &worker.generate(ids, "test").await);
    assert_eq!(worker.get_file(ids, "1.txt").await.text(), "1\n");
    let requests = worker.api.requests();
    assert!(!requests.is_empty());
    for request in requests {
        let betas = &request.headers["anthropic-beta"];
        assert!(betas.split(',').all(|beta| left.contains(beta)), "{betas}");
    }
    assert!(worker.log().contains("thinking-display-updates-2026-08-18"), "{}", worker.log());
}

#[tokio::test]
async fn a_run_cannot_ask_for_more_than_its_budget() {
    let script = Script::new()
        .turn([bash("echo 1 > 1.txt")])
        .turn([bash("echo 2 > 2.txt")])
        .turn([bash("echo 3 > 3.txt")])
        .turn([text("ok")]);
    for (name, value) in [("DREAMCORE_RUN_MAX_REQUESTS", 2), ("DREAMCORE_RUN_MAX_TOKENS", 100)] {
        let setup = Setup::default().script(script.clone()).var(name, value);
        let worker = setup.start().await;
        let ids = Ids::new();
        let events = worker.generate(ids, "test").await;
        let end = expect_error(&worker, &events, "QUOTA_EXCEEDED");
        // The work so far is kept as a partial version, outside of the project's history.
        assert!(!end.text("partial_version").is_empty(), "{end:?}");
        assert!(visible(&worker.project(ids)).is_empty());
        let asked = worker.api.requests().iter().filter(|r| r.path == "/v1/messages").count();
        assert!(asked <= 2, "{asked}");
    }
}

#[tokio::test]
async fn the_agent_does_not_see_which_process_the_worker_is() {
    let script = Script::new().turn([bash("cat /proc/self/cgroup; echo listed-all")]);
    let worker = Setup::default().script(script.turn([text("ok")])).start().await;
    let events = worker.generate(Ids::new(), "さがして").await;
    expect_done(&worker, &events);
    let [groups] = answers(&worker).try_into().expect("one answer");
    assert!(groups.ends_with("listed-all"), "{groups}");
    let pid = worker.pid().to_string();
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    assert!(paths.flat_map(|path| path.split(['/', '-'])).all(|part| part != pid), "{groups}");
}
