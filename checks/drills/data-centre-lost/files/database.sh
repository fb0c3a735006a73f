# Restores a database from the repositories that stand on this node, starts it for itself alone, and asks it a question.
# Runs as root; PostgreSQL and pgBackRest as the account that keeps the repository, or as the one given.
#   database.sh kept FOLDER STANZA DATABASE SQL            from pgBackRest's repository here, to the end of its log
#   database.sh dumped FOLDER POLICY NODE DATABASE SQL     from the dump in the snapshot on NODE
# Prints what the database answers. FOLDER is new, and is removed by whoever made the drill.
set -eu
umask 077
say() { echo "database.sh: $*" >&2; }
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
verb=$1 folder=$2 port=5497
shift 2
account=jizuo-keeper
as() { setpriv --reuid="$account" --regid="$account" --init-groups -- env LC_ALL=C.UTF-8 HOME="$folder" "$@"; }
rm -rf "$folder" && mkdir -p "$folder" && chown "$account:$account" "$folder" && chmod 755 "$(dirname "$folder")"
cd "$folder"
printf 'local all all peer map=drill\n' >hba && printf 'drill %s postgres\ndrill %s %s\n' $account $account $account >ident
start() { # more options
    chown "$account:$account" hba ident
    as "$programs/pg_ctl" start -D "$folder/data" -s -w -t 600 -l "$folder/log" -o "-c hba_file=$folder/hba \
        -c ident_file=$folder/ident -c listen_addresses='' -c unix_socket_directories=$folder -c port=$port -c ssl=off \
        -c archive_mode=off -c shared_preload_libraries='' $*" >&2 || { tail -n 5 log >&2; exit 1; }
}
ask() { as "$programs/psql" -XAtq -v ON_ERROR_STOP=1 -h "$folder" -p $port -U postgres -d "$1" -c "$2"; }
case $verb in
kept)
    # The keeper's own settings without the way to the node that is lost; no key leaves this host.
    sed '/^pg1-/d; s#^lock-path=.*#lock-path='"$folder"'/lock\nspool-path='"$folder"'/spool#' /etc/jizuo/database/keeper.conf >settings
    chown "$account:$account" settings
    as pgbackrest --config="$folder/settings" --stanza="$1" --pg1-path="$folder/data" --archive-mode=off restore >&2
    # What a server in recovery must not have less of than the one that was lost (PostgreSQL 15, 27.4.3).
    as "$programs/pg_controldata" data | sed -n 's/^\(max_[a-z_]*\) setting: */\1 = /p' |
        sed -e s/max_prepared_xacts/max_prepared_transactions/ -e s/max_locks_per_xact/max_locks_per_transaction/ >conf
    chown "$account:$account" conf
    start "-c config_file=$folder/conf"
    for second in $(seq 300); do
        [ "$(ask postgres 'select pg_is_in_recovery()')" = f ] && break
        sleep 1
    done
    ask "$2" "$3"
    ;;
dumped)
    PYTHONPATH=/usr/local/lib/jizuo PYTHONDONTWRITEBYTECODE=1 python3 -m jizuo_backup restore \
        --configuration /etc/jizuo/recovery --cache "$folder/cache" --from "$2" --to "$folder/dumps" \
        "$1" "/var/lib/jizuo/backup/dumps/$1" >&2
    chown -R "$account:$account" dumps
    as "$programs/initdb" -D "$folder/data" -U postgres --encoding=UTF8 --locale=C.UTF-8 -N >&2
    start
    as "$programs/createdb" -h "$folder" -p $port -U postgres "$3"
    as "$programs/pg_restore" -h "$folder" -p $port -U postgres --exit-on-error --no-owner --no-privileges \
        --dbname="$3" "$(find dumps -type f -name "*$3*" ! -name '*.answers.json' | head -n 1)" >&2
    ask "$3" "$4"
    ;;
*) say "kept or dumped, not $verb" && exit 1 ;;
esac
