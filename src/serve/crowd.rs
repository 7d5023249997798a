//! How many connections there are from one address: one client must not have them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::app::App;
use crate::metrics::Metrics;

/// How long one that is turned away may take to hear so.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most bytes that are read of it meanwhile: closing with bytes unread resets the connection, and the client would
/// never see the answer.
const UNREAD: u64 = 64 * 1024;
/// What it is told (RFC 9110 §15.6.4).
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: application/problem+json\r\ncontent-length: 114\r\n\r\n\
    {\"type\":\"about:blank\",\"status\":503,\"title\":\"too many connections from this address\",\"code\":\"too-many-connections\"}";

/// How many connections whose are.
type Open = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Who has how many.
#[derive(Debug)]
pub(super) struct Crowd {
    most: Option<NonZeroUsize>,
    /// Networks of proxies, which come for many.
    proxies: Vec<IpNet>,
    open: Open,
    metrics: Option<Arc<Metrics>>,
}

/// One connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat(Option<(IpAddr, Open)>);

impl Crowd {
    /// Lets in what the configuration allows.
    pub(super) fn new(app: &App) -> Self {
        let settings = &app.config.server;
        Self {
            most: NonZeroUsize::new(settings.max_connections_per_address),
            proxies: settings.trusted_proxies.clone(),
            metrics: Some(app.press.metrics.clone()),
            ..Self::unbounded()
        }
    }

    /// Lets in everyone.
    pub(super) fn unbounded() -> Self {
        Self { most: None, proxies: Vec::new(), open: Arc::default(), metrics: None }
    }

    /// A connection from `peer`, unless it has too many.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<Seat> {
        let peer = peer.to_canonical();
        let Some(most) = self.most else { return Some(Seat(None)) };
        if self.proxies.iter().any(|network| network.contains(&peer)) {
            return Some(Seat(None));
        }
        let whose = household(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(whose).or_default();
        if *count >= most.get() {
            self.metrics.iter().for_each(|metrics| metrics.connection_refused());
            tracing::debug!(%peer, "has too many connections");
            return None;
        }
        *count += 1;
        Some(Seat(Some((whose, self.open.clone()))))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((whose, open)) = self.0.take() else { return };
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&whose) {
            *count -= 1;
            if *count == 0 {
                open.remove(&whose);
            }
        }
    }
}

/// One customer has a whole network of 64 bits (RFC 6177).
fn household(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

/// Tells a client that it has too many connections, when it can read that, and closes. The connection counts
/// among all of them, as `_place`, until it is closed.
pub(super) async fn turn_away(mut stream: TcpStream, plain: bool, _place: OwnedSemaphorePermit) {
    let farewell = async {
        if plain {
            stream.write_all(BUSY).await?;
        }
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(UNREAD), &mut tokio::io::sink()).await
    };
    // Whoever does not listen is not told.
    let _ = timeout(FAREWELL, farewell).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(most: usize, proxies: &[&str]) -> Crowd {
        Crowd {
            most: NonZeroUsize::new(most),
            proxies: proxies.iter().map(|network| network.parse().unwrap()).collect(),
            ..Crowd::unbounded()
        }
    }

    /// One address has its bound and no more, others have theirs, and what is closed is given back.
    #[test]
    fn one_address_has_its_bound() {
        let crowd = crowd(2, &["10.0.0.0/8"]);
        let enter = |text: &str| crowd.enter(text.parse().unwrap());
        let (one, two) = (enter("192.0.2.1"), enter("::ffff:192.0.2.1"));
        assert!(one.is_some() && two.is_some() && enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(one);
        let again = enter("192.0.2.1");
        assert!(again.is_some() && enter("192.0.2.1").is_none());
        let network = ["2001:db8::1", "2001:db8::ffff:2"].map(enter);
        assert!(network.iter().all(Option::is_some) && enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::3").is_some());
        let proxied: Vec<_> = (0..10).map(|_| enter("10.1.2.3")).collect();
        assert!(proxied.iter().all(Option::is_some), "a proxy comes for many");
        drop((two, again, network, proxied));
        assert!(crowd.open.lock().unwrap().is_empty(), "nothing is kept of those that are gone");
    }

    #[test]
    fn zero_is_no_bound() {
        let crowd = crowd(0, &[]);
        let all: Vec<_> = (0..100).map(|_| crowd.enter("192.0.2.1".parse().unwrap())).collect();
        assert!(all.iter().all(Option::is_some));
    }

    /// A client that counts on the length must get the whole answer.
    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(BUSY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 503);
    }
}
