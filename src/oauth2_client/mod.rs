//! The token endpoint of a mail provider: requests, tolerant answers, outcomes.
