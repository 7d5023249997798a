//! Words to the service manager, as systemd takes them (sd_notify(3)): a datagram to the socket that
//! it names in the environment. Without one, nothing is said.

use std::time::Duration;

/// How long the service manager may take to make room for a word. It reads them one by one, and few may wait; what it
/// does not take by then is not worth a server that stands still.
#[cfg(target_os = "linux")]
const PATIENCE: Duration = Duration::from_millis(200);

/// Says `state`, such as `READY=1`.
#[cfg(target_os = "linux")]
pub(super) fn say(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, "the service manager could not be told `{state}`");
    }
}

#[cfg(target_os = "linux")]
fn send(socket: &std::ffi::OsStr, state: &str) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let from = UnixDatagram::unbound()?;
    from.set_write_timeout(Some(PATIENCE))?;
    from.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn say(_: &str) {}

/// How often the service manager wants a sign of life: twice in the time that it would wait.
pub(super) fn watchdog() -> Option<Duration> {
    let of = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let ours = of("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    of("WATCHDOG_USEC").filter(|_| ours).map(|micros| Duration::from_micros(micros / 2))
}
