# Runs one phase of a derivation that follows stdenv's protocol, in a bash of its own.
#
#   bash -e driver.sh setup          sources $stdenv/setup and lists the phases
#   bash -e driver.sh phase NAME     loads the state, runs NAME, and dumps the state again
#   bash -e driver.sh last NAME      the same, but ends as the whole build would: nothing is dumped
#
# After each step it tells which phases are off as things stand, because `doCheck` is not set, say: whoever runs this
# need not start a shell for those. Where all phases that come after, listed in the file `rest`, are off, it ends as
# the whole build would, and says so with the file `ended`.
#
# The state is a directory. Everything happens at the top level, never in a function: what is declared in a
# function is local to it. Redirections use `>|`, so that a phase may have set noclobber.
__rekindle_state=/.rekindle/state
__rekindle_action=$1
__rekindle_phase=${2-}
set --

if [ "$__rekindle_action" = setup ]; then
    if [ -f .attrs.sh ]; then
        source .attrs.sh
    fi
    source "$stdenv/setup"
    if ! declare -F definePhases runPhase >/dev/null; then
        # An older protocol: only genericBuild knows its phases.
        trap - EXIT
        exit 0
    fi
    definePhases
    export GZIP_NO_TIMESTAMPS=1
    printf '%s\n' ${phases[*]} >|"$__rekindle_state/phases"
else
    source "$__rekindle_state/load"
    runPhase "$__rekindle_phase"
fi

if [ "$__rekindle_action" != last ]; then
    # Our own set-up script has a function that knows. That of nixpkgs has its rules at the head of `runPhase`; if they
    # are not there word for word, nothing is off. In a subshell, as this must not change anything.
    __rekindle_off=$(
        set +eux
        trap - ERR DEBUG RETURN
        __rekindle_head='runPhase () 
{ 
    local curPhase="$*";'
        __rekindle_found=
        __rekindle_knows=
        if declare -F phaseIsOn >/dev/null; then
            __rekindle_knows=1
        fi
        for __rekindle_rule in 'unpackPhase -n dontUnpack' 'patchPhase -n dontPatch' \
            'configurePhase -n dontConfigure' 'buildPhase -n dontBuild' 'checkPhase -z doCheck' \
            'installPhase -n dontInstall' 'fixupPhase -n dontFixup' 'installCheckPhase -z doInstallCheck' \
            'distPhase -z doDist'; do
            __rekindle_name=${__rekindle_rule%% *}
            __rekindle_switch=${__rekindle_rule##* }
            if [ -n "$__rekindle_knows" ]; then
                phaseIsOn "$__rekindle_name" || printf '%s\n' "$__rekindle_name"
                continue
            fi
            __rekindle_head+="
    if [[ \"\$curPhase\" = ${__rekindle_rule% *} \"\${$__rekindle_switch:-}\" ]]; then
        return;
    fi;"
            case $__rekindle_rule:${!__rekindle_switch:+set} in
                *' -n '*:set | *' -z '*:) __rekindle_found+=$__rekindle_name$'\n' ;;
            esac
        done
        if [ -n "$__rekindle_found" ]; then
            case $(declare -f runPhase) in
                "$__rekindle_head"*) printf '%s' "$__rekindle_found" ;;
            esac
        fi
        :
    )
    if [ -f "$__rekindle_state/rest" ]; then
        __rekindle_on=
        while IFS= read -r __rekindle_name; do
            case $'\n'$__rekindle_off$'\n' in
                *$'\n'"$__rekindle_name"$'\n'*) ;;
                *) __rekindle_on=1 ;;
            esac
        done <"$__rekindle_state/rest"
        if [ -z "$__rekindle_on" ]; then
            printf ended >|"$__rekindle_state/ended"
            __rekindle_action=last
        fi
    fi
fi

if [ "$__rekindle_action" != last ]; then
    # One file with all parts, each behind a line with its name: to make a file costs more than to write one. Each
    # command is redirected by itself, as a DEBUG trap may print something between them.
    exec {__rekindle_dump}>|"$__rekindle_state/dump"
    # The options come first: what follows must neither stop at an error nor be changed by one.
    set +o >&"$__rekindle_dump"
    set +eux +o pipefail
    printf '#@ off\n%s\n#@ traps\n' "$__rekindle_off" >&"$__rekindle_dump"
    trap -p >&"$__rekindle_dump"
    trap - EXIT ERR DEBUG RETURN
    printf '#@ cwd\n%s\n#@ umask\n' "$PWD" >&"$__rekindle_dump"
    umask >&"$__rekindle_dump"
    # Processes that outlive the phase would be lost: whoever runs this must know.
    printf '#@ survivors\n' >&"$__rekindle_dump"
    for __rekindle_pid in /proc/[0-9]*; do
        case ${__rekindle_pid#/proc/} in
            1 | "$BASHPID") ;;
            *) echo "$__rekindle_pid" ;;
        esac
    done >&"$__rekindle_dump"
    printf '#@ shopts\n' >&"$__rekindle_dump"
    shopt -p >&"$__rekindle_dump"
    printf '#@ variables\n' >&"$__rekindle_dump"
    declare -p >&"$__rekindle_dump"
    # Last, as functions may hold any text.
    printf '#@ functions\n' >&"$__rekindle_dump"
    declare -f >&"$__rekindle_dump"
    declare -Fx >&"$__rekindle_dump"
    printf '#@ complete\n' >&"$__rekindle_dump"
    exit 0
fi
