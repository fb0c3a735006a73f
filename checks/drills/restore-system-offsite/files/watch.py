"""Is a system served, as a client of the extranet sees it? Runs on the client, needs no more than python3-minimal.

    watch.py poll FILE SECONDS DIGEST NAME=HOST:PORT/PATH=ADDRESS4,ADDRESS6 ...
        asks every target over each family 5 times a second and appends a line to FILE at each change:
        `TIME NAME FAMILY serving|failing REASON`. Serving means: status 200 and the content of that SHA-256.
    watch.py wait FILE SECONDS NAME serving|failing
        waits until FILE says so of NAME in both families and prints `FAMILY TIME` lines; exit 1 if it does not.
"""

import hashlib
import socket
import sys
import threading
import time
from datetime import datetime

INTERVAL = 0.2
#: How long one answer may take, in seconds.
PATIENCE = 2.0
#: A single lost packet is no outage: failing means so many failures in a row, dated by the last of them.
FAILURES = 3


def moment():
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def ask(family, address, host, port, path, digest):
    """An empty string when the right content came, or why not."""
    request = "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n" % (path, host)
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect((address, port))
            connection.sendall(request.encode())
            answer = b""
            while True:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                answer += chunk
    except OSError as error:
        return "%s" % (error.strerror or error)
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        return "status %s" % (status[0].decode("ascii", "replace") if status else "none")
    return "" if digest in ("-", hashlib.sha256(body).hexdigest()) else "other content"


def watch(lock, log, until, digest, name, family, address, host, port, path):
    number = socket.AF_INET6 if family == "ipv6" else socket.AF_INET
    said, failures = None, 0
    while time.monotonic() < until:
        began = time.monotonic()
        reason = ask(number, address, host, port, path, digest)
        failures = failures + 1 if reason else 0
        state = "serving" if not reason else "failing" if failures >= FAILURES or said is None else said
        if state != said:
            said = state
            with lock:
                log.write("%s %s %s %s %s\n" % (moment(), name, family, state, reason))
                log.flush()
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))


def poll(file, seconds, digest, *targets):
    lock, until, threads = threading.Lock(), time.monotonic() + float(seconds), []
    with open(file, "a") as log:
        for target in targets:
            name, url, addresses = target.split("=")
            place, _, path = url.partition("/")
            host, _, port = place.partition(":")
            for family, address in zip(("ipv4", "ipv6"), addresses.split(",")):
                arguments = (lock, log, until, digest, name, family, address, host, int(port), "/" + path)
                threads.append(threading.Thread(target=watch, args=arguments))
                threads[-1].start()
        for thread in threads:
            thread.join()
    return 0


def wait(file, seconds, name, state):
    until = time.monotonic() + float(seconds)
    while True:
        now = {}
        try:
            with open(file) as log:
                for line in log:
                    at, which, family, said = line.split(" ")[:4]
                    if which == name:
                        now[family] = (said, at)
        except OSError:
            pass
        if len(now) == 2 and all(said == state for said, _ in now.values()):
            for family, (_, at) in sorted(now.items()):
                print(family, at)
            return 0
        if time.monotonic() > until:
            print("%s is not %s in both families within %s s: %s" % (name, state, seconds, now), file=sys.stderr)
            return 1
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit({"poll": poll, "wait": wait}[sys.argv[1]](*sys.argv[2:]))
