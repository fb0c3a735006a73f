"""One fault at a time for a host that meets every control."""

from __future__ import annotations

from collections.abc import Callable

from checks.security.stream import Capture

from .hosts import added, changed, replaced

Change = Callable[[Capture], Capture]


def change(section: str, old: str, new: str) -> Change:
    return lambda capture: changed(capture, section, old, new)


def add(section: str, *lines: str) -> Change:
    return lambda capture: added(capture, section, *lines)


#: Control, family, the requirement that fails, what changes in the hardened capture.
FAULTS: list[tuple[str, str, str, Change]] = [
    ("01", "none", "unique", add("passwd", "second:x:1000:1000::/home/second:/bin/bash")),
    ("01", "none", "no-empty-passwords", change("shadow", "zhangwei:password", "zhangwei:empty")),
    (
        "01",
        "none",
        "no-empty-passwords",
        change("sshd", "permitemptypasswords no", "permitemptypasswords yes"),
    ),
    ("01", "none", "length", change("pwquality", "minlen = 12", "minlen = 6")),
    ("01", "none", "length", change("pam", "pam_pwquality.so retry=3", "pam_pwquality.so minlen=6")),
    ("01", "none", "classes", change("pwquality", "minclass = 3", "minclass = 2")),
    ("01", "none", "length", change("pam", "pam_pwquality.so", "pam_permit.so")),
    ("01", "none", "history", change("pam", "remember=5", "remember=2")),
    ("01", "none", "history", change("pam", "pam_pwhistory.so", "pam_permit.so")),
    ("01", "none", "age", change("shadow", ":0:90:7::", ":0:99999:7::")),
    ("01", "none", "age", change("shadow", "zhangwei:password:20697", "zhangwei:password:20500")),
    ("01", "none", "age-of-new-accounts", change("login-defs", "PASS_MAX_DAYS\t90", "PASS_MAX_DAYS\t99999")),
    ("02", "none", "lockout", change("faillock", "deny = 5", "deny = 10")),
    ("02", "none", "lockout", change("faillock", "unlock_time = 900", "unlock_time = 60")),
    ("02", "none", "lockout", change("pam", "pam_faillock.so preauth", "pam_faillock.so preauth deny=20")),
    ("02", "none", "lockout", change("pam", "pam_faillock.so", "pam_permit.so")),
    ("02", "none", "ssh-tries", change("sshd", "maxauthtries 4", "maxauthtries 6")),
    ("02", "none", "ssh-grace", change("sshd", "logingracetime 30", "logingracetime 0")),
    ("02", "none", "ssh-dead-peers", change("sshd", "clientaliveinterval 100", "clientaliveinterval 0")),
    ("02", "none", "ssh-dead-peers", change("sshd", "clientalivecountmax 3", "clientalivecountmax 0")),
    ("02", "none", "idle-shells", change("shell", "TMOUT=300", "TMOUT=3600")),
    ("02", "none", "idle-shells", lambda capture: replaced(capture, "shell", "")),
    ("02", "none", "idle-shells", add("shell", "/etc/profile.d/zz.sh:1:TMOUT=0")),
    ("03", "none", "nothing-in-clear", add("sockets", "tcp LISTEN 0 5 [::]:23 [::]:*")),
    ("03", "none", "nothing-in-clear", add("sockets", "tcp LISTEN 0 5 0.0.0.0:513 0.0.0.0:*")),
    ("03", "none", "strong-algorithms", change("sshd", "ciphers ", "ciphers 3des-cbc,")),
    ("03", "none", "strong-algorithms", change("sshd", "macs ", "macs hmac-md5-etm@openssh.com,")),
    ("05", "none", "umask", change("shell", "umask 027", "umask 022")),
    (
        "05",
        "none",
        "file-modes",
        change("permissions", "640 root shadow /etc/shadow", "644 root shadow /etc/shadow"),
    ),
    (
        "05",
        "none",
        "file-modes",
        change("permissions", "440 root root /etc/sudoers", "440 audit root /etc/sudoers"),
    ),
    (
        "05",
        "none",
        "file-modes",
        change("permissions", "600 root root /etc/ssh/ssh_host_rsa", "604 root root /etc/ssh/ssh_host_rsa"),
    ),
    ("06", "none", "root-over-ssh", change("sshd", "permitrootlogin no", "permitrootlogin without-password")),
    (
        "06",
        "none",
        "root-over-ssh",
        add(
            "sshd-match",
            "/etc/ssh/sshd_config: Match Address 10.0.0.0/8",
            "/etc/ssh/sshd_config: PermitRootLogin yes",
        ),
    ),
    (
        "06",
        "none",
        "system-accounts",
        lambda c: changed(
            changed(c, "passwd", "games:/usr/sbin/nologin", "games:/bin/sh"),
            "shadow",
            "games:locked",
            "games:password",
        ),
    ),
    (
        "07",
        "none",
        "no-strangers",
        lambda c: added(
            added(c, "passwd", "mallory:x:1200:1200::/home/mallory:/bin/bash"),
            "authorized-keys",
            "mallory SHA256:CCC (ED25519)",
        ),
    ),
    (
        "07",
        "none",
        "none-expired",
        change("shadow", "zhangwei:password:20697:0:90:7::", "zhangwei:password:20697:0:90:7::20000"),
    ),
    ("07", "none", "no-shared-keys", add("authorized-keys", f"zhangwei SHA256:{'A' * 42}0 (ED25519)")),
    ("08", "none", "one-root", add("passwd", "toor:x:0:0::/root:/bin/bash")),
    ("08", "none", "administrators", add("sudoers", "/etc/sudoers.d/x: zhangwei ALL=(ALL) NOPASSWD: ALL")),
    ("08", "none", "administrators", change("group", "sudo:x:27:", "sudo:x:27:zhangwei")),
    ("08", "none", "separate-auditor", add("sudoers", "/etc/sudoers.d/x: audit ALL=(ALL) ALL, !/bin/su")),
    ("08", "none", "separate-auditor", change("passwd", "audit:x:", "auditor:x:")),
    ("11", "none", "labels", change("mac", "apparmor-enforced=12", "apparmor-enforced=0")),
    ("11", "none", "labels", lambda capture: replaced(capture, "mac", "selinux=0")),
    (
        "12",
        "none",
        "logins",
        lambda c: changed(
            changed(
                c,
                "units",
                "Id=rsyslog.service\nLoadState=loaded\nActiveState=active",
                "Id=rsyslog.service\nLoadState=loaded\nActiveState=failed",
            ),
            "permissions",
            "/var/log/journal",
            "/var/log/nothing",
        ),
    ),
    ("12", "none", "kernel-audit", change("audit", "enabled 1", "enabled 0")),
    ("12", "none", "kernel-audit", add("audit", "-a never,task")),
    ("12", "none", "watched-files", change("audit", "-w /etc/shadow", "-w /etc/motd")),
    (
        "13",
        "none",
        "clock",
        change("clock", "Leap status     : Normal", "Leap status     : Not synchronised"),
    ),
    ("13", "none", "clock", change("clock", "C613F00C (198.19.240.12)", "7F7F0101 ()")),
    (
        "13",
        "none",
        "records",
        lambda c: changed(
            changed(c, "rsyslog", "RSYSLOG_FileFormat", "RSYSLOG_TraditionalFileFormat"),
            "units",
            "Id=systemd-journald.service\nLoadState=loaded\nActiveState=active",
            "Id=systemd-journald.service\nLoadState=loaded\nActiveState=inactive",
        ),
    ),
    ("14", "none", "kept-elsewhere", change("rsyslog", "omfwd", "omfile")),
    (
        "14",
        "none",
        "retention",
        lambda c: changed(changed(c, "rsyslog", "omfwd", "omfile"), "logrotate", "rotate 27", "rotate 4"),
    ),
    (
        "14",
        "none",
        "closed",
        change("permissions", "640 root adm /var/log/auth.log", "644 root adm /var/log/auth.log"),
    ),
    (
        "15",
        "none",
        "rsyslog",
        change("units", "Restart=on-failure\nId=rsyslog.service", "Restart=no\nId=rsyslog.service"),
    ),
    (
        "15",
        "none",
        "auditd",
        change(
            "units",
            "Id=auditd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled",
            "Id=auditd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=disabled",
        ),
    ),
    (
        "15",
        "none",
        "settings",
        change("permissions", "644 root root /etc/rsyslog.conf", "666 root root /etc/rsyslog.conf"),
    ),
    ("17", "none", "packages", add("packages", "telnetd 0.17+2.4-2")),
    ("18", "ipv4", "high-risk-ports", add("sockets", "tcp LISTEN 0 5 0.0.0.0:445 0.0.0.0:*")),
    ("18", "ipv6", "high-risk-ports", add("sockets", "udp UNCONN 0 0 [::]:111 [::]:*")),
    ("18", "ipv6", "high-risk-ports", add("sockets", "tcp LISTEN 0 5 *:445 *:*")),
    ("18", "ipv4", "default-deny", change("nftables", '"policy": "drop"', '"policy": "accept"')),
    ("18", "ipv6", "default-deny", change("nftables", '"family": "inet"', '"family": "ip"')),
    (
        "18",
        "ipv6",
        "redirects",
        change("sysctl", "ipv6.conf.default.accept_redirects=0", "ipv6.conf.default.accept_redirects=1"),
    ),
    (
        "18",
        "ipv4",
        "redirects",
        change("sysctl", "ipv4.conf.all.accept_redirects=0", "ipv4.conf.all.accept_redirects=1"),
    ),
    (
        "18",
        "ipv6",
        "forwarding",
        change("sysctl", "ipv6.conf.all.forwarding=0", "ipv6.conf.all.forwarding=1"),
    ),
    (
        "18",
        "ipv4",
        "forwarding",
        change("sysctl", "ipv4.conf.all.forwarding=0", "ipv4.conf.all.forwarding=1"),
    ),
    ("19", "ipv4", "ssh-sources", change("nftables", '"set": [80, 443]', '"set": [22, 443]')),
    (
        "19",
        "ipv6",
        "ssh-sources",
        change("nftables", '"@management6"', '{"prefix": {"addr": "::", "len": 0}}'),
    ),
    ("21", "none", "lists", change("updates", "lists 1789992800", "lists 1780000000")),
    ("21", "none", "lists", lambda capture: replaced(capture, "updates", "")),
    (
        "21",
        "none",
        "patches",
        add("updates", "upgrade openssl [3.0.15-1] (3.0.17-1 Debian-Security:12/stable-security [amd64])"),
    ),
    ("21", "none", "restart", add("identity", "reboot-required=yes")),
]
