"""What does a province's Prometheus read of its cities? By federation: their sums, of each that watches a city.

With them come the province's own rules: a city that falls silent cannot say so itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporters.access import Access
from exporters.prometheus import (
    RULE_FOLDER,
    RULES,
    TARGET_FOLDER,
    as_json,
    as_yaml,
    external_labels,
    read_rules,
    runbook_files,
    watching_nodes,
    with_runbooks,
)
from exporters.remote_write import province_names
from inventories.monitoring import PROMETHEUS_PORT, PROVINCE
from inventories.records import City

#: Seconds between two questions: sums over a city change slowly, and nobody pages by them at the province.
INTERVAL = 60
#: The rules of the province itself.
PROVINCE_RULES = RULES / "province" / "jizuo-province.yml"


def province_files(
    cities: Sequence[City], credentials: str, *, alertmanagers: Sequence[str] = (), runbook_url: str = ""
) -> dict[str, bytes]:
    """Every file of the province's Prometheus, by its path below its folder.

    Each city has its own authority and its own password: `credentials` is the folder that holds `CODE.pem` and
    `CODE.password` for a city of that division code. Of a city every Prometheus that watches it is asked, by its name,
    which leads to both families. Alerts go to the province's `alertmanagers` (HOST:PORT), and link to their runbooks
    where `runbook_url` says that these are served.

    Raises:
        ValueError: Two of the cities have the same division code, or one has nobody that watches it.
    """
    codes = [city.layout.division for city in cities]
    if twice := next((code for code in codes if codes.count(code) > 1), ""):
        raise ValueError(f"two cities have the division code {twice}: each may be named once")
    jobs = [federation_job(code, access_to(code, credentials)) for code in codes]
    config = {
        "global": {"scrape_interval": f"{INTERVAL}s", "scrape_timeout": f"{INTERVAL // 2}s"},
        "rule_files": [f"{RULE_FOLDER}/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [*alertmanagers]}]}]},
        "scrape_configs": jobs,
    }
    rules = read_rules(PROVINCE_RULES)
    targets = {job["job_name"]: as_json(targets_of(city)) for job, city in zip(jobs, cities, strict=True)}
    return {
        "prometheus.yml": as_yaml(config, "province-config"),
        f"{RULE_FOLDER}/{PROVINCE_RULES.name}": as_yaml(
            with_runbooks(rules, runbook_url) if runbook_url else rules, "province-config"
        ),
        **runbook_files(rules),
        **{f"{TARGET_FOLDER}/{name}.json": content for name, content in targets.items()},
    }


def access_to(code: str, credentials: str) -> Access:
    """How a city is reached: its own authority, and the login that it gave the province."""
    return Access(f"{credentials}/{code}.pem", PROVINCE, f"{credentials}/{code}.password")


def targets_of(city: City) -> list[dict[str, Any]]:
    """Of each Prometheus that watches a city its name and port, in the form of file_sd.

    The labels are those of `up`: the series that arrive keep their own, which name the city alike.

    Raises:
        ValueError: Nobody watches the city.
    """
    names = [node.id for node in watching_nodes(city)]
    if not names:
        raise ValueError(
            f"{city.layout.name}: nodes.csv has no operations node, so there is no Prometheus to ask"
        )
    return [
        {
            "targets": [f"{name}.{city.layout.domain}:{PROMETHEUS_PORT}"],
            "labels": {"instance": name, **external_labels(city, name)},
        }
        for name in names
    ]


def federation_job(code: str, access: Access) -> dict[str, Any]:
    """The job that asks those who watch a city for its sums."""
    job = f"jizuo-{code}"
    return {
        "job_name": job,
        "honor_labels": True,
        "metrics_path": "/federate",
        "params": {"match[]": [f'{{__name__=~"{province_names()}"}}']},
        "file_sd_configs": [{"files": [f"{TARGET_FOLDER}/{job}.json"], "refresh_interval": "1m"}],
        **access.with_login(),
    }
