"""The same shards as Ray tasks. Ray runs in a process of its own here: it starts daemons and threads."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from safecase.assess import new_case, open_case, run_case, verify_path
from safecase.cli import main
from safecase.run import NoCluster, RayExecutor
from safecase.testing import StubEndpoint

pytestmark = pytest.mark.ray

DRIVER = """
import asyncio, json, sys
from pathlib import Path
from safecase.assess import Cluster, open_case, run_case_distributed
from safecase.run import RayExecutor
from safecase.testing import DyingOnce

def say(line):
    print(line, file=sys.stderr)

async def run(case, target, marker):
    cluster = Cluster(executor=RayExecutor(processes=2, say=say), shards=4)
    opens = DyingOnce(marker=Path(marker), after=6)
    summary = await run_case_distributed(
        open_case(Path(case)), cluster=cluster, model_name=target, workers=4, say=say, opens=opens
    )
    print(json.dumps({"trials": summary.trials, "errors": summary.errors, "stopped": summary.stopped}))

if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
"""


@pytest.fixture
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))


async def ran(*command: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a Python process that imports what this one does."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.usefixtures("_own_home")
async def test_a_ray_worker_killed_in_its_work_loses_and_doubles_nothing(tmp_path: Path):
    """Both kinds of gate, so that sealed answers make the way too; `verify` holds afterwards."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    options = {"attacks": ("none",), "gates": ("policy.violence.unsafe", "chem-bio.refusal"), "intents": 20}
    (tmp_path / "driver.py").write_text(DRIVER)
    spread, alone = tmp_path / "spread" / "case", tmp_path / "alone" / "case"
    for path in (spread, alone):
        new_case(path, **options)  # type: ignore[arg-type]
    async with StubEndpoint() as stub:
        await run_case(open_case(alone), model_name=stub.target())
        code, out, err = await ran(str(tmp_path / "driver.py"), str(spread), stub.target(), str(tmp_path / "died"))

    assert code == 0, err
    case, single = open_case(spread), open_case(alone)
    rows = list(case.trials.read(every_attempt=True))
    assert (tmp_path / "died").exists()
    assert len(rows) == json.loads(out)["trials"] == len(single.trials.ids())
    assert {row.trial_id for row in rows} == single.trials.ids()
    assert (case.path / "plan.json").read_bytes() == (single.path / "plan.json").read_bytes()
    assert verify_path(case.path).holds
    said = err.splitlines()
    assert said[0] == "starting Ray on this machine (takes about 10 s)"
    assert any("lost its worker (WorkerCrashedError)" in line for line in said)
    assert all(line.startswith(("starting Ray", "Ray is up", "shard ", "1 workers were lost")) for line in said)


@pytest.mark.slow
@pytest.mark.usefixtures("_own_home")
async def test_the_command_runs_on_ray_and_says_that_it_takes_a_while(tmp_path: Path):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    new_case(tmp_path / "case", attacks=("none",))
    async with StubEndpoint() as stub:
        code, out, err = await ran(
            "-m", "safecase", "run", str(tmp_path / "case"), "--model", stub.target(), "--json", "--ray"
        )

    assert code == 0, err
    assert json.loads(out)["trials"] == len(open_case(tmp_path / "case").trials.ids()) > 0
    assert err.startswith("starting Ray on this machine (takes about 10 s)\nRay is up after")


@pytest.mark.usefixtures("_own_home")
async def test_an_address_where_no_cluster_is_gives_one_line(tmp_path: Path):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    new_case(tmp_path / "case", attacks=("none",))
    async with StubEndpoint() as stub:
        command = ["-m", "safecase", "run", str(tmp_path / "case"), "--model", stub.target()]
        code, _, err = await ran(*command, "--ray", "127.0.0.1:9", "--storage", str(tmp_path / "s"))

    assert code == 1
    assert "safecase: no Ray cluster at '127.0.0.1:9'" in err
    assert "Traceback" not in err


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(NoCluster, match=r"pip install 'safecase\[ray\]'"):
        RayExecutor().start(None)  # type: ignore[arg-type]


def test_a_cluster_elsewhere_needs_a_storage_that_its_workers_reach(tmp_path: Path):
    from click.testing import CliRunner

    new_case(tmp_path / "case")

    elsewhere = CliRunner().invoke(main, ["run", str(tmp_path / "case"), "--ray", "10.0.0.5:6379"])
    alone = CliRunner().invoke(main, ["run", str(tmp_path / "case"), "--storage", "s3://x/y"])

    assert (elsewhere.exit_code, alone.exit_code) == (2, 2)
    assert "name a place that they and this machine reach with --storage" in elsewhere.stderr
    assert "add --ray or --processes" in alone.stderr
