//! Asks a server whether it answers: connects, then one request with short time-outs.

use std::time::Instant;

use serde_json::json;
use tokio::net::TcpStream;
use url::Url;

use super::Healer;
use super::address::{addresses, admit, origin, parse};
use super::http::builder;
use super::output::{Step, answer, answer_of, evidence, permanent};
use crate::decide::{Answer, Finding, TaskOutput};

impl Healer {
    pub(super) async fn look_server(&self, url: &str) -> Answer {
        self.probe(url).await.unwrap_or_else(|output| match *output {
            // A name that does not resolve is a server that does not answer.
            TaskOutput::Transient { detail, evidence, .. } => answer(Finding::Fault, detail, evidence),
            other => answer_of(other),
        })
    }

    async fn probe(&self, text: &str) -> Step<Answer> {
        let settings = self.settings();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = parse(&text)?;
        let asked = origin(&url);
        // Only the origin is called: what stands behind it in a log line is a stranger's.
        url.set_path("/");
        url.set_query(None);
        let known = std::iter::once(&settings.bot_api.url).chain(&settings.servers);
        let known = known.filter_map(|known| Url::parse(known).ok()).any(|known| origin(&known) == asked);
        let (host, targets) = if known {
            (url.host_str().unwrap_or_default().to_owned(), addresses(&url).await?)
        } else {
            let admitted = admit(settings, url.clone()).await?;
            (admitted.host, admitted.addresses)
        };
        let begun = Instant::now();
        let connected = tokio::time::timeout(settings.timeouts.connect, connect(&targets)).await;
        let connect_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut seen = evidence(json!({ "server": asked, "connect_ms": connect_ms }));
        let fault = |why: String, seen| Ok(answer(Finding::Fault, format!("{asked} {why}"), seen));
        match connected {
            Err(_) => return fault(format!("does not accept a connection within {connect_ms} ms"), seen),
            Ok(Err(error)) => return fault(format!("refuses connections: {error}"), seen),
            Ok(Ok(_)) => {}
        }
        let client = builder(&settings.timeouts)
            .no_proxy()
            .resolve_to_addrs(&host, &targets)
            .timeout(settings.timeouts.probe)
            .build()
            .map_err(|_| permanent("failed to set up TLS"))?;
        match client.get(url).send().await {
            Ok(response) if response.status().as_u16() < 500 => {
                let status = response.status().as_u16();
                seen.insert("http_status".into(), status.into());
                Ok(answer(Finding::Sound, format!("{asked} answers ({status})"), seen))
            }
            Ok(response) => {
                let status = response.status().as_u16();
                seen.insert("http_status".into(), status.into());
                fault(format!("answers {status}"), seen)
            }
            Err(error) if error.is_timeout() => fault(
                format!("accepts connections but does not answer within {} s", settings.timeouts.probe.as_secs()),
                seen,
            ),
            Err(error) => {
                fault(format!("accepts connections but answers nothing usable: {}", error.without_url()), seen)
            }
        }
    }
}

async fn connect(targets: &[std::net::SocketAddr]) -> std::io::Result<TcpStream> {
    TcpStream::connect(targets).await
}
