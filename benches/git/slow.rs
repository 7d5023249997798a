//! Readers that take a clone as slowly as a bad line: what each costs the server in memory.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::process;
use crate::server::Server;

/// How many read at once.
pub(crate) const READERS: usize = 16;
/// Bytes that a reader takes at a time, and how often.
const TAKEN: usize = 1024;
const EVERY: Duration = Duration::from_secs(1);
/// Room for what was sent and not read, so that the kernel does not hold the answer for the reader.
const WINDOW: u32 = 4 * 1024;
const SECONDS: u32 = 4;

/// How much more the server takes at most, in MB a reader.
pub(crate) fn growth(server: &Server, request: &[u8]) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    process::forget_peak(server.pid())?;
    let before = process::resident(server.pid()).unwrap_or_default();
    runtime.block_on(read(server, request))?;
    let after = process::peak(server.pid()).unwrap_or_default();
    Ok((after - before).max(0.0) / READERS as f64)
}

async fn read(server: &Server, request: &[u8]) -> anyhow::Result<()> {
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = connect(server).await?;
        reader.write_all(request).await?;
        readers.push(reader);
    }
    let mut buffer = [0; TAKEN];
    for _ in 0..SECONDS {
        for reader in &mut readers {
            reader.read_exact(&mut buffer).await?;
        }
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}

async fn connect(server: &Server) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(WINDOW)?;
    Ok(socket.connect(server.address.parse()?).await?)
}
