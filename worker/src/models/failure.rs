//! How a model API can fail.

/// Why the API did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiFailure {
    /// It could not be reached, broke off, or answered with a server error.
    Network,
    /// It refused the key.
    Auth,
    /// It asked for fewer requests.
    RateLimit,
    /// It did not answer in time.
    Timeout,
    /// It refused the request itself.
    Refused,
    /// The run's own budget is used up.
    Budget,
}

impl ApiFailure {
    /// The failure that an HTTP status stands for; `None` for success.
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

    /// Whether it says something about the API, and nothing about this one request.
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
