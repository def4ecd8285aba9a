"""A stage that counts, builds in steps and can be killed, on a shared store, as one machine.

Run as a program with an address, a number of steps, seconds a step, and a file for a line a step.
`ready` is printed, a line is waited for, then the stage is built; what came of it is printed.
With numbers of uploads besides, a process for each builds a stage of so many steps, and is killed
before that upload; their exit codes are printed.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowers17.errors import Flowers17Error
from flowers17.shared.store import open_store
from flowers17.stages import Job, Stage, ensure


def counted(steps: int, seconds: float, steps_log: Path, label: str = "counted") -> Stage:
    """Return a stage that counts to `steps` and leaves a line in `steps_log` for each."""
    return Stage.of(
        "counted",
        label,
        "tests.support.shared_builds:count",
        {"steps": steps, "seconds": seconds, "label": label},
        resources={"steps_log": str(steps_log)},
    )


def count(job: Job) -> Mapping[str, Any]:
    """Count on from where an earlier build came to; each step is kept as a file."""
    job.unfinished.mkdir(parents=True, exist_ok=True)
    for step in range(job.config["steps"]):
        if not (job.unfinished / f"{step:03d}").exists():
            time.sleep(job.config["seconds"])
            with job.resources["steps_log"].open("a") as stream:
                stream.write(f"{os.environ.get('MACHINE', 'this')} {step}\n")
            (job.unfinished / f"{step:03d}").write_text(str(step))
        job.progress(step + 1, job.config["steps"], "steps")
    job.save_json("total", job.config["steps"])
    (job.folder / "other").write_bytes(b"o" * 1000)
    return {"steps": job.config["steps"]}


def killed_at_upload(number: int) -> None:
    """Kill this process before its n-th upload, from 1; those that only time calls for don't count.

    These are renewals of the lease, and copies of unfinished work.
    """
    import s3fs

    call_s3, n = s3fs.S3FileSystem._call_s3, 0

    async def call(self: Any, method: str, *rest: Any, **named: Any) -> Any:
        nonlocal n
        body, key = named.get("Body", b""), named.get("Key", "")
        is_renewal = isinstance(body, bytes) and b'"beat"' in body
        if method == "put_object" and not is_renewal and "/.unfinished/" not in key:
            n += 1
            if n == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return await call_s3(self, method, *rest, **named)

    s3fs.S3FileSystem._call_s3 = call


def _exit_code(address: str, upload: int, steps_log: Path) -> int:
    """Exit code of a forked process that is killed before an upload."""
    child = os.fork()
    if not child:
        killed_at_upload(upload)
        ensure(counted(upload, 0.0, steps_log), {}, open_store(address))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Build the stage."""
    address, steps, seconds, steps_log, *uploads = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    print("ready", flush=True)
    sys.stdin.readline()
    if uploads:
        import s3fs  # noqa: F401  # once for all

        print(json.dumps([_exit_code(address, int(each), Path(steps_log)) for each in uploads]))
        return
    try:
        store = open_store(address)
        built = ensure(counted(int(steps), float(seconds), Path(steps_log)), {}, store)
    except Flowers17Error as problem:
        print(json.dumps({"error": str(problem)}))
        return
    content = (store.open(built.reference).path / "total.json").read_text()
    print(json.dumps({"reused": built.reused, **built.reference.to_json(), "content": content}))


if __name__ == "__main__":
    main()
