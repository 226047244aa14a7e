# shellcheck shell=bash disable=SC2154,SC2164
# The phases of particular build systems. A package chooses them by name: configurePhase=cmakeConfigurePhase.

# Prints the words of the outputs' directories, with the given names in front of them.
# _outputDirectories ARRAY BIN SBIN INCLUDE LIB LIBEXEC LOCALE MAN INFO
_outputDirectories() {
    local -n _directories=$1
    _directories+=(
        "$2=${!outputBin}/bin" "$3=${!outputBin}/sbin" "$4=${!outputInclude}/include" "$5=${!outputLib}/lib"
        "$6=${!outputLib}/libexec" "$7=${!outputLib}/share/locale" "$8=${!outputMan}/share/man"
        "$9=${!outputInfo}/share/info"
    )
}

# ---- CMake ----

# With one output the directories are relative, which is what .pc files and package configurations get right.
cmakeConfigurePhase() {
    runHook preConfigure
    local source=$PWD
    local -a flags=(
        -G "${cmakeGenerator:-Ninja}"
        "-DCMAKE_BUILD_TYPE=${cmakeBuildType:-Release}"
        "-DCMAKE_INSTALL_PREFIX=$prefix"
        # What is installed finds its own libraries, and those that it was linked with.
        "-DCMAKE_INSTALL_RPATH=$(_runPath "${!outputLib}" | tr : ';')"
        -DCMAKE_INSTALL_RPATH_USE_LINK_PATH=ON
        # The registries are in the user's home, which a build does not have.
        -DCMAKE_EXPORT_NO_PACKAGE_REGISTRY=ON
        -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF
    )
    if ((${#allOutputs[@]} > 1)); then
        _outputDirectories flags -DCMAKE_INSTALL_{BIN,SBIN,INCLUDE,LIB,LIBEXEC,LOCALE,MAN,INFO}DIR
    else
        flags+=(-DCMAKE_INSTALL_LIBDIR=lib)
    fi
    if [[ -z ${doCheck-} ]]; then
        flags+=(-DBUILD_TESTING=OFF)
    fi
    appendFlags flags cmakeFlags cmakeFlagsArray
    mkdir -p "${cmakeBuildDir:=build}"
    cd "$cmakeBuildDir"
    showWords 'cmake flags' "${flags[@]}"
    cmake -S "$source/${cmakeDir-}" -B . "${flags[@]}"
    runHook postConfigure
}

cmakeCheckPhase() {
    runHook preCheck
    local -a flags=()
    appendFlags flags checkFlags checkFlagsArray
    ctest --output-on-failure "-j$NIX_BUILD_CORES" ${flags[@]+"${flags[@]}"}
    runHook postCheck
}

# ---- Meson ----

mesonConfigurePhase() {
    runHook preConfigure
    local -a flags=(
        "--prefix=$prefix"
        "--buildtype=${mesonBuildType:-release}"
        # The build has no network; say so before it tries.
        --wrap-mode=nodownload
    )
    if ((${#allOutputs[@]} > 1)); then
        _outputDirectories flags --{bin,sbin,include,lib,libexec,locale,man,info}dir
    else
        flags+=(--libdir=lib)
    fi
    appendFlags flags mesonFlags mesonFlagsArray
    # Meson takes the run paths that it made out of what it installs, and leaves those of LDFLAGS.
    local runPath
    runPath=$(_runPath "${!outputLib}")
    if [[ ${LDFLAGS-} != *"-Wl,-rpath,$runPath"* ]]; then
        export LDFLAGS="-Wl,-rpath,$runPath${LDFLAGS:+ $LDFLAGS}"
    fi
    showWords 'meson flags' "${flags[@]}"
    meson setup "${mesonBuildDir:=build}" . "${flags[@]}"
    cd "$mesonBuildDir"
    runHook postConfigure
}

mesonCheckPhase() {
    runHook preCheck
    local -a flags=()
    appendFlags flags checkFlags checkFlagsArray
    meson test --no-rebuild --print-errorlogs ${flags[@]+"${flags[@]}"}
    runHook postCheck
}

mesonInstallPhase() {
    runHook preInstall
    local -a flags=()
    appendFlags flags installFlags installFlagsArray
    meson install --no-rebuild ${flags[@]+"${flags[@]}"}
    runHook postInstall
}

# ---- ninja ----

# _ninja LABEL WORD...
_ninja() {
    local -a flags=("-j$NIX_BUILD_CORES")
    appendFlags flags ninjaFlags ninjaFlagsArray
    flags+=("${@:2}")
    showWords "$1" "${flags[@]}"
    # The status line of a terminal is a thousand lines in a log.
    TERM=dumb ninja "${flags[@]}"
}

ninjaBuildPhase() {
    runHook preBuild
    local -a words=()
    appendFlags words buildFlags buildFlagsArray
    # What an earlier build left in this tree and no rule makes any more would stay. Without its log, ninja makes all anew.
    if [[ -f .ninja_log ]] && ! ninja -t cleandead >/dev/null; then
        rm -f .ninja_log
    fi
    _ninja 'build flags' ${words[@]+"${words[@]}"}
    runHook postBuild
}

ninjaCheckPhase() {
    runHook preCheck
    local -a words=()
    appendFlags words checkFlags checkFlagsArray
    words+=("${checkTarget:-test}")
    _ninja 'check flags' "${words[@]}"
    runHook postCheck
}

ninjaInstallPhase() {
    runHook preInstall
    local -a words=()
    appendFlags words installFlags installFlagsArray
    if [[ -n ${installTargets[*]-} ]]; then
        appendWords words installTargets
    else
        words+=(install)
    fi
    _ninja 'install flags' "${words[@]}"
    runHook postInstall
}

# ---- Cargo ----

# The crates are in cargoVendor, in place of every registry. The configuration is given on the command line as well,
# where it wins over one that the project brings.
cargoConfigurePhase() {
    runHook preConfigure
    [[ -f Cargo.lock ]] || die 'there is no Cargo.lock: which crates to build with has to be known beforehand'
    export CARGO_HOME=$NIX_BUILD_TOP/cargo-home
    export CARGO_TARGET_DIR=$PWD/target
    export CARGO_NET_OFFLINE=true
    # An incremental session of rustc reads what a clean build would not have.
    export CARGO_INCREMENTAL=0
    export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never
    mkdir -p "$CARGO_HOME"
    local config='' host arguments='' word
    if [[ -n ${cargoVendor-} ]]; then
        # Crates are reached by a link outside of the store: their paths get into messages of panics, and would make
        # every program depend on the sources that it was made from.
        ln -sfn "$cargoVendor" "$NIX_BUILD_TOP/cargo-vendor"
        config=$(<"$cargoVendor/config.toml")
        config=${config//@vendor@/"$NIX_BUILD_TOP/cargo-vendor"}
    fi
    # rustc calls `cc` whatever CC says; it does not know LDFLAGS, and its linker does not know LD_RUN_PATH.
    host=$(rustc -vV | sed -n 's/^host: //p')
    host=${host//[-.]/_}
    if ! type -P cc >/dev/null && [[ -n ${CC-} ]]; then
        export "CARGO_TARGET_${host^^}_LINKER=$CC"
    fi
    for word in ${LDFLAGS-}; do
        [[ $word != -Wl,-rpath,* ]] || arguments+=" -Clink-arg=$word"
    done
    if [[ -n $arguments ]]; then
        export "CARGO_TARGET_${host^^}_RUSTFLAGS=${arguments# }"
    fi
    printf '%s\n' "$config" >"$CARGO_HOME/config.toml"
    runHook postConfigure
}

# _cargo COMMAND: runs cargo with all flags.
_cargo() {
    local -a flags=(--config "$CARGO_HOME/config.toml" --locked --offline "-j$NIX_BUILD_CORES")
    flags+=(--profile "${cargoProfile:-release}")
    appendFlags flags cargoFlags cargoFlagsArray
    flags+=("${@:2}")
    showWords "cargo $1 flags" "${flags[@]}"
    cargo "$1" "${flags[@]}"
    # When it last used what, of no use where nothing is ever collected, and another file each time.
    rm -f -- "$CARGO_HOME/.global-cache"
}

# _cargoDirectory: sets directory to where programs and libraries get their names.
_cargoDirectory() {
    directory=${cargoProfile:-release}
    [[ $directory != dev ]] || directory=debug
    directory=$CARGO_TARGET_DIR/$directory
}

cargoBuildPhase() {
    runHook preBuild
    local -a words=()
    appendFlags words buildFlags buildFlagsArray
    # A program that the workspace has no more would stay and be installed. To the others, Cargo only gives their names again.
    local directory
    _cargoDirectory
    if [[ -d $directory ]]; then
        find "$directory" -maxdepth 1 -type f ! -name '*.d' ! -name '*.rlib' ! -name '*.rmeta' -delete
    fi
    _cargo build ${words[@]+"${words[@]}"}
    runHook postBuild
}

cargoCheckPhase() {
    runHook preCheck
    local -a words=()
    appendFlags words checkFlags checkFlagsArray
    _cargo test ${words[@]+"${words[@]}"}
    runHook postCheck
}

# Installs the programs and the C libraries of the workspace, which Cargo leaves in the top of the profile's directory.
cargoInstallPhase() {
    runHook preInstall
    local directory file
    _cargoDirectory
    for file in "$directory"/*; do
        [[ -f $file && ! -L $file ]] || continue
        case $file in
            *.d | *.rlib | *.rmeta) ;;
            *.so)
                # A procedural macro is a part of the compiler, not of what is installed.
                if ! grep -q -a -F rustc_proc_macro_decls "$file"; then
                    install -D -m 755 -t "${!outputLib}/lib" -- "$file"
                fi
                ;;
            *.a) install -D -m 644 -t "${!outputLib}/lib" -- "$file" ;;
            *)
                if [[ -x $file ]]; then
                    install -D -m 755 -t "${!outputBin}/bin" -- "$file"
                fi
                ;;
        esac
    done
    runHook postInstall
}
