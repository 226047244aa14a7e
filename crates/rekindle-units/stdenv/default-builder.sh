# shellcheck shell=bash
# What a derivation's builder runs. With structured attributes not even $stdenv is in the environment yet.
if [ -n "${NIX_ATTRS_SH_FILE-}" ]; then
    # shellcheck disable=SC1090
    source "$NIX_ATTRS_SH_FILE"
fi
# shellcheck disable=SC1091,SC2154
source "$stdenv/setup"
genericBuild
