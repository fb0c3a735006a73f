"""`jizuo backup` on real hosts: jobs followed, what is proven, restores that write over nothing, and the kit alone."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from tests.lab.conftest import ROOT, Execute

from .conftest import NAME, jizuo

INVENTORY = str(ROOT / "inventories/lab")
POLICY, CLIENT, SYSTEM = "gov-service", "cloud-1", "yichun-gov-service-net"
JOB = f"{POLICY}@{CLIENT}"
DATA = f"/srv/systems/{SYSTEM}"
#: A node that may reach the repositories and holds no key of cloud-1.
STRANGER = "xinchuang-1"


def backup(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return jizuo("backup", verb, INVENTORY, *arguments, timeout=300)


def hashes(on: Execute, host: str, folder: str) -> list[str]:
    """SHA-256 and path below the folder of every file."""
    script = f"cd {folder} && find . -type f -exec sha256sum {{}} + | sort"
    return on(host, "sh", "-c", script).stdout.splitlines()


def job_status(name: str = JOB) -> dict[str, Any]:
    done = backup("status", POLICY, "--json")
    found: dict[str, Any] = next(one for one in json.loads(done.stdout)["jobs"] if one["job"] == name)
    return found


def test_a_run_is_followed_to_its_end_and_the_status_knows_it(lab: Lab) -> None:
    done = backup("run", JOB, "--json")
    assert done.returncode == 0, done.stderr
    assert f"{JOB}: backup: success in " in done.stderr
    (outcome,) = json.loads(done.stdout)
    assert (outcome["job"], outcome["result"]) == (JOB, "success")
    status = job_status()
    assert status["age"] < 120
    assert status["last_run"] == "success"
    assert [one["node"] for one in status["repositories"]] == ["backup-1", "offsite-1"]
    assert status["repositories"][1]["lag"] == 0


def test_a_run_that_lacks_a_file_and_one_that_fails_have_codes_of_their_own(lab: Lab, on: Execute) -> None:
    configuration = f"/etc/jizuo/backup/{POLICY}.json"
    before = on(CLIENT, "cat", configuration).stdout
    try:
        for path, code, word in (("/srv/not-mounted", 2, "partial"), (None, 1, "failure")):
            changed = json.loads(before)
            changed["paths"] = [*changed["paths"], path] if path else ["/srv/not-mounted"]
            on(CLIENT, "sh", "-c", f"cat >{configuration}", input=json.dumps(changed))
            done = backup("run", JOB)
            assert done.returncode == code, done.stdout + done.stderr
            assert done.stdout.startswith(f"{JOB}: {word}: backup: ")
            assert "/srv/not-mounted" in done.stdout
    finally:
        on(CLIENT, "sh", "-c", f"cat >{configuration}", input=before)
    assert backup("run", JOB).returncode == 0


def test_ctrl_c_ends_the_watching_and_not_the_run(lab: Lab, on: Execute) -> None:
    before = json.loads(on(CLIENT, "cat", f"/var/lib/jizuo/backup/{POLICY}.json").stdout)["last_success_at"]
    watching = subprocess.Popen(
        [sys.executable, str(ROOT / "jizuo.py"), "backup", "run", INVENTORY, JOB],
        env=labs.environment(NAME), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    unit = f"jizuo-backup@{POLICY}.service"

    def active() -> str:
        return on(CLIENT, "systemctl", "show", "-p", "ActiveState", "--value", unit).stdout.strip()

    until(lambda: active() == "activating")
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == 1
    assert "what was begun goes on" in said
    until(lambda: active() != "activating")
    after = json.loads(on(CLIENT, "cat", f"/var/lib/jizuo/backup/{POLICY}.json").stdout)
    assert after["backup"]["result"] == "success"
    assert after["last_success_at"] > before


def until(true: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_verify_says_what_is_proven_and_leaves_the_unit_as_it_was(lab: Lab, on: Execute) -> None:
    unit = f"jizuo-backup@{POLICY}.service"
    before = on(CLIENT, "systemctl", "cat", unit).stdout
    done = backup("verify", JOB, "--read-all")
    assert done.returncode == 0, done.stderr
    assert f"{JOB}: check offsite-1: success" in done.stderr
    for node in ("backup-1", "offsite-1"):
        assert f"  {node}: sound; " in done.stdout
    assert done.stdout.count("files came back with the right content; proven restorable: ") == 2
    assert on(CLIENT, "systemctl", "cat", unit).stdout == before
    assert job_status()["proven_age"] < 120


@pytest.fixture
def target(on: Execute) -> Iterator[str]:
    """A folder on the client that is not there, before and after."""
    folder = "/srv/restored"
    on(CLIENT, "rm", "-rf", folder)
    yield folder
    on(CLIENT, "rm", "-rf", folder)


def test_a_restore_beside_the_data_and_never_over_them(lab: Lab, on: Execute, target: str) -> None:
    assert backup("run", JOB).returncode == 0
    wanted = hashes(on, CLIENT, DATA)
    dry = backup("restore", SYSTEM, "--from", "offsite-1", "--to", target, "--dry")
    assert dry.returncode == 0, dry.stderr
    assert "from offsite-1 (ipv6)" in dry.stdout
    assert f"{len(wanted)} files" in dry.stdout
    assert on(CLIENT, "test", "-e", target, check=False).returncode == 1
    done = backup("restore", SYSTEM, "--from", "offsite-1", "--to", target, "--json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert (told["files"], told["mismatched"]) == (len(wanted), 0)
    assert hashes(on, CLIENT, target) == wanted
    for arguments in (["--to", target], ["--in-place"]):
        again = backup("restore", SYSTEM, *arguments)
        assert again.returncode == 1
        assert "move it away first" in again.stderr
    assert hashes(on, CLIENT, DATA) == wanted


def test_in_place_the_old_data_are_moved_aside_if_one_agrees(lab: Lab, on: Execute) -> None:
    assert backup("run", JOB).returncode == 0
    wanted = hashes(on, CLIENT, DATA)
    unasked = backup("restore", SYSTEM, "--in-place", "--overwrite")
    assert unasked.returncode == 1
    assert "there is no terminal; use --yes" in unasked.stderr
    assert "what is there is moved aside" in unasked.stdout
    on(CLIENT, "sh", "-c", f"echo defaced >{DATA}/index.html")
    done = backup("restore", SYSTEM, "--in-place", "--overwrite", "--yes")
    assert done.returncode == 0, done.stderr
    assert hashes(on, CLIENT, DATA) == wanted
    aside = on(CLIENT, "sh", "-c", f"ls -d {DATA}.before-restore-*").stdout.strip()
    assert on(CLIENT, "cat", f"{aside}/index.html").stdout == "defaced\n"
    on(CLIENT, "rm", "-rf", aside)


def test_prune_shows_what_would_go_and_removes_it_if_one_agrees(lab: Lab, on: Execute) -> None:
    """The policy keeps one snapshot an hour: of two in one hour, the older goes."""
    arguments = ("backup-1", "--policy", POLICY)
    on(CLIENT, "systemctl", "start", f"jizuo-backup@{POLICY}.service")
    on(CLIENT, "systemctl", "start", f"jizuo-backup@{POLICY}.service")
    newest = job_status()["repositories"][0]["age"]
    dry = backup("prune", *arguments, "--dry", "--json")
    assert dry.returncode == 2, dry.stderr
    (plan,) = json.loads(dry.stdout)
    assert (plan["name"], plan["objection"]) == (f"{CLIENT}-{POLICY}", None)
    assert plan["removed"]
    unasked = backup("prune", *arguments)
    assert unasked.returncode == 1
    assert "there is no terminal to ask at; use --yes" in unasked.stderr
    unit = "jizuo-repository-maintenance.service"
    before = on("backup-1", "systemctl", "cat", unit).stdout
    done = backup("prune", *arguments, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    (pruned,) = json.loads(done.stdout)
    assert pruned["prune"]["removed_count"] == len(plan["removed"])
    assert on("backup-1", "systemctl", "cat", unit).stdout == before
    again = backup("prune", *arguments, "--dry")
    assert again.returncode == 0
    assert " 0 would go" in again.stdout
    shown = backup("restore", SYSTEM, "--in-place", "--dry", "--json")
    assert shown.returncode == 0, shown.stderr
    assert job_status()["repositories"][0]["age"] >= newest


@pytest.fixture
def opened(lab: Lab, on: Execute, tmp_path: Path) -> Iterator[str]:
    """The recovery kit of the lab, opened in the memory of a node that has no key of the one that is lost."""
    key, kit = tmp_path / "custodian.key", tmp_path / "kit.age"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True).stdout
    done = jizuo("backup", "escrow", "make", INVENTORY, "--recipient", public.strip(), "--out", str(kit))
    assert done.returncode == 0, done.stderr
    folder = "/dev/shm/kit"
    age = shutil.which("age")
    assert age is not None
    place = lab.places.host(STRANGER)
    assert place.exists()
    on(STRANGER, "mkdir", "-m", "700", folder)
    for file, name in ((key, "custodian.key"), (kit, "kit.age"), (Path(age), "age")):
        send(lab, file, f"{folder}/{name}")
    on(STRANGER, "sh", "-c", f"cd {folder} && chmod 700 age && ./age -d -i custodian.key kit.age | tar -x")
    yield f"{folder}/recovery-kit"
    on(STRANGER, "rm", "-rf", folder)


def send(lab: Lab, file: Path, place: str) -> None:
    with file.open("rb") as content:
        subprocess.run(
            [*labs.enter(lab, STRANGER), "sh", "-c", f"umask 077; cat >{place}"], stdin=content, check=True, timeout=60
        )  # fmt: skip


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_the_kit_alone_restores_on_a_node_that_knows_nothing(
    lab: Lab, on: Execute, opened: str, family: str
) -> None:
    """No configuration, no state, no name service, no environment: the kit, restic, and the other city's node."""
    assert backup("run", JOB).returncode == 0
    wanted = hashes(on, CLIENT, DATA)
    assert wanted
    if family == "ipv4":
        on(STRANGER, "sed", "-i", r"s/\t[0-9a-f]*:[0-9a-f:]*\t/\t-\t/", f"{opened}/index.tsv")
    target = "/srv/from-the-kit"
    script = (
        "for folder in /etc/jizuo /var/lib/jizuo /usr/local/lib/jizuo; do"
        " ! [ -d $folder ] || mount -t tmpfs tmpfs $folder; done;"
        " mount --bind /dev/null /etc/hosts; mount --bind /dev/null /etc/resolv.conf;"
        f" exec env -i PATH=/usr/bin:/bin bash {opened}/restore.sh restore {POLICY} {CLIENT} {target}"
        f" --from offsite-1 --path {DATA}"
    )
    try:
        done = on(STRANGER, "unshare", "--mount", "sh", "-c", script, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        assert f"{len(wanted)} files have the content of backup time" in done.stdout
        assert (":" in done.stderr.split("), ")[1].split(" port ")[0]) == (family == "ipv6")
        assert hashes(on, STRANGER, target + DATA) == wanted
    finally:
        on(STRANGER, "rm", "-rf", target)
