//! `meshcache groups`: the groups, and what each of them saves.

use crate::server::{NoAnswer, Server};
use meshcache_admin::Mesh;
use std::io::{self, Write};

/// Asks, and writes a line for each group.
pub async fn run(server: &Server, to: &mut impl Write) -> Result<io::Result<()>, NoAnswer> {
    let mesh: Mesh = server.get("/mesh").await?;
    let groups =
        mesh.coordinators.iter().filter_map(|coordinator| coordinator.state.as_ref()).flat_map(|state| &state.groups);
    Ok(groups.into_iter().try_for_each(|group| writeln!(to, "{}", group.name)))
}
