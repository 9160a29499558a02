//! The image a container is made of: a small root of ours, imported once per environment, or one that the
//! operator names by its digest. Never a tag.

use bollard::body_full;
use bollard::errors::Error;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;
use gloaming_api::Digest;

use super::owner::ENVIRONMENT;
use super::server::{Server, words};
use crate::root::{Node, nodes};
use crate::{Environment, Image, ImageError};

/// An environment's small root as an archive, and what the daemon's one layer of it must be.
pub(super) struct Packed {
    pub(super) archive: Vec<u8>,
    /// The digest of the archive: a layer is named by that of what it was unpacked from.
    pub(super) layer: Digest,
}

/// Packs an environment's small root.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn pack_root(environment: &Environment) -> Result<Packed, String> {
    let root = environment.root.clone();
    let packed = tokio::task::spawn_blocking(move || {
        let archive = pack(&nodes(&root)?)?;
        Ok(Packed { layer: Digest::of(&archive), archive })
    });
    packed
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error: std::io::Error| format!("the container's root cannot be packed: {error}"))
}

/// Makes an image of an archive, with a label that says of which environment; returns its id.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn import(
    server: &Server,
    environment: &Digest,
    archive: Vec<u8>,
) -> Result<String, String> {
    let options = CreateImageOptionsBuilder::default()
        .from_src("-")
        .changes(vec![format!("LABEL {ENVIRONMENT}={environment}")])
        .build();
    let mut answers = server.client.create_image(Some(options), Some(body_full(archive.into())), None);
    let mut id = None;
    while let Some(answer) = answers.next().await {
        id = image_id(
            &answer.map_err(|error| format!("the container's root cannot be imported: {}", words(&error)))?,
        )
        .or(id);
    }
    id.ok_or_else(|| "the daemon imported the container's root and did not say as what".to_owned())
}

/// Both daemons say it as a status, and only one of them as an id.
fn image_id(answer: &CreateImageInfo) -> Option<String> {
    let said = [answer.id.as_ref(), answer.status.as_ref()];
    said.into_iter()
        .flatten()
        .map(|text| text.trim())
        .find(|text| text.starts_with("sha256:"))
        .map(str::to_owned)
}

/// Packs a root as a tar archive, the same bytes every time.
fn pack(nodes: &std::collections::BTreeMap<String, Node>) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, node) in nodes {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let content: &[u8] = match node {
            Node::Folder(mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                &[]
            }
            Node::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                archive.append_link(&mut header, path, target)?;
                continue;
            }
            Node::File(content) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(0o644);
                content
            }
        };
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content)?;
    }
    archive.into_inner()
}

/// Returns the environment that is an image, looked up at the daemon; nothing is ever pulled.
///
/// # Errors
/// A name or tag (the hint says the digest that it has here), an image that is not there, or one for another
/// kind of machine.
pub(super) async fn environment(server: &Server, reference: &str) -> Result<Environment, ImageError> {
    let wrong = |reason: String, hint: String| ImageError { reference: reference.to_owned(), reason, hint };
    let named = Image::parse(reference)?;
    let found = match server.client.inspect_image(reference).await {
        Ok(found) => Some(found),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => None,
        Err(error) => return Err(wrong(words(&error), String::new())),
    };
    let Some(image) = named else {
        let what = "that is a name or a tag, and what it stands for can change".to_owned();
        return Err(match found.as_ref().and_then(|found| pinned(found, reference)) {
            Some(pinned) => wrong(
                what,
                format!("write {pinned}, which is what it stands for at {} now", server.describe()),
            ),
            None => wrong(
                what,
                format!("{} has no such image; pull it there and name it by its digest", server.describe()),
            ),
        });
    };
    let Some(found) = found else {
        return Err(wrong(
            format!("{} has no such image", server.describe()),
            format!("pull it once: {} pull {reference}", server.brand.name()),
        ));
    };
    let digest = image.digest().to_string();
    let id = found.id.as_deref().unwrap_or_default();
    let is_it = id == digest
        || id.strip_prefix("sha256:").unwrap_or(id) == image.digest().hex()
        || found.repo_digests.iter().flatten().any(|repo| repo.ends_with(&digest));
    if !is_it {
        return Err(wrong(format!("the daemon answers with another image, {id}"), String::new()));
    }
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if let Some(other) = found.architecture.as_deref().filter(|kind| !kind.is_empty() && *kind != machine) {
        return Err(wrong(
            format!("it is for machines of the kind {other}, and this one is {machine}"),
            "name the digest of the image for this kind of machine".to_owned(),
        ));
    }
    let config = found.config.unwrap_or_default();
    Ok(Environment::of_image(
        image.with_volumes(config.volumes.unwrap_or_default()),
        &config.env.unwrap_or_default(),
    ))
}

/// Returns the reference by digest of what a tag stands for: of the same name where there is one.
fn pinned(found: &ImageInspect, reference: &str) -> Option<String> {
    let name =
        reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(reference, |(name, _)| name);
    let digests: Vec<&String> =
        found.repo_digests.iter().flatten().filter(|digest| !digest.starts_with("<none>")).collect();
    let same =
        digests.iter().find(|digest| digest.split('@').next().is_some_and(|repo| repo.ends_with(name)));
    same.or(digests.first()).map(|digest| (*digest).clone()).or_else(|| {
        let id = found.id.clone()?;
        Some(if id.starts_with("sha256:") { id } else { format!("sha256:{id}") })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_root_is_packed_the_same_every_time() {
        let nodes = BTreeMap::from([
            ("bin".to_owned(), Node::Link("usr/bin".to_owned())),
            ("etc".to_owned(), Node::Folder(0o755)),
            ("etc/hosts".to_owned(), Node::File(b"127.0.0.1 localhost\n".to_vec())),
            ("tmp".to_owned(), Node::Folder(0o1777)),
        ]);
        let packed = pack(&nodes).unwrap();
        assert_eq!(packed, pack(&nodes).unwrap());
        let mut told = Vec::new();
        for entry in tar::Archive::new(packed.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let header = entry.header();
            told.push(format!(
                "{:o} {} {} {:?} {text:?}",
                header.mode().unwrap(),
                header.mtime().unwrap(),
                entry.path().unwrap().display(),
                entry.link_name().unwrap()
            ));
        }
        assert_eq!(
            told,
            [
                "777 0 bin Some(\"usr/bin\") \"\"",
                "755 0 etc None \"\"",
                "644 0 etc/hosts None \"127.0.0.1 localhost\\n\"",
                "1777 0 tmp None \"\"",
            ]
        );
    }

    #[test]
    fn a_tag_is_answered_with_the_digest_of_its_own_repository() {
        let found = |digests: &[&str]| ImageInspect {
            id: Some("sha256:1".to_owned()),
            repo_digests: Some(digests.iter().map(|digest| (*digest).to_owned()).collect()),
            ..ImageInspect::default()
        };
        let digests = ["mirror/x@sha256:2", "docker.io/library/python@sha256:3"];
        assert_eq!(pinned(&found(&digests), "python:3.12").unwrap(), "docker.io/library/python@sha256:3");
        assert_eq!(pinned(&found(&digests), "other").unwrap(), "mirror/x@sha256:2");
        assert_eq!(pinned(&found(&["<none>@<none>"]), "python").unwrap(), "sha256:1");
    }

    #[test]
    fn the_id_of_an_import_is_read_from_either_daemons_answer() {
        let docker =
            CreateImageInfo { status: Some("sha256:1\r\n".to_owned()), ..CreateImageInfo::default() };
        let podman = CreateImageInfo {
            id: Some("sha256:2".to_owned()),
            status: Some("x".to_owned()),
            ..CreateImageInfo::default()
        };
        assert_eq!(image_id(&docker).as_deref(), Some("sha256:1"));
        assert_eq!(image_id(&podman).as_deref(), Some("sha256:2"));
        assert_eq!(
            image_id(&CreateImageInfo { status: Some("working".to_owned()), ..CreateImageInfo::default() }),
            None
        );
    }
}
