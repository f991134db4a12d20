//! Fetches a file again from an HTTP(S) address of the log, where its host is on the user's list.

use super::http::{Want, builder, fetch};
use super::output::{Step, permanent};
use super::part::Draft;
use super::{Healer, Stop, address};
use crate::decide::Expect;
use crate::roots::RootPath;
use crate::vocab::Evidence;

impl Healer {
    pub(super) async fn fetch_url(
        &self,
        url: &str,
        path: &RootPath,
        expect: &Expect,
        stop: &Stop,
    ) -> Step<(Draft, Evidence)> {
        let settings = self.settings();
        let admitted = address::admit(settings, address::parse(url)?).await?;
        // A client of its own: the name is pinned to the addresses that were judged, and no proxy resolves it anew.
        let client = builder(&settings.timeouts)
            .no_proxy()
            .resolve_to_addrs(&admitted.host, &admitted.addresses)
            .build()
            .map_err(|_| permanent("failed to set up TLS"))?;
        let draft = self.draft(path, admitted.url.as_str()).await?;
        let want = Want { client: &client, url: admitted.url, size: expect.size };
        fetch(want, draft, settings, stop).await
    }
}
