"""What does Prometheus say? Runs on the operations node, with no more than its python3 (3.11).

alert.py healthy URL SECONDS TOLERATED [ALERT]
    waits until no critical alert fires but those of the names TOLERATED (a JSON list), and prints those
    (`drill-tolerated NAME`); exit 1 after SECONDS, or when no rule has the name ALERT or rules are not evaluated.
alert.py wait URL SECONDS STATE SINCE ALERT LABELS
    waits until an alert of that name and those labels (a JSON object), which began after SINCE (ISO 8601), is in STATE
    (`pending` or `firing`), and prints by Prometheus's own clock when it became pending (`drill-moment noticed`) and
    when it fired (`drill-moment detected`); exit 1 after SECONDS.
alert.py targets URL SECONDS
    waits until every target is up; exit 1 after SECONDS.
alert.py history URL FAULT WHAT
    says for the record (`drill-note`, in Chinese) whether WHAT still has what was measured a minute before FAULT.

An https URL is asked with the login of the kit's programs, which this host keeps in the files below.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

INTERVAL = 1.0
#: How long one answer may take, in seconds.
PATIENCE = 5.0
#: Rules that were last evaluated longer ago than this, in seconds, say nothing of now.
STALE = 120.0
#: Prometheus's moment of an alert may lie before the fault's by what two clocks differ, in seconds.
CLOCKS = 2.0


#: Where the deploy left the authority and the login (inventories/monitoring.py); the environment may name others.
AUTHORITY = os.environ.get("JIZUO_MONITORING_CA", "/etc/jizuo/monitoring/authority.pem")
USER = os.environ.get("JIZUO_MONITORING_USER", "jizuo")
PASSWORD = os.environ.get("JIZUO_MONITORING_PASSWORD_FILE", "/etc/jizuo/monitoring/password")


def ask(url: str, path: str, **parameters: str) -> Any:
    """The data of an answer of Prometheus's API."""
    query = urllib.parse.urlencode(parameters)
    request = urllib.request.Request(f"{url}/api/v1/{path}?{query}")  # noqa: S310 - its own
    trusted = None
    if url.startswith("https://"):
        trusted = ssl.create_default_context(cafile=AUTHORITY)
        login = f"{USER}:{Path(PASSWORD).read_text(encoding='utf-8').strip()}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=PATIENCE, context=trusted) as answer:  # noqa: S310
        return json.load(answer)["data"]


def moment(text: str) -> float:
    """A time of the API, in seconds."""
    return datetime.fromisoformat(text).timestamp()


def iso(seconds: float) -> str:
    """A time as playbooks print it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def rules(url: str) -> list[dict[str, Any]]:
    """All alerting rules."""
    return [rule for group in ask(url, "rules", type="alert")["groups"] for rule in group["rules"]]


def name_of(alert: dict[str, Any]) -> str:
    """An alert as a person would look for it."""
    labels = {key: value for key, value in alert["labels"].items() if key not in ("alertname", "severity")}
    return f"{alert['labels']['alertname']}{json.dumps(labels, ensure_ascii=False)}"


def healthy(url: str, seconds: str, tolerated: str, needed: str = "") -> int:
    """Wait until nothing critical fires."""
    until, said = time.monotonic() + float(seconds), ""
    while True:
        try:
            said, fired = judge(rules(url), json.loads(tolerated), needed)
            if not said:
                print("".join(f"drill-tolerated {name}\n" for name in sorted(fired)), end="")
                return 0
        except (OSError, ValueError, KeyError) as error:
            said = f"Prometheus at {url} does not answer: {error}"
        if time.monotonic() > until:
            print(said, file=sys.stderr)
            return 1
        time.sleep(INTERVAL)


def judge(found: list[dict[str, Any]], tolerated: list[str], needed: str) -> tuple[str, set[str]]:
    """What is not well (empty: all is), and which of the tolerated alerts fire."""
    if not found:
        return "Prometheus has no rules: nothing would be seen", set()
    if needed and needed not in [rule["name"] for rule in found]:
        return f"Prometheus has no rule {needed}: this drill could never be detected", set()
    latest = max(moment(rule["lastEvaluation"]) for rule in found)
    if time.time() - latest > STALE:
        return f"Prometheus last evaluated its rules at {iso(latest)}", set()
    firing = [
        alert
        for rule in found
        for alert in rule.get("alerts", [])
        if alert["state"] == "firing" and alert["labels"].get("severity") == "critical"
    ]
    wrong = [alert for alert in firing if alert["labels"]["alertname"] not in tolerated]
    names = sorted(name_of(alert) for alert in wrong)
    text = (
        f"the city is not healthy: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names else ""
    )
    return text, {alert["labels"]["alertname"] for alert in firing if alert not in wrong}


def wait(url: str, seconds: str, state: str, since: str, name: str, labels: str) -> int:
    """Wait until the alert is in a state."""
    wanted, earliest = {"alertname": name, **json.loads(labels)}, moment(since) - CLOCKS
    until, said = time.monotonic() + float(seconds), "not even pending"
    while True:
        try:
            active = [
                alert
                for alert in ask(url, "alerts")["alerts"]
                if wanted.items() <= alert["labels"].items() and moment(alert["activeAt"]) >= earliest
            ]
            firing = [alert for alert in active if alert["state"] == "firing"]
            said = "pending" if active else "not even pending"
            if firing or (active and state == "pending"):
                noticed = min(moment(alert["activeAt"]) for alert in active)
                print(f"drill-moment noticed {iso(noticed)}")
                if firing:
                    print(f"drill-moment detected {iso(fired(url, wanted, noticed))}")
                return 0
        except (OSError, ValueError, KeyError) as error:
            said = f"Prometheus at {url} does not answer: {error}"
        if time.monotonic() > until:
            print(
                f"the alert {name}{labels} is {said}, and was to be {state} within {seconds} s",
                file=sys.stderr,
            )
            return 1
        time.sleep(INTERVAL)


def targets(url: str, seconds: str) -> int:
    """Wait until every target is up."""
    until, said = time.monotonic() + float(seconds), ""
    while True:
        try:
            found = ask(url, "targets", state="active")["activeTargets"]
            down = [
                f"{one['labels'].get('job')} {one['labels'].get('instance')}"
                for one in found
                if one["health"] != "up"
            ]
            if found and not down:
                print(f"{len(found)} targets, all up")
                return 0
            said = f"not up: {', '.join(sorted(down))}" if found else "Prometheus has no targets"
        except (OSError, ValueError, KeyError) as error:
            said = f"Prometheus at {url} does not answer: {error}"
        if time.monotonic() > until:
            print(said, file=sys.stderr)
            return 1
        time.sleep(INTERVAL)


def history(url: str, fault: str, what: str) -> int:
    """Say whether the time before the fault can still be looked up."""
    at = moment(fault) - 60
    found = ask(url, "query", query="count(up)", time=f"{at:.3f}")["result"]
    series = int(float(found[0]["value"][1])) if found else 0
    kept = f"有{series}个监测目标的数据" if series else "没有数据，故障前的历史已丢失"
    print(f"drill-note {what}：故障前1分钟{kept}")
    return 0


def fired(url: str, wanted: dict[str, str], noticed: float) -> float:
    """When the alert fired: the first sample that says so; now, where it has not been written yet."""
    matchers = ",".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in wanted.items())
    query = f'ALERTS{{alertstate="firing",{matchers}}}[{int(time.time() - noticed) + 60}s]'
    series = ask(url, "query", query=query)["result"]
    times = [float(at) for one in series for at, _ in one["values"] if float(at) >= noticed]
    return min(times, default=time.time())


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    verbs: dict[str, Callable[..., int]] = {
        "healthy": healthy,
        "wait": wait,
        "targets": targets,
        "history": history,
    }
    sys.exit(verbs[verb](*arguments))
