//! Which bodies are refused, and with which words.

use super::*;

fn parse(text: &str) -> Result<Request, String> {
    Request::parse(text.as_bytes(), Form::Anthropic, &["claude-".to_owned()])
}

fn of_vertex(text: &str, model: Option<&str>) -> Result<Request, String> {
    let form = Form::Vertex { model };
    Request::parse(text.as_bytes(), form, &["claude-".to_owned()])
}

#[test]
fn a_body_of_vertex_says_its_version_and_leaves_the_model_to_the_address() {
    let version = r#""anthropic_version":"vertex-2023-10-16""#;
    let model = Some("claude-x@20250929");
    let body = format!(r#"{{"max_tokens":9,{version},"stream":true}}"#);
    let request = of_vertex(&body, model).unwrap();
    assert_eq!((request.model.as_str(), request.max_tokens), ("claude-x@20250929", Some(9)));
    assert_eq!(body.get(request.version_at.unwrap()), Some(version));
    let body = format!(r#"{{"model":"claude-x",{version}}}"#);
    let request = of_vertex(&body, None).unwrap();
    assert_eq!(body.get(request.model_at.unwrap()), Some(r#""model":"claude-x""#));
    for (text, model, reason) in [
        ("{}", model, "anthropic_version: Field required"),
        (r#"{"anthropic_version":"2023-06-01"}"#, model, "anthropic_version: only"),
        (r#"{"anthropic_version":7}"#, model, "anthropic_version: only"),
        (
            r#"{"anthropic_version":"vertex-2023-10-1\u0036"}"#,
            model,
            "anthropic_version: must be written without escapes",
        ),
        (
            r#"{"anthropic\u005fversion":"vertex-2023-10-16"}"#,
            model,
            "anthropic_version: must be written without escapes",
        ),
        (r#"{"model":"claude-x"}"#, model, "model: the address names the model"),
    ] {
        let error = of_vertex(text, model).unwrap_err();
        assert!(error.starts_with(reason), "{text}: {error}");
    }
    let with = |field: &str| format!("{{{version},{field}}}");
    for (field, model, reason) in [
        (r#""stream":true"#, Some("gpt-x"), "this model is not allowed here"),
        (r#""model":"gpt-x""#, None, "this model is not allowed here"),
        (r#""model":"claude-x/../y""#, None, "model: must be a model's name"),
        (r#""model":"claude\u002dx""#, None, "model: must be written without escapes"),
        (r#""context_management":{},"speed":"fast""#, model, "speed: Extra inputs"),
        (r#""messages":[{"source":{"type":"url"}}]"#, model, "messages: content"),
        (version, model, "anthropic_version: is there twice"),
    ] {
        let error = of_vertex(&with(field), model).unwrap_err();
        assert!(error.starts_with(reason), "{field}: {error}");
    }
}

#[test]
fn passes_what_the_cli_sends() {
    let request = parse(concat!(
        r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"#,
        r#""system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"#,
        r#""tools":[{"name":"Bash","description":"x","input_schema":{"type":"object"}}],"#,
        r#""metadata":{"user_id":"u"},"max_tokens":128000,"thinking":{"type":"adaptive"},"#,
        r#""context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"#,
        r#""output_config":{"effort":"medium"},"temperature":1,"tool_choice":{"type":"auto"},"stream":true}"#,
    ));
    let model = "claude-opus-5-5".to_owned();
    let expected = Request { model, stream: true, max_tokens: Some(128_000), ..Request::default() };
    assert_eq!(request, Ok(expected));
    assert!(parse(r#"{"model":"claude-x","tools":[{"type":"custom","name":"a"}]}"#).is_ok());
}

#[test]
fn refuses_what_leads_elsewhere_and_says_why() {
    for (text, reason) in [
        ("", "EOF while parsing a value"),
        ("[]", "invalid type: sequence, expected a request"),
        ("7", "invalid type: integer `7`, expected a request"),
        ("\"model\"", "a request is an object"),
        ("{}", "this model is not allowed here"),
        (r#"{"model":"gpt-x"}"#, "this model is not allowed here"),
        (r#"{"model":1}"#, "model: must be a model's name"),
        (r#"{"model":["claude-x"]}"#, "invalid type: sequence"),
        (r#"{"model":"claude-x"} {}"#, "trailing characters"),
        (r#"{"model":"claude-x","model":"claude-y"}"#, "model: is there twice"),
        (r#"{"model":"claude-x","system":[],"system":[]}"#, "system: is there twice"),
        (r#"{"model":"claude-x","stream":"yes"}"#, "stream: must be true or false"),
        (r#"{"model":"claude-x","max_tokens":-1}"#, "invalid type: integer `-1`"),
        (r#"{"model":"claude-x","max_tokens":"1"}"#, "max_tokens: must be a whole number"),
        (
            r#"{"model":"claude-x","tools":[{"type":"web_fetch_20250910"}]}"#,
            "tools: tools that run",
        ),
        (
            r#"{"model":"claude-x","messages":[{"content":[{"source":{"type":"url"}}]}]}"#,
            "messages: content",
        ),
        (r#"{"model":"claude-x","system":[{"source":{"type":"file"}}]}"#, "system: content"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(reason), "{text}: {error}");
    }
}

#[test]
fn refuses_every_field_that_is_not_known_to_be_harmless() {
    for field in [
        // Who answers, where, and what it costs.
        "service_tier",
        "speed",
        "inference_geo",
        "fallbacks",
        "fallback",
        // What the API does or remembers beside answering.
        "container",
        "mcp_servers",
        "thread",
        "diagnostics",
        "safeguards",
        "betas",
        "anthropic_version",
        "x",
    ] {
        let error = parse(&format!(r#"{{"{field}":null,"model":"claude-x"}}"#)).unwrap_err();
        assert!(error.starts_with(&format!("{field}: Extra inputs are not permitted")), "{error}");
    }
}

#[test]
fn errors_repeat_little_of_what_was_sent() {
    let long = "x".repeat(100_000);
    for text in [
        format!(r#""{long}""#),
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"model":"{long}"}}"#),
        format!(r#"{{"stream":"{long}"}}"#),
        format!(r#"{{"max_tokens":"{long}"}}"#),
        format!(r#"{{"tools":"{long}"}}"#),
        format!(r#"{{"tools":["{long}"]}}"#),
        format!(r#"{{"tools":[{{"type":"{long}"}}]}}"#),
        format!(r#"{{"messages":{{"type":"url","x":"{long}"}}}}"#),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.len() < 200, "{} bytes: {error:.100}", error.len());
    }
}
