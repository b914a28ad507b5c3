//! Assets, the files that users upload: `upload_asset`, `get_asset`, `list_assets`, `delete_asset`,
//! `restore_asset`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body as RawBody;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::answer;
use crate::api::request::{ListAssets, OneAsset, UploadAsset};
use crate::app::App;
use crate::blocking;
use crate::server::error::ApiError;
use crate::server::extract::Body;
use crate::server::file_answer::{Described, FileAnswer, Validators};
use crate::server::query::Query;
use crate::server::upload;
use crate::store::assets::{Asset, OpenAsset};
use crate::store::volume::Place;
use crate::types::UserId;

/// The characters that must be encoded in `filename*` (RFC 8187).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// A user may be tricked into opening the address of an asset as a page. With this policy, such a
/// page has no scripts, no forms and no origin.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
/// The content of an asset never changes, so it can be cached for ever. Private, because only a
/// request with the secret gets it.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// The end of the year 9999, in milliseconds. RFC 3339 has no form for later times.
const LATEST_MS: u64 = 253_402_300_799_999;

pub(in crate::server) async fn upload_asset(
    State(app): State<Arc<App>>,
    Query(UploadAsset { user_id: user, filename: named }): Query<UploadAsset>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Json<answer::Asset>, ApiError> {
    let (assets, max_bytes) = (app.store.assets.clone(), app.settings.store.assets.max_bytes);
    let upload = blocking::run(move || assets.upload(user)).await?;
    let asset = upload::receive(upload, &headers, body, named, max_bytes).await?;
    // The change begins when the upload is whole: one that is not must not hold the worker's end up.
    app.store.volume.change(Place::Assets(user)).commit().await?;
    tracing::info!(%user, asset = %asset.id, size = asset.size, "uploaded");
    Ok(Json(described(&app, user, &asset)))
}

pub(in crate::server) async fn get_asset(
    State(app): State<Arc<App>>,
    method: Method,
    Query(OneAsset { user_id: user, asset_id: id }): Query<OneAsset>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.store.volume.freshen(Place::Assets(user)).await;
    let assets = app.store.assets.clone();
    let answer = move || {
        let OpenAsset { asset, file, stat } = assets.open(user, id)?;
        let described = Described {
            validators: Validators::of(&stat).with_tag(asset.sha256.as_str().to_owned()),
            content_type: HeaderValue::from_static(asset.content_type.content_type()),
            cache_control: CACHE,
            more: vec![
                (CONTENT_DISPOSITION, disposition(&asset)),
                (CONTENT_SECURITY_POLICY, POLICY),
            ],
        };
        FileAnswer { file, described }.respond(&method, &headers)
    };
    blocking::run(answer).await?
}

pub(in crate::server) async fn list_assets(
    State(app): State<Arc<App>>,
    Query(ListAssets { user_id: user }): Query<ListAssets>,
) -> Result<Json<answer::Assets>, ApiError> {
    app.store.volume.freshen(Place::Assets(user)).await;
    let assets = app.store.assets.clone();
    let listed = blocking::run(move || assets.list(user)).await??;
    let assets = listed.iter().map(|asset| described(&app, user, asset)).collect();
    Ok(Json(answer::Assets { assets }))
}

pub(in crate::server) async fn delete_asset(
    State(app): State<Arc<App>>,
    Body { value: OneAsset { user_id, asset_id }, .. }: Body<OneAsset>,
) -> Result<Json<answer::Success>, ApiError> {
    let assets = app.store.assets.clone();
    let deleted = async {
        blocking::run(move || assets.delete(user_id, asset_id)).await?.map_err(ApiError::from)
    };
    app.store.volume.changing(Place::Assets(user_id), deleted).await?;
    Ok(Json(answer::Success { success: true }))
}

pub(in crate::server) async fn restore_asset(
    State(app): State<Arc<App>>,
    Body { value: OneAsset { user_id, asset_id }, .. }: Body<OneAsset>,
) -> Result<Json<answer::RestoredAsset>, ApiError> {
    let assets = app.store.assets.clone();
    let restored = async {
        blocking::run(move || assets.restore(user_id, asset_id)).await?.map_err(ApiError::from)
    };
    let asset = app.store.volume.changing(Place::Assets(user_id), restored).await?;
    let asset = described(&app, user_id, &asset);
    Ok(Json(answer::RestoredAsset { asset, success: true }))
}

fn described(app: &App, user: UserId, asset: &Asset) -> answer::Asset {
    let created_ms = asset.created_ms.min(LATEST_MS);
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_millis(created_ms);
    let base = app.settings.store.assets.base_url.as_deref().unwrap_or_default();
    answer::Asset {
        content_type: asset.content_type.content_type(),
        created_at: humantime::format_rfc3339_millis(created).to_string(),
        filename: asset.filename.to_string(),
        id: asset.id,
        path: asset.path(user),
        sha256: asset.sha256.as_str().to_owned(),
        size: asset.size,
        url: format!("{base}/get_asset?user_id={user}&asset_id={}", asset.id),
    }
}

/// The header `Content-Disposition`: a browser shows the asset if it can, and saves it under the
/// name of the user's file.
fn disposition(asset: &Asset) -> HeaderValue {
    let name = asset.download_name();
    // Old clients read only `filename`. Characters that could end the quotes or the line are
    // replaced in it.
    let plain = |c: char| if c.is_ascii_graphic() && !"\"\\%;".contains(c) { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let encoded = utf8_percent_encode(&name, PLAIN);
    let value = format!("inline; filename=\"{ascii}\"; filename*=UTF-8''{encoded}");
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("inline"))
}
