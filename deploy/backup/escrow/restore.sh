#!/bin/bash
# Restores backups with what stands beside this file and nothing else: restic 0.14 or newer, xxHash 0.8 or newer, bash, coreutils.
# 用本目录中的内容恢复备份,除 restic(0.14 及以上)、xxHash(0.8 及以上)、bash、coreutils 外不需要任何其他东西。
set -euo pipefail
umask 077
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'END'
bash restore.sh list                       which system is backed up where / 列出系统与备份位置
bash restore.sh snapshots POLICY CLIENT    the snapshots / 列出快照
bash restore.sh restore POLICY CLIENT FOLDER [--path PATH] [--snapshot ID] [--uncompared]
                                           into FOLDER, new or empty / 恢复到空目录 FOLDER
bash restore.sh databases                  which cluster is kept where / 列出连续保护的数据库
bash restore.sh database CLUSTER FOLDER [--time TIME]
                                           into FOLDER, new or empty; as the account postgres, with PostgreSQL and
                                           pgBackRest; as it was at TIME / 以postgres账号恢复数据库,可指定时间点
All take --from NODE: from whose repository; the first that answers unless given / 指定仓库节点

  bash restore.sh restore gov-service cloud-1 /srv/restored --path /srv/systems
  bash restore.sh database cloud-1-main /var/lib/postgresql/restored --time '2026-08-01 09:30:00+08'
END
}

die() {
    printf 'restore.sh: %s\n' "$1" >&2
    exit 1
}

index() { # the lines of the index without its header
    tail -n +2 "$here/index.tsv"
}

find_restic() {
    restic=$here/restic
    [ -f "$restic" ] || restic=$(command -v restic) || die "restic is not installed / 未安装 restic: apt-get install restic"
    "$restic" version >/dev/null || die "$restic does not run on this machine / 无法在本机运行"
}

find_repository() { # POLICY CLIENT NODE: sets `base` and `family`
    local policy client node role city name ipv6 ipv4 port way address known=
    while IFS=$'\t' read -r policy client node role city name ipv6 ipv4 port _; do
        [ "$policy" = "$1" ] && [ "$client" = "$2" ] || continue
        known=yes
        [ -z "$3" ] || [ "$node" = "$3" ] || continue
        for way in ipv6 ipv4 name; do
            address=${!way}
            [ "$address" = - ] && continue
            if timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$address" "$port" 2>/dev/null; then
                base=$here/keys/$policy@$client@$node family=$way
                printf 'repository of %s on %s (%s, %s), %s port %s\n' "$client" "$node" "$role" "$city" "$address" "$port" >&2
                return
            fi
            printf '%s: %s port %s does not answer\n' "$node" "$address" "$port" >&2
        done
    done < <(index)
    [ -n "$known" ] || die "no backups of policy $1 of $2 are in this kit; see: bash restore.sh list"
    die "no repository answers / 没有可用的备份仓库${3:+: $3}"
}

run_restic() { # with the keys as files: no secret is on a command line or in the environment
    env -i PATH="$PATH" LC_ALL="$LC_ALL" TMPDIR="${TMPDIR:-/tmp}" "$restic" --repository-file "$base.$family" \
        --password-file "$base.password" --cacert "$here/authority.pem" --no-cache --no-lock "$@"
}

exactly() { # PATH: as an --include pattern that means this path (Go's filepath.Match)
    printf '%s' "$1" | sed 's/[][*?\\]/\\&/g'
}

find_xxhsum() { # before hours of a restore that could not be compared then
    xxhsum=
    [ -z "$uncompared" ] || return 0
    xxhsum=$here/xxhsum
    [ -f "$xxhsum" ] || xxhsum=$(command -v xxhsum) ||
        die "xxhsum is not installed / 未安装 xxhsum: apt-get install xxhash (--uncompared: without / 不核对直接恢复)"
    # The digest of nothing: before 0.8 it was another one.
    [ "$(printf '' | "$xxhsum" -H128 2>/dev/null | cut -c1-32)" = 99aa06d3014798d86001c324468d497f ] ||
        die "$xxhsum does not run on this machine, or is older than 0.8 / 无法在本机运行或版本低于 0.8"
}

verdicts() { # MANIFEST: `NAME: OK`, `NAME: FAILED` or `NAME: CHANGED` of every file of it that was restored
    local line name
    # SHA-256 stands there where the client had no xxHash.
    sed -n 's|^\(\\\{0,1\}[0-9a-f]\{64\}\)  /|\1  ./|p' "$1" | sha256sum --check --ignore-missing 2>/dev/null || :
    # xxhsum stops at what it cannot read.
    sed -n 's|^\([0-9a-f]\{32\}\)  /|\1  ./|p' "$1" | while IFS= read -r line; do
        if [ -f "${line:34}" ]; then printf '%s\n' "$line"; fi
    done | "$xxhsum" --check - 2>/dev/null || :
    # xxhsum does not read names that hold a line's end or a backslash as sha256sum writes them.
    sed -n 's|^\\\([0-9a-f]\{32\}\)  /|\1  ./|p' "$1" | while IFS= read -r line; do
        printf -v name %b "${line:34}"
        [ -f "$name" ] || continue
        if [ "$("$xxhsum" -H128 <"$name" | cut -c1-32)" = "${line:0:32}" ]; then printf '%s: OK\n' "${line:34}"
        elif [ "$name" -nt "$1" ]; then printf '%s: CHANGED\n' "${line:34}"
        else printf '%s: FAILED\n' "${line:34}"; fi
    done
}

compare() { # MANIFEST: every restored file with its digest at backup time
    local ok=0 changed=0 bad=0 there=0 line name
    while IFS= read -r line; do
        name=${line#*  /}
        case $line in '\\'*) printf -v name %b "$name" ;; esac
        if [ -f "./$name" ]; then there=$((there + 1))
        elif [ -e "./$name" ] || [ -L "./$name" ]; then
            printf 'was a file when it was backed up / 清单生成时是普通文件: ./%s\n' "$name" >&2
            bad=$((bad + 1)) there=$((there + 1))
        fi
    done <"$1"
    while IFS= read -r line; do
        case $line in
        *': OK') ok=$((ok + 1)) ;;
        *': CHANGED') changed=$((changed + 1)) ;;
        *': FAILED'*)
            name=${line%: FAILED*}
            # Written to after the manifest: restic stored something newer, which proves and disproves nothing.
            if [ "$name" -nt "$1" ]; then changed=$((changed + 1)); else
                bad=$((bad + 1))
                printf 'differs / 内容不符: %s\n' "$name" >&2
            fi
            ;;
        esac
    done < <(verdicts "$1")
    printf '%s files have the content of backup time, %s were changed while backed up, %s differ\n' "$ok" "$changed" "$bad"
    printf '%s 个文件与备份时内容一致,%s 个在备份过程中有改动,%s 个不符\n' "$ok" "$changed" "$bad"
    [ "$ok" -gt 0 ] || die "no file was compared / 没有文件被核对"
    [ $((ok + changed + bad)) -ge "$there" ] ||
        die "not read back, so not compared / 无法读回核对: $((there - ok - changed - bad)) files"
    [ "$bad" -eq 0 ] || die "do not use these data; restore from another repository with --from / 请换一个仓库恢复"
}

restore() { # POLICY CLIENT FOLDER
    local manifest chosen includes=()
    [ ! -e "$3" ] || [ -z "$(ls -A "$3")" ] || die "$3 is not empty; nothing is written over / 目录非空"
    chosen=$(run_restic snapshots --json --host "$2" --tag "$1" ${snapshot:+"$snapshot"})
    [ -n "$snapshot" ] || snapshot=latest
    manifest=$(printf '%s' "$chosen" | grep -o "\"/[^\"]*/$1\.manifest\"" | tail -n 1 | tr -d '"') ||
        die "there is no snapshot of $1 of $2 here / 没有快照"
    [ -z "$path" ] || includes=(--include "$(exactly "$path")" --include "$(exactly "$manifest")")
    mkdir -p "$3"
    run_restic restore --host "$2" --tag "$1" --target "$3" "${includes[@]}" "$snapshot"
    cd "$3"
    if [ -n "$xxhsum" ]; then compare ".$manifest"; else echo "not compared / 未核对"; fi
    printf 'restored / 已恢复: %s\n' "$3${path}"
}

find_database() { # CLUSTER NODE: sets `number`, `version` and `database`, of the first repository that answers
    local cluster node role city name ipv6 ipv4 port address known=
    while IFS=$'\t' read -r cluster _ node role city name ipv6 ipv4 port number version database; do
        [ "$cluster" = "$1" ] || continue
        known=yes
        [ -z "$2" ] || [ "$node" = "$2" ] || continue
        for address in "$ipv6" "$ipv4"; do
            [ "$address" = - ] && continue
            if timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$address" "$port" 2>/dev/null; then
                printf 'repository of %s on %s (%s, %s), %s port %s\n' "$1" "$node" "$role" "$city" "$address" "$port" >&2
                # The certificate is for the name, and pgBackRest asks for nothing else.
                getent hosts "$name" >/dev/null ||
                    die "$name is not known here; as root / 请以root执行: echo '$address $name' >>/etc/hosts"
                return
            fi
            printf '%s: %s port %s does not answer\n' "$node" "$address" "$port" >&2
        done
    done < <(tail -n +2 "$here/databases.tsv")
    [ -n "$known" ] || die "no cluster $1 is in this kit; see: bash restore.sh databases"
    die "no repository answers / 没有可用的仓库${2:+: $2}"
}

database() { # CLUSTER FOLDER
    local number version database programs options settings=$2/jizuo-kit.conf
    case $2 in
    *[!A-Za-z0-9/._-]*) die "$2: letters, digits, / . _ - alone, please / 目录名只能含字母数字" ;;
    /*) ;;
    *) die "$2: give a whole path / 请给出绝对路径" ;;
    esac
    [ ! -e "$2" ] || [ -z "$(ls -A "$2")" ] || die "$2 is not empty; nothing is written over / 目录非空"
    [ "$(id -u)" != 0 ] || die "PostgreSQL does not run as root; unpack the kit as postgres / 请以postgres账号解开并执行"
    find_database "$1" "$from"
    programs=/usr/lib/postgresql/$version/bin
    { command -v pgbackrest && [ -x "$programs/pg_ctl" ]; } >/dev/null ||
        die "needed / 需要: apt-get install postgresql-$version pgbackrest"
    sed -e "s|@KIT@|$here|g" -e "s|@DATA@|$2|g" "$here/databases/$1.conf" >"$here/databases/$1.run.conf"
    mkdir -p "$2"
    chmod 700 "$2"
    pgbackrest --config="$here/databases/$1.run.conf" --stanza="$1" --repo="$number" \
        ${time:+--type=time "--target=$time" --target-action=promote} restore
    # What a server in recovery must not have less of than the one that was lost.
    "$programs/pg_controldata" "$2" | sed -n -e 's/^\(max_[a-z_]*\) setting: */\1 = /p' |
        sed -e s/max_prepared_xacts/max_prepared_transactions/ -e s/max_locks_per_xact/max_locks_per_transaction/ \
            >"$settings"
    # It sends its log nowhere and listens to nobody else; only the command line stands above postgresql.auto.conf.
    options="-c config_file=$settings -c hba_file=$2/jizuo-kit.hba -c archive_mode=off -c ssl=off -c port=5499"
    options="$options -c listen_addresses= -c unix_socket_directories=$2"
    printf 'local all all peer\n' >"$2/jizuo-kit.hba"
    cat <<END
restored; the log is replayed when it starts, for which this folder has to stay / 已恢复;启动时重放日志,期间保留本目录:
  $programs/pg_ctl -D $2 -w -t 86400 -l $2/jizuo-kit.log -o '$options' start
  psql -h $2 -p 5499 $database
END
}

snapshot='' path='' from='' time='' uncompared='' words=()
while [ $# -gt 0 ]; do
    case $1 in
    --snapshot | --path | --from | --time)
        [ $# -gt 1 ] || die "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
    --uncompared) uncompared=yes ;;
    -*) usage && exit 1 ;;
    *) words+=("$1") ;;
    esac
    shift
done
case ${words[0]:-} in
list) column -t -s $'\t' "$here/index.tsv" 2>/dev/null || cat "$here/index.tsv" ;;
snapshots)
    [ ${#words[@]} -eq 3 ] || { usage && exit 1; }
    find_restic
    find_repository "${words[1]}" "${words[2]}" "$from"
    run_restic snapshots --host "${words[2]}" --tag "${words[1]}"
    ;;
restore)
    [ ${#words[@]} -eq 4 ] || { usage && exit 1; }
    find_restic
    find_xxhsum
    find_repository "${words[1]}" "${words[2]}" "$from"
    restore "${words[1]}" "${words[2]}" "${words[3]}"
    ;;
databases)
    [ -f "$here/databases.tsv" ] || die "no database is kept continuously / 没有连续保护的数据库"
    column -t -s $'\t' "$here/databases.tsv" 2>/dev/null || cat "$here/databases.tsv"
    ;;
database)
    [ ${#words[@]} -eq 3 ] || { usage && exit 1; }
    [ -f "$here/databases.tsv" ] || die "no database is kept continuously / 没有连续保护的数据库"
    database "${words[1]}" "${words[2]}"
    ;;
*) usage ;;
esac
