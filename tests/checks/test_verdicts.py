"""Do fping and blackbox_exporter give the same verdicts on the same targets in the same run?"""

from __future__ import annotations

import json
import shutil

import pytest

from . import namespace

BLACKBOX = shutil.which("prometheus-blackbox-exporter")
FPING = shutil.which("fping")

if not (BLACKBOX and FPING):
    pytest.fail("these tests need blackbox_exporter and fping; ./jizuo test fetches them", pytrace=False)

LIVING = ["127.0.0.1", "127.1.2.3", "192.0.2.1", "::1", "2001:db8:1::1"]
DEAD = ["192.0.2.77", "203.0.113.1", "198.51.100.1", "2001:db8:1::77", "2001:db8:2::1", "2001:db8:3::1"]

PROGRAM = """
import asyncio, http.client, json, socket, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote
from aiohttp import web
from checks.availability.run import Limits, probe, probe_all
from checks.availability.targets import Kind, Target
from inventories.records import Family

blackbox, fping, living, dead = json.loads(sys.argv[1])
CONFIG = "modules:\\n" + "".join(
    f"  {prober}{version}:\\n    prober: {prober}\\n    timeout: 1s\\n    {prober}:\\n"
    f"      preferred_ip_protocol: ip{version}\\n      ip_protocol_fallback: false\\n"
    for prober in ("icmp", "tcp", "http") for version in (4, 6)
)

def family_of(address):
    return Family.IPV6 if ":" in address else Family.IPV4

def asked_of_blackbox(target):
    connection = http.client.HTTPConnection("127.0.0.1", 9115, timeout=20)
    literal = f"[{target.address}]" if ":" in target.address else target.address
    named = {Kind.ICMP: target.address, Kind.TCP: f"{literal}:{target.port}"}.get(
        target.kind, f"http://{literal}:{target.port}{target.path}")
    version = 6 if target.family is Family.IPV6 else 4
    connection.request("GET", f"/probe?module={target.kind}{version}&target={quote(named)}")
    return "\\nprobe_success 1" in connection.getresponse().read().decode()

async def answer(request):
    return web.Response(status=int(request.path[1:] or 200))

async def main():
    runner = web.AppRunner(web.Application(), access_log=None)
    runner.app.router.add_get("/{status:.*}", answer)
    await runner.setup()
    await web.TCPSite(runner, "::", 8080).start()
    await web.TCPSite(runner, "0.0.0.0", 8080).start()
    addresses = [*living, *dead]
    targets = [Target(subject=a, check="icmp", kind=Kind.ICMP, family=family_of(a), address=a) for a in addresses]
    for a in addresses:
        for port in (8080, 8081):
            targets.append(Target(subject=a, check=f"tcp{port}", kind=Kind.TCP, family=family_of(a), address=a,
                                  port=port))
        for path in ("/200", "/404", "/503"):
            targets.append(Target(subject=a, check=path, kind=Kind.HTTP, family=family_of(a), address=a, port=8080,
                                  path=path, host="h"))
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(CONFIG)
        file.flush()
        peer = subprocess.Popen([blackbox, f"--config.file={file.name}", "--web.listen-address=127.0.0.1:9115"],
                                stderr=subprocess.DEVNULL)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", 9115)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            def ask_all():
                with ThreadPoolExecutor(len(targets)) as pool:  # most wait for the dead
                    return list(pool.map(asked_of_blackbox, targets))
            theirs = await asyncio.to_thread(ask_all)
        finally:
            peer.kill()
    alive = set()
    for option in ("-4", "-6"):
        names = "\\n".join(a for a in addresses if (":" in a) == (option == "-6"))
        done = await asyncio.to_thread(subprocess.run, [fping, option, "-a", "-r1", "-t500"], input=names, text=True,
                                       capture_output=True)
        alive.update(done.stdout.split())
    checked = await probe_all(targets, timeout=1.0, echo_timeout=1.0)
    steady = await probe(targets, Limits(timeout=1.0, every=True, window=1.0))
    print(json.dumps({
        "blackbox": theirs,
        "fping": [a in alive for a in addresses],
        "check": [record.status == "pass" for record in checked],
        "exporter": [probed.outcome.reason is None for probed in steady],
        "names": [f"{target.check} {target.address}" for target in targets],
    }))

asyncio.run(main())
"""


def test_the_same_verdicts_as_blackbox_exporter_and_fping() -> None:
    peers = json.dumps([BLACKBOX, FPING, LIVING, DEAD])
    found = namespace.run("-c", PROGRAM, peers, timeout=600)
    verdicts = {
        name: dict(zip(found["names"], found[name], strict=False))
        for name in ("blackbox", "check", "exporter")
    }
    assert verdicts["check"] == verdicts["exporter"] == verdicts["blackbox"]
    pings = [verdicts["check"][f"icmp {address}"] for address in (*LIVING, *DEAD)]
    assert pings == found["fping"] == [True] * len(LIVING) + [False] * len(DEAD)
    assert {name: up for name, up in verdicts["check"].items() if name.endswith(" ::1")} == {
        "icmp ::1": True,
        "tcp8080 ::1": True,
        "tcp8081 ::1": False,
        "/200 ::1": True,
        "/404 ::1": False,
        "/503 ::1": False,
    }
