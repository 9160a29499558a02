//! Environments that are images: named by what is in them, never by a tag that can change.

use std::collections::BTreeMap;

use gloaming_api::Digest;

use super::{Environment, FIXED_ENV, RootFiles, ScratchFiles};

/// An image by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The repository's name; none where the image is named by its id alone.
    name: Option<String>,
    digest: Digest,
    /// Folders that the image declares as volumes.
    volumes: Vec<String>,
}

/// An image that cannot be an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the image {reference:?} cannot be the environment: {reason}")]
pub struct ImageError {
    /// What was asked for.
    pub reference: String,
    /// What is wrong with it.
    pub reason: String,
    /// What a person can do about it; may be empty.
    pub hint: String,
}

impl Image {
    /// Returns the digest: the manifest's for `name@sha256:...`, the image's own for an id.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the same image with the volumes it declares; only absolute folders below the root.
    pub(crate) fn with_volumes(mut self, volumes: Vec<String>) -> Self {
        let plain = |path: &String| {
            path.starts_with('/')
                && path.len() > 1
                && path[1..].split('/').all(|part| !matches!(part, "" | "." | ".."))
        };
        self.volumes = volumes.into_iter().filter(plain).collect();
        self
    }

    /// Returns the folders that the image declares as volumes: a job gets them in memory.
    pub(crate) fn volumes(&self) -> &[String] {
        &self.volumes
    }

    /// Parses `name@sha256:<64 digits>` or `sha256:<64 digits>`; none for a name or a tag.
    ///
    /// # Errors
    /// What is no image at all.
    pub(crate) fn parse(reference: &str) -> Result<Option<Self>, ImageError> {
        let wrong = |reason: &str| ImageError {
            reference: reference.to_owned(),
            reason: reason.to_owned(),
            hint: "name it as name@sha256:<64 hexadecimal digits>, or by its id, sha256:<64 digits>"
                .to_owned(),
        };
        // Characters of the reference grammar, which has no other; it goes into a daemon's paths.
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= 512
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./_-:".contains(&byte))
                && text
                    .split('/')
                    .all(|part| part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()))
        };
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (Some(name), Some(digest)),
            None if reference.starts_with("sha256:") => (None, Some(reference)),
            None => (Some(reference), None),
        };
        if name.is_some_and(|name| !plain(name)) {
            return Err(wrong("that is not a name of an image"));
        }
        let Some(digest) = digest else { return Ok(None) };
        let digest = digest.parse().map_err(|_| wrong("what follows @ is not a SHA-256 digest"))?;
        Ok(Some(Self { name: name.map(str::to_owned), digest, volumes: Vec::new() }))
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}@{}", self.digest),
            None => self.digest.fmt(f),
        }
    }
}

impl Environment {
    /// Returns the environment that is an image, with the variables it sets. Nothing of the host is in it.
    ///
    /// What keeps jobs apart and reproducible is set over the image's own: home, caches, no prompts.
    pub(crate) fn of_image(image: Image, env: &[String]) -> Self {
        let mut variables: BTreeMap<String, String> = env
            .iter()
            .filter_map(|variable| variable.split_once('='))
            .filter(|(name, value)| !name.is_empty() && !value.contains('\0'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        variables
            .entry("PATH".to_owned())
            .or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        for (name, value) in FIXED_ENV {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        let folders = ["/scratch/home", "/scratch/cargo", "/scratch/target"];
        Self {
            mounts: Vec::new(),
            root: RootFiles::default(),
            scratch: ScratchFiles { folders: folders.map(str::to_owned).to_vec(), ..ScratchFiles::default() },
            env: variables,
            digest: image.digest.clone(),
            describe: vec![format!("the image {image}")],
            image: Some(image),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_names_an_image() {
        let hex = "0123456789abcdef".repeat(4);
        let parse =
            |reference: &str| Image::parse(reference).map(|image| image.map(|image| image.to_string()));
        for whole in [
            format!("python@sha256:{hex}"),
            format!("python:3.12@sha256:{hex}"),
            format!("registry.example:5000/team/python@sha256:{hex}"),
            format!("sha256:{hex}"),
        ] {
            assert_eq!(parse(&whole), Ok(Some(whole.clone())), "{whole}");
        }
        for tag in ["python", "python:3.12", "registry.example:5000/team/python", &hex] {
            assert_eq!(parse(tag), Ok(None), "{tag}");
        }
        for broken in [
            "",
            "python@",
            "python@sha256:12",
            "python@md5:0123",
            "@sha256:0123",
            "../../containers/json",
            "a b",
            "python?x=1",
            "-rf",
            "sha256:xyz",
        ] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_images_variables_are_kept_and_ours_win() {
        let image = Image::parse(&format!("sha256:{}", "a".repeat(64))).unwrap().unwrap();
        let env = ["PATH=/opt/x/bin:/bin", "HOME=/root", "LANG", "RUSTUP_HOME=/usr/local/rustup", "=x"];
        let environment = Environment::of_image(image.clone(), &env.map(str::to_owned));
        assert_eq!(environment.digest(), image.digest());
        assert_eq!(environment.env()["PATH"], "/opt/x/bin:/bin");
        assert_eq!(environment.env()["RUSTUP_HOME"], "/usr/local/rustup");
        assert_eq!(environment.env()["HOME"], "/scratch/home");
        assert!(!environment.env().contains_key(""));
        assert_eq!(environment.describe(), [format!("the image {image}")]);
        assert!(environment.needs_no_image().unwrap_err().reason.contains("cannot unpack images"));
    }
}
