#!/bin/sh
# Looks for what HSM's demo and tests need from the system, and installs it where it may: as root, with apt-get.
#
#   setup_machine.sh python PYTHON     PYTHON is 3.10 or newer and can make virtual environments
#   setup_machine.sh programs          rsync, ssh, ssh-keygen and sshd are here; ends with 1 where they are not
#   setup_machine.sh programs --optional    the same, but ends with 0 and a warning
#   setup_machine.sh programs --quiet       the same, but ends with 0 and says nothing of what is missing
#
# The system's own sshd is never started and, where this script brought it, not enabled for later either:
# the demo and the tests start a private one.
set -eu

quiet=no
POLICY=/usr/sbin/policy-rc.d
SAVED=$POLICY.before-hsm
MARK='# made by the set-up of HSM, which removes it again'

say() { printf '%s\n' "$*"; }
complain() { printf '%s\n' "$*" >&2; }

# sshd lies outside a user's PATH.
is_here() {
    (
        PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/sbin:/opt/local/sbin
        command -v "$1"
    ) >/dev/null 2>&1
}

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

restore_policy() {
    if [ -e "$SAVED" ]; then
        mv -f "$SAVED" "$POLICY"
    elif [ -f "$POLICY" ] && grep -qxF "$MARK" "$POLICY"; then
        rm -f "$POLICY"
    fi
}

# Packages ask policy-rc.d whether they may start what they bring; 101 says no.
forbid_services() {
    restore_policy # an earlier call may have been killed
    trap restore_policy EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ -e "$POLICY" ] || [ -L "$POLICY" ]; then mv "$POLICY" "$SAVED"; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY"
    chmod 755 "$POLICY"
}

run_quietly() {
    log=$(mktemp)
    status=0
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        if [ "$quiet" = no ]; then
            cat "$log" >&2
            complain "\"$*\" ended with $status."
        fi
    fi
    rm -f "$log"
    return "$status"
}

install_packages() {
    say "Installing with apt-get: $*"
    forbid_services
    export DEBIAN_FRONTEND=noninteractive
    run_quietly apt-get -o DPkg::Lock::Timeout=120 update || return 1
    run_quietly apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

disable_sshd() {
    for unit in ssh.socket ssh.service; do
        if command -v systemctl >/dev/null 2>&1; then systemctl disable "$unit" >/dev/null 2>&1 || :; fi
    done
    if command -v update-rc.d >/dev/null 2>&1; then update-rc.d ssh disable >/dev/null 2>&1 || :; fi
}

list_missing() {
    for program in rsync ssh ssh-keygen sshd; do
        is_here "$program" || printf '%s ' "$program"
    done
}

explain_programs() {
    complain "Not on this machine: $1"
    complain "They come with rsync and OpenSSH (client and server; a private server on 127.0.0.1 is all that runs):"
    complain "  Debian, Ubuntu:  sudo apt-get install rsync openssh-client openssh-server"
    complain "  Fedora, RHEL:    sudo dnf install rsync openssh-clients openssh-server"
    complain "  macOS:           ssh and sshd are part of it; brew install rsync"
}

check_programs() {
    if [ "${1-}" = --quiet ]; then quiet=yes; fi
    missing=$(list_missing)
    if [ -n "$missing" ] && may_install; then
        say "Not on this machine: $missing"
        say "The system's own sshd is neither started nor enabled."
        brings_sshd=no
        is_here sshd || brings_sshd=yes
        if install_packages rsync openssh-client openssh-server; then
            if [ "$brings_sshd" = yes ]; then disable_sshd; fi
        fi
        missing=$(list_missing)
    fi
    if [ -z "$missing" ] || [ "$quiet" = yes ]; then return 0; fi
    explain_programs "$missing"
    if [ "${1-}" = --optional ]; then
        complain "Tests that need them are skipped."
        return 0
    fi
    return 1
}

check_python() {
    if ! command -v "$1" >/dev/null 2>&1; then
        complain "No Python here is called \"$1\". HSM needs Python 3.10 or newer; choose one: make PYTHON=/path/to/python3 ..."
        return 1
    fi
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        complain "\"$1\" is Python $version. HSM needs Python 3.10 or newer; choose one: make PYTHON=/path/to/python3 ..."
        return 1
    fi
    can_make_venv "$1" && return 0
    if may_install; then
        say "Python $version cannot make virtual environments here: its package python$version-venv is missing."
        install_packages "python$version-venv" && can_make_venv "$1" && return 0
    fi
    complain "Python $version cannot make virtual environments here (its module venv or ensurepip is missing)."
    complain "  Debian, Ubuntu:  sudo apt-get install python$version-venv"
    complain "  or choose another Python: make PYTHON=/path/to/python3 ..."
    return 1
}

can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

case ${1-} in
python) check_python "${2:?which Python?}" ;;
programs) check_programs "${2-}" ;;
*)
    complain "usage: setup_machine.sh python PYTHON | programs [--optional | --quiet]"
    exit 2
    ;;
esac
