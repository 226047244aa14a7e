# Runs one phase of a derivation that follows stdenv's protocol, in a bash of its own.
#
#   bash -e driver.sh setup          sources $stdenv/setup and lists the phases
#   bash -e driver.sh phase NAME     loads the state, runs NAME, and dumps the state again
#   bash -e driver.sh last NAME      the same, but ends as the whole build would: nothing is dumped
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
    # The options come first: what follows must neither stop at an error nor be changed by one.
    set +o >|"$__rekindle_state/options"
    set +eux +o pipefail
    trap -p >|"$__rekindle_state/traps"
    trap - EXIT ERR DEBUG RETURN
    shopt -p >|"$__rekindle_state/shopts"
    declare -p >|"$__rekindle_state/variables"
    declare -f >|"$__rekindle_state/functions"
    declare -Fx >>"$__rekindle_state/functions"
    printf '%s' "$PWD" >|"$__rekindle_state/cwd"
    umask >|"$__rekindle_state/umask"
    # Processes that outlive the phase would be lost: whoever runs this must know.
    for __rekindle_pid in /proc/[0-9]*; do
        case ${__rekindle_pid#/proc/} in
            1 | "$BASHPID") ;;
            *) echo "$__rekindle_pid" ;;
        esac
    done >|"$__rekindle_state/survivors"
    printf done >|"$__rekindle_state/complete"
    exit 0
fi
