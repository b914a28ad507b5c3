//! What users upload: `upload_asset`, `get_asset`, `list_assets`, `delete_asset`, `restore_asset`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body as RawBody;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::blocking;
use crate::server::error::ApiError;
use crate::server::extract::Body;
use crate::server::file_answer::{Described, FileAnswer, Validators};
use crate::server::query::{Query, parse_value};
use crate::server::upload;
use crate::store::assets::{Asset, AssetError};
use crate::types::{AssetId, FileName, UserId};

/// What may stand as it is in `filename*` (RFC 8187).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Who has the address of an asset may be tricked into opening it as a page. It is none: no script,
/// no form, no origin.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
/// Under one id there is one content for ever. Private, because a secret was needed to get it.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// The end of the year 9999, after which times have no such form.
const LATEST_MS: u64 = 253_402_300_799_999;

/// One asset of one user.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct OneAsset {
    user_id: UserId,
    asset_id: AssetId,
}

pub(in crate::server) async fn upload_asset(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let user = query.required("user_id")?;
    let named: Option<FileName> =
        query.get("filename").map(|text| parse_value("filename", text)).transpose()?;
    let (upload, max_bytes) = (app.store.assets.upload(user), app.config.assets.max_bytes);
    let asset = upload::receive(upload, &headers, body, named, max_bytes).await?;
    tracing::info!(%user, asset = %asset.id, size = asset.size, "uploaded");
    Ok(Json(described(&app, user, &asset)))
}

pub(in crate::server) async fn get_asset(
    State(app): State<Arc<App>>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let (user, id) = (query.required("user_id")?, query.required("asset_id")?);
    let assets = app.store.assets.clone();
    let (found, validators) = blocking::run(move || {
        let found = assets.open(user, id)?;
        let validators = Validators::of(&found.file)?;
        Ok::<_, AssetError>((found, validators))
    })
    .await??;
    let asset = found.asset;
    let described = Described {
        validators: validators.with_tag(asset.sha256.as_str().to_owned()),
        content_type: HeaderValue::from_static(asset.content_type.content_type()),
        cache_control: CACHE,
        more: vec![(CONTENT_DISPOSITION, disposition(&asset)), (CONTENT_SECURITY_POLICY, POLICY)],
    };
    FileAnswer { file: found.file, described }.respond(&method, &headers).await
}

pub(in crate::server) async fn list_assets(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let user = query.required("user_id")?;
    let assets = app.store.assets.clone();
    let listed = blocking::run(move || assets.list(user)).await??;
    let listed: Vec<_> = listed.iter().map(|asset| described(&app, user, asset)).collect();
    Ok(Json(json!({ "assets": listed })))
}

pub(in crate::server) async fn delete_asset(
    State(app): State<Arc<App>>,
    Body(OneAsset { user_id, asset_id }): Body<OneAsset>,
) -> Result<Json<Value>, ApiError> {
    let assets = app.store.assets.clone();
    blocking::run(move || assets.delete(user_id, asset_id)).await??;
    Ok(Json(json!({ "success": true })))
}

pub(in crate::server) async fn restore_asset(
    State(app): State<Arc<App>>,
    Body(OneAsset { user_id, asset_id }): Body<OneAsset>,
) -> Result<Json<Value>, ApiError> {
    let assets = app.store.assets.clone();
    let asset = blocking::run(move || assets.restore(user_id, asset_id)).await??;
    Ok(Json(json!({ "success": true, "asset": described(&app, user_id, &asset) })))
}

fn described(app: &App, user: UserId, asset: &Asset) -> Value {
    let created_ms = asset.created_ms.min(LATEST_MS);
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_millis(created_ms);
    let base = app.config.assets.base_url.as_deref().unwrap_or_default();
    json!({
        "id": asset.id,
        "filename": asset.filename,
        "path": asset.path(user),
        "url": format!("{base}/get_asset?user_id={user}&asset_id={}", asset.id),
        "size": asset.size,
        "content_type": asset.content_type,
        "sha256": asset.sha256,
        "created_at": humantime::format_rfc3339_millis(created).to_string(),
    })
}

/// Shown where that is possible, and under the user's name if it is saved.
fn disposition(asset: &Asset) -> HeaderValue {
    let name = asset.download_name();
    // Old clients read only this one; what could end the quotes or the line is left out of it.
    let plain = |c: char| if c.is_ascii_graphic() && !"\"\\%;".contains(c) { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let encoded = utf8_percent_encode(&name, PLAIN);
    let value = format!("inline; filename=\"{ascii}\"; filename*=UTF-8''{encoded}");
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("inline"))
}
