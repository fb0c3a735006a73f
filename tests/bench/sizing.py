"""What does a series cost Prometheus? Memory and processor at two sizes, in one run; the slope is the unit cost.

Run: `./jizuo bench sizing [--json]`, with Prometheus on the PATH.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

SIZES = (20_000, 60_000)
SECONDS = 40


def body(series: int) -> bytes:
    lines = [
        f'jizuo_probe_success{{subject="node-{n}",check="icmp",family="ipv4",level="village",county="360902"}} 1'
        for n in range(series)
    ]
    return ("\n".join(lines) + "\n").encode()


def serve(content: bytes) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def measure(series: int) -> tuple[float, float, int]:
    """Resident bytes, CPU-seconds and scrapes of a Prometheus that scrapes so many series each two seconds."""
    server = serve(body(series))
    with tempfile.TemporaryDirectory() as folder, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.close()
        target = {"job_name": "x", "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}]}
        config = {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [target]}
        file = Path(folder) / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        command = [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder}/data",
            "--log.level=error",
        ]
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"])
        try:
            time.sleep(SECONDS)
            status = Path(f"/proc/{process.pid}/status").read_text()
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            resident = int(status.partition("VmRSS:")[2].split()[0]) * 1024
            asked = ["promtool", "query", "instant", f"http://127.0.0.1:{port}"]
            query = 'count_over_time(up{job="x"}[5m])'
            scrapes = subprocess.run(
                [*asked, query], capture_output=True, text=True, check=True, timeout=60
            ).stdout
            return resident, (int(fields[11]) + int(fields[12])) / 100, int(scrapes.split("=>")[1].split()[0])
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()


def main(arguments: list[str] | None = None) -> int:
    """Print the unit costs."""
    parser = argparse.ArgumentParser(
        prog="jizuo bench sizing", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    as_json = parser.parse_args(arguments).json
    (small, cpu_small, n_small), (large, cpu_large, n_large) = (measure(size) for size in SIZES)
    a_series = (large - small) / (SIZES[1] - SIZES[0])
    samples = SIZES[1] * n_large - SIZES[0] * n_small
    costs = {
        "base_bytes": round(small - a_series * SIZES[0]),
        "bytes_per_series": round(a_series),
        "cpu_seconds_per_million_samples": round((cpu_large - cpu_small) / samples * 1e6, 2),
    }
    if as_json:
        print(json.dumps(costs))
        return 0
    print(f"resident at {SIZES[0]}: {small / 1e6:.0f} MB, at {SIZES[1]}: {large / 1e6:.0f} MB")
    print(f"scrapes {n_small}, {n_large}; CPU {cpu_small:.2f} s, {cpu_large:.2f} s")
    for name, cost in costs.items():
        print(f"{name} = {cost}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
