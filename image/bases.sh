#!/usr/bin/env bash
# Makes the two images that image/Dockerfile begins with, for a machine that reaches no registry: Debian from
# its own packages, and the same with a C compiler and this machine's Rust. As root; needs buildah and
# debootstrap. Certificates that the machine trusts beside Debian's go in, because its network may need them.
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
for program in buildah debootstrap; do
    command -v "$program" >/dev/null || { echo "$program is missing: apt-get install buildah debootstrap"; exit 1; }
done
release=1.95.0
toolchain="$(rustc +$release --print sysroot)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

import() { # FOLDER NAME [buildah config's options]
    local container
    container="$(buildah from scratch)"
    buildah add --quiet "$container" "$1" / >/dev/null
    buildah config --cmd bash "${@:3}" "$container"
    buildah commit --quiet "$container" "docker.io/library/$2" >/dev/null
    buildah rm "$container" >/dev/null
    echo "made $2"
}

debootstrap --variant=minbase bookworm "$folder/debian" https://deb.debian.org/debian >/dev/null
rm -rf "$folder"/debian/var/{cache/apt,lib/apt/lists}/* "$folder"/debian/usr/share/{doc,man,locale}/*
mkdir -p "$folder/debian/usr/local/share/ca-certificates"
find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$folder/debian/usr/local/share/ca-certificates/" \;
import "$folder/debian" debian:bookworm-slim \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

cp -a "$folder/debian" "$folder/rust"
cp /etc/resolv.conf "$folder/rust/etc/"
chroot "$folder/rust" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev ca-certificates' >/dev/null
mkdir -p "$folder/rust/usr/local/rustup" "$folder/rust/usr/local/cargo/registry"
cp -aL "$toolchain/bin" "$toolchain/lib" "$folder/rust/usr/local/rustup/"
# Crates that were fetched already need not be fetched again.
for part in index cache; do
    [ ! -d "${CARGO_HOME:-$HOME/.cargo}/registry/$part" ] || cp -a "${CARGO_HOME:-$HOME/.cargo}/registry/$part" "$folder/rust/usr/local/cargo/registry/"
done
import "$folder/rust" "rust:$release-slim-bookworm" --env CARGO_HOME=/usr/local/cargo \
    --env PATH=/usr/local/rustup/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
