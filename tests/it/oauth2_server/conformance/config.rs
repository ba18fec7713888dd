//! `oidcc-config-certification-test-plan`.

super::plan_tests!(Basic: oidcc_discovery_endpoint_verification);
