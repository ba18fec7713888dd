//! The whole service, built from a configuration: `App::build`, `port`, `run_until_stopped`.
