//! The failures of a model API.

/// Why the API did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiFailure {
    /// The API could not be reached, closed the connection, or answered with a server error.
    Network,
    /// The API refused the key.
    Auth,
    /// The API refused a request because there were too many.
    RateLimit,
    /// The API did not answer in time.
    Timeout,
    /// The API refused the request itself.
    Refused,
    /// The run's own budget is used up.
    Budget,
}

impl ApiFailure {
    /// The failure that an HTTP status stands for. `None` for success.
    pub fn of_status(status: u16) -> Option<Self> {
        match status {
            200..=299 => None,
            401 | 403 => Some(Self::Auth),
            429 => Some(Self::RateLimit),
            408 | 504 => Some(Self::Timeout),
            400..=499 => Some(Self::Refused),
            _ => Some(Self::Network),
        }
    }

    /// Whether the failure is one of the API and not of this single request.
    pub fn is_of_the_api(self) -> bool {
        match self {
            Self::Network | Self::Auth | Self::RateLimit | Self::Timeout => true,
            Self::Refused | Self::Budget => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_failure() {
        for (status, failure) in [
            (200, None),
            (401, Some(ApiFailure::Auth)),
            (403, Some(ApiFailure::Auth)),
            (429, Some(ApiFailure::RateLimit)),
            (500, Some(ApiFailure::Network)),
            (529, Some(ApiFailure::Network)),
            (504, Some(ApiFailure::Timeout)),
            (302, Some(ApiFailure::Network)),
            (400, Some(ApiFailure::Refused)),
            (413, Some(ApiFailure::Refused)),
        ] {
            assert_eq!(ApiFailure::of_status(status), failure, "{status}");
        }
    }
}
