# Starts a unit that ends by itself and tells how it goes: a line of its log each, and at the end its result.
# Read by sh on standard input: sh -s UNIT STATE_FILE [COMMAND], where COMMAND replaces the unit's own for this run.
# A run that is under way is followed; with COMMAND, waited for first. What ends this script does not end the unit.
set -u
unit=$1 state=$2 command=${3:-}

property() { systemctl show -p "$1" --value -- "$unit"; }
fail() { printf 'jizuo-error\t%s\n' "$1"; exit 1; }
under_way() { case $(property ActiveState) in active | activating | deactivating | reloading) ;; *) return 1 ;; esac; }

[ "$(property LoadState)" = loaded ] || fail "$unit is not there; deploy the backup role to this host"

if [ -n "$command" ]; then
    while under_way; do
        [ -n "${waiting:-}" ] || { waiting=yes; echo 'waiting for the run that is under way'; }
        sleep 1
    done
    folder=/run/systemd/system/$unit.d
    trap 'rm -f "$folder/jizuo.conf"; rmdir "$folder" 2>/dev/null; systemctl daemon-reload' EXIT
    trap 'exit 1' HUP INT TERM PIPE
    mkdir -p "$folder"
    printf '[Service]\nExecStart=\nExecStart=%s\n' "$command" >"$folder/jizuo.conf"
    systemctl daemon-reload
fi

before=$(property InvocationID)
if under_way; then
    echo 'a run is under way: following it'
    invocation=$before
else
    systemctl start --no-block -- "$unit" || fail "systemctl start $unit: exit $?"
    tries=0
    while invocation=$(property InvocationID); [ -z "$invocation" ] || [ "$invocation" = "$before" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || fail "$unit does not start; see: journalctl -u $unit"
        sleep 0.1
    done
fi

shown=0
while :; do
    # In this order: what the unit says before it ends is in the journal when the last lines are read.
    if under_way; then going=yes; else going='' && journalctl --sync >/dev/null 2>&1; fi
    lines=$(journalctl -q -o cat --no-pager "_SYSTEMD_INVOCATION_ID=$invocation" | tail -n "+$((shown + 1))")
    if [ -n "$lines" ]; then
        printf '%s\n' "$lines"
        shown=$((shown + $(printf '%s\n' "$lines" | wc -l)))
    fi
    [ -n "$going" ] || break
    sleep 0.5
done
printf 'jizuo-result\t%s\t%s\t%s\n' "$(property Result)" "$(property ExecMainStatus)" \
    "$([ -z "$state" ] || tr -d '\n' <"$state")"
