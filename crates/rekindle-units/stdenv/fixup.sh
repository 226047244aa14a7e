# shellcheck shell=bash disable=SC2154
# The fixup phase: arranges what was installed.
#
# There is less to do than in nixpkgs. Interpreters are those of the host, so no #! line is changed; there is no
# compiler wrapper, so no run path is shrunk. Debug symbols go, documentation moves to share, files move to the
# outputs that want them, and a program that looks for libraries in the build directory is an error.

preFixupHooks+=(_moveToShare _moveDocumentation _moveDevelopment)
fixupOutputHooks+=(_strip _compressMan _auditTmpdir)
postFixupHooks+=(_propagateDev)

fixupPhase() {
    local output
    for output in "${allOutputs[@]}"; do
        if [[ -e ${!output} && ! -L ${!output} ]]; then
            chmod -R u+w,u-s,g-s -- "${!output}"
        fi
    done
    runHook preFixup
    for output in "${allOutputs[@]}"; do
        if [[ -e ${!output} ]]; then
            prefix=${!output} runHook fixupOutput
        fi
    done
    _recordPropagated
    runHook postFixup
}

# ---- Moving ----

# moveToOutput PATTERN DIRECTORY: moves what matches a glob, relative to an output, from every output to the output at
# that path; REMOVE deletes it.
moveToOutput() {
    local pattern=$1 target=$2 output path relative
    for output in "${allOutputs[@]}"; do
        [[ ${!output} != "$target" ]] || continue
        # The pattern is to be expanded.
        # shellcheck disable=SC2231
        for path in "${!output}"/$pattern; do
            [[ -e $path || -L $path ]] || continue
            relative=${path#"${!output}"/}
            if [[ $target == REMOVE ]]; then
                printf 'removing %s\n' "$path"
                rm -rf -- "$path"
            else
                printf 'moving %s to %s\n' "$path" "$target/$relative"
                _moveInto "$path" "$target/$relative"
            fi
            if [[ $relative == */* ]]; then
                (cd -- "${!output}" && rmdir -p --ignore-fail-on-non-empty -- "${relative%/*}")
            fi
        done
    done
}

# Moves a path to another; a directory into one that exists is merged with it.
_moveInto() {
    if [[ -d $1 && ! -L $1 && -d $2 && ! -L $2 ]]; then
        cp -a -- "$1/." "$2/"
        rm -rf -- "$1"
    else
        mkdir -p -- "${2%/*}"
        mv -T -- "$1" "$2"
    fi
}

# man, doc and info belong below share.
_moveToShare() {
    local output directory
    local -a names=()
    appendWords names forceShare
    ((${#names[@]} > 0)) || names=(man doc info)
    for output in "${allOutputs[@]}"; do
        for directory in "${names[@]}"; do
            if [[ -d ${!output}/$directory && ! -L ${!output}/$directory ]]; then
                printf 'moving %s to share\n' "${!output}/$directory"
                mkdir -p "${!output}/share"
                _moveInto "${!output}/$directory" "${!output}/share/$directory"
            fi
        done
    done
}

_moveDocumentation() {
    ((${#allOutputs[@]} > 1)) || return 0
    moveToOutput share/info "${!outputInfo}"
    moveToOutput share/doc "${!outputDoc}"
    moveToOutput share/gtk-doc "${!outputDoc}"
    moveToOutput share/man "${!outputMan}"
}

_moveDevelopment() {
    ((${#allOutputs[@]} > 1)) && [[ -n ${moveToDev-1} ]] || return 0
    local file
    moveToOutput include "${!outputInclude}"
    moveToOutput lib/pkgconfig "${!outputDev}"
    moveToOutput share/pkgconfig "${!outputDev}"
    moveToOutput lib/cmake "${!outputDev}"
    moveToOutput share/aclocal "${!outputDev}"
    for file in "${!outputDev}"/{lib,share}/pkgconfig/*.pc; do
        [[ -f $file ]] || continue
        sed -i "/^includedir=/s,=\\\${prefix},=${!outputInclude}," "$file"
    done
}

# ---- Stripping ----

# Tells whether a file begins with these bytes.
_beginsWith() {
    local head=''
    IFS= read -r -d '' -N "${#2}" head <"$1" || true
    [[ $head == "$2" ]]
}

isELF() {
    _beginsWith "$1" $'\177ELF'
}

_isArchive() {
    _beginsWith "$1" $'!<arch>\n'
}

# Takes debug symbols out of programs, libraries and archives, and times and owners out of archives. Hard links to
# one file are stripped once.
_strip() {
    [[ -z ${dontStrip-} ]] && type -P strip >/dev/null || return 0
    local -a debug=() all=() debugFlags=() allFlags=()
    appendWords debug stripDebugList
    ((${#debug[@]} > 0)) || debug=(lib lib32 lib64 libexec bin sbin)
    appendWords all stripAllList
    appendWords debugFlags stripDebugFlags
    ((${#debugFlags[@]} > 0)) || debugFlags=(-S -p)
    appendWords allFlags stripAllFlags
    ((${#allFlags[@]} > 0)) || allFlags=(-s -p)
    _stripBelow "${debugFlags[*]}" "${debug[@]}"
    ((${#all[@]} == 0)) || _stripBelow "${allFlags[*]}" "${all[@]}"
}

_stripBelow() {
    # shellcheck disable=SC2034
    local flagText=$1
    local directory line inode file
    local -a flags=() found=()
    local -A seen=()
    appendWords flags flagText
    for directory in "${@:2}"; do
        [[ -d $prefix/$directory && ! -L $prefix/$directory ]] || continue
        # In no order: which of them is stripped first makes no difference.
        mapfile -d '' -t found < <(exec find "$prefix/$directory" -type f -printf '%i %p\0')
        for line in ${found[@]+"${found[@]}"}; do
            inode=${line%% *}
            file=${line#* }
            [[ -z ${seen[$inode]-} ]] || continue
            seen[$inode]=1
            if isELF "$file"; then
                _stripFile "$file" "${flags[@]}"
            elif _isArchive "$file"; then
                _stripFile "$file" -D "${flags[@]}"
            fi
        done
    done
}

_stripFile() {
    # Files of another machine, firmware for instance, are beyond this strip; they stay as they are.
    if ! strip "${@:2}" -- "$1"; then
        printf 'not stripped: %s\n' "$1"
    fi
}

# ---- Manual pages ----

# Compresses manual pages if compressMan is set. Off by default: a page that changed by a word changes as a whole.
_compressMan() {
    [[ -n ${compressMan-} && -d $prefix/share/man ]] || return 0
    local file target
    while IFS= read -r -d '' file; do
        if [[ -L $file ]]; then
            target=$(readlink -- "$file")
            ln -s -- "$target.gz" "$file.gz"
            rm -- "$file"
        else
            gzip -n9 -- "$file"
        fi
    done < <(find "$prefix/share/man" \( -type f -o -type l \) ! -name '*.gz' -print0 | LC_ALL=C sort -z)
}

# ---- Audit ----

# A program whose run path leads into the build directory works only there.
_auditTmpdir() {
    [[ -z ${dontAuditTmpdir-} && -n ${NIX_BUILD_TOP-} ]] && type -P readelf >/dev/null || return 0
    local file
    local -a files=()
    while IFS= read -r -d '' file; do
        ! isELF "$file" || files+=("$file")
    done < <(exec find "$prefix" -type f -print0)
    # All at once first: there is hardly ever one.
    ((${#files[@]} > 0)) && _leadsToTmpdir "${files[@]}" || return 0
    for file in "${files[@]}"; do
        _leadsToTmpdir "$file" || continue
        die "the run path of $file leads into the build directory: ${_runPathLine##*[}"
    done
}

# Tells whether the run path of one of some programs leads into the build directory; _runPathLine is what says so.
_leadsToTmpdir() {
    _runPathLine=
    while (($# > 0)); do
        # So many at a time that they have room on a command line.
        while IFS= read -r _runPathLine; do
            if [[ $_runPathLine == *'(R'*PATH\)* && $_runPathLine == *"$NIX_BUILD_TOP"/* ]]; then
                return 0
            fi
        done < <(exec readelf -d -- "${@:1:256}" 2>/dev/null)
        shift $(($# < 256 ? $# : 256))
    done
    return 1
}

# ---- What users of the package get ----

_recordPropagated() {
    local support="${!outputDev}/nix-support" variable file hook
    local -a words
    for variable in 'propagatedBuildInputs propagated-build-inputs' \
        'propagatedNativeBuildInputs propagated-native-build-inputs'; do
        file=${variable#* }
        words=()
        appendWords words "${variable% *}"
        if ((${#words[@]} > 0)); then
            mkdir -p "$support"
            printf '%s\n' "${words[*]}" >"$support/$file"
        fi
    done
    words=()
    appendWords words propagatedUserEnvPkgs
    if ((${#words[@]} > 0)); then
        mkdir -p "${!outputBin}/nix-support"
        printf '%s\n' "${words[*]}" >"${!outputBin}/nix-support/propagated-user-env-packages"
    fi
    words=()
    appendWords words setupHook setupHooks
    for hook in ${words[@]+"${words[@]}"}; do
        mkdir -p "$support"
        cat -- "$hook" >>"$support/setup-hook"
    done
}

# Who builds against `dev` needs the programs and libraries that were split from it.
_propagateDev() {
    [[ ${#allOutputs[@]} -gt 1 && $outputDev != "${allOutputs[0]}" ]] || return 0
    local output line=''
    local -A seen=([$outputDev]=1)
    for output in "$outputBin" "$outputInclude" "$outputLib"; do
        [[ -z ${seen[$output]-} ]] || continue
        seen[$output]=1
        line+=" ${!output}"
    done
    if [[ -n $line ]]; then
        mkdir -p "${!outputDev}/nix-support"
        printf '%s\n' "${line# }" >>"${!outputDev}/nix-support/propagated-build-inputs"
    fi
}
