//! Seeds by the instances of a project in Google Compute Engine, as this instance's service account sees them.

mod client;
mod instances;
#[cfg(test)]
mod tests;

use crate::{
    cluster::seeds::{addresses::distinct, error::SeedError},
    config::seeds::{GceConfig, Zones},
};
use client::{Client, Token};
use instances::{Page, list_url};
use std::net::SocketAddr;

/// The API, if nothing else is configured.
const API: &str = "https://compute.googleapis.com";
/// The metadata server, if nothing else is configured.
const METADATA: &str = "metadata.google.internal";
/// The most pages of one list. A server that names a next page for ever is given up.
const MAX_PAGES: usize = 1000;

/// The instances that are coordinators.
#[derive(Debug)]
pub struct GceSeeds {
    config: GceConfig,
    peer_port: u16,
    client: Client,
    /// The project and the zone of this instance, once the metadata server has told them.
    own: Option<Own>,
}

/// Where this instance is.
#[derive(Clone, Debug)]
struct Own {
    project: String,
    zone: String,
}

impl GceSeeds {
    /// Fails if the system trusts no authority.
    pub(super) fn new(config: GceConfig, peer_port: u16) -> Result<Self, String> {
        Ok(Self { config, peer_port, client: Client::new()?, own: None })
    }

    /// Lists all instances.
    pub(super) async fn addresses(&mut self) -> Result<Vec<SocketAddr>, SeedError> {
        let own = self.own().await?;
        // The metadata server keeps a token until shortly before its end: what it tells now lasts for this list.
        let token = self.token().await?;
        let matching = &self.config.matching;
        let project = matching.project.as_ref().map_or(own.project.as_str(), |project| project.as_str());
        let zones: Vec<Option<&str>> = match &matching.zones {
            Zones::All => vec![None],
            Zones::Own => vec![Some(&own.zone)],
            Zones::Named(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        };
        let mut found = Vec::new();
        for zone in zones {
            found.extend(self.list(project, zone, &token).await?);
        }
        if found.is_empty() {
            return Err(SeedError::Empty(format!("no running instance of the project {project} matches")));
        }
        Ok(distinct(found))
    }

    /// Lists the instances of one zone, or of all.
    async fn list(&self, project: &str, zone: Option<&str>, token: &Token) -> Result<Vec<SocketAddr>, SeedError> {
        let matching = &self.config.matching;
        let api = self.config.endpoint.as_deref().unwrap_or(API);
        let (mut found, mut next) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
            let url = list_url(api, project, zone, !matching.metadata.is_empty(), next.as_deref());
            let page: Page = self.client.api(&url, token).await?;
            found.extend(page.addresses(matching).map(|ip| SocketAddr::new(ip, self.peer_port)));
            next = page.next_page_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
        Err(SeedError::Api(format!("the list of instances has more than {MAX_PAGES} pages")))
    }

    /// Where this instance is, asked for once.
    async fn own(&mut self) -> Result<Own, SeedError> {
        if let Some(own) = &self.own {
            return Ok(own.clone());
        }
        let matching = &self.config.matching;
        let project = match &matching.project {
            Some(project) => project.as_str().to_owned(),
            None => self.metadata("project/project-id").await?,
        };
        let zone = match matching.zones {
            Zones::Own => last_segment(&self.metadata("instance/zone").await?),
            Zones::All | Zones::Named(_) => String::new(),
        };
        Ok(self.own.insert(Own { project, zone }).clone())
    }

    async fn metadata(&self, path: &str) -> Result<String, SeedError> {
        let text = self.client.metadata(self.metadata_host(), path).await?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:/".contains(&b);
        match text.trim() {
            name if !name.is_empty() && name.len() < 256 && name.bytes().all(fits) => Ok(name.to_owned()),
            _ => Err(self.wrong(path, "not a name")),
        }
    }

    fn metadata_host(&self) -> &str {
        self.config.metadata.as_deref().unwrap_or(METADATA)
    }

    fn wrong(&self, path: &str, what: &str) -> SeedError {
        SeedError::Metadata(format!("{}, {path}: {what}", self.metadata_host()))
    }

    async fn token(&self) -> Result<Token, SeedError> {
        let path = "instance/service-accounts/default/token";
        let text = self.client.metadata(self.metadata_host(), path).await?;
        Token::parse(&text).ok_or_else(|| self.wrong(path, "not a token"))
    }
}

/// `projects/1/zones/z` is the zone z.
fn last_segment(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
