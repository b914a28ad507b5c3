//! The volume: `POST /volume_changed`, which other workers call.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::answer::Success;
use crate::api::request::VolumeChanged;
use crate::app::App;
use crate::server::error::ApiError;
use crate::server::extract::Body;
use crate::store::projects::ProjectKey;
use crate::store::volume::Place;

pub(in crate::server) async fn volume_changed(
    State(app): State<Arc<App>>,
    Body { value: VolumeChanged { user_id: user, project_id }, .. }: Body<VolumeChanged>,
) -> Result<Json<Success>, ApiError> {
    let place = match project_id {
        Some(project) => Place::Project(ProjectKey { user, project }),
        None => Place::Assets(user),
    };
    app.store.volume.changed_elsewhere(place);
    Ok(Json(Success { success: true }))
}
