"""A nightly run under Airflow 3, on a worker that has millrace and the data."""

from datetime import datetime, timedelta

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

# The same would come again: usage, bad rows, input, model, output, or a fault of millrace's.
# What is left (75, 7, death by a signal) is continued by the same command.
FINAL = {1, 2, 3, 4, 5, 6}


class Millrace(BaseOperator):
    """Runs a command of millrace; its exit code says whether a retry helps.

    BashOperator retries every code, also those that a retry cannot help.
    """

    template_fields = ("command",)

    def __init__(self, *, command: list[str], **kwargs):
        super().__init__(**kwargs)
        self.command = command
        self.hook = None

    def execute(self, context):
        self.hook = SubprocessHook()
        code = self.hook.run_command(self.command, cwd="/").exit_code
        if code in FINAL:
            raise AirflowFailException(f"millrace exited with {code}: a retry will not help")
        if code != 0:
            raise AirflowException(f"millrace exited with {code}: to be continued")

    def on_kill(self):
        if self.hook:
            self.hook.send_sigterm()


with DAG(
    dag_id="millrace",
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
):
    Millrace(
        task_id="score",
        # The date of the run is in the output's name: each retry is of the same job, and a
        # run that is cleared after it was published has nothing to do.
        command=[
            "/usr/local/bin/millrace",
            "score",
            "--model=/srv/millrace/model.onnx",
            "--input=/srv/millrace/in/*.parquet",
            "--ids=id",
            "--nulls=nan",
            "--output=/srv/millrace/out/{{ ds }}",
            # Less than Airflow's killed_task_cleanup_time (60 s), after which it kills.
            "--grace=30s",
        ],
        retries=10,
        # A worker that died may have left millrace running; until that is done, a retry
        # exits 75 and comes again.
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=8),
    )
