//! The variables by which programs find the proxy, and those that told them there was no network.

use std::collections::BTreeMap;

use super::Egress;

/// The port on the container's loopback at which the proxy listens. Fixed, so that two runs of a job have the same
/// variables; below the ports that are given out to whoever asks for none.
pub const PROXY_PORT: u16 = 17128;

/// Variables of the environment that keep tools offline, and do not hold for a job with network.
const OFFLINE: &[&str] = &["CARGO_NET_OFFLINE", "GOPROXY", "GOSUMDB", "PIP_NO_INDEX", "npm_config_offline"];

/// Names that take the proxy's address. Beside the common ones those of tools that read their own first, or only.
const PROXIES: &[&str] = &[
    "ALL_PROXY",
    "CARGO_HTTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "PIP_PROXY",
    "YARN_HTTPS_PROXY",
    "YARN_HTTP_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "npm_config_https_proxy",
    "npm_config_proxy",
];

/// Names that take what is not asked by way of the proxy: the container's own loopback.
const NO_PROXIES: &[&str] = &["NO_PROXY", "no_proxy", "npm_config_noproxy"];

/// Turns a job's environment into that of a job with network, whose proxy listens at a port of its loopback.
pub fn network_env(env: &mut BTreeMap<String, String>, egress: &Egress, port: u16) {
    for name in OFFLINE {
        env.remove(*name);
    }
    for name in PROXIES {
        env.insert((*name).to_owned(), format!("http://127.0.0.1:{port}"));
    }
    for name in NO_PROXIES {
        env.insert((*name).to_owned(), "localhost,127.0.0.1,::1".to_owned());
    }
    // Node's own fetch asks for it by this one.
    env.insert("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned());
    env.extend(egress.env.iter().map(|(name, value)| (name.clone(), value.clone())));
}
