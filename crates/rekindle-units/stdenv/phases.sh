# shellcheck shell=bash disable=SC2154
# The phases up to install, as autotools and plain makefiles want them.

# ---- unpack ----

unpackPhase() {
    runHook preUnpack
    local -a sources=()
    local -A before=()
    local source directory
    if [[ -n ${srcs[*]-} ]]; then
        appendWords sources srcs
    elif [[ -n ${src-} ]]; then
        sources=("$src")
    else
        die 'neither src nor srcs is set; set dontUnpack=1 if there is nothing to unpack'
    fi
    for directory in */; do
        before[$directory]=1
    done
    # Rekindle may have put the source in its place already.
    if [[ -n ${src-} && -z ${srcs[*]-} ]] && _isMounted "$src"; then
        unset "before[$(stripHash "$src")/]"
    fi
    for source in "${sources[@]}"; do
        unpackFile "$source"
    done
    if [[ -n ${setSourceRoot-} ]] || declare -F setSourceRoot >/dev/null; then
        runHook setSourceRoot
    elif [[ -z ${sourceRoot-} ]]; then
        for directory in */; do
            [[ -z ${before[$directory]-} ]] || continue
            [[ -z ${sourceRoot-} ]] || die 'the sources have several directories; set sourceRoot to one of them'
            sourceRoot=${directory%/}
        done
    fi
    [[ -n ${sourceRoot-} ]] || die 'the sources have no directory; set sourceRoot=. to build among them'
    printf 'source root is %s\n' "$sourceRoot"
    if [[ -z ${dontMakeSourcesWritable-} && -z ${_mountedSource-} ]]; then
        chmod -R u+w -- "$sourceRoot"
    fi
    unset _mountedSource
    runHook postUnpack
}

# Tells whether a source lies in the current directory already, as a copy of it would: Rekindle's own mark says so.
_isMounted() {
    local mounted=''
    [[ -f /.rekindle/mounted ]] || return 1
    IFS= read -r -d '' mounted </.rekindle/mounted || true
    [[ $mounted == "$1" && $PWD == "${NIX_BUILD_TOP-}" && -d $(stripHash "$1") ]]
}

# Unpacks or copies one source into the current directory. `unpackCmd`, or an element of unpackCmdHooks that
# succeeds, takes the place of what is here; it finds the path in $curSrc.
unpackFile() {
    local curSrc=$1 hook
    printf 'unpacking %s\n' "$curSrc"
    if _isMounted "$curSrc"; then
        if [[ -z ${unpackCmd-}${unpackCmdHooks[*]-} ]] && ! declare -F unpackCmd >/dev/null; then
            _mountedSource=1
            return
        fi
        # Somebody has a way of their own.
        rm -rf -- "$(stripHash "$curSrc")"
    fi
    if [[ -n ${unpackCmd-} ]] || declare -F unpackCmd >/dev/null; then
        _evalHook "$(declare -F unpackCmd || printf '%s' "$unpackCmd")" "$curSrc"
        return
    fi
    for hook in ${unpackCmdHooks[@]+"${unpackCmdHooks[@]}"}; do
        if _evalHook "$hook" "$curSrc"; then
            return 0
        fi
    done
    if [[ -d $curSrc ]]; then
        # With its times: in the store they are all the same, and must not become the time of this build.
        cp -r --no-dereference --preserve=timestamps --reflink=auto -- "$curSrc" "$(stripHash "$curSrc")"
        return
    fi
    case $curSrc in
        *.tar | *.tar.* | *.tgz | *.tbz | *.tbz2 | *.txz | *.tzst | *.tlz | *.crate)
            # Owners and the umask are those of the builder, for root too.
            tar --no-same-owner --no-same-permissions --warning=no-timestamp -xf "$curSrc"
            ;;
        *.zip)
            type -P unzip >/dev/null || die "unzip is needed to unpack $curSrc"
            unzip -qq "$curSrc"
            ;;
        *) die "do not know how to unpack $curSrc; set unpackCmd" ;;
    esac
}

# ---- patch ----

patchPhase() {
    runHook prePatch
    local patch
    local -a list=() flags=()
    appendWords list patches
    appendFlags flags patchFlags
    ((${#flags[@]} > 0)) || flags=(-p1)
    for patch in ${list[@]+"${list[@]}"}; do
        printf 'applying patch %s\n' "$patch"
        case $patch in
            *.gz) gzip -dc -- "$patch" ;;
            *.bz2) bzip2 -dc -- "$patch" ;;
            *.xz | *.lzma) xz -dc -- "$patch" ;;
            *.zst) zstd -dcq -- "$patch" ;;
            *) cat -- "$patch" ;;
        esac | patch "${flags[@]}"
    done
    runHook postPatch
}

# ---- configure ----

# For preConfigurePhases: makes `configure` from `configure.ac`.
autoreconfPhase() {
    runHook preAutoreconf
    local -a flags=()
    appendFlags flags autoreconfFlags
    ((${#flags[@]} > 0)) || flags=(--install --force)
    autoreconf "${flags[@]}"
    runHook postAutoreconf
}

# The arguments that put each kind of file into its output; none if there is only one.
_outputFlags() {
    ((${#allOutputs[@]} > 1)) && [[ -z ${dontAddOutputFlags-} ]] || return 0
    local -n _list=$1
    local name=${shareDocName:-${pname:-$(stripHash "$prefix")}}
    _list+=(
        "--bindir=${!outputBin}/bin" "--sbindir=${!outputBin}/sbin" "--includedir=${!outputInclude}/include"
        "--libdir=${!outputLib}/lib" "--libexecdir=${!outputLib}/libexec"
        "--localedir=${!outputLib}/share/locale" "--mandir=${!outputMan}/share/man"
        "--infodir=${!outputInfo}/share/info" "--docdir=${!outputDoc}/share/doc/$name"
    )
}

# Unlike nixpkgs this adds neither --disable-dependency-tracking nor --disable-static. Dependency files are how make
# knows what to rebuild after an edit, and a next build may well go on from this one. Static libraries are the
# package's own choice.
configurePhase() {
    runHook preConfigure
    if [[ -z ${configureScript-} && -f configure ]]; then
        configureScript=./configure
        [[ -x configure ]] || configureScript='bash ./configure'
    fi
    if [[ -n ${configureScript-} ]]; then
        local -a command=() flags=()
        appendWords command configureScript
        if [[ -z ${dontAddPrefix-} && -n ${prefix-} ]]; then
            # A key that ends in a space is a word of its own.
            case ${prefixKey:=--prefix=} in
                *' ') flags+=("${prefixKey% }" "$prefix") ;;
                *) flags+=("$prefixKey$prefix") ;;
            esac
        fi
        _outputFlags flags
        appendFlags flags configureFlags configureFlagsArray
        showWords 'configure flags' ${flags[@]+"${flags[@]}"}
        "${command[@]}" ${flags[@]+"${flags[@]}"}
    else
        printf 'no configure script, doing nothing\n'
    fi
    runHook postConfigure
}

# ---- build, check, install ----

_hasMakefile() {
    [[ -n ${makefile-} || -e Makefile || -e makefile || -e GNUmakefile ]]
}

# _make LABEL PARALLEL WORD...: runs make with the words, parallel if PARALLEL is not empty.
_make() {
    local label=$1 parallel=$2
    local -a flags=()
    [[ -z ${makefile-} ]] || flags+=(-f "$makefile")
    [[ -z $parallel ]] || flags+=("-j$NIX_BUILD_CORES")
    appendFlags flags makeFlags makeFlagsArray
    flags+=("${@:3}")
    showWords "$label" ${flags[@]+"${flags[@]}"}
    make ${flags[@]+"${flags[@]}"}
}

# Tells whether there is a rule for a target.
_hasTarget() {
    local -a flags=()
    [[ -z ${makefile-} ]] || flags+=(-f "$makefile")
    appendFlags flags makeFlags makeFlagsArray
    make ${flags[@]+"${flags[@]}"} -n "$1" >/dev/null 2>&1
}

buildPhase() {
    runHook preBuild
    if [[ -z ${makeFlags[*]-} ]] && ! _hasMakefile; then
        printf 'no Makefile, doing nothing\n'
    else
        foundMakefile=1
        local -a words=()
        appendFlags words buildFlags buildFlagsArray
        _make 'build flags' "${enableParallelBuilding-1}" ${words[@]+"${words[@]}"}
    fi
    runHook postBuild
}

checkPhase() {
    runHook preCheck
    if [[ -z ${foundMakefile-} ]] && ! _hasMakefile; then
        printf 'no Makefile, doing nothing\n'
    else
        local target
        if [[ -z ${checkTarget-} ]]; then
            for target in check test; do
                if _hasTarget "$target"; then
                    checkTarget=$target
                    break
                fi
            done
        fi
        if [[ -z ${checkTarget-} ]]; then
            printf 'there is no check or test target, doing nothing\n'
        else
            local -a words=()
            appendFlags words checkFlags checkFlagsArray
            ((${#words[@]} > 0)) || words=(VERBOSE=y)
            appendWords words checkTarget
            _make 'check flags' "${enableParallelChecking-1}" "${words[@]}"
        fi
    fi
    runHook postCheck
}

# One after the other by default: many makefiles have races in their install rules.
installPhase() {
    runHook preInstall
    if [[ -z ${foundMakefile-} ]] && ! _hasMakefile; then
        printf 'no Makefile, doing nothing\n'
    else
        local -a words=()
        mkdir -p "$prefix"
        if ((${#allOutputs[@]} > 1)); then
            words+=(
                "pkgconfigdir=${!outputDev}/lib/pkgconfig" "m4datadir=${!outputDev}/share/aclocal"
                "aclocaldir=${!outputDev}/share/aclocal"
            )
        fi
        appendFlags words installFlags installFlagsArray
        if [[ -n ${installTargets[*]-} ]]; then
            appendWords words installTargets
        else
            words+=(install)
        fi
        _make 'install flags' "${enableParallelInstalling-}" "${words[@]}"
    fi
    runHook postInstall
}

installCheckPhase() {
    runHook preInstallCheck
    local target=${installCheckTarget:-installcheck}
    if [[ -z ${foundMakefile-} ]] && ! _hasMakefile; then
        printf 'no Makefile, doing nothing\n'
    elif [[ -z ${installCheckTarget-} ]] && ! _hasTarget "$target"; then
        printf 'there is no installcheck target, doing nothing\n'
    else
        local -a words=()
        appendFlags words installCheckFlags installCheckFlagsArray
        appendWords words target
        _make 'install check flags' "${enableParallelChecking-1}" "${words[@]}"
    fi
    runHook postInstallCheck
}

distPhase() {
    runHook preDist
    local -a words=() files=()
    appendFlags words distFlags distFlagsArray
    words+=("${distTarget:-dist}")
    _make 'dist flags' '' "${words[@]}"
    if [[ -z ${dontCopyDist-} ]]; then
        mkdir -p "${!allOutputs[0]}/tarballs"
        # `tarballs` may have globs in it, and only it may.
        # shellcheck disable=SC2206
        files=(${tarballs:-*.tar.gz *.tar.xz *.tar.bz2})
        ((${#files[@]} > 0)) || die 'dist made no tarball'
        cp --no-dereference --preserve=timestamps -- "${files[@]}" "${!allOutputs[0]}/tarballs"
    fi
    runHook postDist
}
