//! Integrations: OAuth client registrations at mail providers.
