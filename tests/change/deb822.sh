#!/bin/sh
# Run by mmdebstrap in the finished tree ($1): sources as the installer of Debian 13 writes them.
set -eu
while read -r _ signed uri suite component; do
    keyring=${signed#*=}
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n\n' \
        "$uri" "$suite" "$component" "${keyring%]}"
done <"$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/debian.sources"
rm "$1/etc/apt/sources.list"
