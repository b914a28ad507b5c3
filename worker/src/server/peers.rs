//! Tells the other workers on the same volume what this one has changed, so that they reload it
//! before they read that again.
//!
//! They are told after the commit and before the client, so a client that was told "done" finds its
//! version in each worker that has got the message. If a message is lost, the greatest age of the
//! last reload bounds how long a worker may show an older version.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::settings::Settings;
use crate::api::{ENDPOINTS, Id};
use crate::models::client;
use crate::store::volume::{Place, ProjectKey, Volume};
use crate::types::Secret;

/// How long a peer may take. A client waits for that.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The other workers.
struct Peers {
    client: reqwest::Client,
    urls: Vec<String>,
    secret: Secret,
}

/// Begins to tell the peers of every change of this volume.
pub fn tell_peers(volume: &Volume, settings: &Settings) -> reqwest::Result<()> {
    let name = ENDPOINTS.iter().find(|one| one.id == Id::VolumeChanged).map(|one| one.name);
    let (Some(name), false) = (name, settings.peers.is_empty()) else { return Ok(()) };
    let Some(mut news) = volume.news() else { return Ok(()) };
    let urls = settings.peers.iter().map(|url| format!("{url}/{name}")).collect();
    let (client, secret) = (client::new()?, settings.secrets.current.clone());
    let peers = Arc::new(Peers { client, urls, secret });
    tokio::spawn(async move {
        while let Some(news) = news.recv().await {
            let peers = Arc::clone(&peers);
            tokio::spawn(async move {
                peers.tell(news.place).await;
                // An error means that the change does not wait any more.
                news.told.send(()).unwrap_or_default();
            });
        }
    });
    Ok(())
}

impl Peers {
    async fn tell(&self, place: Place) {
        let body = match place {
            Place::Project(ProjectKey { user, project }) => {
                json!({ "user_id": user.to_string(), "project_id": project.to_string() })
            }
            Place::Assets(user) => json!({ "user_id": user.to_string() }),
        };
        join_all(self.urls.iter().map(|url| self.tell_one(url, &body))).await;
    }

    async fn tell_one(&self, url: &str, body: &Value) {
        let request = self.client.post(url).header(super::auth::HEADER, self.secret.expose());
        let sent = request.json(body).timeout(TIMEOUT).send().await;
        match sent.and_then(reqwest::Response::error_for_status) {
            Ok(_) => {}
            // The address is left out: it is the operator's, and the setting has it.
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(%error, "a peer was not told of a change");
            }
        }
    }
}
