"""Grafana's dashboards: valid by its own schemas, and asking for series that exist."""

from __future__ import annotations

import copy
import json
import re
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import jsonschema
import pytest
import yaml

from exporters.grafana.dashboards import dashboard_files, read_dashboards
from exporters.web.server import WebServer
from tests.exporters.conftest import Authority

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(__file__).parent / "grafana"
MODELS = {
    name: json.loads(content)
    for name, content in dashboard_files("http://localhost:9090").items()
    if name.endswith(".json")
}


def validate(document: Any, schema: str, definition: str) -> None:
    whole = json.loads((SCHEMAS / f"{schema}.jsonschema.json").read_text())
    jsonschema.validate(document, {**whole, "$ref": f"#/definitions/{definition}"})


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_a_dashboard_is_valid_by_grafanas_schemas(model: dict[str, Any]) -> None:
    validate(model, "dashboard", "Dashboard")
    for panel in model["panels"]:
        validate(panel, "dashboard", "Panel")
        validate(panel["options"], panel["type"], "Options")
        for target in panel["targets"]:
            validate(target, "prometheus", "Dataquery")
    wrong = copy.deepcopy(model)
    wrong["panels"][0]["gridpos"] = {}
    with pytest.raises(jsonschema.ValidationError):
        validate(wrong["panels"][0], "dashboard", "Panel")


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_panels_do_not_overlap(model: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_queries_parse_and_ask_for_series_that_exist(tmp_path: Path) -> None:
    expressions = [
        panel.expr.replace("$county", "360902") for one in read_dashboards().values() for panel in one.panel
    ]
    rules = [{"record": f"panel:{n}", "expr": expression} for n, expression in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    recorded = "".join(file.read_text() for file in (ROOT / "exporters" / "rules").glob("*.yml"))
    exposed = "".join(file.read_text() for file in (ROOT / "exporters").rglob("*.py"))
    for name in {name for one in expressions for name in re.findall(r"\b[a-z_]+:[a-z_]+:[a-z0-9]+", one)}:
        assert f"record: {name}\n" in recorded, name
    for name in {name for one in expressions for name in re.findall(r"(?<![:\w])jizuo_[a-z_]+\b(?!:)", one)}:
        known = name.removesuffix("_info").removeprefix("jizuo_drill_")
        assert f'"{known}"' in exposed, name


def test_the_command_writes_what_grafana_reads(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "jizuo.py"),
        "exporter",
        "dashboards",
        "--out",
        str(tmp_path / "grafana"),
    ]
    dry = subprocess.run([*command, "--dry"], capture_output=True, text=True, timeout=300, check=False)
    assert (dry.returncode, (tmp_path / "grafana").exists()) == (2, False)
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300, check=True)
    assert len(json.loads(done.stdout)["changed"]) == 6
    source = yaml.safe_load((tmp_path / "grafana" / "provisioning/datasources/jizuo.yaml").read_text())
    uid = source["datasources"][0]["uid"]
    assert all(panel["datasource"]["uid"] == uid for model in MODELS.values() for panel in model["panels"])


def test_the_datasource_logs_in_by_files_and_trusts_one_authority(
    tmp_path: Path, serve: Callable[..., WebServer], authority: Authority, password_hash: str
) -> None:
    """What Grafana makes of the file opens a server that wants TLS and a login; neither secret stands in the file."""
    certificate, key = authority.issue(tmp_path, "server", "prometheus")
    (tmp_path / "web.yml").write_text(
        f"tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n"
        f"basic_auth_users: {{operations: {password_hash}}}\n"
    )
    password = tmp_path / "password"
    password.write_text("right\n")
    url = serve(tmp_path / "web.yml").urls[0]
    options = ["--prometheus-url", url, "--ca", str(authority.file), "--user", "operations"]
    command = [
        sys.executable,
        str(ROOT / "jizuo.py"),
        "exporter",
        "dashboards",
        "--out",
        str(tmp_path / "out"),
    ]
    subprocess.run(
        [*command, *options, "--password-file", str(password)],
        check=True,
        timeout=300,
        stdout=subprocess.DEVNULL,
    )
    text = (tmp_path / "out/provisioning/datasources/jizuo.yaml").read_text()
    assert "right" not in text and "BEGIN CERTIFICATE" not in text
    [source] = yaml.safe_load(text)["datasources"]
    assert (source["type"], source["access"], source["url"]) == ("prometheus", "proxy", url)
    assert (source["basicAuth"], source["basicAuthUser"]) == (True, "operations")
    assert source["jsonData"] == {"tlsAuthWithCACert": True}
    secrets = {name: expanded(value) for name, value in source["secureJsonData"].items()}
    assert set(secrets) == {"basicAuthPassword", "tlsCACert"}
    login = b64encode(f"{source['basicAuthUser']}:{secrets['basicAuthPassword']}".encode()).decode()
    request = Request(f"{source['url']}/metrics", headers={"Authorization": f"Basic {login}"})
    with urlopen(
        request, timeout=10, context=ssl.create_default_context(cadata=secrets["tlsCACert"])
    ) as answer:
        assert answer.status == 200


def expanded(value: str) -> str:
    """As Grafana does in provisioning files: `$__file{PATH}` is what the file holds, without blanks around it."""
    match = re.fullmatch(r"\$__file\{(/[^}]+)\}", value)
    assert match, value
    return Path(match[1]).read_text().strip()


def test_without_a_login_the_datasource_names_no_secret() -> None:
    text = dashboard_files("http://localhost:9090")["provisioning/datasources/jizuo.yaml"].decode()
    [source] = yaml.safe_load(text)["datasources"]
    assert not {"basicAuth", "basicAuthUser", "secureJsonData", "jsonData"} & set(source)
