"""Is a system served, as a client of the extranet sees it? Runs on the client: needs no more than python3.

watch.py poll FILE SECONDS DIGEST NAME=HOST:PORT/PATH=ADDRESS4,ADDRESS6[=AUTHORITY] ...
    asks every target over each family 5 times a second and appends a line to FILE at each change:
    `TIME NAME FAMILY serving|failing REASON`. Serving means: status 200 and the content of that SHA-256; another
    status where DIGEST is written `STATUS:SHA256`. With the file of an AUTHORITY the target is asked over TLS, and its
    certificate has to be of that authority and of the address. A target may also be a JSON object with the keys name,
    host, port, path, addresses, authority, and: digest (its own, in place of DIGEST), contains (a text that the
    content must have, in place of any digest), login (a file with USER:PASSWORD, for HTTP Basic).
watch.py wait FILE SECONDS NAME serving|failing MOMENT
    waits until FILE says so of NAME in both families and prints when it came to that; exit 1 if it does not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TextIO

INTERVAL = 0.2
#: How long one answer may take, in seconds.
PATIENCE = 2.0
#: A single lost packet is no outage: failing means so many failures in a row, dated by the last of them.
FAILURES = 3


class Target(NamedTuple):
    """What is asked, over one family."""

    name: str
    family: str
    address: str
    host: str
    port: int
    path: str
    authority: str = ""
    digest: str = ""
    contains: str = ""
    login: str = ""


def targets_of(text: str) -> list[Target]:
    """What a target of the command line is, over each family."""
    if text.startswith("{"):
        given = json.loads(text)
        addresses = given.pop("addresses")
    else:
        name, url, listed, authority = [*text.split("="), ""][:4]
        place, _, path = url.partition("/")
        host, _, port = place.partition(":")
        given = {"name": name, "host": host, "port": port, "path": f"/{path}", "authority": authority}
        addresses = listed.split(",")
    given["port"] = int(given["port"])
    return [
        Target(family=family, address=address, **given)
        for family, address in zip(("ipv4", "ipv6"), addresses, strict=True)
    ]


def connect(target: Target) -> socket.socket:
    """A connection to the target, over TLS where it has an authority."""
    family = socket.AF_INET6 if target.family == "ipv6" else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(PATIENCE)
        connection.connect((target.address, target.port))
        if target.authority:
            trusted = ssl.create_default_context(cafile=target.authority)
            connection = trusted.wrap_socket(connection, server_hostname=target.address)
    except BaseException:
        connection.close()
        raise
    return connection


def ask(target: Target, digest: str) -> str:
    """An empty string when the right content came, or why not."""
    answer = b""
    try:
        login = ""
        if target.login:
            # Read anew each time: it is never on a command line, and may be laid there later.
            word = Path(target.login).read_bytes().strip()
            login = f"Authorization: Basic {base64.b64encode(word).decode()}\r\n"
        request = f"GET {target.path} HTTP/1.0\r\nHost: {target.host}\r\n{login}Connection: close\r\n\r\n"
        with connect(target) as connection:
            connection.sendall(request.encode())
            while chunk := connection.recv(65536):
                answer += chunk
    except OSError as error:
        return error.strerror or str(error)
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    expected, _, digest = (target.digest or digest).rpartition(":")
    expected = "" if target.contains else expected
    if status != [(expected or "200").encode()]:
        return f"status {status[0].decode('ascii', 'replace') if status else 'none'}"
    right = (
        target.contains.encode() in body if target.contains else hashlib.sha256(body).hexdigest() == digest
    )
    return "" if right else "other content"


def watch(target: Target, digest: str, until: float, log: TextIO, lock: threading.Lock) -> None:
    """Ask until the time is over, and log every change."""
    said, failures = "", 0
    while time.monotonic() < until:
        began = time.monotonic()
        reason = ask(target, digest)
        failures = failures + 1 if reason else 0
        state = "serving" if not reason else "failing" if failures >= FAILURES or not said else said
        if state != said:
            said = state
            at = datetime.now().astimezone().isoformat(timespec="milliseconds")
            with lock:
                log.write(f"{at} {target.name} {target.family} {state} {reason}\n")
                log.flush()
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))


def poll(file: str, seconds: str, digest: str, *targets: str) -> int:
    """Watch every target over both families."""
    until, lock, threads = time.monotonic() + float(seconds), threading.Lock(), []
    with Path(file).open("a", encoding="utf-8") as log:
        for text in targets:
            for target in targets_of(text):
                threads.append(threading.Thread(target=watch, args=(target, digest, until, log, lock)))
                threads[-1].start()
        for thread in threads:
            thread.join()
    return 0


def wait(file: str, seconds: str, name: str, state: str, called: str) -> int:
    """Wait until both families are in a state."""
    until = time.monotonic() + float(seconds)
    while True:
        now = last_of_each(Path(file), name)
        if len(now) == 2 and all(said == state for said, _ in now.values()):
            for family, (_, at) in sorted(now.items()):
                print(f"drill-moment {called}-{family} {at}")
            return 0
        if time.monotonic() > until:
            print(f"{name} is not {state} in both families within {seconds} s: {now}", file=sys.stderr)
            return 1
        time.sleep(0.05)


def last_of_each(file: Path, name: str) -> dict[str, tuple[str, str]]:
    """The last state of a target by family, and since when."""
    now = {}
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for line in lines:
        at, which, family, said = line.split(" ")[:4]
        if which == name:
            now[family] = (said, at)
    return now


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    sys.exit(poll(*arguments) if verb == "poll" else wait(*arguments))
