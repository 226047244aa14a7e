# shellcheck shell=bash disable=SC2154
# Unpacks crates into one directory per registry, the layout that Cargo calls a directory source.
# crates_<registry>_<chunk>: store paths of .crate files.  cargoConfig: the text of config.toml.
mkdir -p "$out"
for list in "${!crates_@}"; do
    registry=${list#crates_}
    directory=$out/${registry%_*}
    mkdir -p "$directory"
    for crate in ${!list}; do
        # <32 characters of hash>-<name>-<version>.crate
        name=${crate##*/}
        name=${name:33}
        name=${name%.crate}
        # Only the crate's own directory is taken, whatever else the archive has in it.
        tar -C "$directory" --no-same-owner --no-same-permissions -xzf "$crate" -- "$name"
        sum=$(sha256sum <"$crate")
        printf '{"files":{},"package":"%s"}' "${sum%% *}" >"$directory/$name/.cargo-checksum.json"
    done
done
printf '%s' "$cargoConfig" >"$out/config.toml"
