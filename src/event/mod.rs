//! Events: what happened, appended in the caller's transaction.
