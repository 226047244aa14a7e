# shellcheck shell=bash disable=SC2154
# Inputs: where compilers and build systems find what a package depends on.
#
# There is no compiler wrapper here: the host's gcc and clang are told by the environment variables that they
# already know. Headers: C_INCLUDE_PATH and CPLUS_INCLUDE_PATH. Libraries at link time: LIBRARY_PATH. At run time
# a program has to find them without any environment, so their directories have to get into its RUNPATH. The linker
# takes LD_RUN_PATH for that, but only where no -rpath is given; build systems that give some take LDFLAGS.
# So both are set; LDFLAGS only if there are libraries among the inputs, because many makefiles have a default for
# it that a variable would displace.
#
# A store that lies elsewhere than at /nix/store is used where it lies. So each directory stands in RUNPATH twice: as
# it is seen from a program in `bin` or a library in `lib`, wherever the store is, and by its own name. Only
# LD_RUN_PATH can have both: make and the shell would each take `$ORIGIN` in a flag for a variable.

# Sets allInputs: the store paths of all inputs, each once, each before those that it propagates.
_findInputs() {
    local -a queue=()
    local -A seen=()
    local input
    allInputs=()
    appendWords queue depsBuildBuild nativeBuildInputs depsBuildTarget depsHostHost buildInputs depsTargetTarget \
        depsBuildBuildPropagated propagatedNativeBuildInputs depsBuildTargetPropagated depsHostHostPropagated \
        propagatedBuildInputs depsTargetTargetPropagated
    while ((${#queue[@]} > 0)); do
        input=${queue[0]}
        queue=("${queue[@]:1}")
        [[ -z ${seen[$input]-} ]] || continue
        seen[$input]=1
        [[ -e $input ]] || die "the build input $input does not exist"
        allInputs+=("$input")
        _queuePropagated "$input"
    done
}

# Puts what an input propagates at the head of the queue.
_queuePropagated() {
    local file content
    local -a propagated=()
    for file in "$1"/nix-support/propagated-{native-,}build-inputs; do
        [[ -f $file ]] || continue
        # shellcheck disable=SC2034
        content=$(<"$file")
        appendWords propagated content
    done
    queue=(${propagated[@]+"${propagated[@]}"} ${queue[@]+"${queue[@]}"})
}

# Prints how the libraries of a store path are found from another one, and by name.
_runPath() {
    # shellcheck disable=SC2016
    printf '$ORIGIN/../../%s/lib:%s/lib' "${1##*/}" "$1"
}

# Makes all inputs known to shell, compilers and build systems, and sources their setup hooks.
_activateInputs() {
    local input directory path='' runPath linkFlags="-Wl,-rpath,${!outputLib}/lib" found=
    runPath=$(_runPath "${!outputLib}")
    for input in ${allInputs[@]+"${allInputs[@]}"}; do
        # A file is only for those who ask for it by its variable.
        [[ -d $input ]] || continue
        for directory in "$input"/{bin,sbin}; do
            [[ ! -d $directory ]] || path+=$directory:
        done
        addToSearchPath C_INCLUDE_PATH "$input/include"
        addToSearchPath CPLUS_INCLUDE_PATH "$input/include"
        addToSearchPath LIBRARY_PATH "$input/lib"
        addToSearchPath PKG_CONFIG_PATH "$input/lib/pkgconfig"
        addToSearchPath PKG_CONFIG_PATH "$input/share/pkgconfig"
        addToSearchPath ACLOCAL_PATH "$input/share/aclocal"
        addToSearchPath CMAKE_PREFIX_PATH "$input"
        for directory in "$input"/lib/*.so "$input"/lib/*.so.*; do
            runPath+=:$(_runPath "$input")
            linkFlags+=" -Wl,-rpath,$input/lib"
            found=1
            break
        done
    done
    export PATH=$path$PATH
    export LD_RUN_PATH=$runPath
    if [[ -n $found ]]; then
        export LDFLAGS="$linkFlags${LDFLAGS:+ $LDFLAGS}"
    fi
    for input in ${allInputs[@]+"${allInputs[@]}"}; do
        if [[ -f $input/nix-support/setup-hook ]]; then
            # shellcheck disable=SC1091
            source "$input/nix-support/setup-hook"
        fi
    done
}

# Names the compilers by what they are, as nixpkgs does: `cc` may be a link into nowhere in a sandbox, and make's
# default is `cc`.
_setCompilers() {
    local variable program
    for variable in 'CC gcc clang' 'CXX g++ clang++'; do
        read -r variable program <<<"$variable"
        [[ -z ${!variable-} ]] || continue
        for program in $program; do
            if type -P "$program" >/dev/null; then
                export "$variable=$program"
                break
            fi
        done
    done
}
