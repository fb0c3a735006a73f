#!/bin/sh
# What does this host say of itself? Prints every fact that the checks need, in one round trip. Reads only: it
# writes no file, loads nothing from the network, changes no setting. It prints no secret: of a password only
# whether there is one and how old, of an SSH key only the fingerprint, of a BGP session only whether it has one.
#
# Runs as root: the audit account's forced command is `sudo -n /usr/local/libexec/jizuo-collect`.
#
# What is asked for stands on standard input, a line each; any other line is passed over:
#   security                    the facts of the controls and of the backup check; what an empty request gets
#   backup                      the facts of the backup check alone
#   extranet                    the facts of the extranet's audit
#   reach ADDRESS [INTERFACE]   one echo request, and a second where none came back, by an interface if one is named
#
# The stream: a first line `jizuo-collect FORMAT`, then sections. A section is a line `@NAME`, its text with one
# space before each line (so that no text can look like a section), and a line `=STATUS`, the exit status of the
# command that read it. The last line is `.`; a stream without it was cut off.

set -u
umask 077
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

section() { # NAME COMMAND...: one section
    name=$1
    shift
    text=$("$@" 2>&1)
    status=$?
    printf '@%s\n' "$name"
    [ -z "$text" ] || printf '%s\n' "$text" | sed 's/^/ /'
    printf '=%s\n' "$status"
}

limited() { # COMMAND...: a command that may take long
    timeout 20 "$@"
}

settings() { # FILE...: lines that are neither empty nor comments, each after `FILE: `
    for file in "$@"; do
        [ -f "$file" ] || continue
        sed -e 's/^[[:space:]]*//' -e '/^#/d' -e '/^;/d' -e '/^$/d' -e "s|^|$file: |" "$file"
    done
}

collector() {
    sha256sum <"$0" | cut -d ' ' -f 1
}

identity() {
    echo "hostname=$(uname -n)"
    echo "kernel=$(uname -r)"
    echo "machine=$(uname -m)"
    echo "time=$(date +%s)"
    echo "container=$(systemd-detect-virt --container 2>/dev/null || true)"
    [ -e /run/reboot-required ] && echo "reboot-required=yes"
    return 0
}

sshd_match() { # the Match blocks, which `sshd -T` leaves out
    for file in /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf; do
        [ -f "$file" ] && sed -n -e '/^[[:space:]]*[Mm][Aa][Tt][Cc][Hh][[:space:]]/,$p' "$file" | settings_of "$file"
    done
    return 0
}

settings_of() { # FILE: as settings, from standard input
    sed -e 's/^[[:space:]]*//' -e '/^#/d' -e '/^$/d' -e "s|^|$1: |"
}

shadow() { # name:state:last change:minimum:maximum:warning:inactive:expires, never a hash
    awk -F: -v OFS=: '{
        state = "password"
        if ($2 == "") state = "empty"
        else if ($2 ~ /^[!*]/) state = "locked"
        print $1, state, $3, $4, $5, $6, $7, $8
    }' /etc/shadow
}

expand() { # TEXT TOKEN VALUE: the text with the token's first place taken by the value
    case $1 in
    *"$2"*) printf '%s' "${1%%"$2"*}$3${1#*"$2"}" ;;
    *) printf '%s' "$1" ;;
    esac
}

authorized_keys() { # account fingerprint type, from the files that sshd reads
    set -f
    patterns=$(sshd -T 2>/dev/null | sed -n 's/^authorizedkeysfile //p')
    cut -d: -f1,6 /etc/passwd | while IFS=: read -r account home; do
        for pattern in ${patterns:-.ssh/authorized_keys}; do
            file=$(expand "$(expand "$pattern" %u "$account")" %h "$home")
            case $file in
            /*) ;;
            *) file=$home/$file ;;
            esac
            [ -f "$file" ] || continue
            ssh-keygen -lf "$file" 2>/dev/null |
                awk -v account="$account" '{ print account " " $2 " " $NF }'
        done
    done | sort -u
}

shell_settings() { # where login shells take their time limit and umask from
    grep -HEn '(^|[^A-Za-z_])(TMOUT|umask)([^A-Za-z_]|$)' /etc/profile /etc/profile.d/*.sh /etc/bash.bashrc \
        /etc/bashrc /etc/zsh/zprofile 2>/dev/null | grep -vE '^[^:]*:[0-9]+:[[:space:]]*#'
    return 0
}

permissions() { # mode owner group file
    for file in /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/sudoers /etc/ssh/sshd_config /etc/crontab \
        /etc/ssh/ssh_host_*_key /var/log/auth.log /var/log/secure /var/log/syslog /var/log/messages \
        /var/log/audit/audit.log /var/log/journal /etc/rsyslog.conf /etc/audit/auditd.conf; do
        [ -e "$file" ] && stat -L -c '%a %U %G %n' "$file"
    done
    return 0
}

units() {
    systemctl show --property=Id,LoadState,ActiveState,UnitFileState,Restart,RefuseManualStop \
        auditd.service rsyslog.service systemd-journald.service chrony.service chronyd.service \
        systemd-timesyncd.service ntpsec.service ssh.service sshd.service nftables.service firewalld.service \
        apparmor.service fail2ban.service
}

audit_state() {
    auditctl -s || return
    auditctl -l
}

journald() {
    limited systemd-analyze --no-pager cat-config systemd/journald.conf | settings_of journald.conf
}

log_files() { # lines of logging and of its rotation
    settings /etc/rsyslog.conf /etc/rsyslog.d/*.conf
}

clock() {
    if command -v chronyc >/dev/null; then limited chronyc -n tracking; fi
    limited timedatectl show --property=Timezone --property=NTPSynchronized 2>&1
    return 0
}

kernel_settings() { # key=value of both families
    for family in ipv4 ipv6; do
        for key in accept_redirects accept_source_route forwarding; do
            for scope in all default; do
                file=/proc/sys/net/$family/conf/$scope/$key
                [ -r "$file" ] && echo "net.$family.conf.$scope.$key=$(cat "$file")"
            done
        done
    done
    for key in net/ipv4/tcp_syncookies net/ipv6/conf/all/disable_ipv6 kernel/randomize_va_space \
        kernel/yama/ptrace_scope kernel/dmesg_restrict; do
        [ -r "/proc/sys/$key" ] && echo "$(echo "$key" | tr / .)=$(cat "/proc/sys/$key")"
    done
    return 0
}

packages() { # name version
    if command -v dpkg-query >/dev/null; then
        dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' | sed -n 's/^installed //p'
    else
        rpm -qa --queryformat '%{NAME} %{VERSION}-%{RELEASE}\n'
    fi
}

updates() { # the package lists' time, then what would be upgraded by them; no network
    if command -v apt-get >/dev/null; then
        find /var/lib/apt/lists -maxdepth 1 -name '*Release' -exec stat -c 'lists %Y %n' {} +
        plan=$(limited apt-get -s -qq -o Debug::NoLocking=1 -o Dir::Cache::pkgcache= \
            -o Dir::Cache::srcpkgcache= dist-upgrade 2>&1) || {
            printf '%s\n' "$plan" | tail -n 3
            return 1
        }
        printf '%s\n' "$plan" | sed -n 's/^Inst /upgrade /p'
    else
        find /var/cache/dnf /var/cache/libdnf5 -name repomd.xml -exec stat -c 'lists %Y %n' {} + 2>/dev/null
        plan=$(limited dnf -C -q updateinfo list --security 2>&1) || {
            printf '%s\n' "$plan" | tail -n 3
            return 1
        }
        printf '%s\n' "$plan" | sed -n 's/^./upgrade &/p'
    fi
}

mandatory_access_control() {
    [ -r /sys/fs/selinux/enforce ] && echo "selinux=$(cat /sys/fs/selinux/enforce)"
    [ -r /sys/module/apparmor/parameters/enabled ] && echo "apparmor=$(cat /sys/module/apparmor/parameters/enabled)"
    [ -r /sys/kernel/security/apparmor/profiles ] &&
        echo "apparmor-enforced=$(grep -c '(enforce)' /sys/kernel/security/apparmor/profiles)"
    command -v getstatus >/dev/null && limited getstatus 2>/dev/null | sed -n 's/^KySec status: */kysec=/p'
    return 0
}

backup_states() { # file name, tab, its JSON on one line
    for file in /var/lib/jizuo/backup/*.json; do
        [ -f "$file" ] && printf '%s\t%s\n' "${file##*/}" "$(tr -d '\n' <"$file")"
    done
    return 0
}

database_states() { # as above, of databases that are kept continuously
    for file in /var/lib/jizuo/database/*.json; do
        [ -f "$file" ] && printf '%s\t%s\n' "${file##*/}" "$(tr -d '\n' <"$file")"
    done
    return 0
}

repository_states() { # as above, of repositories that are held here; of one without a state, since when: `<name>.held`
    for file in /etc/jizuo/repository/held/*.json; do
        [ -f "$file" ] || continue
        name=${file##*/}
        state=/var/lib/jizuo/repository/$name
        # An account that is not root writes the states: what it points to elsewhere is not read.
        if [ -f "$state" ] && [ ! -L "$state" ]; then
            printf '%s\t%s\n' "$name" "$(tr -d '\n' <"$state")"
        else
            printf '%s\t%s\n' "${name%.json}.held" "$(stat -c %Y "$file")"
        fi
    done
    return 0
}

restores_elsewhere() { # as above, of restores on other hosts than the client, which the controller brings here
    for file in /var/lib/jizuo/restores/*.json; do
        [ -f "$file" ] && printf '%s\t%s\n' "${file##*/}" "$(tr -d '\n' <"$file")"
    done
    return 0
}

request() { # the lines of the request that this collector knows, bounded in number and in time
    [ -t 0 ] || timeout 5 head -c 524288 |
        sed -n -E -e '/^(security|backup|extranet)$/p' \
            -e '/^reach [0-9a-f:.]{2,45}( [a-z0-9][a-z0-9-]{0,14})?$/p' | head -n 8192
}

asked_for() { # WORD: whether a word is a line of the request
    printf '%s\n' "$asked" | grep -qx "$1"
}

routing() { # COMMAND: what FRR says, in JSON; a daemon that does not run says so in words
    command -v vtysh >/dev/null || {
        echo "vtysh is not there"
        return 127
    }
    limited vtysh -c "$1" 2>&1 | head -c 16777216
}

bgp_sessions() { # address, key and value of what matters of each BGP session; nothing that is secret
    routing 'show bgp neighbors json' | awk '
        NR == 1 && !/^\{/ { print; exit 1 }
        /^  "[^"]*": *\{/ { split($0, part, "\""); session = part[2]; print session, "session", "yes"; next }
        match($0, /"(remoteAs|bgpState|acceptedPrefixCounter|prefixAllowedMax|authenticationEnabled|externalBgpNbrMaxHopsAway)":/) {
            key = substr($0, RSTART + 1, RLENGTH - 3)
            value = substr($0, RSTART + RLENGTH)
            gsub(/[",]/, "", value)
            print session, key, value
        }'
}

bfd_sessions() { # peer, status and diagnosis of each BFD session
    routing 'show bfd peers json' | awk '
        NR == 1 && !/^\[/ { print; exit 1 }
        match($0, /"(peer|status|diagnostic)":/) {
            key = substr($0, RSTART + 1, RLENGTH - 3)
            value = substr($0, RSTART + RLENGTH)
            gsub(/[",]/, "", value)
            if (key == "peer") peer = value
            if (key == "status") status = value
            if (key == "diagnostic") print peer, status, value
        }'
}

private_networks() { # network namespace, what, and that in JSON
    ip netns list 2>/dev/null | while read -r name _; do
        echo "$name ipv4 $(ip -n "$name" -j -4 route)"
        echo "$name ipv6 $(ip -n "$name" -j -6 route)"
        echo "$name links $(ip -n "$name" -j -d link)"
        echo "$name nftables $(nsenter --net="/run/netns/$name" env TZ=UTC nft -j list ruleset)"
    done
}

reach() { # address, interface or `-`, `answered` or `silent`
    command -v ping >/dev/null || {
        echo "ping is not there"
        return 127
    }
    printf '%s\n' "$asked" | sed -n 's/^reach //p' | timeout 240 xargs -r -L 1 -P 64 sh -c '
        echo_request() { ping -n -q -c 1 -W 1 ${2:+-I "$2"} "$1" >/dev/null 2>&1; }
        if echo_request "$@" || echo_request "$@"; then found=answered; else found=silent; fi
        echo "$1 ${2:--} $found"' sh
}

security_facts() {
    section os-release cat /etc/os-release
    section sshd sshd -T
    section sshd-match sshd_match
    section login-defs settings /etc/login.defs
    section passwd cat /etc/passwd
    section group cat /etc/group
    section shadow shadow
    section authorized-keys authorized_keys
    section pam settings /etc/pam.d/*
    section faillock settings /etc/security/faillock.conf
    section pwquality settings /etc/security/pwquality.conf /etc/security/pwquality.conf.d/*.conf \
        /etc/security/pwhistory.conf
    section shell shell_settings
    section sudoers settings /etc/sudoers /etc/sudoers.d/*
    section permissions permissions
    section units units
    section audit audit_state
    section auditd settings /etc/audit/auditd.conf
    section journald journald
    section rsyslog log_files
    section logrotate settings /etc/logrotate.conf /etc/logrotate.d/*
    section clock clock
    section sockets ss -H -l -n -t -u -p
    section sysctl kernel_settings
    section packages packages
    section updates updates
    section mac mandatory_access_control
    backup_facts
}

backup_facts() {
    section backup-states backup_states
    section database-states database_states
    section repository-states repository_states
    section restores-elsewhere restores_elsewhere
}

extranet_facts() {
    section extranet-reach reach
    section bgp-sessions bgp_sessions
    section bfd-sessions bfd_sessions
    section bgp-ipv4 routing 'show bgp ipv4 unicast json'
    section bgp-ipv6 routing 'show bgp ipv6 unicast json'
    section routes-ipv4 ip -j -4 route
    section routes-ipv6 ip -j -6 route
    section private-networks private_networks
}

asked=$(request)
asked_for security || asked_for backup || asked_for extranet || asked=$(printf 'security\n%s' "$asked")
echo 'jizuo-collect 1'
section collector collector
section identity identity
# Rules that end do so at a time, which nft writes in the time zone of whoever asks.
section nftables env TZ=UTC nft -j list ruleset
asked_for security && security_facts
asked_for backup && ! asked_for security && backup_facts
asked_for extranet && extranet_facts
echo .
