"""What is masked in evidence, and what stays readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checks.drills.masking import mask_forms, mask_of, secrets_of


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("RESTIC_PASSWORD=swordfish17 restic", "swordfish17"),
        ('"become_password": "swordfish17",', "swordfish17"),
        (r"{\"password\": \"swordfish17\"}", "swordfish17"),
        ("db_secret: swordfish17", "swordfish17"),
        ("rest:https://client:swordfish17@backup-1:8443/x", "swordfish17"),
        ("AGE-SECRET-KEY-1QQQQQQ2222", "QQQQQQ2222"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\naC1rZXk\n-----END OPENSSH PRIVATE KEY-----",
            "b3BlbnNz",
        ),
        (r"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYD\n-----END PRIVATE KEY-----", "MC4CAQAwBQYD"),
    ],
)
def test_what_has_the_form_of_a_secret(text: str, secret: str) -> None:
    masked = mask_forms(text)
    assert secret not in masked
    assert "********" in masked


@pytest.mark.parametrize(
    "text",
    [
        '{"become_password": null, "secrets": [], "token": {"a": 1}}',
        "the copy answers over IPv4 and IPv6 at [2001:db8::1]:8443",
        "http://cloud-1:80/yichun-gov-service-net/",
        "drill-sum lost 9f86d081884c7d659a2feaa0c55ad015 ./data/index.html",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert mask_forms(text) == text


def test_known_values_are_masked_as_they_are_and_in_json() -> None:
    secret = 'quote"and\\back'
    mask = mask_of([secret, "short", 'quote"and\\back-longer'])
    text = mask(json.dumps({"stdout": f"{secret} {secret}-longer short"}))
    assert json.loads(text) == {"stdout": "******** ******** short"}


def test_the_secrets_of_a_state_folder(tmp_path: Path) -> None:
    for path, text in (
        ("secrets/restic/cloud-1", "swordfish17\n"),
        (
            "ssh/deploy",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA\n-----END OPENSSH PRIVATE KEY-----\n",
        ),
        ("ssh/deploy.pub", "ssh-ed25519 AAAAC3Nz deploy"),
        ("ssh/known_hosts", "cloud-1 ssh-ed25519 AAAAC3Nz"),
        ("lab.json", "{}"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = secrets_of(tmp_path)
    assert {"swordfish17", "b3BlbnNzaA"} <= set(found)
    assert not any("AAAAC3Nz" in secret for secret in found)
