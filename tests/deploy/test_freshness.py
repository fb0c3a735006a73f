"""What hosts measure of their certificates and logs: the programs themselves, on real files."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509

from deploy.backup.certificates import authority, server_certificate
from deploy.freshness import parts
from deploy.freshness.parts import CERTIFICATE_TIMER, LOG_TIMER, certificate_files, log_stream_files
from deploy.secrets import SecretStore

PROGRAMS = Path(parts.__file__).parent


def run(program: str, *arguments: Path | str) -> dict[str, float]:
    """Run one of the programs; its metrics by label."""
    target = Path(arguments[0])
    subprocess.run([PROGRAMS / program, *arguments], check=True)
    assert [file.name for file in target.parent.glob(f"{target.name}.*")] == [], "what was begun was left"
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=target.read_bytes(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {
        match[1]: float(match[2]) for match in re.finditer(r'\{\w+="([^"]*)"\} (\S+)', target.read_text())
    }


@pytest.mark.parametrize(
    ("served", "said"),
    [
        ("jizuo_probe_cycle_timestamp_seconds 1.7e9\njizuo_probe_cycle_duration_seconds 3.0\n", 1.7e9),
        ("jizuo_probe_cycle_duration_seconds 3.0\n", 0),  # no round has ended yet
        (None, 0),
    ],
)
def test_a_county_s_probes_that_stand_still_or_do_not_answer(
    tmp_path: Path, served: str | None, said: float
) -> None:
    folder, target = tmp_path / "served", tmp_path / "out.prom"
    folder.mkdir()
    if served:
        (folder / "metrics").write_text(served)
    target.write_text("jizuo_county_probe_cycle_timestamp_seconds 1.6e9\n")  # of the run before
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        run("jizuo-county-probes", target, url)
        server.shutdown()
    assert value(target) == said
    run("jizuo-county-probes", target, url)
    assert value(target) == 0, "nobody listens any more"
    assert target.stat().st_mode & 0o777 == 0o644


def value(target: Path) -> float:
    (found,) = re.findall(r"^jizuo_county_probe_cycle_timestamp_seconds (\S+)$", target.read_text(), re.M)
    return float(found)


def test_the_first_certificate_of_each_file_that_ends(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "secrets")
    pair = server_certificate(store, "backup-1", ["backup-1"], ["::1"])
    end = x509.load_pem_x509_certificate(pair.certificate.encode()).not_valid_after_utc.timestamp()
    soon = tmp_path / "soon.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=soon", "-days", "3", "-keyout", tmp_path / "key.out", "-out", soon),
        ],
        check=True,
        capture_output=True,
    )
    folder = tmp_path / "etc" / "repository"
    folder.mkdir(parents=True)
    (folder / "certificate.pem").write_text(pair.certificate)
    (folder / "key.pem").write_text(pair.key)
    (folder / "chain.crt").write_text(authority(store).certificate + soon.read_text())
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    found = run("jizuo-certificate-ends", tmp_path / "out.prom", tmp_path / "etc", tmp_path / "missing")
    assert set(found) == {str(folder / name) for name in ("certificate.pem", "chain.crt", "broken.pem")}
    assert found[str(folder / "certificate.pem")] == end
    assert 0 < found[str(folder / "chain.crt")] - datetime.now().timestamp() < 3 * 86400
    assert found[str(folder / "broken.pem")] == 0


def test_the_newest_line_of_each_host_that_is_expected(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name, at in (
        ("cloud-1.log", 500),
        ("cloud-1.log.1", 400),
        ("core-a.log.1", 300),
        ("stranger.log", 900),
    ):
        (logs / name).touch()
        os.utime(logs / name, (at, at))
    files = log_stream_files("ops-1", ["ops-1", "core-a", "cloud-1", "silent"])
    expected = tmp_path / "expected"
    expected.write_bytes(next(file.data for file in files if file.path == parts.EXPECTED))
    found = run("jizuo-log-streams", tmp_path / "out.prom", expected, logs)
    assert found == {"cloud-1": 500, "core-a": 300, "silent": 0}


def test_the_units_are_systemds(tmp_path: Path) -> None:
    units = []
    for file in (*certificate_files(), *log_stream_files("ops-1", [])):
        if file.path.startswith("/etc/systemd"):
            units.append(tmp_path / file.path.rpartition("/")[2])
            # The programs stand elsewhere on this machine.
            units[-1].write_text(file.data.decode().replace(parts.PROGRAMS, str(PROGRAMS)))
    assert {CERTIFICATE_TIMER, LOG_TIMER} <= {unit.name for unit in units}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
