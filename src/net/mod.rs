//! Every outbound socket: resolve, classify, pin, connect. The one place where SSRF is stopped.
