"""Loads airflow_dag.py as Airflow does, and runs its task with a program that exits as told.

usage: dagbag.py DAG_FILE
"""

import os
import stat
import sys
import tempfile
from pathlib import Path

home = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"

import airflow  # noqa: E402  (reads AIRFLOW_HOME when it is imported)
from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from airflow.sdk.exceptions import AirflowException, AirflowFailException  # noqa: E402


def outcome(task, program: Path, code: int) -> str:
    """What the task makes of an exit code: success, retry, or failed without a retry."""
    program.write_text(f"#!/bin/sh\nexit {code}\n" if code < 128 else f"#!/bin/sh\nkill -{code - 128} $$\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    task.command = [str(program), *task.command[1:]]
    try:
        task.execute({})
    except AirflowFailException:
        return "failed"
    except AirflowException:
        return "retry"
    return "success"


def main(path: str) -> int:
    bag = DagBag(path)
    if bag.import_errors or list(bag.dags) != ["millrace"]:
        print(f"DagBag: {bag.import_errors or list(bag.dags)}", file=sys.stderr)
        return 1
    task = bag.dags["millrace"].get_task("score")
    task.render_template_fields({"ds": "2026-11-27"})
    if "--output=/srv/millrace/out/2026-11-27" not in task.command:
        print(f"the date is not in the command: {task.command}", file=sys.stderr)
        return 1
    print(f"Airflow {airflow.__version__}: DagBag has {bag.dags['millrace'].dag_id}, no import errors")
    program = Path(home.name, "millrace")
    want = {0: "success", 7: "retry", 75: "retry", 137: "retry"} | dict.fromkeys(range(1, 7), "failed")
    got = {code: outcome(task, program, code) for code in want}
    print(" ".join(f"{code}:{what}" for code, what in sorted(got.items())))
    return got != want


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
