//! From a name to a connection: the address that was looked at is the address that is connected to.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::BoxFuture;
use gloaming_api::address::{Standing, standing};

/// How many addresses of a name are looked at.
const MAX_ADDRESSES: usize = 16;

type Resolve = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync;

/// Turns names into addresses, on the host and never in the container.
#[derive(Clone, Default)]
pub struct Resolver(Option<Arc<Resolve>>);

impl Resolver {
    /// Returns the system's own resolver.
    pub fn system() -> Self {
        Self(None)
    }

    /// Returns a resolver that asks a function.
    pub fn new(
        resolve: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(resolve)))
    }

    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match &self.0 {
            Some(resolve) => resolve(host.to_owned()).await,
            None => Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Resolver(function)" } else { "Resolver(system)" })
    }
}

impl PartialEq for Resolver {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Resolver {}

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoConnection {
    /// Where the name leads no job goes.
    Refused(String),
    /// It could not be had.
    Failed(String),
    /// It took too long.
    TimedOut(String),
}

/// Connects to a host. `private` says whether the operator named it: then it may be on a network of somebody's own.
/// `connecting` is told each address before it is tried.
pub(super) async fn connect(
    resolver: &Resolver,
    host: &str,
    port: u16,
    private: bool,
    patience: Duration,
    connecting: impl Fn(SocketAddr),
) -> Result<TcpStream, NoConnection> {
    let addresses = match host.parse::<Ipv4Addr>() {
        Ok(address) => vec![address.into()],
        Err(_) => match timeout(patience, resolver.resolve(host)).await {
            Err(_) => return Err(NoConnection::TimedOut(format!("the name {host} was not found in time"))),
            Ok(Err(error)) => {
                return Err(NoConnection::Failed(format!("the name {host} was not found: {error}")));
            }
            Ok(Ok(addresses)) => addresses,
        },
    };
    let (mut good, mut refused) = (Vec::new(), None);
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        match admit(address, private) {
            Ok(()) if !good.contains(&address) => good.push(address),
            Ok(()) => {}
            Err(why) if address.to_string() == host => refused = Some(format!("{host} is {why}")),
            Err(why) => refused = Some(format!("{host} leads to {address}, {why}")),
        }
    }
    if good.is_empty() {
        let nothing = || NoConnection::Failed(format!("the name {host} has no address"));
        return Err(refused.map_or_else(nothing, NoConnection::Refused));
    }
    let each = patience / u32::try_from(good.len().min(3)).unwrap_or(1);
    let mut failed = NoConnection::Failed(String::new());
    for address in good {
        let address = SocketAddr::new(address, port);
        connecting(address);
        failed = match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => NoConnection::Failed(format!("{address}: {error}")),
            Err(_) => NoConnection::TimedOut(format!("{address} did not answer in time")),
        };
    }
    Err(failed)
}

/// Whether a job may be led to an address.
pub(super) fn admit(address: IpAddr, private: bool) -> Result<(), &'static str> {
    match standing(address) {
        Standing::Never(what) => Err(what),
        Standing::Private(_) if private => Ok(()),
        Standing::Private(what) => Err(what),
        // By its public address this machine shows services that it would show nobody else.
        Standing::Public if !private && is_own(address) => Err("an address of this machine"),
        Standing::Public => Ok(()),
    }
}

/// Whether an address is this machine's: the kernel then sends from it to itself. Nothing is sent to find out.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(addresses: &'static [&'static str]) -> Resolver {
        Resolver::new(move |_| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            Box::pin(async move { Ok(addresses) })
        })
    }

    async fn to(
        resolver: &Resolver,
        host: &str,
        port: u16,
        private: bool,
    ) -> Result<SocketAddr, NoConnection> {
        let stream = connect(resolver, host, port, private, Duration::from_secs(5), |_| {}).await?;
        Ok(stream.peer_addr().unwrap())
    }

    #[tokio::test]
    async fn only_the_operator_opens_private_addresses_and_nobody_the_others() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let resolver = answers(&["127.0.0.1"]);
        let refused = to(&resolver, "mirror.example", here.port(), false).await.unwrap_err();
        let why = "mirror.example leads to 127.0.0.1, this machine's loopback";
        assert_eq!(refused, NoConnection::Refused(why.into()));
        assert_eq!(to(&resolver, "mirror.example", here.port(), true).await, Ok(here));
        assert_eq!(to(&resolver, "127.0.0.1", here.port(), true).await, Ok(here));
        assert!(matches!(
            to(&resolver, "127.0.0.1", here.port(), false).await,
            Err(NoConnection::Refused(_))
        ));
        for never in ["169.254.169.254", "0.0.0.0", "100.100.100.200", "224.0.0.1"] {
            for host in [never, "mirror.example"] {
                let resolver =
                    Resolver::new(move |_| Box::pin(async move { Ok(vec![never.parse().unwrap()]) }));
                let refused = to(&resolver, host, here.port(), true).await;
                assert!(matches!(refused, Err(NoConnection::Refused(_))), "{never} {refused:?}");
            }
        }
    }

    #[tokio::test]
    async fn of_several_addresses_those_that_are_refused_are_not_tried() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let tried = std::sync::Mutex::new(Vec::new());
        let resolver = answers(&["169.254.169.254", "127.0.0.1", "fe80::1", "127.0.0.1"]);
        let stream =
            connect(&resolver, "mirror.example", here.port(), true, Duration::from_secs(5), |address| {
                tried.lock().unwrap().push(address);
            });
        assert_eq!(stream.await.unwrap().peer_addr().unwrap(), here);
        assert_eq!(*tried.lock().unwrap(), [here]);
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_are_not_found_say_so() {
        let none = answers(&[]);
        let told = to(&none, "a.example", 80, false).await.unwrap_err();
        assert_eq!(told, NoConnection::Failed("the name a.example has no address".into()));
        let fails = Resolver::new(|_| Box::pin(async { Err(io::Error::other("no such name")) }));
        let told = to(&fails, "a.example", 80, false).await.unwrap_err();
        assert_eq!(told, NoConnection::Failed("the name a.example was not found: no such name".into()));
        let hangs = Resolver::new(|_| Box::pin(std::future::pending()));
        assert!(matches!(to(&hangs, "a.example", 80, false).await, Err(NoConnection::TimedOut(_))));
    }

    #[test]
    fn this_machines_own_addresses_are_known() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
