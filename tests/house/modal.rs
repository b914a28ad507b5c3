//! The list of hosts that `modal_app.py` deploys, against the worker's table of endpoints.

use std::collections::BTreeSet;

use dreamcore_worker::api::ENDPOINTS;

use crate::tables::document;

/// The names in a list of `modal_app.py`.
fn names(app: &str, list: &str) -> Vec<String> {
    let start = format!("\n{list} = [");
    let (_, after) = app.split_once(&start).expect("a list of the app");
    let (inside, _) = after.split_once(']').expect("the end of the list");
    inside.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_endpoint_with_the_secret_has_a_host_on_modal() {
    let app = document("modal_app.py");
    let deployed = [names(&app, "GENERATION"), names(&app, "QUICK")].concat();
    let once: BTreeSet<&str> = deployed.iter().map(String::as_str).collect();
    assert_eq!(once.len(), deployed.len(), "an endpoint is listed twice");
    // A dot ends a label, so the document cannot have a host of its own.
    let served = ENDPOINTS.iter().filter(|endpoint| endpoint.needs_secret);
    let served = served.map(|endpoint| endpoint.name).filter(|name| !name.contains('.'));
    assert_eq!(once, served.collect());
}
