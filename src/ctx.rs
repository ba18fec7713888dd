//! What every service is handed: database, clock, keys, dialer, configuration.
